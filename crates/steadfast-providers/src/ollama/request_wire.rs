//! The request of Ollama's wire: from a history to the body that Ollama documents.

mod messages;
mod tools;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use crate::request_body::{Fields, to_json, unsupported_by};
use messages::{WireMessage, messages};
use tools::WireTool;

/// Under this key opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "ollama";

/// Writes the body of a request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let settings = request.settings();
    let tools = match settings.tool_choice {
        // The wire knows no choice; a tool that is not told of is not called.
        Some(ToolChoice::None) => Default::default(),
        Some(ToolChoice::Required | ToolChoice::Tool(_)) => {
            return Err(unsupported("a tool call that is required"));
        }
        _ => request.tools(),
    };
    let (options, extra) = options(settings);
    to_json(&Body {
        model,
        messages: messages(request)?,
        tools,
        options,
        extra,
    })
}

struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    tools: &'a [ToolSpec],
    options: Map<String, Value>,
    /// What the user set in the vendor's own words, beside the options.
    extra: Cow<'a, Map<String, Value>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.extra);
        fields.put("model", Some(self.model))?;
        fields.put("messages", Some(&self.messages))?;
        fields.put("stream", Some(true))?;
        if !self.tools.is_empty() {
            let tools: Vec<_> = self.tools.iter().map(WireTool::new).collect();
            fields.put("tools", Some(tools))?;
        }
        let options = Some(&self.options).filter(|options| !options.is_empty());
        fields.put("options", options)?;
        fields.end()
    }
}

/// Joins the settings with the options that the user set in the vendor's own words, which win one by
/// one: `num_ctx` has no setting, and is no reason to lose the temperature.
fn options(settings: &ModelSettings) -> (Map<String, Value>, Cow<'_, Map<String, Value>>) {
    let mut options = Map::new();
    let stop = Some(&settings.stop_sequences).filter(|stop| !stop.is_empty());
    for (name, value) in [
        (
            "temperature",
            settings.temperature.map(|value| json!(value)),
        ),
        ("top_p", settings.top_p.map(|value| json!(value))),
        ("num_predict", settings.max_tokens.map(|value| json!(value))),
        ("stop", stop.map(|value| json!(value))),
    ] {
        if let Some(value) = value {
            options.insert(name.to_owned(), value);
        }
    }
    let mut extra = Cow::Borrowed(&settings.extra);
    if let Some(Value::Object(own)) = settings.extra.get("options") {
        options.extend(own.clone());
        extra.to_mut().remove("options");
    }
    (options, extra)
}

fn unsupported(what: &str) -> ModelError {
    unsupported_by("Ollama", what)
}

#[cfg(test)]
mod tests;
