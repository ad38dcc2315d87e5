//! Tools, as Ollama takes them: functions with a schema that its server reads into types of its own.
//! What a schema means is not looked at.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use steadfast_core::ToolSpec;

#[derive(Serialize)]
pub(super) struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: Cow<'a, Value>,
}

impl<'a> WireTool<'a> {
    pub(super) fn new(spec: &'a ToolSpec) -> Self {
        let schema = &spec.input_schema;
        Self {
            kind: "function",
            function: Function {
                name: &spec.name,
                description: &spec.description,
                parameters: if has_boolean(schema) {
                    Cow::Owned(without_booleans(schema))
                } else {
                    Cow::Borrowed(schema)
                },
            },
        }
    }
}

/// Returns the schemas that the server reads one by one: of properties, and of alternatives.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let properties = properties.into_iter().flat_map(|map| map.values());
    properties.chain(alternatives.into_iter().flatten())
}

/// Returns whether a part of a schema is `true`, which allows anything, or `false`, which allows
/// nothing: the server takes objects alone, and refuses the request for it.
fn has_boolean(schema: &Value) -> bool {
    parts(schema).any(|part| part.is_boolean() || has_boolean(part))
}

/// Writes what allows anything as an empty object, which means the same, and leaves out what allows
/// nothing: a property that must not be there, an alternative that never fits.
fn without_booleans(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let replace = |part: &mut Value| {
        *part = if part.is_boolean() {
            json!({})
        } else {
            without_booleans(part)
        };
    };
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|_, part| *part != false);
        properties.values_mut().for_each(replace);
    }
    if let Some(alternatives) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        alternatives.retain(|part| *part != false);
        alternatives.iter_mut().for_each(replace);
    }
    schema
}
