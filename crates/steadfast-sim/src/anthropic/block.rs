//! The content blocks of an answer, and why it ended: what is the same whether it is streamed.

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Content;
use crate::answer_block::{Block, input};
use crate::{Answer, ChatRequest};

/// A block as JSON: all of it, or what a stream begins with.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentBlock<'a> {
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Value,
        /// Who calls the tool: the model itself.
        caller: Value,
    },
}

/// Returns all of a block.
pub(super) fn whole<'a>(block: &'a Block<'_>) -> ContentBlock<'a> {
    match block {
        Block::Thinking { text, signature } => ContentBlock::Thinking {
            thinking: text,
            signature,
        },
        Block::Text(text) => ContentBlock::Text { text },
        Block::ToolUse {
            id,
            name,
            arguments,
        } => tool_use(id, name, input(arguments)),
    }
}

/// Returns a block without what the deltas of a stream add to it.
pub(super) fn start<'a>(block: &'a Block<'_>) -> ContentBlock<'a> {
    match block {
        Block::Thinking { .. } => ContentBlock::Thinking {
            thinking: "",
            signature: "",
        },
        Block::Text(_) => ContentBlock::Text { text: "" },
        Block::ToolUse { id, name, .. } => tool_use(id, name, json!({})),
    }
}

fn tool_use<'a>(id: &'a str, name: &'a str, input: Value) -> ContentBlock<'a> {
    ContentBlock::ToolUse {
        id,
        name,
        input,
        caller: json!({"type": "direct"}),
    }
}

/// Says whether a request has thinking with a budget; `adaptive` thinking may not think at all.
pub(super) fn is_thinking_enabled(body: &Value) -> bool {
    body.pointer("/thinking/type")
        .is_some_and(|kind| kind == "enabled")
}

/// Why an answer ended, in Anthropic's words.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    pub(super) reason: &'a str,
    pub(super) sequence: Value,
    pub(super) details: Value,
}

impl<'a> Stop<'a> {
    pub(super) fn of(answer: &'a Answer, request: &ChatRequest) -> Self {
        let refuses = answer
            .contents
            .iter()
            .any(|content| matches!(content, Content::Refusal(_)));
        let reason = match answer.finish_reason() {
            _ if refuses && !answer.has_own_finish() => "refusal",
            "stop" => "end_turn",
            "tool_calls" => "tool_use",
            "length" => "max_tokens",
            "content_filter" => "refusal",
            reason => reason,
        };
        let sequence = match reason {
            "stop_sequence" => request.body().pointer("/stop_sequences/0"),
            _ => None,
        };
        let details = match reason {
            "refusal" => json!({"type": "refusal", "category": null, "explanation": null}),
            _ => Value::Null,
        };
        Self {
            reason,
            sequence: sequence.cloned().unwrap_or_default(),
            details,
        }
    }
}
