//! What Ollama refuses in the form of a request: its server reads JSON into types of its own, and
//! says so where a value does not fit.
//!
//! It refuses no history: calls and results that do not belong together, identities that are
//! missing or come twice, and made-up names are the template's business, which takes them all.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// Refuses what does not fit, with the first thing that is wrong.
pub(super) fn check(body: &Value) -> Result<(), String> {
    if !body.is_object() {
        return Err(mismatch("ChatRequest", "an object", body));
    }
    is_kind(body, "ChatRequest.", "model", Kind::Text)?;
    is_kind(body, "ChatRequest.", "stream", Kind::Flag)?;
    is_kind(body, "ChatRequest.", "options", Kind::Object)?;
    for message in each(body, "ChatRequest.", "messages")? {
        check_message(message)?;
    }
    for tool in each(body, "ChatRequest.", "tools")? {
        check_tool(tool)?;
    }
    let options = body.get("options").unwrap_or(&Value::Null);
    for (option, kind, name) in [
        ("temperature", Kind::Number, "float32"),
        ("top_p", Kind::Number, "float32"),
        ("num_predict", Kind::Number, "integer"),
        ("num_ctx", Kind::Number, "integer"),
        ("stop", Kind::List, "array"),
    ] {
        if is_kind(options, "", option, kind).is_err() {
            return Err(format!("option {option:?} must be of type {name}"));
        }
    }
    Ok(())
}

fn check_message(message: &Value) -> Result<(), String> {
    let at = "ChatRequest.messages.";
    for field in ["role", "content", "thinking", "tool_name", "tool_call_id"] {
        is_kind(message, at, field, Kind::Text)?;
    }
    for image in each(message, at, "images")? {
        let text = image.as_str().unwrap_or("?");
        if BASE64_STANDARD.decode(text).is_err() {
            return Err("illegal base64 data at input byte 0".to_owned());
        }
    }
    for call in each(message, at, "tool_calls")? {
        let at = "ChatRequest.messages.tool_calls.";
        is_kind(call, at, "id", Kind::Text)?;
        is_kind(call, at, "function", Kind::Object)?;
        let function = call.get("function").unwrap_or(&Value::Null);
        let at = "ChatRequest.messages.tool_calls.function.";
        is_kind(function, at, "name", Kind::Text)?;
        is_kind(function, at, "arguments", Kind::Object)?;
    }
    Ok(())
}

fn check_tool(tool: &Value) -> Result<(), String> {
    let at = "ChatRequest.tools.function.";
    is_kind(tool, "ChatRequest.tools.", "function", Kind::Object)?;
    let function = tool.get("function").unwrap_or(&Value::Null);
    is_kind(function, at, "name", Kind::Text)?;
    is_kind(function, at, "parameters", Kind::Object)?;
    let parameters = function.get("parameters").unwrap_or(&Value::Null);
    let at = "ChatRequest.tools.function.parameters.";
    is_kind(parameters, at, "type", Kind::Text)?;
    is_kind(parameters, at, "properties", Kind::Object)?;
    properties(at, parameters)
}

/// Looks at the properties of a schema, which the server reads into one type at every depth.
fn properties(at: &str, schema: &Value) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        property(&format!("{at}properties.{name}"), schema)?;
    }
    Ok(())
}

fn property(place: &str, schema: &Value) -> Result<(), String> {
    if !schema.is_object() {
        return Err(mismatch(place, "api.ToolProperty", schema));
    }
    let at = format!("{place}.");
    is_kind(schema, &at, "properties", Kind::Object)?;
    is_kind(schema, &at, "anyOf", Kind::List)?;
    properties(&at, schema)?;
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    for alternative in alternatives.into_iter().flatten() {
        property(&format!("{at}anyOf"), alternative)?;
    }
    Ok(())
}

/// What a field is read into. Null fits everywhere.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number,
    List,
    Object,
}

