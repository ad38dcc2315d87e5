//! The shapes of the chat wire's answers, as serde reads them. What they mean is decided next door.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use steadfast_core::Usage;

/// One chunk of a stream, or a whole answer: they differ in `delta` and `message` only. It borrows
/// what it can from the event.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Returns whether the chunk has an error; some servers send an empty one with every chunk.
    pub(super) fn is_error(&self) -> bool {
        self.error
            .is_some_and(|error| !matches!(error.get(), "null" | "false" | "\"\"" | "{}"))
    }

    /// Returns whether the chunk has nothing that a chunk may have.
    pub(super) const fn is_foreign(&self) -> bool {
        self.choices.is_none() && self.usage.is_none()
    }
}

/// An answer, or a part of it. Perplexity sends `message`, all so far, beside each `delta`.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Returns whether vLLM names the stop text that came up; a number is a token of its own.
    pub(super) fn names_stop_text(&self) -> bool {
        self.stop_reason
            .is_some_and(|reason| reason.get().len() > 2 && reason.get().starts_with('"'))
    }
}

#[derive(Deserialize, Default)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    /// DeepSeek's and llama.cpp's name.
    #[serde(borrow, default)]
    pub(super) reasoning_content: Option<Text<'a>>,
    /// OpenRouter's and Groq's name.
    #[serde(borrow, default)]
    pub(super) reasoning: Option<Text<'a>>,
    #[serde(default)]
    pub(super) reasoning_details: Option<Vec<Map<String, Value>>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<CallDelta<'a>>>,
}

/// A text that is borrowed where it has no escapes; `Option<Cow>` alone would always be copied.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// What is said: one text, or Mistral's list of parts.
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

/// One part of a content that is a list. Parts of other types have neither field that counts.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Content<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element::<&RawValue>()? {
            // References, audio and what comes after them are of no use here, and no error.
            parts.extend(serde_json::from_str(part.get()).ok());
        }
        Ok(Content::Parts(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Content::Parts(Vec::new()))
    }
}

#[derive(Deserialize)]
pub(super) struct CallDelta<'a> {
    #[serde(default)]
    pub(super) index: Option<usize>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) function: Option<FunctionDelta<'a>>,
    /// What Gemini's compatible endpoint wants back with the call, such as a signature.
    #[serde(default)]
    pub(super) extra_content: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<Arguments<'a>>,
}

/// Arguments are JSON in a string; some servers send the object itself.
pub(super) struct Arguments<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if raw.starts_with('"') {
            let Text(text) = serde_json::from_str(raw).map_err(Error::custom)?;
            return Ok(Self(text));
        }
        Ok(Self(Cow::Borrowed(raw)))
    }
}

#[derive(Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached part.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let prompt = wire.prompt_tokens_details.unwrap_or_default();
        let input = wire.prompt_tokens.unwrap_or_default();
        let output = wire.completion_tokens.unwrap_or_default();
        // xAI and Gemini leave reasoning out of the completion, and in the total.
        let beside_input = wire.total_tokens.unwrap_or_default().saturating_sub(input);
        let mut usage = Self::new(input, output.max(beside_input));
        usage.cache_read_tokens = prompt
            .cached_tokens
            .or(wire.prompt_cache_hit_tokens)
            .unwrap_or_default();
        usage.cache_write_tokens = prompt.cache_write_tokens.unwrap_or_default();
        let details = wire.completion_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = details.reasoning_tokens.unwrap_or_default();
        usage
    }
}
