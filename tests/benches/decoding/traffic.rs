//! Streams as the vendors write them, made from a seed: one long answer of texts and tool calls, cut
//! at random. It knows where each JSON of the stream lies, which a reader has to find out.

mod envelopes;

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::words::Random;

/// How many texts come before each call.
const TEXTS: usize = 200;

/// In how many pieces the arguments of a call come, on wires that cut them.
const ARGUMENT_PIECES: usize = 20;

/// The longest piece in which bytes arrive.
const LONGEST_CHUNK: u64 = 16 * 1024;

/// One streamed answer.
pub struct Traffic {
    pub body: Bytes,
    /// Where each JSON lies in the body.
    pub payloads: Vec<Range<usize>>,
    /// The body as it arrives.
    pub chunks: Vec<Bytes>,
    /// How many bytes of text and arguments are told in it.
    pub told: usize,
}

impl Traffic {
    /// Makes the answer of a wire, of about so many bytes.
    pub fn of(wire: &str, length: usize) -> Self {
        let mut writer = Writer {
            wire: wire.to_owned(),
            body: Vec::with_capacity(length + 64 * 1024),
            payloads: Vec::new(),
            told: 0,
            random: Random::new(0x5EED_0F57_EADF_A570),
            events: 0,
            blocks: 0,
            calls: 0,
        };
        writer.begin();
        while writer.body.len() < length {
            writer.text_block();
            writer.call();
        }
        writer.text_block();
        writer.end();
        let Writer {
            body,
            payloads,
            told,
            mut random,
            ..
        } = writer;
        let body = Bytes::from(body);
        let mut chunks = Vec::new();
        let mut rest = body.clone();
        while !rest.is_empty() {
            let size = usize::try_from(1 + random.below(LONGEST_CHUNK)).unwrap_or(1);
            chunks.push(rest.split_to(size.min(rest.len())));
        }
        Self {
            body,
            payloads,
            chunks,
            told,
        }
    }
}

struct Writer {
    wire: String,
    body: Vec<u8>,
    payloads: Vec<Range<usize>>,
    told: usize,
    random: Random,
    /// How many events were written.
    events: u64,
    /// How many blocks, or items, have begun.
    blocks: usize,
    calls: usize,
}

