//! The shapes of the responses wire's answers, as serde reads them. What they mean is decided next
//! door.

use serde::Deserialize;
use serde_json::value::RawValue;
use steadfast_core::Usage;

use crate::{
    scalar::{Arguments, Count, Text, Word},
    shape::shape,
};

/// What stands between two parts of thoughts.
pub(super) const PART_BREAK: &str = "\n\n";

shape! {
    /// One event: all types in one flat shape, which is read twice as fast as an enum by tag. It
    /// borrows what it can.
    pub(super) struct Event<'a> {
        "type" => kind: Word<'a>,
        "output_index" => output_index: usize,
        "item_id" => item_id: Word<'a>,
        "summary_index" => summary_index: usize,
        "content_index" => content_index: usize,
        "delta" => delta: Text<'a>,
        "item" => item: &'a RawValue,
        "response" => response: &'a RawValue,
        "error" => error: &'a RawValue,
    }
}

impl Event<'_> {
    /// Returns whether there is a piece in it, and not an empty one.
    pub(super) fn says_something(&self) -> bool {
        self.delta
            .as_ref()
            .is_some_and(|Text(text)| !text.is_empty())
    }
}

/// The type of an item.
#[derive(Deserialize)]
pub(super) struct ItemKind<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
}

/// An item of a type that is known, as it begins or as it ends.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<Arguments<'a>>,
    #[serde(borrow, default)]
    pub(super) phase: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) summary: Option<Vec<&'a RawValue>>,
}

impl<'a> Item<'a> {
    /// Returns the parts of a message. One of another shape says nothing here.
    pub(super) fn parts(self) -> impl Iterator<Item = Part<'a>> {
        parts(self.content)
    }

    /// Joins what an item of thoughts shows.
    pub(super) fn thoughts(self) -> String {
        let texts = |list| -> Vec<String> {
            let texts = parts(list).filter_map(|part| part.text);
            texts.map(|Text(text)| text.into_owned()).collect()
        };
        let summary = texts(self.summary);
        let shown = if summary.is_empty() {
            texts(self.content)
        } else {
            summary
        };
        shown.join(PART_BREAK)
    }
}

fn parts(list: Option<Vec<&RawValue>>) -> impl Iterator<Item = Part<'_>> {
    let list = list.into_iter().flatten();
    list.filter_map(|part| serde_json::from_str(part.get()).ok())
}

/// A part of an item. Parts of other types have neither field that counts.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
}

/// An answer at its end, or one that came whole.
#[derive(Deserialize, Default)]
pub(super) struct Response<'a> {
    #[serde(borrow, default)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) incomplete_details: Option<IncompleteDetails<'a>>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) output: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct IncompleteDetails<'a> {
    #[serde(borrow, default)]
    pub(super) reason: Option<Text<'a>>,
}

/// What an answer cost. The vendor counts cached tokens as input, and thoughts as output.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Count,
    output_tokens: Count,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Count,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let tokens = |Count(count): Count| count.unwrap_or_default();
        let mut usage = Self::new(tokens(wire.input_tokens), tokens(wire.output_tokens));
        let input = wire.input_tokens_details.unwrap_or_default();
        usage.cache_read_tokens = tokens(input.cached_tokens);
        usage.cache_write_tokens = tokens(input.cache_write_tokens);
        let output = wire.output_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = tokens(output.reasoning_tokens);
        usage
    }
}
