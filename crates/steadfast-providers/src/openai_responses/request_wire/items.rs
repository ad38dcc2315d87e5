//! Items of the input, as the vendor takes them: a call is followed by its output, a thought by what
//! came of it. Settings and tools are written next door.

use std::{borrow::Cow, collections::HashSet};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, History, MediaSource, Message, ModelError, Reasoning, Role, ToolResult, ToolUse,
};

use super::{OPAQUE_KEY, unsupported};
use crate::{
    call_identity::{CallIdentities, wire_name},
    request_body::{arguments_text, block_name, data_url},
};

/// The longest identity of a call that OpenAI takes, in characters.
const LONGEST_ID: usize = 64;

/// One item of the input.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message {
        role: &'static str,
        content: Content<'a>,
        /// Whether an answer is commentary or the last word, where the model tells them apart.
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'a Value>,
    },
    FunctionCall {
        call_id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: String,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Content<'a>,
    },
    /// An item that came by this wire, as it came.
    #[serde(untagged)]
    Own(OwnItem<'a>),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    InputText {
        text: &'a str,
    },
    OutputText {
        text: Cow<'a, str>,
    },
    InputImage {
        image_url: Cow<'a, str>,
        detail: &'static str,
    },
    InputFile(File<'a>),
    /// A part of the vendor's own, such as a file that lies there.
    #[serde(untagged)]
    Own(&'a Value),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum File<'a> {
    Url {
        file_url: &'a str,
    },
    Data {
        filename: &'a str,
        file_data: String,
    },
}

/// An item without the fields that say nothing, some of which the vendor sends and does not take.
pub(super) struct OwnItem<'a>(&'a Map<String, Value>);

impl Serialize for OwnItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let is_empty_content = |field: &str, value: &Value| {
            field == "content" && value.as_array().is_some_and(Vec::is_empty)
        };
        for (field, value) in self.0 {
            if !value.is_null() && !is_empty_content(field, value) {
                map.serialize_entry(field, value)?;
            }
        }
        map.end()
    }
}

/// Writes a history. Where answers are stored at the provider, thoughts may go back by their identity
/// alone.
pub(super) fn items(history: &History, is_stored: bool) -> Result<Vec<Item<'_>>, ModelError> {
    let messages: Vec<&Message> = history.iter().map(|message| &**message).collect();
    let mut writer = Writer {
        ids: CallIdentities::new(|_| true, LONGEST_ID),
        answered: answered(&messages),
        is_stored,
        items: Vec::with_capacity(messages.len()),
    };
    for neighbours in messages.chunk_by(|one, next| one.role == next.role) {
        if neighbours.first().map(|message| message.role) == Some(Role::Assistant) {
            writer.ids.begin_answer();
            for message in neighbours {
                writer.assistant(message);
            }
        } else {
            writer.user(neighbours)?;
        }
    }
    Ok(writer.items)
}

/// Returns the calls of the provider's own that have their output in the history.
fn answered<'a>(messages: &[&'a Message]) -> HashSet<&'a str> {
    let blocks = messages.iter().flat_map(|message| &message.content);
    let outputs = blocks.filter_map(|block| match block {
        ContentBlock::Opaque { data } => {
            let own = data.get(OPAQUE_KEY)?;
            let is_output = own.get("type")?.as_str()?.ends_with("_output");
            is_output.then(|| own.get("call_id")?.as_str())?
        }
        _ => None,
    });
    outputs.collect()
}

/// Writes the items of one request.
struct Writer<'a> {
    ids: CallIdentities<'a>,
    /// The provider's own calls that have their output.
    answered: HashSet<&'a str>,
    is_stored: bool,
    items: Vec<Item<'a>>,
}

/// What of an answer waits for what follows it.
#[derive(Default)]
struct Waiting<'a> {
    /// Thoughts: the vendor refuses them without what came of them.
    thoughts: Vec<OwnItem<'a>>,
    text: Cow<'a, str>,
    phase: Option<&'a Value>,
}

impl<'a> Writer<'a> {
    fn assistant(&mut self, message: &'a Message) {
        let mut waiting = Waiting::default();
        for block in &message.content {
            match block {
                ContentBlock::Text { text } | ContentBlock::Refusal { text } => {
                    if waiting.text.is_empty() {
                        waiting.text = Cow::Borrowed(text);
                    } else {
                        waiting.text += text.as_str();
                    }
                }
                ContentBlock::Reasoning(reasoning) => {
                    self.push_text(&mut waiting);
                    waiting.thoughts.extend(self.thought(reasoning));
                }
                ContentBlock::ToolUse(call) => {
                    self.push_text(&mut waiting);
                    let call = self.call(call);
                    self.push(&mut waiting, call);
                }
                ContentBlock::Opaque { data } => {
                    if let Some(Value::Object(own)) = data.get(OPAQUE_KEY) {
                        self.push_text(&mut waiting);
                        self.own(own, &mut waiting);
                    }
                }
                _ => {}
            }
        }
        self.push_text(&mut waiting);
    }

    fn push(&mut self, waiting: &mut Waiting<'a>, item: Item<'a>) {
        self.items.extend(waiting.thoughts.drain(..).map(Item::Own));
        self.items.push(item);
    }

