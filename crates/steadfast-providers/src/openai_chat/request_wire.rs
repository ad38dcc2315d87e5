//! The request of the chat wire: from a history to the body that OpenAI documents.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelError, ModelRequest, ModelSettings, Reasoning, Role,
    ToolChoice, ToolResult, ToolSpec, ToolUse,
};

use crate::{
    call_identity::{CallIdentities, wire_name},
    request_body::{Fields, arguments_text, block_name, data_url, to_json, unsupported_by},
};

/// Under this key a reasoning block's opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "openai_chat";

/// The longest identity of a call that OpenAI takes, in characters.
const LONGEST_ID: usize = 40;

/// Writes the body of a request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let mut messages = Vec::with_capacity(request.history().len() + 1);
    if let Some(system) = request.system() {
        messages.push(WireMessage::text("system", system));
    }
    let mut ids = CallIdentities::new(|_| true, LONGEST_ID);
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
    let body = Body {
        model,
        messages,
        tools: request.tools(),
        settings: request.settings(),
    };
    to_json(&body)
}

struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    tools: &'a [ToolSpec],
    settings: &'a ModelSettings,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = self.settings;
        let mut fields = Fields::new(serializer.serialize_map(None)?, &settings.extra);
        fields.put("model", Some(self.model))?;
        fields.put("messages", Some(&self.messages))?;
        fields.put("stream", Some(true))?;
        fields.put("stream_options", Some(json!({"include_usage": true})))?;
        fields.put(output_limit_field(self.model), settings.max_tokens)?;
        fields.put("temperature", settings.temperature)?;
        fields.put("top_p", settings.top_p)?;
        let stop = Some(&settings.stop_sequences).filter(|stop| !stop.is_empty());
        fields.put("stop", stop)?;
        if !self.tools.is_empty() {
            let tools: Vec<_> = self.tools.iter().map(WireTool).collect();
            fields.put("tools", Some(tools))?;
            fields.put(
                "tool_choice",
                settings.tool_choice.as_ref().and_then(tool_choice),
            )?;
        }
        fields.end()
    }
}

/// OpenAI's reasoning models refuse the older name, and most other servers know no other one.
fn output_limit_field(model: &str) -> &'static str {
    const NEW_NAME: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];
    if NEW_NAME.iter().any(|family| model.starts_with(family)) {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => Some(json!("auto")),
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Tool(name) => Some(json!({"type": "function", "function": {"name": name}})),
        _ => None,
    }
}

struct WireTool<'a>(&'a ToolSpec);

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            description: &'a str,
            parameters: &'a Value,
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry(
            "function",
            &Function {
                name: &self.0.name,
                description: &self.0.description,
                parameters: &self.0.input_schema,
            },
        )?;
        map.end()
    }
}

/// One message of the wire. Fields that are not set are left out.
#[derive(Serialize, Default)]
struct WireMessage<'a> {
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
        Self {
            role,
            content: Some(Content::Borrowed(text)),
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

impl<'a> WireCall<'a> {
    fn new(call: &'a ToolUse, message: &'a Message, ids: &mut CallIdentities<'a>) -> Self {
        let extra = |block: &'a ContentBlock| match block {
            ContentBlock::Reasoning(reasoning) => {
                own_data(reasoning)?.get("tool_calls")?.get(&call.id)
            }
            _ => None,
        };
        Self {
            id: ids.call(&call.id),
            kind: "function",
            function: WireFunction {
                name: wire_name(&call.name),
                arguments: arguments_text(&call.input),
            },
            extra_content: message.content.iter().find_map(extra),
        }
    }
}

/// Returns what this wire put into a reasoning block.
fn own_data(reasoning: &Reasoning) -> Option<&Map<String, Value>> {
    reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?.as_object()
}

