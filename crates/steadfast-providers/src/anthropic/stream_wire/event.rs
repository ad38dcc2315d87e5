//! The shapes of the messages wire's answers, as serde reads them. What they mean is decided next
//! door.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use steadfast_core::Usage;

/// One event: all types in one flat shape, which is read twice as fast as an enum by tag. It borrows
/// what it can.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(default)]
    pub(super) index: usize,
    #[serde(borrow, default)]
    pub(super) delta: Option<BlockDelta<'a>>,
    #[serde(borrow, default)]
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) message: Option<Start>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// A text that is borrowed where it has no escapes; `Option<Cow>` alone would always be copied.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The delta of a block, or of the message.
#[derive(Deserialize)]
pub(super) struct BlockDelta<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<Text<'a>>,
}

/// A delta of a type that nothing is known of.
#[derive(Deserialize)]
pub(super) struct OwnDelta {
    pub(super) delta: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct Start {
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
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
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
}

/// What an answer cost so far. The vendor counts cached tokens beside the input.
#[derive(Deserialize, Default)]
pub(super) struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    /// Takes a later count. All counts are cumulative, and not every event has each of them.
    pub(super) fn grow_to(&mut self, later: &Self) {
        for (count, later) in [
            (&mut self.input_tokens, later.input_tokens),
            (&mut self.output_tokens, later.output_tokens),
            (
                &mut self.cache_read_input_tokens,
                later.cache_read_input_tokens,
            ),
            (
                &mut self.cache_creation_input_tokens,
                later.cache_creation_input_tokens,
            ),
        ] {
            *count = (*count).max(later);
        }
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        let cache_read = wire.cache_read_input_tokens.unwrap_or_default();
        let cache_write = wire.cache_creation_input_tokens.unwrap_or_default();
        let uncached = wire.input_tokens.unwrap_or_default();
        let input = uncached
            .saturating_add(cache_read)
            .saturating_add(cache_write);
        let mut usage = Self::new(input, wire.output_tokens.unwrap_or_default());
        usage.cache_read_tokens = cache_read;
        usage.cache_write_tokens = cache_write;
        let details = wire.output_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = details.thinking_tokens.unwrap_or_default();
        usage
    }
}
