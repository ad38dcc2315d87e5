//! The request of Converse: from a history to the body that Bedrock documents. The SDK signs it and
//! sends it; its own writer is passed over.

mod blocks;
mod media;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice};

use crate::{
    block_messages::answers_without_thinking,
    request_body::{Fields, to_json, tools_beside, unsupported_by},
};
use blocks::{Conversation, WireTool};

/// Under this key opaque data holds what this wire put there.
pub(super) const OPAQUE_KEY: &str = "bedrock";

/// The fields of the body. What else a user sets is the model's own and goes a level deeper.
const FIELDS: [&str; 12] = [
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "inferenceConfig",
    "messages",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "system",
    "toolConfig",
];

/// Where tools stand, and the choice among them.
const TOOL_CONFIG: &str = "toolConfig";
const TOOLS: &str = "tools";

/// Where fields go that only the model knows.
const MODEL_FIELDS: &str = "additionalModelRequestFields";

/// Writes the body of a request.
pub(super) fn body(request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let conversation = Conversation::of(request.history())?;
    let settings = request.settings();
    let mut extra = fields_of_the_vendor(&settings.extra);
    if answers_without_thinking(&conversation.messages)
        && let Some(Value::Object(own)) = extra.get_mut(MODEL_FIELDS)
        && own
            .get("thinking")
            .and_then(|thinking| thinking.get("type"))
            == Some(&json!("enabled"))
    {
        own.remove("thinking");
    }
    if let Some(config) = tool_config(request, &conversation) {
        merge_tool_config(&mut extra, config)?;
    }
    to_json(&Body {
        system: request.system(),
        conversation,
        settings,
        extra,
    })
}

/// Sorts what a user set in the vendor's own words: fields of the wire, and fields of the model.
fn fields_of_the_vendor(extra: &Map<String, Value>) -> Map<String, Value> {
    let mut sorted = Map::new();
    let mut own = Map::new();
    for (field, value) in extra {
        if FIELDS.contains(&field.as_str()) {
            sorted.insert(field.clone(), value.clone());
        } else {
            own.insert(field.clone(), value.clone());
        }
    }
    if own.is_empty() {
        return sorted;
    }
    match sorted.get_mut(MODEL_FIELDS) {
        Some(Value::Object(fields)) => fields.extend(own),
        _ => drop(sorted.insert(MODEL_FIELDS.to_owned(), own.into())),
    }
    sorted
}

/// Says that this wire cannot carry something.
fn unsupported(what: &str) -> ModelError {
    unsupported_by("Converse", what)
}

struct Body<'a> {
    system: Option<&'a str>,
    conversation: Conversation<'a>,
    settings: &'a ModelSettings,
    /// What the user set in the vendor's own words, and the tools.
    extra: Map<String, Value>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.extra);
        fields.put("messages", Some(&self.conversation.messages))?;
        // The vendor refuses a blank text wherever it stands.
        let system = self.system.filter(|text| !text.trim().is_empty());
        fields.put("system", system.map(|text| json!([{ "text": text }])))?;
        fields.put("inferenceConfig", InferenceConfig::of(self.settings))?;
        fields.end()
    }
}

/// Writes the tools that a request offers, and which of them the model may choose.
fn tool_config(
    request: &ModelRequest,
    conversation: &Conversation<'_>,
) -> Option<Map<String, Value>> {
    let choice = request.settings().tool_choice.as_ref();
    // The wire has no word for a choice of none: without tools there is nothing to choose.
    let offered = if choice == Some(&ToolChoice::None) {
        &[]
    } else {
        request.tools()
    };
    let mut config = Map::new();
    if offered.is_empty() {
        // A history with calls and results is refused without a description of tools.
        let tools = conversation.described_tools(request.tools());
        if tools.is_empty() {
            return None;
        }
        config.insert(TOOLS.to_owned(), json!(tools));
        return Some(config);
    }
    let tools: Vec<_> = offered.iter().map(WireTool::of).collect();
    config.insert(TOOLS.to_owned(), json!(tools));
    if let Some(choice) = choice.and_then(tool_choice) {
        config.insert("toolChoice".to_owned(), choice);
    }
    Some(config)
}

/// Adds the agent's tools to those that the user set in the vendor's own words. A point to cache at
/// stands behind all tools, so the agent's come first.
fn merge_tool_config(
    extra: &mut Map<String, Value>,
    own: Map<String, Value>,
) -> Result<(), ModelError> {
    let given = extra
        .entry(TOOL_CONFIG)
        .or_insert_with(|| Map::new().into());
    let Value::Object(given) = given else {
        return Ok(());
    };
    for (field, value) in own {
        match given.get_mut(&field) {
            Some(Value::Array(tools)) if field == TOOLS => {
                let both = tools_beside(&value, tools, "/toolSpec/name")?;
                given.insert(field, both);
            }
            Some(_) => {}
            None => drop(given.insert(field, value)),
        }
    }
    Ok(())
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => Some(json!({"auto": {}})),
        ToolChoice::Required => Some(json!({"any": {}})),
        ToolChoice::Tool(name) => Some(json!({"tool": {"name": name}})),
        _ => None,
    }
}

struct InferenceConfig<'a>(&'a ModelSettings);

impl<'a> InferenceConfig<'a> {
    fn of(settings: &'a ModelSettings) -> Option<Self> {
        let is_set = settings.max_tokens.is_some()
            || settings.temperature.is_some()
            || settings.top_p.is_some()
            || !settings.stop_sequences.is_empty();
        is_set.then_some(Self(settings))
    }
}

impl Serialize for InferenceConfig<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(limit) = settings.max_tokens {
            map.serialize_entry("maxTokens", &limit)?;
        }
        if let Some(temperature) = settings.temperature {
            map.serialize_entry("temperature", &temperature)?;
        }
        if let Some(share) = settings.top_p {
            map.serialize_entry("topP", &share)?;
        }
        if !settings.stop_sequences.is_empty() {
            map.serialize_entry("stopSequences", &settings.stop_sequences)?;
        }
        map.end()
    }
}
