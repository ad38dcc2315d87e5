//! The shapes of Ollama's answers, as serde reads them. What they mean is decided next door.

use serde_json::value::RawValue;

use crate::{
    few::Few,
    scalar::{Arguments, Count, Text, Word, is_error},
    shape::shape,
};

shape! {
    /// One line of a stream, or a whole answer: they have the same form. It borrows what it can.
    pub(super) struct Line<'a> {
        "message" => message: Message<'a>,
        "done" => done: bool,
        "done_reason" => done_reason: Word<'a>,
        "prompt_eval_count" => prompt_eval_count: Count,
        "eval_count" => eval_count: Count,
        "error" => error: &'a RawValue,
    }
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

shape! {
    pub(super) struct Message<'a> {
        "content" => content: Text<'a>,
        "thinking" => thinking: Text<'a>,
        "tool_calls" => tool_calls: Few<WireCall<'a>>,
    }
}

shape! {
    pub(super) struct WireCall<'a> {
        "id" => id: Word<'a>,
        "function" => function: Function<'a>,
    }
}

shape! {
    pub(super) struct Function<'a> {
        "name" => name: Word<'a>,
        "arguments" => arguments: Arguments<'a>,
    }
}