    fn push_text(&mut self, waiting: &mut Waiting<'a>) {
        let text = std::mem::take(&mut waiting.text);
        if text.is_empty() {
            return;
        }
        let item = Item::Message {
            role: "assistant",
            // A plain string means the same, and some servers do not take it of an assistant.
            content: Content::Parts(vec![Part::OutputText { text }]),
            phase: waiting.phase.take(),
        };
        self.push(waiting, item);
    }

    /// Thoughts go back as they came. Those of another provider stay out, and so do those that hold
    /// nothing that the vendor could read.
    fn thought(&self, reasoning: &'a Reasoning) -> Option<OwnItem<'a>> {
        let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?.as_object()?;
        let holds = |field: &str| match own.get(field) {
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(parts)) => !parts.is_empty(),
            _ => false,
        };
        let is_readable = self.is_stored || holds("encrypted_content") || holds("content");
        is_readable.then_some(OwnItem(own))
    }

    fn own(&mut self, own: &'a Map<String, Value>, waiting: &mut Waiting<'a>) {
        let text = |field: &str| own.get(field).and_then(Value::as_str);
        match (text("type"), text("call_id")) {
            (None, _) => waiting.phase = own.get("phase"),
            // A call that this program was to run: without an output the vendor refuses it.
            (Some(kind), Some(id)) if kind.ends_with("_call") && !self.answered.contains(id) => {
                waiting.thoughts.clear();
            }
            _ => self.push(waiting, Item::Own(OwnItem(own))),
        }
    }

    fn call(&mut self, call: &'a ToolUse) -> Item<'a> {
        // The item's own identity stays out: the vendor takes a call without it, and with it only
        // beside the very thoughts that it came with.
        Item::FunctionCall {
            call_id: self.ids.call(&call.id),
            name: wire_name(&call.name),
            arguments: arguments_text(&call.input),
        }
    }

    /// Writes what a user says between two answers.
    fn user(&mut self, neighbours: &[&'a Message]) -> Result<(), ModelError> {
        // Outputs answer the calls before: nothing comes between.
        for block in neighbours.iter().flat_map(|message| &message.content) {
            if let ContentBlock::ToolResult(result) = block {
                let output = self.output(result)?;
                self.items.push(output);
            }
        }
        for message in neighbours {
            let mut parts = Vec::new();
            for block in &message.content {
                match block {
                    ContentBlock::ToolResult(_) => {}
                    ContentBlock::Opaque { data } => match data.get(OPAQUE_KEY) {
                        Some(own) if is_part(own) => parts.push(Part::Own(own)),
                        Some(Value::Object(own)) => self.items.push(Item::Own(OwnItem(own))),
                        _ => {}
                    },
                    block => parts.push(part(block)?),
                }
            }
            if !parts.is_empty() || message.content.is_empty() {
                self.items.push(Item::Message {
                    role: "user",
                    content: Content::Parts(parts),
                    phase: None,
                });
            }
        }
        Ok(())
    }

    fn output(&mut self, result: &'a ToolResult) -> Result<Item<'a>, ModelError> {
        let is_said = |block: &&ContentBlock| !matches!(block, ContentBlock::Opaque { .. });
        let blocks: Vec<&ContentBlock> = result.content.iter().filter(is_said).collect();
        let is_text = |block: &&ContentBlock| matches!(block, ContentBlock::Text { .. });
        let output = match blocks.as_slice() {
            [ContentBlock::Text { text }] => Content::Text(Cow::Borrowed(text)),
            blocks if blocks.iter().all(is_text) => Content::Text(Cow::Owned(result.text())),
            blocks => {
                let parts = blocks.iter().map(|block| part(block));
                Content::Parts(parts.collect::<Result<_, _>>()?)
            }
        };
        let is_blank = matches!(&output, Content::Text(text) if text.trim().is_empty());
        Ok(Item::FunctionCallOutput {
            call_id: self.ids.result(&result.id),
            output: if result.is_error && is_blank {
                Content::Text(Cow::Borrowed("failed"))
            } else {
                output
            },
        })
    }
}

/// Returns whether what is the vendor's own is a part of a message, such as `input_file`.
fn is_part(own: &Value) -> bool {
    let kind = own.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.starts_with("input_"))
}

/// Writes a part of a user's message, or of a tool's output.
fn part(block: &ContentBlock) -> Result<Part<'_>, ModelError> {
    match block {
        ContentBlock::Text { text } => Ok(Part::InputText { text }),
        ContentBlock::Image { source } => {
            let image_url = match source {
                MediaSource::Url { url } => Cow::Borrowed(url.as_str()),
                MediaSource::Base64 { media_type, data } => Cow::Owned(data_url(media_type, data)),
                _ => return Err(unsupported("this kind of image source")),
            };
            let detail = "auto";
            Ok(Part::InputImage { image_url, detail })
        }
        ContentBlock::Document { source, name } => match source {
            MediaSource::Url { url } => Ok(Part::InputFile(File::Url { file_url: url })),
            MediaSource::Base64 { media_type, data } => Ok(Part::InputFile(File::Data {
                filename: name.as_deref().unwrap_or("document"),
                file_data: data_url(media_type, data),
            })),
            _ => Err(unsupported("this kind of document source")),
        },
        block => {
            let what = format!("{} in a user's message", block_name(block));
            Err(unsupported(&what))
        }
    }
}
