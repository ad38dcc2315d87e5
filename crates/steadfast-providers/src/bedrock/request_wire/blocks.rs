//! Messages and their blocks, as Bedrock takes them: the user begins, roles alternate, nothing is
//! blank, results come first. Settings are written next door.

use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use steadfast_core::{
    ContentBlock, History, Message, ModelError, ModelErrorKind, Reasoning, Role, ToolResult,
    ToolSpec, ToolUse,
};

use super::{OPAQUE_KEY, media, unsupported};
use crate::{
    block_messages::{self, WireBlock, trim_last_answer},
    call_identity::{CallIdentities, is_word, wire_name},
    request_body::{as_object, block_name},
};
use media::{DocumentNames, Media};

/// The longest identity of a call that the vendor takes.
const LONGEST_IDENTITY: usize = 64;

/// Where a block of the vendor's own has the identity of a call, or of a result.
const CALL_IDENTITY: &str = "/toolUse/toolUseId";
const RESULT_IDENTITY: &str = "/toolResult/toolUseId";

/// The messages of a request.
pub(super) struct Conversation<'a> {
    pub(super) messages: Vec<WireMessage<'a>>,
}

/// One message of the wire.
pub(super) type WireMessage<'a> = block_messages::WireMessage<Block<'a>>;

/// A block; the name of its variant is the name of its only field.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    ReasoningContent(ReasoningContent<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Cow<'a, Map<String, Value>>,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    Image(Media<'a>),
    Document(Media<'a>),
    /// A block that came by this wire, as it came.
    #[serde(untagged)]
    Own(&'a Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ReasoningContent<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

impl WireBlock for Block<'_> {
    fn is_thinking(&self) -> bool {
        matches!(self, Self::ReasoningContent(_))
    }

    fn is_result(&self) -> bool {
        matches!(self, Self::ToolResult { .. })
    }

    fn trim_end(&mut self) {
        if let Self::Text(text) = self {
            *text = text.trim_end().to_owned().into();
        }
    }

    fn text(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> Conversation<'a> {
    /// Writes a history: neighbours of one role become one message, and one that says nothing is
    /// left out.
    pub(super) fn of(history: &'a History) -> Result<Self, ModelError> {
        let spoken = history.iter().map(|message| &**message);
        let spoken: Vec<&Message> = spoken
            .filter(|message| !message.content.is_empty())
            .collect();
        let mut writer = Writer {
            ids: CallIdentities::new(is_word, LONGEST_IDENTITY),
            names: DocumentNames::default(),
        };
        let mut conversation = Self {
            messages: Vec::with_capacity(spoken.len()),
        };
        for neighbours in spoken.chunk_by(|one, next| one.role == next.role) {
            let is_answer = neighbours.first().map(|message| message.role) == Some(Role::Assistant);
            if is_answer {
                writer.ids.begin_answer();
            }
            let mut content = Vec::new();
            for message in neighbours {
                for block in &message.content {
                    content.extend(if is_answer {
                        writer.assistant(block)
                    } else {
                        writer.user(block)?
                    });
                }
            }
            conversation.push(if is_answer { "assistant" } else { "user" }, content);
        }
        let ends_blank = spoken
            .last()
            .is_some_and(|last| last.role != Role::Assistant)
            && conversation
                .messages
                .last()
                .is_none_or(|last| last.role != "user");
        if ends_blank {
            // Left out, the answer before it would be last, for the model to go on with.
            let message = "the last message says nothing: Bedrock takes no blank prompt";
            return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
        }
        trim_last_answer(&mut conversation.messages);
        Ok(conversation)
    }

    fn push(&mut self, role: &'static str, mut content: Vec<Block<'a>>) {
        if role == "assistant" {
            drop_half_calls(&mut content);
        }
        WireMessage { role, content }.join(&mut self.messages);
        let Some(last) = self.messages.last_mut().filter(|last| last.role == "user") else {
            return;
        };
        let has = |is: fn(&Block<'_>) -> bool| last.content.iter().any(is);
        // "A text block is required with a document."
        if has(|block| matches!(block, Block::Document(_)))
            && !has(|block| matches!(block, Block::Text(_)))
        {
            last.content.push(Block::text("(See the document.)"));
        }
    }

    /// Describes the tools that the history has calls of, where no tools are offered.
    pub(super) fn described_tools(&self, known: &'a [ToolSpec]) -> Vec<WireTool<'_>> {
        let mut tools: Vec<WireTool<'_>> = Vec::new();
        for block in self.messages.iter().flat_map(|message| &message.content) {
            let name = match block {
                Block::ToolUse { name, .. } => name.as_ref(),
                // A block of the vendor's own may be a call too.
                Block::Own(own) => match own.pointer("/toolUse/name").and_then(Value::as_str) {
                    Some(name) => name,
                    None => continue,
                },
                _ => continue,
            };
            if tools.iter().any(|tool| tool.name() == name) {
                continue;
            }
            let spec = known.iter().find(|spec| spec.name == name);
            tools.push(spec.map_or_else(|| WireTool::named(name), WireTool::of));
        }
        tools
    }
}

/// The description of a tool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireTool<'a> {
    tool_spec: WireSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: WireSchema<'a>,
}

#[derive(Serialize)]
struct WireSchema<'a> {
    json: Cow<'a, Value>,
}

impl<'a> WireTool<'a> {
    pub(super) fn of(spec: &'a ToolSpec) -> Self {
        Self {
            tool_spec: WireSpec {
                name: &spec.name,
                // The vendor refuses a description that is empty.
                description: Some(&*spec.description).filter(|text| !text.trim().is_empty()),
                input_schema: WireSchema {
                    json: Cow::Borrowed(&spec.input_schema),
                },
            },
        }
    }

    fn named(name: &'a str) -> Self {
        let json = Cow::Owned(json!({"type": "object"}));
        Self {
            tool_spec: WireSpec {
                name,
                description: None,
                input_schema: WireSchema { json },
            },
        }
    }

    const fn name(&self) -> &str {
        self.tool_spec.name
    }
}

/// Takes away the vendor's own calls whose results are not there, and such results: the answer was cut
/// between them, and a call without its result is refused.
fn drop_half_calls(content: &mut Vec<Block<'_>>) {
    let ids = |content: &[Block<'_>], place: &str| -> HashSet<String> {
        let own = content.iter().filter_map(|block| match block {
            Block::Own(own) => own.pointer(place)?.as_str().map(str::to_owned),
            _ => None,
        });
        own.collect()
    };
    let calls = ids(content, CALL_IDENTITY);
    let results = ids(content, RESULT_IDENTITY);
    let is_whole = |own: &Value| {
        let id = own
            .pointer(CALL_IDENTITY)
            .or_else(|| own.pointer(RESULT_IDENTITY));
        let id = id.and_then(Value::as_str);
        id.is_none_or(|id| calls.contains(id) && results.contains(id))
    };
    content.retain(|block| !matches!(block, Block::Own(own) if !is_whole(own)));
}

/// The vendor refuses texts that are empty, or white space alone.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(text.into()))
}

/// Writes the messages of one request.
struct Writer<'a> {
    ids: CallIdentities<'a>,
    names: DocumentNames,
}