fn is_kind(value: &Value, at: &str, field: &str, kind: Kind) -> Result<(), String> {
    let Some(found) = value.get(field).filter(|found| !found.is_null()) else {
        return Ok(());
    };
    let (fits, name) = match kind {
        Kind::Text => (found.is_string(), "string"),
        Kind::Flag => (found.is_boolean(), "bool"),
        Kind::Number => (found.is_number(), "number"),
        Kind::List => (found.is_array(), "array"),
        Kind::Object => (found.is_object(), "object"),
    };
    if fits {
        return Ok(());
    }
    Err(mismatch(&format!("{at}{field}"), name, found))
}

/// Returns the members of a list, which are all objects or texts.
fn each<'a>(value: &'a Value, at: &str, field: &str) -> Result<&'a [Value], String> {
    is_kind(value, at, field, Kind::List)?;
    let list = value.get(field).and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let is_odd = |member: &&Value| !member.is_object() && !member.is_string();
    match list.iter().find(is_odd) {
        Some(odd) => Err(mismatch(&format!("{at}{field}"), "object", odd)),
        None => Ok(list),
    }
}

/// Says that a value does not fit, as Go does.
fn mismatch(place: &str, wanted: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {found} into Go struct field {place} of type {wanted}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_one(field: &str, value: Value, expected: Option<&str>) {
        let mut body = json!({"model": "m", "messages": []});
        body[field] = value;
        match (check(&body), expected) {
            (Ok(()), None) => {}
            (Err(said), Some(part)) => assert!(said.contains(part), "{said} should say {part}"),
            (found, expected) => panic!("{body}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let message = |field: &str, value: Value| json!([{"role": "user", field: value}]);
        let tool =
            |parameters: Value| json!([{"function": {"name": "f", "parameters": parameters}}]);
        let call = |arguments: Value| {
            json!([{"role": "assistant", "tool_calls": [
                {"function": {"name": "f", "arguments": arguments}},
            ]}])
        };
        for (field, value, expected) in [
            (
                "model",
                json!(7),
                "number into Go struct field ChatRequest.model of type string",
            ),
            (
                "messages",
                json!({}),
                "object into Go struct field ChatRequest.messages",
            ),
            (
                "messages",
                json!([7]),
                "number into Go struct field ChatRequest.messages",
            ),
            (
                "messages",
                message("content", json!([])),
                "array into Go struct field",
            ),
            (
                "messages",
                message("images", json!(["no image"])),
                "illegal base64",
            ),
            ("messages", message("images", json!([{}])), "illegal base64"),
            ("messages", call(json!("{}")), "string into Go struct field"),
            ("tools", tool(json!(true)), "bool into Go struct field"),
            (
                "tools",
                tool(json!({"properties": {"a": true}})),
                "type api.ToolProperty",
            ),
            (
                "tools",
                tool(json!({"properties": {"a": {"properties": {"b": true}}}})),
                "properties.a.properties.b of type api.ToolProperty",
            ),
            (
                "tools",
                tool(json!({"properties": {"a": {"anyOf": [{"type": "null"}, false]}}})),
                "properties.a.anyOf of type api.ToolProperty",
            ),
            (
                "options",
                json!({"temperature": "hot"}),
                "\"temperature\" must be of type float32",
            ),
            (
                "options",
                json!([]),
                "array into Go struct field ChatRequest.options",
            ),
            ("stream", json!("no"), "ChatRequest.stream of type bool"),
        ] {
            check_one(field, value, Some(expected));
        }
    }

    #[test]
    fn histories_of_any_order_are_taken() {
        check_one(
            "messages",
            json!([
                {"role": "tool", "content": "of no call"},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "a", "function": {"name": "made up", "arguments": {}}},
                    {"id": "a", "function": {"name": "", "arguments": null}},
                ]},
                {"role": "somebody", "content": null, "images": ["QQ=="]},
            ]),
            None,
        );
    }
}
