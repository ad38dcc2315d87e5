//! The shapes of the chat wire's answers, as serde reads them. What they mean is decided next door.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value, value::RawValue};
use steadfast_core::Usage;

use crate::{
    few::Few,
    scalar::{Arguments, Count, Text, Word, is_error, unexpected},
    shape::{Field, plain_fields, shape},
};

shape! {
    /// One chunk of a stream, or a whole answer: they differ in `delta` and `message` only. It
    /// borrows what it can from the event.
    pub(super) struct Chunk<'a> {
        "choices" => choices: Few<Choice<'a>>,
        "usage" => usage: &'a RawValue,
        "error" => error: &'a RawValue,
        "x_groq" => x_groq: &'a RawValue,
    }
}

/// What Groq says beside its first and its last chunk.
#[derive(Deserialize)]
struct OfGroq<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Returns why Groq broke an answer off, if it did.
    pub(super) fn groq_error(&self) -> Option<&RawValue> {
        let OfGroq { error } = serde_json::from_str(self.x_groq?.get()).ok()?;
        error.filter(|error| is_error(Some(error)))
    }

    /// Returns whether the chunk has an error.
    pub(super) fn is_error(&self) -> bool {
        is_error(self.error)
    }

    /// Returns whether the chunk has nothing that a chunk may have.
    pub(super) const fn is_foreign(&self) -> bool {
        self.choices.is_none() && self.usage.is_none()
    }
}

shape! {
    /// An answer, or a part of it. Perplexity sends `message`, all so far, beside each `delta`.
    pub(super) struct Choice<'a> {
        "delta" => delta: Delta<'a>,
        "message" => message: Delta<'a>,
        "finish_reason" => finish_reason: Word<'a>,
        "stop_reason" => stop_reason: &'a RawValue,
    }
}

impl Choice<'_> {
    /// Returns whether vLLM names the stop text that came up; a number is a token of its own.
    pub(super) fn names_stop_text(&self) -> bool {
        self.stop_reason
            .is_some_and(|reason| reason.get().len() > 2 && reason.get().starts_with('"'))
    }
}

shape! {
    pub(super) struct Delta<'a> {
        "content" => content: Content<'a>,
        "refusal" => refusal: Text<'a>,
        /// DeepSeek's and llama.cpp's name.
        "reasoning_content" => reasoning_content: Text<'a>,
        /// OpenRouter's and Groq's name.
        "reasoning" => reasoning: Text<'a>,
        "reasoning_details" => reasoning_details: Vec<Map<String, Value>>,
        "tool_calls" => tool_calls: Few<CallDelta<'a>>,
    }
}

plain_fields! { Vec<Map<String, Value>>, Value, }

/// What is said: one text, or Mistral's list of parts.
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

/// One part of a content that is a list. Parts of other types have neither field that counts.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    /// A content again, read where it is needed: contents within contents would have no end.
    #[serde(borrow, default)]
    pub(super) thinking: Option<&'a RawValue>,
}

impl<'a> Content<'a> {
    /// Reads a content. What is in parts of it is not read here: they may be in each other without
    /// end.
    pub(super) fn read(raw: &'a RawValue) -> serde_json::Result<Self> {
        if let Some(Text(text)) = Text::of(raw) {
            return Ok(Self::Text(text));
        }
        match raw.get().as_bytes().first() {
            Some(b'[') => {
                let parts: Vec<&RawValue> = serde_json::from_str(raw.get())?;
                // References, audio and what comes after them are of no use here, and no error.
                let parts = parts.into_iter();
                let parts = parts.filter_map(|part| serde_json::from_str(part.get()).ok());
                Ok(Self::Parts(parts.collect()))
            }
            Some(b'{') => Ok(Self::Parts(Vec::new())),
            _ => Err(unexpected(raw.get(), "a text or a list of parts")),
        }
    }
}

impl<'de: 'a, 'a> Field<'de> for Content<'a> {
    fn read_into<D: Deserializer<'de>>(
        slot: &mut Option<Self>,
        deserializer: D,
    ) -> Result<(), D::Error> {
        let raw = Option::<&RawValue>::deserialize(deserializer)?;
        *slot = raw.map(Self::read).transpose().map_err(Error::custom)?;
        Ok(())
    }
}

shape! {
    pub(super) struct CallDelta<'a> {
        "index" => index: usize,
        "id" => id: Word<'a>,
        "function" => function: FunctionDelta<'a>,
        /// What Gemini's compatible endpoint wants back with the call, such as a signature.
        "extra_content" => extra_content: Value,
    }
}

shape! {
    pub(super) struct FunctionDelta<'a> {
        "name" => name: Word<'a>,
        "arguments" => arguments: Arguments<'a>,
    }
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
