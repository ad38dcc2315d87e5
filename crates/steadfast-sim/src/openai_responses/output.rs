//! An answer as the items of a response: what is the same whether it is streamed.

use serde_json::{Value, json};

use super::thought::encrypted;
use crate::answer::Content;
use crate::conversation::list;
use crate::identifier::identifier;
use crate::openai::unix_time;
use crate::pieces::mix;
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest};

/// One answer.
#[derive(Debug)]
pub(super) struct Response<'a> {
    request: &'a ChatRequest,
    number: u64,
    created: u64,
    pub(super) items: Vec<Item<'a>>,
    /// Why it is not complete, if it is not.
    incomplete: Option<&'a str>,
    usage: Value,
}

/// One item.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) id: String,
    pub(super) content: &'a Content,
    /// The identity by which its output names a call.
    call_id: String,
    /// Whether the thought may come back.
    is_encrypted: bool,
}

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Begun,
    Ended,
}

impl<'a> Response<'a> {
    pub(super) fn new(answer: &'a Answer, request: &'a ChatRequest, number: u64) -> Self {
        let mut include = list(request.body(), "include").iter();
        let is_encrypted = include.any(|field| field == "reasoning.encrypted_content");
        let items = answer.contents.iter().enumerate().map(|(index, content)| {
            let number = mix(number).wrapping_add(index as u64);
            let prefix = match content {
                Content::Reasoning(_) => "rs_",
                Content::Text(_) | Content::Refusal(_) => "msg_",
                Content::ToolCall { .. } => "fc_",
            };
            Item {
                id: identifier(prefix, !number, 48),
                content,
                call_id: identifier("call_", number, 24),
                is_encrypted,
            }
        });
        let tokens = Tokens::of(answer, request);
        Self {
            request,
            number,
            created: unix_time(),
            items: items.collect(),
            incomplete: incomplete(answer),
            usage: json!({
                "input_tokens": tokens.input,
                "input_tokens_details": {"cached_tokens": tokens.cached},
                "output_tokens": tokens.output,
                "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
                "total_tokens": tokens.input.saturating_add(tokens.output),
            }),
        }
    }

    /// Returns the answer before it says anything.
    pub(super) fn begun(&self) -> Value {
        self.object("in_progress", Vec::new(), &Value::Null)
    }

    /// Returns all of it.
    pub(super) fn whole(&self) -> Value {
        let items = self.items.iter().map(|item| item.object(Progress::Ended));
        self.object(self.status(), items.collect(), &self.usage)
    }

    pub(super) fn status(&self) -> &'static str {
        if self.incomplete.is_some() {
            "incomplete"
        } else {
            "completed"
        }
    }

    fn object(&self, status: &str, output: Vec<Value>, usage: &Value) -> Value {
        let asked = |field: &str, otherwise: Value| {
            let asked = self.request.body().get(field);
            asked.cloned().unwrap_or(otherwise)
        };
        let reason = self.incomplete.filter(|_| status == "incomplete");
        json!({
            "id": identifier("resp_", !self.number, 48),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": reason.map(|reason| json!({"reason": reason})),
            "instructions": null,
            "max_output_tokens": asked("max_output_tokens", Value::Null),
            "model": self.request.model(),
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": asked("reasoning", json!({"effort": null, "summary": null})),
            "store": asked("store", json!(true)),
            "temperature": asked("temperature", json!(1.0)),
            "text": {"format": {"type": "text"}},
            "tool_choice": asked("tool_choice", json!("auto")),
            "tools": asked("tools", json!([])),
            "top_p": asked("top_p", json!(1.0)),
            "truncation": "disabled",
            "usage": usage,
            "user": null,
            "metadata": {},
        })
    }
}

impl Item<'_> {
    pub(super) fn object(&self, progress: Progress) -> Value {
        let ended = progress == Progress::Ended;
        let status = if ended { "completed" } else { "in_progress" };
        match self.content {
            Content::Reasoning(_) => {
                let summary: Vec<Value> = self.part().into_iter().filter(|_| ended).collect();
                let mut item = json!({"type": "reasoning", "id": self.id, "summary": summary});
                if let Some(item) = item.as_object_mut().filter(|_| self.is_encrypted) {
                    item.insert("encrypted_content".to_owned(), json!(encrypted(&self.id)));
                }
                item
            }
            Content::Text(_) | Content::Refusal(_) => {
                let content: Vec<Value> = self.part().into_iter().filter(|_| ended).collect();
                json!({"type": "message", "id": self.id, "status": status, "role": "assistant",
                    "content": content})
            }
            Content::ToolCall { name, arguments } => {
                let arguments = if ended { arguments } else { "" };
                json!({"type": "function_call", "id": self.id, "status": status,
                    "call_id": self.call_id, "name": name, "arguments": arguments})
            }
        }
    }

    /// Returns the part that holds the text of the item, if it has one.
    pub(super) fn part(&self) -> Option<Value> {
        match self.content {
            Content::Reasoning(text) => Some(json!({"type": "summary_text", "text": text})),
            Content::Text(text) => Some(
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
            ),
            Content::Refusal(text) => Some(json!({"type": "refusal", "refusal": text})),
            Content::ToolCall { .. } => None,
        }
    }
}

/// Returns why an answer is not complete, in OpenAI's words; words that nobody knows stay.
fn incomplete(answer: &Answer) -> Option<&str> {
    match answer.finish_reason() {
        "stop" | "end_turn" | "stop_sequence" | "tool_calls" | "tool_use" => None,
        "length" | "max_tokens" | "model_context_window_exceeded" => Some("max_output_tokens"),
        "content_filter" | "refusal" => Some("content_filter"),
        reason => Some(reason),
    }
}
