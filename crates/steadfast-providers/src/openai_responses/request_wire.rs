//! The request of the responses wire: from a history to the body that OpenAI documents.

mod items;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use crate::request_body::{Fields, to_json, tools_beside, unsupported_by};
use items::{Item, items};

/// Under this key opaque data holds what this wire put there: an item as it came, or what is to stand
/// beside the text that follows.
pub(super) const OPAQUE_KEY: &str = "openai_responses";

/// Thoughts that are to come in a form in which they can go back.
const ENCRYPTED_THOUGHTS: &str = "reasoning.encrypted_content";

/// Writes the body of a request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let settings = request.settings();
    if !settings.stop_sequences.is_empty() {
        return Err(unsupported("stop sequences"));
    }
    let mut extra = Cow::Borrowed(&settings.extra);
    if let Some(Value::Array(given)) = settings.extra.get("tools") {
        let tools = tools_beside(&wire_tools(request.tools()), given, "/name")?;
        extra.to_mut().insert("tools".to_owned(), tools);
    }
    let is_stored = settings.extra.get("store") == Some(&Value::Bool(true));
    to_json(&Body {
        model,
        instructions: request.system(),
        input: items(request.history(), is_stored)?,
        tools: request.tools(),
        settings,
        extra,
    })
}

struct Body<'a> {
    model: &'a str,
    instructions: Option<&'a str>,
    input: Vec<Item<'a>>,
    tools: &'a [ToolSpec],
    settings: &'a ModelSettings,
    /// What the user set in the vendor's own words, with the agent's tools beside those set there.
    extra: Cow<'a, Map<String, Value>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = self.settings;
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.extra);
        fields.put("model", Some(self.model))?;
        fields.put("instructions", self.instructions)?;
        fields.put("input", Some(&self.input))?;
        fields.put("stream", Some(true))?;
        fields.put("store", Some(false))?;
        fields.put(
            "include",
            has_thoughts(self.model).then_some([ENCRYPTED_THOUGHTS]),
        )?;
        fields.put("max_output_tokens", settings.max_tokens)?;
        fields.put("temperature", settings.temperature)?;
        fields.put("top_p", settings.top_p)?;
        if !self.tools.is_empty() {
            fields.put("tools", Some(wire_tools(self.tools)))?;
            let choice = settings.tool_choice.as_ref().and_then(tool_choice);
            fields.put("tool_choice", choice)?;
        }
        fields.end()
    }
}

/// Returns whether a model may be asked for its thoughts. OpenAI's models that have none refuse this:
/// "Encrypted content is not supported with this model."
fn has_thoughts(model: &str) -> bool {
    // A router's prefix, and that of a tuned model.
    let model = model.rsplit('/').next().unwrap_or_default();
    let model = model.strip_prefix("ft:").unwrap_or(model);
    let is_older = ["gpt-3", "gpt-4", "chatgpt-"]
        .iter()
        .any(|family| model.starts_with(family));
    let is_for_chats = model.starts_with("gpt-5") && model.contains("-chat");
    !(is_older || is_for_chats)
}

fn wire_tools(tools: &[ToolSpec]) -> Vec<WireTool<'_>> {
    tools.iter().map(WireTool::new).collect()
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => Some(json!("auto")),
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Tool(name) => Some(json!({"type": "function", "name": name})),
        _ => None,
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a Value,
    /// Left out, the vendor takes it for true, and makes every optional argument required.
    strict: bool,
}

impl<'a> WireTool<'a> {
    fn new(spec: &'a ToolSpec) -> Self {
        Self {
            kind: "function",
            name: &spec.name,
            description: &spec.description,
            parameters: &spec.input_schema,
            strict: false,
        }
    }
}

fn unsupported(what: &str) -> ModelError {
    unsupported_by("responses", what)
}

#[cfg(test)]
mod tests;
