//! The content blocks of an answer, why it ended and what it cost: what is the same whether it is
//! streamed.

use serde_json::{Value, json};

use crate::Answer;
use crate::answer::Content;
use crate::answer_block::{Block, input};
use crate::tokens::Tokens;

/// Returns all of a block.
pub(super) fn whole(block: &Block<'_>) -> Value {
    match block {
        Block::Thinking { text, signature } => {
            let text = json!({"text": text, "signature": signature});
            json!({"reasoningContent": {"reasoningText": text}})
        }
        Block::Text(text) => json!({ "text": text }),
        Block::ToolUse {
            id,
            name,
            arguments,
        } => json!({"toolUse": {"toolUseId": id, "name": name, "input": input(arguments)}}),
    }
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
