//! Streamed answers: events in the binary form, block by block.

use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::block::usage;
use super::frame::frame;
use crate::answer_block::Block;
use crate::reply::{Chunk, Draft, Part, to_json};
use crate::text_pieces;
use crate::tokens::Tokens;

pub(super) fn draft(blocks: &[Block<'_>], stop: &str, tokens: &Tokens) -> Draft {
    let mut events = Events::default();
    events.push(Part::Frame, "messageStart", &json!({"role": "assistant"}));
    for (index, block) in blocks.iter().enumerate() {
        events.block(index, block);
    }
    events.push(Part::End, "messageStop", &json!({"stopReason": stop}));
    let metadata = json!({"metrics": {"latencyMs": 1}, "usage": usage(tokens)});
    events.push(Part::End, "metadata", &metadata);
    let mut draft = Draft::stream(events.chunks);
    let content_type = HeaderValue::from_static("application/vnd.amazon.eventstream");
    draft.headers.insert(CONTENT_TYPE, content_type);
    draft
}

#[derive(Default)]
struct Events {
    chunks: Vec<Chunk>,
}

impl Events {
    fn push(&mut self, part: Part, name: &str, payload: &Value) {
        let headers = [
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        let bytes = frame(&headers, &to_json(payload));
        self.chunks.push(Chunk { part, bytes });
    }

    fn block(&mut self, index: usize, block: &Block<'_>) {
        // The ends of a tool call belong to it, so that a fault after it strikes after its end.
        let edge = match block {
            Block::ToolUse { id, name, .. } => {
                let start = json!({
                    "contentBlockIndex": index,
                    "start": {"toolUse": {"name": name, "toolUseId": id}},
                });
                self.push(Part::ToolCall, "contentBlockStart", &start);
                Part::ToolCall
            }
            Block::Thinking { .. } | Block::Text(_) => Part::Frame,
        };
        self.deltas(index, block);
        let stop = json!({"contentBlockIndex": index});
        self.push(edge, "contentBlockStop", &stop);
    }

    fn deltas(&mut self, index: usize, block: &Block<'_>) {
        let mut push = |part, delta: Value| {
            let event = json!({"contentBlockIndex": index, "delta": delta});
            self.push(part, "contentBlockDelta", &event);
        };
        match block {
            Block::Thinking { text, signature } => {
                for text in text_pieces::words(text) {
                    push(Part::Reasoning, json!({"reasoningContent": {"text": text}}));
                }
                let signed = json!({"reasoningContent": {"signature": signature}});
                push(Part::Reasoning, signed);
            }
            Block::Text(text) => {
                for text in text_pieces::words(text) {
                    push(Part::Text, json!({ "text": text }));
                }
            }
            Block::ToolUse { arguments, .. } => {
                push(Part::ToolCall, json!({"toolUse": {"input": ""}}));
                // Of a call without arguments some models send nothing.
                let arguments = if *arguments == "{}" { "" } else { arguments };
                for input in text_pieces::arguments(arguments) {
                    push(Part::ToolCall, json!({"toolUse": {"input": input}}));
                }
            }
        }
    }
}
