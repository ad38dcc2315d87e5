//! The request of the chat wire: from a history to the body that OpenAI documents.

mod messages;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use super::dialect::Dialect;
use crate::request_body::{Fields, to_json};
use messages::WireMessage;

/// Under this key a reasoning block's opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "openai_chat";

/// Writes the body of a request to a model at a host.
pub(super) fn body(
    dialect: Dialect,
    model: &str,
    host: &str,
    request: &ModelRequest,
) -> Result<Vec<u8>, ModelError> {
    let body = Body {
        dialect,
        model,
        messages: messages::write(dialect, host, request)?,
        tools: request.tools(),
        settings: request.settings(),
    };
    to_json(&body)
}

struct Body<'a> {
    dialect: Dialect,
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
        let usage = self.dialect.asks_for_usage();
        let usage = usage.then(|| json!({"include_usage": true}));
        fields.put("stream_options", usage)?;
        let output_limit = self.dialect.output_limit_field(self.model);
        fields.put(output_limit, settings.max_tokens)?;
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

#[cfg(test)]
mod tests;
