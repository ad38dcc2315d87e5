//! Messages and their blocks, as the vendor takes them: roles alternate, nothing is empty, results
//! come first. Settings and tools are written next door.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use serde::Serialize;
use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, History, MediaSource, Message, ModelError, ModelErrorKind, Reasoning, Role,
    StopReason, ToolResult, ToolUse,
};

use super::{OPAQUE_KEY, server_calls::ServerCalls};
use crate::{
    block_messages::{self, WireBlock, trim_last_answer},
    call_identity::{CallIdentities, is_word, wire_name},
    request_body::{as_object, block_name, unsupported_by},
};

/// One message of the wire.
pub(super) type WireMessage<'a> = block_messages::WireMessage<Block<'a>>;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Cow<'a, Map<String, Value>>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    /// A block that came by this wire, as it came.
    #[serde(untagged)]
    Own(&'a Value),
}

impl WireBlock for Block<'_> {
    fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking { .. } | Self::RedactedThinking { .. })
    }

    fn is_result(&self) -> bool {
        matches!(self, Self::ToolResult { .. })
    }

    fn trim_end(&mut self) {
        if let Self::Text { text } = self {
            *text = text.trim_end();
        }
    }

    fn text(text: &'static str) -> Self {
        Self::Text { text }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Url {
        url: &'a str,
    },
    Base64 {
        media_type: &'a str,
        data: &'a str,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
}

/// Writes a history: neighbours of one role become one message, and one that says nothing is left
/// out.
pub(super) fn messages<'a>(
    model: &str,
    history: &'a History,
) -> Result<Vec<WireMessage<'a>>, ModelError> {
    let spoken = history.iter().map(|message| &**message);
    let spoken: Vec<&Message> = spoken
        .filter(|message| !message.content.is_empty())
        .collect();
    let mut writer = Writer {
        ids: CallIdentities::new(is_word, usize::MAX),
        server_calls: ServerCalls::of(&spoken),
        signs: model.contains("claude"),
    };
    let mut messages: Vec<WireMessage<'_>> = Vec::with_capacity(spoken.len());
    let mut place = 0;
    for neighbours in spoken.chunk_by(|one, next| one.role == next.role) {
        let mut content = Vec::new();
        let is_answer = neighbours.first().map(|message| message.role) == Some(Role::Assistant);
        if is_answer {
            writer.ids.begin_answer();
        }
        for message in neighbours {
            if is_answer {
                content.extend(writer.assistant(message, place));
            } else {
                content.extend(writer.user(&message.content)?);
            }
            place += 1;
        }
        let role = if is_answer { "assistant" } else { "user" };
        WireMessage { role, content }.join(&mut messages);
    }
    let ends_blank = spoken
        .last()
        .is_some_and(|last| last.role != Role::Assistant)
        && messages.last().is_none_or(|last| last.role != "user");
    if ends_blank {
        // Left out, the answer before it would be last, for the model to go on with.
        let message = "the last message says nothing: the messages wire takes no blank prompt";
        return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
    }
    trim_last_answer(&mut messages);
    Ok(messages)
}

/// The vendor refuses texts that are empty, or white space alone.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

/// Writes the messages of one request.
struct Writer<'a> {
    ids: CallIdentities<'a>,
    server_calls: ServerCalls<'a>,
    /// Whether the model signs all its thinking.
    signs: bool,
}

