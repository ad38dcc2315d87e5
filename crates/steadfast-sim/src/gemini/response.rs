//! An answer as Gemini's JSON: in one piece, or chunk by chunk.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::signs_calls;
use crate::answer::Content;
use crate::conversation::string;
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::reply::{Chunk, Draft, Part, to_json};
use crate::signature::signature;
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest, text_pieces};

/// What is the same in every chunk of an answer.
struct Envelope<'a> {
    id: String,
    model: &'a str,
    tokens: Tokens,
}

pub(super) fn draft(answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
    let envelope = Envelope {
        id: identifier("", !number, 22),
        model: request.model(),
        tokens: Tokens::of(answer, request),
    };
    let spoken = spoken(answer, request.model(), number);
    let reason = finish_reason(answer, spoken.is_broken);
    if !request.is_stream() {
        let parts = spoken.parts.into_iter().map(|(_, part)| part).collect();
        let whole = envelope.chunk(parts, Some(reason));
        return Draft::json(StatusCode::OK, &whole);
    }
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut push = |part, data: &Value| {
        let bytes = event(data);
        chunks.push(Chunk { part, bytes });
    };
    let mut end = json!({"text": ""});
    for (kind, part) in spoken.parts {
        let Some(text) = part.get("text").and_then(Value::as_str) else {
            push(kind, &envelope.chunk(vec![part], None));
            continue;
        };
        for piece in text_pieces::words(text) {
            let mut said = part.clone();
            if let Some(said) = said.as_object_mut() {
                said.remove("thoughtSignature");
            }
            set(&mut said, "text", piece);
            push(kind, &envelope.chunk(vec![said], None));
        }
        // Of a text that comes in pieces, the last part of the stream has the signature.
        if part.get("thoughtSignature").is_some() {
            set(&mut end, "thoughtSignature", signature(""));
        }
    }
    push(Part::End, &envelope.chunk(vec![end], Some(reason)));
    Draft::stream(chunks)
}

/// Makes one event of a stream.
pub(super) fn event(data: &impl Serialize) -> Bytes {
    [&b"data: "[..], &to_json(data), b"\r\n\r\n"]
        .concat()
        .into()
}

/// What an answer says, part by part.
struct Spoken {
    parts: Vec<(Part, Value)>,
    /// Whether there was a call that is not JSON, which the vendor never sends.
    is_broken: bool,
}

fn spoken(answer: &Answer, model: &str, number: u64) -> Spoken {
    let mut parts = Vec::new();
    let mut is_broken = false;
    let mut calls: u64 = 0;
    let thinks = matches!(answer.contents.first(), Some(Content::Reasoning(_)));
    for content in &answer.contents {
        let spoken = match content {
            Content::Reasoning(text) => (Part::Reasoning, json!({"text": text, "thought": true})),
            Content::Text(text) | Content::Refusal(text) => (Part::Text, json!({ "text": text })),
            Content::ToolCall { name, arguments } => {
                let Some(args) = args(arguments) else {
                    is_broken = true;
                    continue;
                };
                let mut call = json!({"name": name, "args": args});
                if signs_calls(model) {
                    let id = identifier("", mix(number).wrapping_add(calls), 8);
                    set(&mut call, "id", id);
                }
                let mut part = json!({ "functionCall": call });
                // Of several calls the first is signed.
                if calls == 0 {
                    set(&mut part, "thoughtSignature", signature(name));
                }
                calls += 1;
                (Part::ToolCall, part)
            }
        };
        parts.push(spoken);
    }
    let last = parts.last_mut().filter(|(kind, _)| *kind == Part::Text);
    if let Some((_, part)) = last.filter(|_| thinks) {
        let signature = signature(string(part, "text"));
        set(part, "thoughtSignature", signature);
    }
    Spoken { parts, is_broken }
}

/// Sets a field of an object.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

/// Reads arguments; none where they are no object.
fn args(arguments: &str) -> Option<Value> {
    if arguments.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(arguments)
        .ok()
        .filter(Value::is_object)
}

fn finish_reason(answer: &Answer, is_broken: bool) -> &str {
    match answer.finish_reason() {
        _ if is_broken && !answer.has_own_finish() => "MALFORMED_FUNCTION_CALL",
        "stop" | "tool_calls" | "end_turn" | "tool_use" | "stop_sequence" => "STOP",
        "length" | "max_tokens" => "MAX_TOKENS",
        "content_filter" | "refusal" => "SAFETY",
        reason => reason,
    }
}

impl Envelope<'_> {
    fn chunk(&self, parts: Vec<Value>, reason: Option<&str>) -> Value {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(reason) = reason {
            set(&mut candidate, "finishReason", reason);
        }
        json!({
            "candidates": [candidate],
            "usageMetadata": self.usage(reason.is_some()),
            "modelVersion": self.model,
            "responseId": self.id,
        })
    }

    /// What the answer cost: before its end, what the prompt did. Thoughts are counted beside the
    /// answer, cached tokens with the prompt.
    fn usage(&self, is_end: bool) -> Value {
        let tokens = &self.tokens;
        let mut usage = json!({"promptTokenCount": tokens.input, "totalTokenCount": tokens.input});
        if tokens.cached > 0 {
            set(&mut usage, "cachedContentTokenCount", tokens.cached);
        }
        if is_end {
            set(
                &mut usage,
                "candidatesTokenCount",
                tokens.output - tokens.reasoning,
            );
            set(
                &mut usage,
                "totalTokenCount",
                tokens.input.saturating_add(tokens.output),
            );
            if tokens.reasoning > 0 {
                set(&mut usage, "thoughtsTokenCount", tokens.reasoning);
            }
        }
        usage
    }
}
