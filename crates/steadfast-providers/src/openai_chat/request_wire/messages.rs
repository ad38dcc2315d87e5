//! The messages of a request: from a history to what the chat wire has for it. Settings and tools are
//! the request's.

mod reasoning;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelError, ModelRequest, Role, ToolResult, ToolUse,
};

use crate::{
    call_identity::{CallIdentities, wire_name},
    openai_chat::dialect::Dialect,
    request_body::{arguments_text, block_name, data_url, media_of, said_by_user, unsupported_by},
};

/// Writes the messages of a request to a host.
pub(super) fn write<'a>(
    dialect: Dialect,
    host: &'a str,
    request: &'a ModelRequest,
) -> Result<Vec<WireMessage<'a>>, ModelError> {
    let mut writer = Writer {
        dialect,
        host,
        ids: dialect.call_identities(),
        messages: Vec::with_capacity(request.history().len() + 1),
    };
    if let Some(system) = request.system() {
        writer.push(WireMessage::text("system", system));
    }
    let history: Vec<&Message> = request.history().iter().map(|message| &**message).collect();
    for neighbours in history.chunk_by(|one, next| one.role == next.role) {
        if neighbours.first().map(|message| message.role) == Some(Role::Assistant) {
            writer.ids.begin_answer();
            for message in neighbours {
                writer.push_answer(message);
            }
        } else {
            writer.push_user(neighbours)?;
        }
    }
    Ok(writer.messages)
}

/// One message of the wire. Fields that are not set are left out.
#[derive(Serialize, Default)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    /// Reasoning in the fields in which the server gave it.
    #[serde(flatten)]
    reasoning: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Borrowed(&'a str),
    Owned(String),
    Parts(Vec<Value>),
}

impl<'a> WireMessage<'a> {
    fn text(role: &'static str, text: &'a str) -> Self {
        Self::new(role, Content::Borrowed(text))
    }

    fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            content: Some(content),
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
    /// What came with the call, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a Value>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: Cow<'a, str>,
    arguments: String,
}

struct Writer<'a> {
    dialect: Dialect,
    host: &'a str,
    ids: CallIdentities<'a>,
    messages: Vec<WireMessage<'a>>,
}

impl<'a> Writer<'a> {
    fn push(&mut self, message: WireMessage<'a>) {
        // Mistral: "Unexpected role 'user' after role 'tool'".
        let last = self.messages.last().map(|last| last.role);
        if self.dialect == Dialect::Mistral && (last, message.role) == (Some("tool"), "user") {
            self.messages.push(WireMessage::text("assistant", " "));
        }
        self.messages.push(message);
    }

    /// Writes what a user says between two answers.
    fn push_user(&mut self, neighbours: &[&'a Message]) -> Result<(), ModelError> {
        // Results answer the calls of the message before: nothing may come between.
        let mut media = Vec::new();
        for block in neighbours.iter().flat_map(|message| &message.content) {
            if let ContentBlock::ToolResult(result) = block {
                let message = self.result(result);
                self.push(message);
                self.push_media(&mut media, result)?;
            }
        }
        if !media.is_empty() {
            self.push(WireMessage::new("user", Content::Parts(media)));
        }
        for message in neighbours {
            let parts = said_by_user(message);
            let content = match parts.as_slice() {
                [] if message.content.is_empty() => Content::Borrowed(""),
                [] => continue,
                [ContentBlock::Text { text }] => Content::Borrowed(text),
                parts => match joined(parts) {
                    Some(text) => Content::Owned(text),
                    None => {
                        let parts = parts.iter().map(|block| self.part(block));
                        Content::Parts(parts.collect::<Result<_, _>>()?)
                    }
                },
            };
            self.push(WireMessage::new("user", content));
        }
        Ok(())
    }

    fn push_answer(&mut self, message: &'a Message) {
        let mut wire = WireMessage {
            role: "assistant",
            tool_calls: message
                .tool_uses()
                .map(|call| self.call(call, message))
                .collect(),
            ..WireMessage::default()
        };
        let mut texts = Vec::new();
        for block in &message.content {
            match block {
                ContentBlock::Text { text } => texts.push(text.as_str()),
                // To Mistral a refusal is what was said.
                ContentBlock::Refusal { text } if self.dialect == Dialect::Mistral => {
                    texts.push(text);
                }
                ContentBlock::Refusal { text } => {
                    wire.refusal.get_or_insert_default().push_str(text);
                }
                ContentBlock::Reasoning(reasoning) => {
                    reasoning::carry_back(reasoning, self.host, &mut wire.reasoning);
                }
                _ => {}
            }
        }
        wire.content = match texts.as_slice() {
            [] if !wire.tool_calls.is_empty() => None,
            // Mistral takes no answer that says nothing.
            [] if self.dialect == Dialect::Mistral => Some(Content::Borrowed(" ")),
            // Without calls the content must be a text; a refusal beside it is no part of it.
            [] => Some(Content::Borrowed("")),
            [text] => Some(Content::Borrowed(text)),
            texts => Some(Content::Owned(texts.concat())),
        };
        self.push(wire);
    }

    fn call(&mut self, call: &'a ToolUse, message: &'a Message) -> WireCall<'a> {
        WireCall {
            id: self.ids.call(&call.id),
            kind: "function",
            function: WireFunction {
                name: wire_name(&call.name),
                arguments: arguments_text(&call.input),
            },
            extra_content: reasoning::beside_call(&call.id, message, self.host),
        }
    }

