//! The request of Converse: from a history to the body that Bedrock documents. The SDK signs it and
//! sends it; its own writer is passed over.

mod blocks;
mod media;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_core::{ModelError, ModelRequest, ModelSettings, ToolChoice, ToolSpec};

use crate::{
    block_messages::answers_without_thinking,
    request_body::{Fields, to_json, unsupported_by},
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
    to_json(&Body {
        system: request.system(),
        tools: request.tools(),
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
    tools: &'a [ToolSpec],
    conversation: Conversation<'a>,
    settings: &'a ModelSettings,
    /// What the user set in the vendor's own words.
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
        fields.put("toolConfig", self.tool_config())?;
        fields.end()
    }
}

impl Body<'_> {
    fn tool_config(&self) -> Option<Value> {
        let choice = self.settings.tool_choice.as_ref();
        // The wire has no word for a choice of none: without tools there is nothing to choose.
        let offered = if choice == Some(&ToolChoice::None) {
            &[]
        } else {
            self.tools
        };
        if !offered.is_empty() {
            let tools: Vec<_> = offered.iter().map(WireTool::of).collect();
            let mut config = json!({ "tools": tools });
            if let (Some(choice), Some(config)) =
                (choice.and_then(tool_choice), config.as_object_mut())
            {
                config.insert("toolChoice".to_owned(), choice);
            }
            return Some(config);
        }
        // A history with calls and results is refused without a description of tools.
        let tools = self.conversation.described_tools(self.tools);
        (!tools.is_empty()).then(|| json!({ "tools": tools }))
    }
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
