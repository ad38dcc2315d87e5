//! The shapes of the messages wire's answers, as serde reads them. What they mean is decided next
//! door.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use steadfast_core::Usage;

use crate::{
    scalar::{Count, Text, Word},
    shape::shape,
};

shape! {
    /// One event: all types in one flat shape, which is read twice as fast as an enum by tag. It
    /// borrows what it can.
    pub(super) struct Event<'a> {
        "type" => kind: Word<'a>,
        "index" => index: usize,
        "delta" => delta: BlockDelta<'a>,
        "content_block" => content_block: &'a RawValue,
        "message" => message: Start<'a>,
        "usage" => usage: &'a RawValue,
        "error" => error: &'a RawValue,
    }
}

shape! {
    /// The delta of a block, or of the message.
    pub(super) struct BlockDelta<'a> {
        "type" => kind: Word<'a>,
        "text" => text: Text<'a>,
        "partial_json" => partial_json: Text<'a>,
        "thinking" => thinking: Text<'a>,
        "signature" => signature: Text<'a>,
        "stop_reason" => stop_reason: Word<'a>,
    }
}

shape! {
    pub(super) struct Start<'a> {
        "usage" => usage: &'a RawValue,
    }
}

/// A delta of a type that nothing is known of.
#[derive(Deserialize)]
pub(super) struct OwnDelta {
    pub(super) delta: Map<String, Value>,
}

/// The type of a block.
#[derive(Deserialize)]
pub(super) struct BlockKind<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
}

/// A block of a type that is known, as it begins or as it stands in a whole answer.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
}

/// An answer that came whole.
#[derive(Deserialize)]
pub(super) struct Whole<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<Word<'a>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
}

/// What an answer cost so far. The vendor counts cached tokens beside the input.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

impl WireUsage {
    /// Takes a later count. All counts are cumulative, and not every event has each of them.
    ///
    /// The parts of the input belong together: a gateway that learns how much was cached takes it
    /// away from what was not.
    pub(super) fn take_later(&mut self, later: &Self) {
        if later.input() > 0 {
            self.input_tokens = later.input_tokens;
            self.cache_read_input_tokens = later.cache_read_input_tokens;
            self.cache_creation_input_tokens = later.cache_creation_input_tokens;
        }
        self.output_tokens.0 = self.output_tokens.0.max(later.output_tokens.0);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    fn input(&self) -> u64 {
        [
            self.input_tokens,
            self.cache_read_input_tokens,
            self.cache_creation_input_tokens,
        ]
        .into_iter()
        .filter_map(|Count(count)| count)
        .fold(0, u64::saturating_add)
    }
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let mut usage = Self::new(wire.input(), wire.output_tokens.0.unwrap_or_default());
        usage.cache_read_tokens = wire.cache_read_input_tokens.0.unwrap_or_default();
        usage.cache_write_tokens = wire.cache_creation_input_tokens.0.unwrap_or_default();
        let details = wire.output_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = details.thinking_tokens.0.unwrap_or_default();
        usage
    }
}
