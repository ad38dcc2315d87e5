//! The blocks of an answer on the wires that have blocks: what is the same for all of them, streamed
//! or not. How a block is written is the wire's.

use serde_json::{Value, json};

use crate::Answer;
use crate::answer::Content;
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::signature::signature;

/// One block.
#[derive(Debug)]
pub(crate) enum Block<'a> {
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

/// Returns the blocks of an answer; the identities of its calls begin with `prefix`.
///
/// With thinking enabled, the models always think first, and the server later insists on having the
/// thought back. So an answer without one gets one whose text is kept back, as vendors send them on
/// request.
pub(crate) fn blocks<'a>(
    answer: &'a Answer,
    is_thinking_enabled: bool,
    prefix: &str,
    number: u64,
) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let thinks = matches!(answer.contents.first(), Some(Content::Reasoning(_)));
    if is_thinking_enabled && !thinks {
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
                    id: identifier(prefix, mix(number).wrapping_add(calls), 22),
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

/// Reads the arguments of a call; what is not JSON becomes a string.
pub(crate) fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments))
}
