//! The shapes of the wire's answers, as serde reads them. What they mean is decided next door.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use steadfast_core::Usage;

use super::few::Few;
use crate::scalar::{Count, Text};

/// One event of a stream, or a whole answer. It borrows what it can.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) candidates: Option<Few<Candidate<'a>>>,
    #[serde(borrow, default)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(default)]
    pub(super) usage_metadata: Option<WireUsage>,
    #[serde(borrow, default)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(borrow, default)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow, default)]
    pub(super) parts: Option<Few<Part<'a>>>,
}

/// A part of which something is known; of any other kind nothing is read here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default)]
    pub(super) thought: Option<bool>,
    #[serde(borrow, default)]
    pub(super) thought_signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) args: Option<&'a RawValue>,
}

/// What the vendor says of a prompt that it does not answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow, default)]
    pub(super) block_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) block_reason_message: Option<Text<'a>>,
}

/// The same answer once more, for the parts of which nothing is known.
#[derive(Deserialize)]
pub(super) struct OwnParts {
    #[serde(default)]
    candidates: Vec<OwnCandidate>,
}

#[derive(Deserialize)]
struct OwnCandidate {
    #[serde(default)]
    index: Option<u32>,
    content: Option<OwnContent>,
}

#[derive(Deserialize)]
struct OwnContent {
    #[serde(default)]
    parts: Vec<Value>,
}

impl OwnParts {
    /// Reads the parts of the answer that was asked for, as they came.
    pub(super) fn read(data: &[u8]) -> Vec<Value> {
        let Ok(Self { candidates }) = serde_json::from_slice(data) else {
            return Vec::new();
        };
        let first = candidates
            .into_iter()
            .find(|candidate| is_first(candidate.index));
        let content = first.and_then(|candidate| candidate.content);
        content.map(|content| content.parts).unwrap_or_default()
    }
}

/// One answer is asked for, so there is one.
pub(super) fn is_first(index: Option<u32>) -> bool {
    index.unwrap_or_default() == 0
}

/// What an answer cost so far. Cached tokens are counted with the prompt, thoughts beside the answer.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireUsage {
    prompt_token_count: Count,
    tool_use_prompt_token_count: Count,
    cached_content_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
}

impl WireUsage {
    /// Takes a later count. All counts are cumulative, and not every event has each of them.
    pub(super) fn take_later(&mut self, later: &Self) {
        for (count, later) in [
            (&mut self.prompt_token_count, later.prompt_token_count),
            (
                &mut self.tool_use_prompt_token_count,
                later.tool_use_prompt_token_count,
            ),
            (
                &mut self.cached_content_token_count,
                later.cached_content_token_count,
            ),
            (
                &mut self.candidates_token_count,
                later.candidates_token_count,
            ),
            (&mut self.thoughts_token_count, later.thoughts_token_count),
        ] {
            count.0 = later.0.or(count.0);
        }
    }
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let sum = |one: Count, two: Count| {
            let one = one.0.unwrap_or_default();
            one.saturating_add(two.0.unwrap_or_default())
        };
        let input = sum(wire.prompt_token_count, wire.tool_use_prompt_token_count);
        let output = sum(wire.candidates_token_count, wire.thoughts_token_count);
        let mut usage = Self::new(input, output);
        usage.cache_read_tokens = wire.cached_content_token_count.0.unwrap_or_default();
        usage.reasoning_tokens = wire.thoughts_token_count.0.unwrap_or_default();
        usage
    }
}
