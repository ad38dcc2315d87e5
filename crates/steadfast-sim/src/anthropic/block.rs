//! The content blocks of an answer, and why it ended: what is the same whether it is streamed.

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Content;
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::signature::signature;
use crate::{Answer, ChatRequest};

/// One block.
#[derive(Debug)]
pub(super) enum Block<'a> {
    Thinking {
        text: &'a str,
        signature: String,
    },
    Text(&'a str),
    ToolUse {
        id: String,
        name: &'a str,
        arguments: &'a str,
    },
}

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

impl Block<'_> {
    /// Returns all of the block.
    pub(super) fn whole(&self) -> ContentBlock<'_> {
        match self {
            Self::Thinking { text, signature } => ContentBlock::Thinking {
                thinking: text,
                signature,
            },
            Self::Text(text) => ContentBlock::Text { text },
            Self::ToolUse {
                id,
                name,
                arguments,
            } => tool_use(id, name, input(arguments)),
        }
    }

    /// Returns the block without what the deltas of a stream add to it.
    pub(super) fn start(&self) -> ContentBlock<'_> {
        match self {
            Self::Thinking { .. } => ContentBlock::Thinking {
                thinking: "",
                signature: "",
            },
            Self::Text(_) => ContentBlock::Text { text: "" },
            Self::ToolUse { id, name, .. } => tool_use(id, name, json!({})),
        }
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

/// Reads the arguments of a call; what is not JSON becomes a string.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments))
}

/// Returns the blocks of an answer.
///
/// With `thinking` enabled, the vendor's models always think first, and its server later insists
/// on having the thought back. So an answer without one gets one whose text is kept back, as
/// the vendor sends them on request.
pub(super) fn blocks<'a>(answer: &'a Answer, request: &ChatRequest, number: u64) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let thinks = matches!(answer.contents.first(), Some(Content::Reasoning(_)));
    if is_thinking_enabled(request.body()) && !thinks {
        blocks.push(thinking(""));
    }
    let mut calls = 0;
    for content in &answer.contents {
        blocks.push(match content {
            Content::Reasoning(text) => thinking(text),
            Content::Text(text) | Content::Refusal(text) => Block::Text(text),
            Content::ToolCall { name, arguments } => {
                calls += 1;
                Block::ToolUse {
                    id: identifier("toolu_01", mix(number).wrapping_add(calls), 22),
                    name,
                    arguments,
                }
            }
        });
    }
    blocks
}

fn thinking(text: &str) -> Block<'_> {
    let signature = signature(text);
    Block::Thinking { text, signature }
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