impl Writer {
    fn begin(&mut self) {
        match &*self.wire {
            "openai-chat" => self.chat(
                json!({"role": "assistant", "content": "", "refusal": null}).to_string(),
                "null",
            ),
            "openai-responses" => {
                for kind in ["response.created", "response.in_progress"] {
                    let response = json!({
                        "id": "resp_68aa0b1f4d5c8191", "object": "response", "created_at": 1_755_969_311,
                        "status": "in_progress", "background": false, "error": null,
                        "incomplete_details": null, "instructions": null, "max_output_tokens": null,
                        "model": "gpt-5-2025-08-07", "output": [], "parallel_tool_calls": true,
                        "temperature": 1.0, "tool_choice": "auto", "tools": [], "usage": null,
                    });
                    self.response_event(kind, &format!(",\"response\":{response}"));
                }
            }
            "anthropic" => {
                let message = json!({
                    "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant",
                    "model": "claude-sonnet-4-5-20250929", "content": [], "stop_reason": null,
                    "stop_sequence": null,
                    "usage": {"input_tokens": 472, "cache_creation_input_tokens": 0,
                              "cache_read_input_tokens": 0, "output_tokens": 2, "service_tier": "standard"},
                });
                self.message_event("message_start", &format!(",\"message\":{message}"));
            }
            "bedrock" => self.frame("messageStart", r#"{"p":"abcdefghij","role":"assistant"}"#),
            _ => {}
        }
    }

    /// Writes a text in pieces, in a block of its own where the wire has blocks.
    fn text_block(&mut self) {
        let block = self.blocks;
        self.blocks += 1;
        let mut whole = String::new();
        match &*self.wire {
            "openai-responses" => {
                let item = json!({"id": format!("msg_68aa{block:028}"), "type": "message",
                                  "status": "in_progress", "content": [], "role": "assistant"});
                self.response_event(
                    "response.output_item.added",
                    &format!(",\"output_index\":{block},\"item\":{item}"),
                );
            }
            "anthropic" => {
                self.message_event(
                    "content_block_start",
                    &format!(
                        ",\"index\":{block},\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}"
                    ),
                );
                self.message_event("ping", "");
            }
            _ => {}
        }
        for _ in 0..TEXTS {
            let piece = self.random.text();
            self.told += piece.len();
            let text = quoted(&piece);
            match &*self.wire {
                "openai-chat" => self.chat(format!("{{\"content\":{text}}}"), "null"),
                "openai-responses" => {
                    whole.push_str(&piece);
                    let hidden = self.hiding(piece.len());
                    self.response_event(
                        "response.output_text.delta",
                        &format!(
                            ",\"item_id\":\"msg_68aa{block:028}\",\"output_index\":{block},\
                             \"content_index\":0,\"delta\":{text},\"logprobs\":[],\
                             \"obfuscation\":\"{hidden}\""
                        ),
                    );
                }
                "anthropic" => self.message_event(
                    "content_block_delta",
                    &format!(
                        ",\"index\":{block},\"delta\":{{\"type\":\"text_delta\",\"text\":{text}}}"
                    ),
                ),
                "gemini" => self.chunk(&format!("{{\"text\": {text}}}"), ""),
                "ollama" => self.line(&format!("\"content\":{text}"), ""),
                _ => {
                    let hidden = self.hiding(piece.len());
                    self.frame(
                        "contentBlockDelta",
                        &format!(
                            "{{\"contentBlockIndex\":{block},\"delta\":{{\"text\":{text}}},\"p\":\"{hidden}\"}}"
                        ),
                    );
                }
            }
        }
        match &*self.wire {
            "openai-responses" => {
                let place = format!("\"output_index\":{block}");
                let id = format!("msg_68aa{block:028}");
                let part = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": whole});
                let item = json!({"id": id, "type": "message", "status": "completed",
                                  "content": [part], "role": "assistant"});
                let text = quoted(&whole);
                self.response_event(
                    "response.output_text.done",
                    &format!(",\"item_id\":\"{id}\",{place},\"content_index\":0,\"text\":{text},\"logprobs\":[]"),
                );
                self.response_event(
                    "response.output_item.done",
                    &format!(",{place},\"item\":{item}"),
                );
            }
            "anthropic" => self.message_event("content_block_stop", &format!(",\"index\":{block}")),
            "bedrock" => self.end_block(block),
            _ => {}
        }
    }

    /// Writes a call, its arguments in pieces where the wire cuts them.
    fn call(&mut self) {
        let call = self.calls;
        self.calls += 1;
        let pieces: Vec<String> = (0..ARGUMENT_PIECES).map(|_| self.random.text()).collect();
        match &*self.wire {
            "gemini" | "ollama" => {
                let arguments = json!({"city": pieces.concat()}).to_string();
                self.told += arguments.len();
                if self.wire == "gemini" {
                    let part = format!(
                        "{{\"functionCall\": {{\"name\": \"get_weather\",\"args\": {arguments}}}}}"
                    );
                    self.chunk(&part, "");
                } else {
                    let calls = format!(
                        "\"content\":\"\",\"tool_calls\":[{{\"function\":{{\"name\":\"get_weather\",\
                         \"arguments\":{arguments}}}}}]"
                    );
                    self.line(&calls, "");
                }
                return;
            }
            _ => {}
        }
        let block = self.blocks;
        let id = format!("call_{}", self.random.filling(24));
        match &*self.wire {
            "openai-chat" => self.chat(
                json!({"tool_calls": [{"index": call, "id": id, "type": "function",
                       "function": {"name": "get_weather", "arguments": ""}}]})
                .to_string(),
                "null",
            ),
            "openai-responses" => {
                self.blocks += 1;
                let item = json!({"id": format!("fc_68aa{block:028}"), "type": "function_call",
                                  "status": "in_progress", "arguments": "", "call_id": id,
                                  "name": "get_weather"});
                let place = format!(",\"output_index\":{block},\"item\":{item}");
                self.response_event("response.output_item.added", &place);
            }
            "anthropic" => {
                self.blocks += 1;
                let start =
                    json!({"type": "tool_use", "id": id, "name": "get_weather", "input": {}});
                self.message_event(
                    "content_block_start",
                    &format!(",\"index\":{block},\"content_block\":{start}"),
                );
            }
            _ => {
                self.blocks += 1;
                let start = json!({"toolUse": {"name": "get_weather", "toolUseId": id}});
                self.frame(
                    "contentBlockStart",
                    &format!(
                        "{{\"contentBlockIndex\":{block},\"p\":\"abcdefg\",\"start\":{start}}}"
                    ),
                );
            }
        }
        // The arguments are JSON in a string, in pieces: every quote in them is escaped.
        let arguments = json!({ "city": pieces }).to_string();
        let mut rest = &*arguments;
        while !rest.is_empty() {
            let size = usize::try_from(3 + self.random.below(37)).unwrap_or(3);
            let size = (size..rest.len()).find(|size| rest.is_char_boundary(*size));
            let size = size.unwrap_or(rest.len());
            let (piece, behind) = rest.split_at(size);
            rest = behind;
            self.told += piece.len();
            let text = quoted(piece);
            match &*self.wire {
                "openai-chat" => self.chat(
                    format!("{{\"tool_calls\":[{{\"index\":{call},\"function\":{{\"arguments\":{text}}}}}]}}"),
                    "null",
                ),
                "openai-responses" => {
                    let hidden = self.hiding(piece.len());
                    self.response_event(
                        "response.function_call_arguments.delta",
                        &format!(
                            ",\"item_id\":\"fc_68aa{block:028}\",\"output_index\":{block},\
                             \"delta\":{text},\"obfuscation\":\"{hidden}\""
                        ),
                    );
                }
                "anthropic" => self.message_event(
                    "content_block_delta",
                    &format!(
                        ",\"index\":{block},\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":{text}}}"
                    ),
                ),
                _ => {
                    let hidden = self.hiding(piece.len());
                    self.frame(
                        "contentBlockDelta",
                        &format!(
                            "{{\"contentBlockIndex\":{block},\"delta\":{{\"toolUse\":{{\"input\":{text}}}}},\
                             \"p\":\"{hidden}\"}}"
                        ),
                    );
                }
            }
        }
        match &*self.wire {
            "openai-responses" => {
                let item = json!({"id": format!("fc_68aa{block:028}"), "type": "function_call",
                                  "status": "completed", "arguments": arguments, "call_id": id,
                                  "name": "get_weather"});
                let place = format!(",\"output_index\":{block},\"item\":{item}");
                self.response_event("response.output_item.done", &place);
            }
            "anthropic" => self.message_event("content_block_stop", &format!(",\"index\":{block}")),
            "bedrock" => self.end_block(block),
            _ => {}
        }
    }

    fn end(&mut self) {
        match &*self.wire {
            "openai-chat" => {
                self.chat("{}".to_owned(), "\"tool_calls\"");
                let usage = json!({"prompt_tokens": 472, "completion_tokens": 9_000, "total_tokens": 9_472,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}});
                self.chat_with("", &usage.to_string());
                self.body.extend_from_slice(b"data: [DONE]\n\n");
            }
            "openai-responses" => {
                // With so many items the vendor's list of all of them would be longer than any event.
                let response = json!({"id": "resp_68aa0b1f4d5c8191", "object": "response",
                    "status": "completed", "error": null, "incomplete_details": null, "output": [],
                    "usage": {"input_tokens": 472, "input_tokens_details": {"cached_tokens": 0},
                              "output_tokens": 9_000, "output_tokens_details": {"reasoning_tokens": 0},
                              "total_tokens": 9_472}});
                self.response_event("response.completed", &format!(",\"response\":{response}"));
            }
            "anthropic" => {
                self.message_event(
                    "message_delta",
                    ",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\
                     \"usage\":{\"output_tokens\":9000}",
                );
                self.message_event("message_stop", "");
            }
            "gemini" => self.chunk("{\"text\": \"\"}", ",\"finishReason\": \"STOP\""),
            "ollama" => self.line(
                "\"content\":\"\"",
                ",\"done_reason\":\"stop\",\"total_duration\":4883583458,\"load_duration\":1334875,\
                 \"prompt_eval_count\":472,\"prompt_eval_duration\":342546000,\"eval_count\":9000,\
                 \"eval_duration\":4535599000",
            ),
            _ => {
                self.frame(
                    "messageStop",
                    r#"{"p":"abcdefghijklm","stopReason":"tool_use"}"#,
                );
                self.frame(
                    "metadata",
                    r#"{"metrics":{"latencyMs":4883},"p":"abcdef","usage":{"inputTokens":472,"outputTokens":9000,"totalTokens":9472}}"#,
                );
            }
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
