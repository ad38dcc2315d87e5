//! Streamed answers: `chat.completion.chunk` objects as server-sent data.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Envelope, FINGERPRINT, data_line, finish_reason, usage};
use crate::answer::Content;
use crate::reply::{Chunk, Draft, Part, to_json};
use crate::{Answer, ChatRequest, text_pieces};

#[derive(Serialize)]
struct StreamChunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    service_tier: &'static str,
    system_fingerprint: &'static str,
    choices: Vec<Choice>,
    /// Left out unless usage was asked for; `null` in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    delta: Value,
    logprobs: Option<()>,
    finish_reason: Option<String>,
}

pub(super) fn draft(answer: &Answer, request: &ChatRequest, envelope: &Envelope) -> Draft {
    let mut chunks = Chunks {
        envelope,
        includes_usage: request.includes_usage(),
        chunks: Vec::new(),
    };
    chunks.delta(Part::Frame, head(answer));
    let mut call = 0;
    for content in &answer.contents {
        match content {
            Content::Reasoning(text) => {
                chunks.text(Part::Reasoning, "reasoning_content", text);
            }
            Content::Text(text) => chunks.text(Part::Text, "content", text),
            Content::Refusal(text) => chunks.text(Part::Text, "refusal", text),
            Content::ToolCall { name, arguments } => {
                chunks.tool_call(call, name, arguments);
                call += 1;
            }
        }
    }
    chunks.end(answer, request);
    Draft::stream(chunks.chunks)
}

/// Returns the first delta, which says who speaks and hints at what is to come.
fn head(answer: &Answer) -> Value {
    match answer.contents.first() {
        Some(Content::Refusal(_)) => json!({"role": "assistant", "content": null, "refusal": ""}),
        Some(Content::ToolCall { .. } | Content::Reasoning(_)) => {
            json!({"role": "assistant", "content": null})
        }
        Some(Content::Text(_)) | None => {
            json!({"role": "assistant", "content": "", "refusal": null})
        }
    }
}

struct Chunks<'a> {
    envelope: &'a Envelope,
    includes_usage: bool,
    chunks: Vec<Chunk>,
}

impl Chunks<'_> {
    fn delta(&mut self, part: Part, delta: Value) {
        self.choice(part, delta, None);
    }

    fn choice(&mut self, part: Part, delta: Value, finish_reason: Option<String>) {
        let choice = Choice {
            index: 0,
            delta,
            logprobs: None,
            finish_reason,
        };
        let usage = self.includes_usage.then_some(Value::Null);
        self.push(part, vec![choice], usage);
    }

    fn push(&mut self, part: Part, choices: Vec<Choice>, usage: Option<Value>) {
        let chunk = StreamChunk {
            id: &self.envelope.id,
            object: "chat.completion.chunk",
            created: self.envelope.created,
            model: &self.envelope.model,
            service_tier: "default",
            system_fingerprint: FINGERPRINT,
            choices,
            usage,
        };
        let bytes = data_line(&to_json(&chunk));
        self.chunks.push(Chunk { part, bytes });
    }

    fn text(&mut self, part: Part, field: &str, text: &str) {
        for piece in text_pieces::words(text) {
            self.delta(part, json!({field: piece}));
        }
    }

    fn tool_call(&mut self, index: usize, name: &str, arguments: &str) {
        let id = self.envelope.call_id(index);
        let function = json!({"name": name, "arguments": ""});
        let call = json!({"index": index, "id": id, "type": "function", "function": function});
        self.delta(Part::ToolCall, json!({"tool_calls": [call]}));
        for piece in text_pieces::arguments(arguments) {
            let call = json!({"index": index, "function": {"arguments": piece}});
            self.delta(Part::ToolCall, json!({"tool_calls": [call]}));
        }
    }

    fn end(&mut self, answer: &Answer, request: &ChatRequest) {
        let reason = finish_reason(answer).to_owned();
        self.choice(Part::End, json!({}), Some(reason));
        if self.includes_usage {
            self.push(Part::End, Vec::new(), Some(usage(answer, request)));
        }
        self.chunks.push(Chunk {
            part: Part::End,
            bytes: data_line(b"[DONE]"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_null_until_the_last_chunk() {
        let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}});
        let request = ChatRequest::new(body);
        let envelope = Envelope::new(&request, 1);

        let draft = draft(&Answer::text("Hi"), &request, &envelope);

        let usages: Vec<_> = draft
            .chunks
            .iter()
            .filter_map(|chunk| serde_json::from_slice::<Value>(chunk.bytes.get(6..)?).ok())
            .map(|chunk| {
                (
                    chunk["choices"].as_array().unwrap().len(),
                    chunk["usage"].clone(),
                )
            })
            .collect();
        let (last, others) = usages.split_last().unwrap();
        assert!(
            others.iter().all(|usage| *usage == (1, Value::Null)),
            "{others:?}"
        );
        assert_eq!((last.0, last.1["completion_tokens"].as_u64()), (0, Some(1)));
    }
}
