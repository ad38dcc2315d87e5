//! Messages and their blocks, as the vendor takes them: roles alternate, nothing is empty, results
//! come first. Settings and tools are written next door.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, History, MediaSource, Message, ModelError, ModelErrorKind, Reasoning, Role,
    StopReason, ToolResult, ToolUse,
};

use super::{OPAQUE_KEY, as_object};

/// One message of the wire.
#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
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
        name: &'a str,
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

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
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
pub(super) fn messages(history: &History) -> Result<Vec<WireMessage<'_>>, ModelError> {
    let spoken = history.iter().map(|message| &**message);
    let spoken: Vec<&Message> = spoken
        .filter(|message| !message.content.is_empty())
        .collect();
    let mut messages: Vec<WireMessage<'_>> = Vec::with_capacity(spoken.len());
    let mut neighbours = spoken
        .chunk_by(|one, next| one.role == next.role)
        .peekable();
    while let Some(group) = neighbours.next() {
        let is_last = neighbours.peek().is_none();
        for message in group {
            let (role, content) = match message.role {
                // The model goes on with the last answer, and with the calls that it left open.
                Role::Assistant if is_last => ("assistant", assistant(message, |_| true)),
                Role::Assistant => {
                    let content = assistant(message, |own| is_answered(own, group));
                    ("assistant", content)
                }
                _ => ("user", user(&message.content)?),
            };
            match messages.last_mut() {
                _ if content.is_empty() => {}
                Some(last) if last.role == role => last.content.extend(content),
                _ => messages.push(WireMessage { role, content }),
            }
        }
    }
    for message in &mut messages {
        // Results answer the calls of the message before: nothing may come between.
        let is_result = |block: &Block<'_>| matches!(block, Block::ToolResult { .. });
        message.content.sort_by_key(|block| !is_result(block));
    }
    trim_last_answer(&mut messages);
    Ok(messages)
}

/// Takes away white space at the very end: an answer that the model is to continue must not end in
/// it.
fn trim_last_answer(messages: &mut Vec<WireMessage<'_>>) {
    let Some(last) = messages.last_mut().filter(|last| last.role == "assistant") else {
        return;
    };
    // A text that is white space alone never got here, so something is left of it.
    if let Some(Block::Text { text }) = last.content.last_mut() {
        *text = text.trim_end();
    }
}

/// The vendor refuses texts that are empty, or white space alone.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

/// Writes an answer; `is_answered` tells of a block of the provider's own whether it may stay in one
/// that ended early.
fn assistant<'a>(message: &'a Message, is_answered: impl Fn(&Value) -> bool) -> Vec<Block<'a>> {
    let was_cut = message.stop_reason == Some(StopReason::MaxTokens);
    let ended_early = was_cut || message.stop_reason == Some(StopReason::PauseTurn);
    let blocks = message.content.iter().filter_map(|block| match block {
        ContentBlock::Text { text } | ContentBlock::Refusal { text } => text_block(text),
        ContentBlock::Reasoning(reasoning) => thinking(reasoning, was_cut),
        ContentBlock::ToolUse(call) => Some(tool_use(call)),
        ContentBlock::Opaque { data } => {
            let own = data.get(OPAQUE_KEY)?;
            (!ended_early || is_answered(own)).then_some(Block::Own(own))
        }
        _ => None,
    });
    blocks.collect()
}

/// Returns whether a block is no call, or one whose result came with it: the vendor refuses a call of
/// its own whose result will never come.
fn is_answered(own: &Value, group: &[&Message]) -> bool {
    let kind = own.get("type").and_then(Value::as_str);
    let is_call = kind.is_some_and(|kind| kind.ends_with("tool_use"));
    let answers = |block: &ContentBlock| match block {
        ContentBlock::Opaque { data } => {
            let id = data.get(OPAQUE_KEY).and_then(|own| own.get("tool_use_id"));
            id.is_some() && id == own.get("id")
        }
        _ => false,
    };
    let mut blocks = group.iter().flat_map(|message| &message.content);
    !is_call || blocks.any(answers)
}

/// Thinking goes back with its signature. That of another provider stays out: it means nothing here.
fn thinking(reasoning: &Reasoning, was_cut: bool) -> Option<Block<'_>> {
    let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?;
    if let Some(data) = own.get("data") {
        let data = data.as_str()?;
        return Some(Block::RedactedThinking { data });
    }
    let signature = own.get("signature")?.as_str()?;
    // Cut before it was signed, the vendor refuses it. Servers that never sign want it back as it is.
    if signature.is_empty() && was_cut {
        return None;
    }
    Some(Block::Thinking {
        thinking: &reasoning.text,
        signature,
    })
}

fn tool_use(call: &ToolUse) -> Block<'_> {
    Block::ToolUse {
        id: identity(&call.id),
        name: &call.name,
        input: match &call.input {
            Value::Object(object) => Cow::Borrowed(object),
            other => Cow::Owned(as_object(other.clone())),
        },
    }
}

/// The vendor takes letters, digits, `_` and `-`; a call that another provider began may have others.
fn identity(id: &str) -> Cow<'_, str> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.chars().all(is_taken) {
        return Cow::Borrowed(id);
    }
    let replace = |c| if is_taken(c) { c } else { '_' };
    Cow::Owned(id.chars().map(replace).collect())
}

/// Writes what a user's message, or a tool's result, holds.
fn user(content: &[ContentBlock]) -> Result<Vec<Block<'_>>, ModelError> {
    let blocks = content.iter().map(|block| match block {
        ContentBlock::Text { text } => Ok(text_block(text)),
        ContentBlock::ToolResult(result) => tool_result(result).map(Some),
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
        _ => Err(unsupported("this content in a user's message")),
    });
    blocks.filter_map(Result::transpose).collect()
}

fn tool_result(result: &ToolResult) -> Result<Block<'_>, ModelError> {
    Ok(Block::ToolResult {
        tool_use_id: identity(&result.id),
        content: user(&result.content)?,
        is_error: result.is_error,
    })
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

/// Decodes base64 with or without its padding: the vendor takes documents of text as text.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    let significant = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    for byte in significant.take_while(|byte| *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn unsupported(what: &str) -> ModelError {
    let message = format!("the messages wire does not take {what}");
    ModelError::new(ModelErrorKind::Unsupported, message)
}