impl<'a> Writer<'a> {
    /// Writes the answer at a place of the history.
    fn assistant(&mut self, message: &'a Message, place: usize) -> Vec<Block<'a>> {
        let blocks = message.content.iter().filter_map(|block| match block {
            ContentBlock::Text { text } | ContentBlock::Refusal { text } => text_block(text),
            ContentBlock::Reasoning(reasoning) => self.thinking(reasoning, message.stop_reason),
            ContentBlock::ToolUse(call) => Some(self.tool_use(call)),
            ContentBlock::Opaque { data } => {
                let own = data.get(OPAQUE_KEY)?;
                let stays = self.server_calls.stays(own, place);
                stays.then_some(Block::Own(own))
            }
            _ => None,
        });
        blocks.collect()
    }

    /// Thinking goes back with its signature. That of another provider stays out: it means nothing
    /// here.
    fn thinking(
        &self,
        reasoning: &'a Reasoning,
        stop_reason: Option<StopReason>,
    ) -> Option<Block<'a>> {
        let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?;
        if let Some(data) = own.get("data") {
            let data = data.as_str()?;
            return Some(Block::RedactedThinking { data });
        }
        let signature = own.get("signature")?.as_str()?;
        let is_whole = matches!(
            stop_reason,
            Some(StopReason::EndTurn | StopReason::ToolUse | StopReason::StopSequence)
        );
        // Cut before it was signed, the vendor refuses it. Servers that never sign want it back as
        // it is.
        if signature.is_empty() && (self.signs || !is_whole) {
            return None;
        }
        Some(Block::Thinking {
            thinking: &reasoning.text,
            signature,
        })
    }

    fn tool_use(&mut self, call: &'a ToolUse) -> Block<'a> {
        Block::ToolUse {
            id: self.ids.call(&call.id),
            name: wire_name(&call.name),
            input: as_object(&call.input),
        }
    }

    /// Writes what a user's message holds.
    fn user(&mut self, content: &'a [ContentBlock]) -> Result<Vec<Block<'a>>, ModelError> {
        let blocks = content.iter().map(|block| match block {
            ContentBlock::ToolResult(result) => self.tool_result(result).map(Some),
            block => user_block(block),
        });
        blocks.filter_map(Result::transpose).collect()
    }

    fn tool_result(&mut self, result: &'a ToolResult) -> Result<Block<'a>, ModelError> {
        let blocks = result.content.iter().map(user_block);
        let mut content: Vec<_> = blocks
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        if result.is_error && content.is_empty() {
            // The vendor takes an empty result, but no empty failure.
            content.push(Block::Text { text: "failed" });
        }
        Ok(Block::ToolResult {
            tool_use_id: self.ids.result(&result.id),
            content,
            is_error: result.is_error,
        })
    }
}

/// Writes one block of a user's message, or of a tool's result.
fn user_block(block: &ContentBlock) -> Result<Option<Block<'_>>, ModelError> {
    match block {
        ContentBlock::Text { text } => Ok(text_block(text)),
        ContentBlock::Image { source } => {
            let source = match source {
                MediaSource::Url { url } => Source::Url { url },
                MediaSource::Base64 { media_type, data } => Source::Base64 { media_type, data },
                _ => return Err(unsupported("this kind of image source")),
            };
            Ok(Some(Block::Image { source }))
        }
        ContentBlock::Document { source, name } => {
            let source = document(source)?;
            let title = name.as_deref();
            Ok(Some(Block::Document { source, title }))
        }
        ContentBlock::Opaque { data } => Ok(data.get(OPAQUE_KEY).map(Block::Own)),
        block => {
            let what = format!("{} in a user's message", block_name(block));
            Err(unsupported(&what))
        }
    }
}

fn document(source: &MediaSource) -> Result<Source<'_>, ModelError> {
    match source {
        MediaSource::Url { url } => Ok(Source::Url { url }),
        MediaSource::Base64 { media_type, data } if media_type.starts_with("text/") => {
            let text = decode_base64(data).and_then(|bytes| String::from_utf8(bytes).ok());
            let data = text.ok_or_else(|| {
                let message = "a document of text is not base64 of UTF-8";
                ModelError::new(ModelErrorKind::InvalidRequest, message)
            })?;
            let media_type = "text/plain";
            Ok(Source::Text { media_type, data })
        }
        MediaSource::Base64 { media_type, data } => Ok(Source::Base64 { media_type, data }),
        _ => Err(unsupported("this kind of document source")),
    }
}

/// Decodes base64 with or without its padding, in lines or not: the vendor takes documents of text as
/// text.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let significant = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b'=';
    let text: Vec<u8> = text.bytes().filter(significant).collect();
    BASE64_STANDARD_NO_PAD.decode(text).ok()
}

fn unsupported(what: &str) -> ModelError {
    unsupported_by("messages", what)
}
