//! Messages, as Ollama takes them: a text each, with images, thinking and calls beside it. Settings
//! and tools are written next door.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelError, ModelRequest, Reasoning, Role, ToolResult,
    ToolUse,
};

use super::{OPAQUE_KEY, unsupported};
use crate::{
    call_identity::{CallIdentities, wire_name},
    request_body::{as_object, block_name, media_of, said_by_user},
};

/// One message of the wire. Fields that are not set are left out, but for the content, which older
/// servers miss.
#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: Cow<'a, str>,
    /// Bytes in base64, without a media type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    /// How results are told apart; the identity beside it is for newer servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: Cow<'a, str>,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, Map<String, Value>>,
}

impl WireMessage<'_> {
    const fn of(role: &'static str) -> Self {
        Self {
            role,
            content: Cow::Borrowed(""),
            thinking: Cow::Borrowed(""),
            images: Vec::new(),
            tool_calls: Vec::new(),
            tool_name: None,
            tool_call_id: None,
        }
    }
}

/// Writes the system prompt and the history.
pub(super) fn messages(request: &ModelRequest) -> Result<Vec<WireMessage<'_>>, ModelError> {
    let mut messages = Vec::with_capacity(request.history().len() + 1);
    if let Some(system) = request.system() {
        messages.push(WireMessage {
            content: Cow::Borrowed(system),
            ..WireMessage::of("system")
        });
    }
    let mut ids = CallIdentities::new(|_| true, usize::MAX);
    let history: Vec<&Message> = request.history().iter().map(|message| &**message).collect();
    for neighbours in history.chunk_by(|one, next| one.role == next.role) {
        if neighbours.first().map(|message| message.role) == Some(Role::Assistant) {
            ids.begin_answer();
            messages.extend(
                neighbours
                    .iter()
                    .map(|message| assistant(message, &mut ids)),
            );
        } else {
            push_user(&mut messages, neighbours, &mut ids)?;
        }
    }
    Ok(messages)
}

fn assistant<'a>(message: &'a Message, ids: &mut CallIdentities<'a>) -> WireMessage<'a> {
    let mut wire = WireMessage::of("assistant");
    for block in &message.content {
        match block {
            ContentBlock::Text { text } | ContentBlock::Refusal { text } => wire.content += &**text,
            ContentBlock::Reasoning(reasoning) if is_own(reasoning) => {
                wire.thinking += &*reasoning.text;
            }
            ContentBlock::ToolUse(call) => wire.tool_calls.push(WireCall::new(call, ids)),
            _ => {}
        }
    }
    wire
}

/// Returns whether thoughts came by this wire. Those of another provider stay out: the model did not
/// have them.
fn is_own(reasoning: &Reasoning) -> bool {
    let opaque = reasoning.opaque.as_ref();
    opaque.is_some_and(|opaque| opaque.get(OPAQUE_KEY).is_some())
}

impl<'a> WireCall<'a> {
    fn new(call: &'a ToolUse, ids: &mut CallIdentities<'a>) -> Self {
        let arguments = as_object(&call.input);
        Self {
            id: ids.call(&call.id),
            function: WireFunction {
                name: wire_name(&call.name),
                arguments,
            },
        }
    }
}

/// Writes what a user says between two answers.
fn push_user<'a>(
    messages: &mut Vec<WireMessage<'a>>,
    neighbours: &[&'a Message],
    ids: &mut CallIdentities<'a>,
) -> Result<(), ModelError> {
    // Results answer the calls of the message before, in order: nothing may come between.
    let mut media = Vec::new();
    for block in neighbours.iter().flat_map(|message| &message.content) {
        if let ContentBlock::ToolResult(result) = block {
            messages.push(tool_message(result, ids));
            media.extend(media_message(result)?);
        }
    }
    messages.append(&mut media);
    for message in neighbours {
        let said = said_by_user(message);
        if !said.is_empty() || message.content.is_empty() {
            messages.push(user_message(&said)?);
        }
    }
    Ok(())
}

/// Writes texts as one, with an empty line between two, and images beside it.
fn user_message<'a>(blocks: &[&'a ContentBlock]) -> Result<WireMessage<'a>, ModelError> {
    let mut texts = Vec::new();
    let mut images = Vec::new();
    for block in blocks {
        match block {
            ContentBlock::Text { text } => texts.push(text.as_str()),
            ContentBlock::Image {
                source: MediaSource::Base64 { data, .. },
            } => images.push(data.as_str()),
            ContentBlock::Image { .. } => {
                return Err(unsupported("an image that is not in base64"));
            }
            block => {
                let what = format!("{} in a user's message", block_name(block));
                return Err(unsupported(&what));
            }
        }
    }
    Ok(WireMessage {
        content: match texts.as_slice() {
            [text] => Cow::Borrowed(text),
            texts => Cow::Owned(texts.join("\n\n")),
        },
        images,
        ..WireMessage::of("user")
    })
}

fn tool_message<'a>(result: &'a ToolResult, ids: &mut CallIdentities<'a>) -> WireMessage<'a> {
    let content = match result.content.as_slice() {
        [ContentBlock::Text { text }] => Cow::Borrowed(text.as_str()),
        _ => Cow::Owned(result.text()),
    };
    WireMessage {
        content: if result.is_error && content.trim().is_empty() {
            Cow::Borrowed("failed")
        } else {
            content
        },
        tool_name: Some(wire_name(&result.name)),
        tool_call_id: Some(ids.result(&result.id)),
        ..WireMessage::of("tool")
    }
}

/// Writes what of a result is not text, in the user's name: few templates have a place for the
/// images of a tool.
fn media_message(result: &ToolResult) -> Result<Option<WireMessage<'_>>, ModelError> {
    let Some((from, blocks)) = media_of(result) else {
        return Ok(None);
    };
    let message = user_message(&blocks)?;
    Ok(Some(WireMessage {
        content: Cow::Owned(from),
        ..message
    }))
}
