//! Writing request bodies: the field that a user sets in the provider's own words wins. Which fields
//! there are is the wire's.

#[cfg(any(
    feature = "anthropic",
    feature = "bedrock",
    feature = "gemini",
    feature = "ollama"
))]
use std::borrow::Cow;

use serde::{Serialize, ser::SerializeMap};
use serde_json::{Map, Value};
#[cfg(any(feature = "ollama", feature = "openai"))]
use steadfast_core::Message;
#[cfg(any(feature = "gemini", feature = "ollama", feature = "openai"))]
use steadfast_core::ToolResult;
use steadfast_core::{ContentBlock, ModelError, ModelErrorKind};

/// What stands for a prompt where a history begins with an answer, such as a greeting: some vendors
/// want the user to begin.
#[cfg(any(feature = "anthropic", feature = "bedrock", feature = "gemini"))]
pub(crate) const NO_PROMPT: &str = "(The conversation begins with your answer.)";

/// Writes the fields of a body, except those that the user sets in the provider's own words.
pub(crate) struct Fields<'a, M> {
    map: M,
    extra: &'a Map<String, Value>,
}

impl<'a, M: SerializeMap> Fields<'a, M> {
    pub(crate) const fn new(map: M, extra: &'a Map<String, Value>) -> Self {
        Self { map, extra }
    }

    /// Writes a field that has a value.
    pub(crate) fn put<T: Serialize>(
        &mut self,
        field: &'static str,
        value: Option<T>,
    ) -> Result<(), M::Error> {
        match value {
            Some(value) if !self.extra.contains_key(field) => {
                self.map.serialize_entry(field, &value)
            }
            _ => Ok(()),
        }
    }

    /// Writes what the user set, and ends the body.
    pub(crate) fn end(mut self) -> Result<M::Ok, M::Error> {
        for (field, value) in self.extra {
            self.map.serialize_entry(field, value)?;
        }
        self.map.end()
    }
}

/// Puts the tools that a user sets in the provider's own words beside the agent's, which stand first.
/// One of the same name stands for the agent's; where the name is, `name_at` says.
#[cfg(any(feature = "anthropic", feature = "bedrock", feature = "openai"))]
pub(crate) fn tools_beside(
    own: &impl Serialize,
    given: &[Value],
    name_at: &str,
) -> Result<Value, ModelError> {
    let Value::Array(mut tools) = serde_json::to_value(own).map_err(not_json)? else {
        return Ok(given.to_vec().into());
    };
    tools.retain(|tool| {
        let name = tool.pointer(name_at);
        name.is_none() || given.iter().all(|given| given.pointer(name_at) != name)
    });
    tools.extend_from_slice(given);
    Ok(tools.into())
}

/// Writes a body as JSON.
pub(crate) fn to_json(body: &impl Serialize) -> Result<Vec<u8>, ModelError> {
    serde_json::to_vec(body).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> ModelError {
    let message = "the request cannot be written as JSON";
    ModelError::new(ModelErrorKind::InvalidRequest, message).with_source(error)
}

/// Writes arguments as JSON in a text, as OpenAI's wires have them. It is always valid, and an object
/// or `null`: some servers parse it when it comes back.
#[cfg(feature = "openai")]
pub(crate) fn arguments_text(input: &Value) -> String {
    match input {
        // `null` is how some models write "no arguments", and their servers know it.
        Value::Object(_) | Value::Null => input.to_string(),
        // What the model wrote instead is told in the result of the call.
        _ => "{}".to_owned(),
    }
}

/// Writes bytes in base64 as an address that holds them.
#[cfg(feature = "openai")]
pub(crate) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// Wraps arguments that are no object, for wires that take nothing else. No arguments are an empty
/// one.
#[cfg(any(
    feature = "anthropic",
    feature = "bedrock",
    feature = "gemini",
    feature = "ollama"
))]
pub(crate) fn as_object(input: &Value) -> Cow<'_, Map<String, Value>> {
    match input {
        Value::Object(object) => Cow::Borrowed(object),
        Value::Null => Cow::Owned(Map::new()),
        other => Cow::Owned(Map::from_iter([("input".to_owned(), other.clone())])),
    }
}

/// Returns what a user says in a message, for wires where results stand apart. Blocks of a provider's
/// own mean nothing there.
#[cfg(any(feature = "ollama", feature = "openai"))]
pub(crate) fn said_by_user(message: &Message) -> Vec<&ContentBlock> {
    let is_said = |block: &&ContentBlock| {
        !matches!(
            block,
            ContentBlock::ToolResult(_) | ContentBlock::Opaque { .. }
        )
    };
    message.content.iter().filter(is_said).collect()
}

/// Returns what of a tool's result is not text, and a sentence to put before it: some wires take texts
/// alone in a result, and media beside it.
#[cfg(any(feature = "gemini", feature = "ollama", feature = "openai"))]
pub(crate) fn media_of(result: &ToolResult) -> Option<(String, Vec<&ContentBlock>)> {
    let is_media = |block: &&ContentBlock| {
        !matches!(
            block,
            ContentBlock::Text { .. } | ContentBlock::Opaque { .. }
        )
    };
    let media: Vec<&ContentBlock> = result.content.iter().filter(is_media).collect();
    let from = || format!("From the tool `{}`:", result.name);
    (!media.is_empty()).then(|| (from(), media))
}

/// Says that a wire cannot carry something.
pub(crate) fn unsupported_by(wire: &str, what: &str) -> ModelError {
    let message = format!("the {wire} wire does not take {what}");
    ModelError::new(ModelErrorKind::Unsupported, message)
}

/// Returns what a block is called, for errors.
pub(crate) const fn block_name(block: &ContentBlock) -> &'static str {
    match block {
        ContentBlock::Text { .. } => "a text",
        ContentBlock::Refusal { .. } => "a refusal",
        ContentBlock::Reasoning(_) => "reasoning",
        ContentBlock::ToolUse(_) => "a tool call",
        ContentBlock::ToolResult(_) => "a tool result",
        ContentBlock::Image { .. } => "an image",
        ContentBlock::Document { .. } => "a document",
        ContentBlock::Opaque { .. } => "a block of a provider's own",
        _ => "a block of this kind",
    }
}
