//! The shapes of Ollama's answers, as serde reads them. What they mean is decided next door.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::scalar::{Arguments, Count, Text, is_error};

/// One line of a stream, or a whole answer: they have the same form. It borrows what it can.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub(super) message: Option<Message<'a>>,
    #[serde(default)]
    pub(super) done: Option<bool>,
    #[serde(borrow, default)]
    pub(super) done_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(super) prompt_eval_count: Count,
    #[serde(default)]
    pub(super) eval_count: Count,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Line<'_> {
    /// Returns whether the line has an error.
    pub(super) fn is_error(&self) -> bool {
        is_error(self.error)
    }

    /// Returns whether the line has nothing that a line of an answer has.
    pub(super) const fn is_foreign(&self) -> bool {
        self.message.is_none() && self.done.is_none()
    }
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<WireCall<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Deserialize, Default)]
pub(super) struct Function<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<Arguments<'a>>,
}
