//! The request of Gemini's wire: from a history to the body that Google documents.

mod contents;
mod parts;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use crate::request_body::{Fields, to_json};
use contents::{Content, contents};

/// Under this key opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "gemini";

/// What a signature that stands behind a block belongs to: this where it is a call, or so many bytes
/// of text.
pub(super) const SIGNS: &str = "signs";
pub(super) const CALL: &str = "call";

pub(super) const SIGNATURE: &str = "thoughtSignature";

/// How the identities of calls begin that came without one. They are not sent back.
pub(super) const MADE_UP: &str = "unnumbered_";

/// Writes the body of a request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let settings = request.settings();
    let mut extra = Cow::Borrowed(&settings.extra);
    for (field, own) in [
        ("generationConfig", generation_config(settings)),
        ("toolConfig", tool_config(settings, request.tools())),
    ] {
        merge(&mut extra, field, own);
    }
    let tools = tools(request.tools());
    if let (Some(declared), Some(Value::Array(given))) = (&tools, settings.extra.get("tools")) {
        let both = given.iter().chain([declared]).cloned().collect();
        extra.to_mut().insert("tools".to_owned(), both);
    }
    to_json(&Body {
        system: request.system(),
        contents: contents(model, request.history())?,
        tools: tools.map(|declared| [declared]),
        extra,
    })
}

/// Adds what the settings say to a field of the vendor's own; what the user wrote there wins.
fn merge(extra: &mut Cow<'_, Map<String, Value>>, field: &str, own: Map<String, Value>) {
    if own.is_empty() {
        return;
    }
    match extra.to_mut().get_mut(field) {
        Some(Value::Object(given)) => {
            for (name, value) in own {
                given.entry(name).or_insert(value);
            }
        }
        Some(_) => {}
        None => {
            extra.to_mut().insert(field.to_owned(), own.into());
        }
    }
}

fn generation_config(settings: &ModelSettings) -> Map<String, Value> {
    let mut config = Map::new();
    let mut put = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(field.to_owned(), value);
        }
    };
    put("maxOutputTokens", settings.max_tokens.map(Value::from));
    put("temperature", settings.temperature.map(Value::from));
    put("topP", settings.top_p.map(Value::from));
    let stop = &settings.stop_sequences;
    put("stopSequences", (!stop.is_empty()).then(|| json!(stop)));
    config
}

fn tool_config(settings: &ModelSettings, tools: &[ToolSpec]) -> Map<String, Value> {
    let config = match settings.tool_choice.as_ref().filter(|_| !tools.is_empty()) {
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Tool(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        _ => return Map::new(),
    };
    Map::from_iter([("functionCallingConfig".to_owned(), config)])
}

fn tools(tools: &[ToolSpec]) -> Option<Value> {
    let declare = |tool: &ToolSpec| {
        let mut declaration = json!({"name": tool.name, "parametersJsonSchema": tool.input_schema});
        if let Some(declaration) = declaration
            .as_object_mut()
            .filter(|_| !tool.description.is_empty())
        {
            declaration.insert("description".to_owned(), json!(tool.description));
        }
        declaration
    };
    let declarations: Vec<Value> = tools.iter().map(declare).collect();
    (!tools.is_empty()).then(|| json!({"functionDeclarations": declarations}))
}

struct Body<'a> {
    system: Option<&'a str>,
    contents: Vec<Content<'a>>,
    tools: Option<[Value; 1]>,
    /// What the user set in the vendor's own words, with what the settings add to it.
    extra: Cow<'a, Map<String, Value>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.extra);
        let system = self.system.filter(|text| !text.is_empty());
        let system = system.map(|text| json!({"parts": [{"text": text}]}));
        fields.put("systemInstruction", system)?;
        fields.put("contents", Some(&self.contents))?;
        fields.put("tools", self.tools.as_ref())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests;