    fn result(&mut self, result: &'a ToolResult) -> WireMessage<'a> {
        let content = match result.content.as_slice() {
            [ContentBlock::Text { text }] => Cow::Borrowed(text.as_str()),
            _ => Cow::Owned(result.text()),
        };
        let content = if result.is_error && content.trim().is_empty() {
            Content::Borrowed("failed")
        } else {
            match content {
                Cow::Borrowed(text) => Content::Borrowed(text),
                Cow::Owned(text) => Content::Owned(text),
            }
        };
        WireMessage {
            tool_call_id: Some(self.ids.result(&result.id)),
            ..WireMessage::new("tool", content)
        }
    }

    /// Adds what of a result is not text: a tool's message takes nothing else, a user's does.
    fn push_media(&self, media: &mut Vec<Value>, result: &ToolResult) -> Result<(), ModelError> {
        if let Some((from, blocks)) = media_of(result) {
            media.push(json!({"type": "text", "text": from}));
            for block in blocks {
                media.push(self.part(block)?);
            }
        }
        Ok(())
    }

    fn part(&self, block: &ContentBlock) -> Result<Value, ModelError> {
        Ok(match block {
            ContentBlock::Text { text } => json!({"type": "text", "text": text}),
            ContentBlock::Image { source } => {
                json!({"type": "image_url", "image_url": {"url": url(source, "image")?}})
            }
            ContentBlock::Document { source, name } if self.dialect == Dialect::Mistral => {
                let url = url(source, "document")?;
                let mut part = json!({"type": "document_url", "document_url": url});
                if let (Some(name), Some(part)) = (name, part.as_object_mut()) {
                    part.insert("document_name".to_owned(), json!(name));
                }
                part
            }
            ContentBlock::Document {
                source: MediaSource::Base64 { media_type, data },
                name,
            } => {
                let filename = name.as_deref().unwrap_or("document");
                json!({"type": "file", "file": {"filename": filename, "file_data": data_url(media_type, data)}})
            }
            ContentBlock::Document { .. } => {
                return Err(unsupported("a document that is not in base64"));
            }
            block => {
                let what = format!("{} in a user's message", block_name(block));
                return Err(unsupported(&what));
            }
        })
    }
}

/// Joins blocks of text alone to one text: DeepSeek and others refuse a list. An empty line stays
/// between two blocks, since words that meet without a space become other words.
fn joined(blocks: &[&ContentBlock]) -> Option<String> {
    let texts: Option<Vec<&str>> = blocks
        .iter()
        .map(|block| match block {
            ContentBlock::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    Some(texts?.join("\n\n"))
}

fn url(source: &MediaSource, what: &str) -> Result<String, ModelError> {
    match source {
        MediaSource::Url { url } => Ok(url.clone()),
        MediaSource::Base64 { media_type, data } => Ok(data_url(media_type, data)),
        _ => Err(unsupported(&format!("this kind of {what} source"))),
    }
}

fn unsupported(what: &str) -> ModelError {
    unsupported_by("chat-completions", what)
}