impl<'a> Writer<'a> {
    fn assistant(&mut self, block: &'a ContentBlock) -> Option<Block<'a>> {
        match block {
            ContentBlock::Text { text } | ContentBlock::Refusal { text } => text_block(text),
            ContentBlock::Reasoning(reasoning) => thinking(reasoning),
            ContentBlock::ToolUse(call) => Some(self.tool_use(call)),
            ContentBlock::Opaque { data } => data.get(OPAQUE_KEY).map(Block::Own),
            _ => None,
        }
    }

    fn tool_use(&mut self, call: &'a ToolUse) -> Block<'a> {
        Block::ToolUse {
            tool_use_id: self.ids.call(&call.id),
            name: wire_name(&call.name),
            input: as_object(&call.input),
        }
    }

    fn user(&mut self, block: &'a ContentBlock) -> Result<Option<Block<'a>>, ModelError> {
        Ok(match block {
            ContentBlock::ToolResult(result) => Some(self.tool_result(result)?),
            ContentBlock::Text { text } => text_block(text),
            ContentBlock::Image { source } => Some(Block::Image(media::image(source)?)),
            ContentBlock::Document { source, name } => {
                let name = self.names.give(name.as_deref());
                Some(Block::Document(media::document(source, name)?))
            }
            ContentBlock::Opaque { data } => data.get(OPAQUE_KEY).map(Block::Own),
            block => {
                let what = format!("{} in a user's message", block_name(block));
                return Err(unsupported(&what));
            }
        })
    }

    fn tool_result(&mut self, result: &'a ToolResult) -> Result<Block<'a>, ModelError> {
        let tool_use_id = self.ids.result(&result.id);
        let mut content = Vec::with_capacity(result.content.len());
        for block in &result.content {
            // A result stands in the history for good: an address that the vendor does not fetch
            // is told, where in a prompt it is refused.
            content.extend(match media::address_of(block) {
                Some(address) => Some(Block::Text(address.into())),
                None => self.user(block)?,
            });
        }
        if content.is_empty() {
            let said = if result.is_error {
                "failed"
            } else {
                "(nothing)"
            };
            content.push(Block::Text(said.into()));
        }
        Ok(Block::ToolResult {
            tool_use_id,
            content,
            status: result.is_error.then_some("error"),
        })
    }
}

/// Thinking goes back with its signature. That of another provider stays out, and so does what was
/// never signed: models that sign nothing do not want it back.
fn thinking(reasoning: &Reasoning) -> Option<Block<'_>> {
    let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?;
    if let Some(data) = own.get("redactedContent") {
        let data = ReasoningContent::RedactedContent(data.as_str()?);
        return Some(Block::ReasoningContent(data));
    }
    let signature = own.get("signature")?.as_str()?;
    (!signature.is_empty()).then_some(Block::ReasoningContent(ReasoningContent::ReasoningText {
        text: &reasoning.text,
        signature,
    }))
}
