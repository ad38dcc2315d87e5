//! Answers in one piece: `chat.completion` objects.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Envelope, FINGERPRINT, finish_reason, usage};
use crate::answer::Content;
use crate::reply::Draft;
use crate::{Answer, ChatRequest};

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Value,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message,
    logprobs: Option<()>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    annotations: [(); 0],
}

pub(super) fn draft(answer: &Answer, request: &ChatRequest, envelope: &Envelope) -> Draft {
    let completion = Completion {
        id: &envelope.id,
        object: "chat.completion",
        created: envelope.created,
        model: &envelope.model,
        choices: [Choice {
            index: 0,
            message: message(answer, envelope),
            logprobs: None,
            finish_reason: finish_reason(answer),
        }],
        usage: usage(answer, request),
        service_tier: "default",
        system_fingerprint: FINGERPRINT,
    };
    Draft::json(StatusCode::OK, &completion)
}

fn message(answer: &Answer, envelope: &Envelope) -> Message {
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        tool_calls: Vec::new(),
        annotations: [],
    };
    for content in &answer.contents {
        match content {
            Content::Reasoning(text) => append(&mut message.reasoning_content, text),
            Content::Text(text) => append(&mut message.content, text),
            Content::Refusal(text) => append(&mut message.refusal, text),
            Content::ToolCall { name, arguments } => {
                let id = envelope.call_id(message.tool_calls.len());
                let function = json!({"name": name, "arguments": arguments});
                let call = json!({"id": id, "type": "function", "function": function});
                message.tool_calls.push(call);
            }
        }
    }
    if message.tool_calls.is_empty() && message.refusal.is_none() {
        message.content.get_or_insert_default();
    }
    message
}

fn append(field: &mut Option<String>, text: &str) {
    field.get_or_insert_default().push_str(text);
}
