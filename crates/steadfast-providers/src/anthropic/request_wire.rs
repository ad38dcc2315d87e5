//! The request of the messages wire: from a history to the body that Anthropic documents.

mod blocks;
mod output_limit;
mod server_calls;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use crate::{
    block_messages::answers_without_thinking,
    request_body::{Fields, to_json, tools_beside},
};
use blocks::{WireMessage, messages};
use output_limit::output_limit;

/// Under this key opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "anthropic";

/// Writes the body of a request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let messages = messages(model, request.history())?;
    let settings = request.settings();
    let mut extra = Cow::Borrowed(&settings.extra);
    let thinking = extra
        .get("thinking")
        .and_then(|thinking| thinking.get("type"));
    if thinking == Some(&json!("enabled")) && answers_without_thinking(&messages) {
        extra.to_mut().remove("thinking");
    }
    if let Some(Value::Array(given)) = settings.extra.get("tools") {
        let tools = tools_beside(&wire_tools(request.tools()), given, "/name")?;
        extra.to_mut().insert("tools".to_owned(), tools);
    }
    to_json(&Body {
        model,
        system: request.system(),
        messages,
        tools: request.tools(),
        settings,
        extra,
    })
}

struct Body<'a> {
    model: &'a str,
    system: Option<&'a str>,
    messages: Vec<WireMessage<'a>>,
    tools: &'a [ToolSpec],
    settings: &'a ModelSettings,
    /// What the user set in the vendor's own words, as far as this history allows it.
    extra: Cow<'a, Map<String, Value>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = self.settings;
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.extra);
        fields.put("model", Some(self.model))?;
        let limit = settings.max_tokens;
        fields.put(
            "max_tokens",
            limit.or_else(|| Some(output_limit(self.model))),
        )?;
        // The vendor refuses an empty text wherever it stands.
        fields.put("system", self.system.filter(|text| !text.trim().is_empty()))?;
        fields.put("messages", Some(&self.messages))?;
        fields.put("stream", Some(true))?;
        fields.put("temperature", settings.temperature)?;
        fields.put("top_p", settings.top_p)?;
        let stop = Some(&settings.stop_sequences).filter(|stop| !stop.is_empty());
        fields.put("stop_sequences", stop)?;
        if !self.tools.is_empty() {
            fields.put("tools", Some(wire_tools(self.tools)))?;
            let choice = settings.tool_choice.as_ref().and_then(tool_choice);
            fields.put("tool_choice", choice)?;
        }
        fields.end()
    }
}

fn wire_tools(tools: &[ToolSpec]) -> Vec<WireTool<'_>> {
    tools.iter().map(WireTool::new).collect()
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => Some(json!({"type": "auto"})),
        ToolChoice::None => Some(json!({"type": "none"})),
        ToolChoice::Required => Some(json!({"type": "any"})),
        ToolChoice::Tool(name) => Some(json!({"type": "tool", "name": name})),
        _ => None,
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a Value,
}

impl<'a> WireTool<'a> {
    fn new(spec: &'a ToolSpec) -> Self {
        Self {
            name: &spec.name,
            description: &spec.description,
            input_schema: &spec.input_schema,
        }
    }
}

#[cfg(test)]
mod tests;
