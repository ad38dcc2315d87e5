//! Answers: lines of JSON, the last of which says that it is the last, or one object.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::now;
use crate::answer::Content;
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::reply::{Chunk, Draft, Part, to_json};
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest, text_pieces};

/// One line, or a whole answer.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    created_at: String,
    message: Message<'a>,
    done: bool,
    #[serde(flatten)]
    end: Option<End<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

impl Default for Message<'_> {
    fn default() -> Self {
        Self {
            role: "assistant",
            content: "",
            thinking: "",
            tool_calls: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    id: String,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    index: usize,
    name: &'a str,
    arguments: Value,
}

/// What only the last line has. Durations are in nanoseconds.
#[derive(Serialize)]
struct End<'a> {
    done_reason: &'a str,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u64,
    prompt_eval_duration: u64,
    eval_count: u64,
    eval_duration: u64,
}

impl<'a> End<'a> {
    fn new(reason: &'a str, tokens: &Tokens) -> Self {
        Self {
            done_reason: reason,
            total_duration: 5_000_000,
            load_duration: 1_000_000,
            prompt_eval_count: tokens.input,
            prompt_eval_duration: 2_000_000,
            eval_count: tokens.output,
            eval_duration: 2_000_000,
        }
    }
}

/// Makes one line of a stream.
pub(super) fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = to_json(value);
    bytes.push(b'\n');
    bytes.into()
}

/// Streams an answer.
pub(super) fn stream(answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
    let model = request.model();
    let mut chunks = Vec::new();
    let mut push = |part, message| {
        let bytes = line(&Line {
            model,
            created_at: now(),
            message,
            done: false,
            end: None,
        });
        chunks.push(Chunk { part, bytes });
    };
    let mut calls = 0;
    for content in &answer.contents {
        match content {
            Content::Reasoning(text) => {
                for thinking in text_pieces::words(text) {
                    let message = Message {
                        thinking,
                        ..Message::default()
                    };
                    push(Part::Reasoning, message);
                }
            }
            Content::Text(text) | Content::Refusal(text) => {
                for content in text_pieces::words(text) {
                    let message = Message {
                        content,
                        ..Message::default()
                    };
                    push(Part::Text, message);
                }
            }
            Content::ToolCall { name, arguments } => {
                let message = Message {
                    tool_calls: vec![call(number, calls, name, arguments)],
                    ..Message::default()
                };
                push(Part::ToolCall, message);
                calls += 1;
            }
        }
    }
    let bytes = line(&Line {
        model,
        created_at: now(),
        message: Message::default(),
        done: true,
        end: Some(End::new(reason(answer), &Tokens::of(answer, request))),
    });
    chunks.push(Chunk {
        part: Part::End,
        bytes,
    });
    Draft::lines(chunks)
}

/// Makes an answer in one piece.
pub(super) fn whole(answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
    let (mut content, mut thinking, mut tool_calls) = (String::new(), String::new(), Vec::new());
    for part in &answer.contents {
        match part {
            Content::Reasoning(text) => thinking.push_str(text),
            Content::Text(text) | Content::Refusal(text) => content.push_str(text),
            Content::ToolCall { name, arguments } => {
                tool_calls.push(call(number, tool_calls.len(), name, arguments));
            }
        }
    }
    let message = Message {
        content: &content,
        thinking: &thinking,
        tool_calls,
        ..Message::default()
    };
    let end = End::new(reason(answer), &Tokens::of(answer, request));
    object(request, message, Some(end))
}

/// Says that the model is loaded, which is all that a request without messages asks for.
pub(super) fn loaded(request: &ChatRequest) -> Draft {
    let tokens = Tokens::of(&Answer::empty().usage(0, 0), request);
    object(request, Message::default(), Some(End::new("load", &tokens)))
}

fn object(request: &ChatRequest, message: Message<'_>, end: Option<End<'_>>) -> Draft {
    let body = to_json(&Line {
        model: request.model(),
        created_at: now(),
        message,
        done: true,
        end,
    });
    Draft::whole(StatusCode::OK, "application/json; charset=utf-8", body)
}

/// Makes a tool call. Arguments that are not JSON have no place here: they are a JSON string.
fn call<'a>(number: u64, index: usize, name: &'a str, arguments: &str) -> Call<'a> {
    let parsed = serde_json::from_str(arguments);
    Call {
        id: identifier("call_", mix(number).wrapping_add(index as u64), 8),
        function: Function {
            index,
            name,
            arguments: parsed.unwrap_or_else(|_| Value::String(arguments.to_owned())),
        },
    }
}

/// Returns why an answer ended, in Ollama's words; words that nobody knows stay.
fn reason(answer: &Answer) -> &str {
    match answer.finish_reason() {
        "end_turn" | "stop_sequence" | "tool_use" | "tool_calls" | "content_filter" | "refusal" => {
            "stop"
        }
        "max_tokens" | "model_context_window_exceeded" => "length",
        reason => reason,
    }
}
