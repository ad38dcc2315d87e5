//! The content blocks of an answer, why it ended and what it cost: what is the same whether it is
//! streamed.

use serde_json::{Value, json};

use crate::answer::Content;
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::signature::signature;
use crate::tokens::Tokens;
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

impl Block<'_> {
    /// Returns all of the block.
    pub(super) fn whole(&self) -> Value {
        match self {
            Self::Thinking { text, signature } => {
                let text = json!({"text": text, "signature": signature});
                json!({"reasoningContent": {"reasoningText": text}})
            }
            Self::Text(text) => json!({ "text": text }),
            Self::ToolUse {
                id,
                name,
                arguments,
            } => json!({"toolUse": {"toolUseId": id, "name": name, "input": input(arguments)}}),
        }
    }
}

/// Reads the arguments of a call; what is not JSON becomes a string.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments))
}

/// Returns the blocks of an answer. With thinking enabled the models that have it always think
/// first.
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
                    id: identifier("tooluse_", mix(number).wrapping_add(calls), 22),
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

/// Says whether a request has thinking with a budget.
pub(super) fn is_thinking_enabled(body: &Value) -> bool {
    body.pointer("/additionalModelRequestFields/thinking/type")
        .is_some_and(|kind| kind == "enabled")
}

/// Says why an answer ended, in the vendor's words.
pub(super) fn stop_reason(answer: &Answer) -> &str {
    let mut contents = answer.contents.iter();
    let refuses = contents.any(|content| matches!(content, Content::Refusal(_)));
    match answer.finish_reason() {
        _ if refuses && !answer.has_own_finish() => "content_filtered",
        "stop" => "end_turn",
        "tool_calls" => "tool_use",
        "length" => "max_tokens",
        "content_filter" => "content_filtered",
        reason => reason,
    }
}

/// Says what an answer cost. What came from the cache is counted beside the other input, not in it.
pub(super) fn usage(tokens: &Tokens) -> Value {
    let input = tokens.input - tokens.cached;
    let mut usage = json!({
        "inputTokens": input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
    });
    if let Some(usage) = usage.as_object_mut().filter(|_| tokens.cached > 0) {
        usage.insert("cacheReadInputTokens".to_owned(), tokens.cached.into());
        usage.insert("cacheWriteInputTokens".to_owned(), 0.into());
    }
    usage
}