/// Writes what a user says between two answers.
fn push_user<'a>(
    messages: &mut Vec<WireMessage<'a>>,
    neighbours: &[&'a Message],
    ids: &mut CallIdentities<'a>,
) -> Result<(), ModelError> {
    // Results answer the calls of the message before: nothing may come between.
    let mut media = Vec::new();
    for block in neighbours.iter().flat_map(|message| &message.content) {
        if let ContentBlock::ToolResult(result) = block {
            messages.push(tool_message(result, ids));
            push_media(&mut media, result)?;
        }
    }
    if !media.is_empty() {
        messages.push(WireMessage {
            role: "user",
            content: Some(Content::Parts(media)),
            ..WireMessage::default()
        });
    }
    for message in neighbours {
        // Blocks of a provider's own mean nothing here.
        let is_said = |block: &&ContentBlock| {
            !matches!(
                block,
                ContentBlock::ToolResult(_) | ContentBlock::Opaque { .. }
            )
        };
        let parts: Vec<&ContentBlock> = message.content.iter().filter(is_said).collect();
        match parts.as_slice() {
            [] if message.content.is_empty() => messages.push(WireMessage::text("user", "")),
            [] => {}
            [ContentBlock::Text { text }] => messages.push(WireMessage::text("user", text)),
            parts => messages.push(WireMessage {
                role: "user",
                content: Some(match joined(parts) {
                    Some(text) => Content::Owned(text),
                    None => Content::Parts(
                        parts
                            .iter()
                            .map(|block| part(block))
                            .collect::<Result<_, _>>()?,
                    ),
                }),
                ..WireMessage::default()
            }),
        }
    }
    Ok(())
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

fn assistant<'a>(message: &'a Message, ids: &mut CallIdentities<'a>) -> WireMessage<'a> {
    let mut wire = WireMessage {
        role: "assistant",
        tool_calls: message
            .tool_uses()
            .map(|call| WireCall::new(call, message, ids))
            .collect(),
        ..WireMessage::default()
    };
    let mut texts = Vec::new();
    for block in &message.content {
        match block {
            ContentBlock::Text { text } => texts.push(text.as_str()),
            ContentBlock::Refusal { text } => wire.refusal.get_or_insert_default().push_str(text),
            ContentBlock::Reasoning(reasoning) => carry_back(reasoning, &mut wire.reasoning),
            _ => {}
        }
    }
    wire.content = match texts.as_slice() {
        // Without calls the content must be a text; a refusal beside it is no part of it.
        [] if wire.tool_calls.is_empty() => Some(Content::Borrowed("")),
        [] => None,
        [text] => Some(Content::Borrowed(text)),
        texts => Some(Content::Owned(texts.concat())),
    };
    wire
}

/// Puts reasoning back into the fields in which this wire found it. Reasoning of another provider
/// stays out: its signatures mean nothing here.
fn carry_back(reasoning: &Reasoning, fields: &mut Map<String, Value>) {
    let Some(own) = own_data(reasoning) else {
        return;
    };
    if let Some(details) = own.get("reasoning_details") {
        fields.insert("reasoning_details".to_owned(), details.clone());
    }
    let has_details = own.contains_key("reasoning_details");
    if let Some(Value::String(field)) = own.get("text_in")
        && !has_details
    {
        let text = fields.entry(field.clone()).or_insert_with(|| json!(""));
        if let Value::String(text) = text {
            text.push_str(&reasoning.text);
        }
    }
}

fn tool_message<'a>(result: &'a ToolResult, ids: &mut CallIdentities<'a>) -> WireMessage<'a> {
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
        role: "tool",
        content: Some(content),
        tool_call_id: Some(ids.result(&result.id)),
        ..WireMessage::default()
    }
}

/// Adds what of a result is not text: a tool's message takes nothing else, a user's does.
fn push_media(media: &mut Vec<Value>, result: &ToolResult) -> Result<(), ModelError> {
    let is_media = |block: &&ContentBlock| {
        !matches!(
            block,
            ContentBlock::Text { .. } | ContentBlock::Opaque { .. }
        )
    };
    let mut blocks = result.content.iter().filter(is_media).peekable();
    if blocks.peek().is_some() {
        let from = format!("From the tool `{}`:", result.name);
        media.push(json!({"type": "text", "text": from}));
    }
    for block in blocks {
        media.push(part(block)?);
    }
    Ok(())
}

fn part(block: &ContentBlock) -> Result<Value, ModelError> {
    Ok(match block {
        ContentBlock::Text { text } => json!({"type": "text", "text": text}),
        ContentBlock::Image { source } => {
            let url = match source {
                MediaSource::Url { url } => url.clone(),
                MediaSource::Base64 { media_type, data } => data_url(media_type, data),
                _ => return Err(unsupported("this kind of image source")),
            };
            json!({"type": "image_url", "image_url": {"url": url}})
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

fn unsupported(what: &str) -> ModelError {
    unsupported_by("chat-completions", what)
}

#[cfg(test)]
mod tests;
