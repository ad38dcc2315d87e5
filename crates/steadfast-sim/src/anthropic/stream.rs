//! Streamed answers: named events, block by block.

use serde::Serialize;
use serde_json::Value;

use super::block::{ContentBlock, Stop, start};
use super::event;
use super::message::{Message, Usage};
use crate::answer_block::Block;
use crate::reply::{Chunk, Draft, Part};
use crate::text_pieces;
use crate::tokens::Tokens;

/// The data of an event; its name is the type of the data.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: ContentBlock<'a>,
    },
    Ping,
    ContentBlockDelta {
        index: usize,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: MessageDelta<'a>,
        usage: Usage,
    },
    MessageStop,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta<'a> {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Debug, Serialize)]
struct MessageDelta<'a> {
    stop_reason: &'a str,
    stop_sequence: Value,
    stop_details: Value,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

pub(super) fn draft(
    message: Message<'_>,
    blocks: &[Block<'_>],
    stop: Stop<'_>,
    tokens: &Tokens,
) -> Draft {
    let mut events = Events::default();
    events.push(Part::Frame, &Event::MessageStart { message });
    for (index, block) in blocks.iter().enumerate() {
        events.block(index, block);
    }
    let delta = MessageDelta {
        stop_reason: stop.reason,
        stop_sequence: stop.sequence,
        stop_details: stop.details,
    };
    let usage = Usage::of_delta(tokens);
    events.push(Part::End, &Event::MessageDelta { delta, usage });
    events.push(Part::End, &Event::MessageStop);
    Draft::stream(events.chunks)
}

#[derive(Default)]
struct Events {
    chunks: Vec<Chunk>,
}

impl Events {
    fn push(&mut self, part: Part, data: &Event<'_>) {
        let bytes = event(data.name(), data);
        self.chunks.push(Chunk { part, bytes });
    }

    fn block(&mut self, index: usize, block: &Block<'_>) {
        // The ends of a tool call belong to it, so that a fault after it strikes after its end.
        let edge = match block {
            Block::ToolUse { .. } => Part::ToolCall,
            Block::Thinking { .. } | Block::Text(_) => Part::Frame,
        };
        let start = Event::ContentBlockStart {
            index,
            content_block: start(block),
        };
        self.push(edge, &start);
        if index == 0 {
            self.push(Part::Frame, &Event::Ping);
        }
        self.deltas(index, block);
        self.push(edge, &Event::ContentBlockStop { index });
    }

    fn deltas(&mut self, index: usize, block: &Block<'_>) {
        let mut push = |part, delta| self.push(part, &Event::ContentBlockDelta { index, delta });
        match block {
            Block::Thinking { text, signature } => {
                for thinking in text_pieces::words(text) {
                    push(Part::Reasoning, Delta::Thinking { thinking });
                }
                push(Part::Reasoning, Delta::Signature { signature });
            }
            Block::Text(text) => {
                for text in text_pieces::words(text) {
                    push(Part::Text, Delta::Text { text });
                }
            }
            Block::ToolUse { arguments, .. } => {
                let partial_json = "";
                push(Part::ToolCall, Delta::InputJson { partial_json });
                // A call without arguments is an empty object, of which the vendor sends nothing.
                let arguments = if *arguments == "{}" { "" } else { arguments };
                for partial_json in text_pieces::arguments(arguments) {
                    push(Part::ToolCall, Delta::InputJson { partial_json });
                }
            }
        }
    }
}
