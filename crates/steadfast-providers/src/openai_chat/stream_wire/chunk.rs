//! The shapes of the chat wire's answers, as serde reads them. What they mean is decided next door.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use steadfast_core::Usage;

use crate::scalar::{Arguments, Count, Text, is_error};

/// One chunk of a stream, or a whole answer: they differ in `delta` and `message` only. It borrows
/// what it can from the event.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Returns whether the chunk has an error.
    pub(super) fn is_error(&self) -> bool {
        is_error(self.error)
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
    /// A content again, read where it is needed: contents within contents would have no end.
    #[serde(borrow, default)]
    pub(super) thinking: Option<&'a RawValue>,
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

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached part.
    prompt_cache_hit_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let prompt = wire.prompt_tokens_details.unwrap_or_default();
        let input = wire.prompt_tokens.0.unwrap_or_default();
        let output = wire.completion_tokens.0.unwrap_or_default();
        // xAI and Gemini leave reasoning out of the completion, and in the total.
        let total = wire.total_tokens.0.unwrap_or_default();
        let mut usage = Self::new(input, output.max(total.saturating_sub(input)));
        let cached = prompt.cached_tokens.0;
        usage.cache_read_tokens = cached
            .or(wire.prompt_cache_hit_tokens.0)
            .unwrap_or_default();
        usage.cache_write_tokens = prompt.cache_write_tokens.0.unwrap_or_default();
        let details = wire.completion_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = details.reasoning_tokens.0.unwrap_or_default();
        usage
    }
}
