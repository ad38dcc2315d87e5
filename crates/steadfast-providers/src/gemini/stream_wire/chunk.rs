//! The shapes of the wire's answers, as serde reads them. What they mean is decided next door.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use steadfast_core::Usage;

use crate::{
    few::Few,
    scalar::{Count, Text, Word},
    shape::shape,
};

shape! {
    /// One event of a stream, or a whole answer. It borrows what it can.
    pub(super) struct Chunk<'a> {
        "candidates" => candidates: Few<Candidate<'a>>,
        "promptFeedback" => prompt_feedback: PromptFeedback<'a>,
        "usageMetadata" => usage_metadata: WireUsage,
        "responseId" => response_id: Word<'a>,
        "error" => error: &'a RawValue,
    }
}

shape! {
    pub(super) struct Candidate<'a> {
        "index" => index: u32,
        "content" => content: Content<'a>,
        "finishReason" => finish_reason: Word<'a>,
    }
}

shape! {
    pub(super) struct Content<'a> {
        "parts" => parts: Few<Part<'a>>,
    }
}

shape! {
    /// A part of which something is known; of any other kind nothing is read here.
    pub(super) struct Part<'a> {
        "text" => text: Text<'a>,
        "thought" => thought: bool,
        "thoughtSignature" => thought_signature: Word<'a>,
        "functionCall" => function_call: FunctionCall<'a>,
    }
}

shape! {
    pub(super) struct FunctionCall<'a> {
        "id" => id: Word<'a>,
        "name" => name: Word<'a>,
        "args" => args: &'a RawValue,
        /// Arguments in pieces, which a call whose arguments come whole does not have.
        "partialArgs" => partial_args: &'a RawValue,
        "willContinue" => will_continue: bool,
    }
}

shape! {
    /// What the vendor says of a prompt that it does not answer.
    pub(super) struct PromptFeedback<'a> {
        "blockReason" => block_reason: Word<'a>,
        "blockReasonMessage" => block_reason_message: Text<'a>,
    }
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

shape! {
    /// What an answer cost so far. Cached tokens are counted with the prompt, thoughts beside the
    /// answer.
    pub(super) struct WireUsage {
        "promptTokenCount" => prompt_token_count: Count,
        "toolUsePromptTokenCount" => tool_use_prompt_token_count: Count,
        "cachedContentTokenCount" => cached_content_token_count: Count,
        "candidatesTokenCount" => candidates_token_count: Count,
        "thoughtsTokenCount" => thoughts_token_count: Count,
    }
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
            if tokens(later).is_some() {
                *count = later;
            }
        }
    }
}

fn tokens(count: Option<Count>) -> Option<u64> {
    count.and_then(|Count(tokens)| tokens)
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let sum = |one: Option<Count>, two: Option<Count>| {
            let one = tokens(one).unwrap_or_default();
            one.saturating_add(tokens(two).unwrap_or_default())
        };
        let input = sum(wire.prompt_token_count, wire.tool_use_prompt_token_count);
        let output = sum(wire.candidates_token_count, wire.thoughts_token_count);
        let mut usage = Self::new(input, output);
        usage.cache_read_tokens = tokens(wire.cached_content_token_count).unwrap_or_default();
        usage.reasoning_tokens = tokens(wire.thoughts_token_count).unwrap_or_default();
        usage
    }
}
