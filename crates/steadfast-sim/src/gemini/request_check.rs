//! What Gemini refuses in a request before it looks at the conversation.
//!
//! Fields that are not known here are not refused, though the vendor's proto has no others.

use serde_json::Value;

use super::{history_check, request};
use crate::conversation::list;

/// The most characters that the name of a function may have.
const LONGEST_NAME: usize = 128;

/// Refuses a request that Gemini would refuse, with the first thing that is wrong.
pub(super) fn check(body: &Value, model: &str) -> Result<(), String> {
    if !body.is_object() {
        return Err("Invalid JSON payload received. Unexpected token.".to_owned());
    }
    let contents = match body.get("contents") {
        Some(Value::Array(contents)) if !contents.is_empty() => contents,
        Some(Value::Array(_) | Value::Null) | None => {
            return Err("* GenerateContentRequest.contents: contents is not specified".to_owned());
        }
        Some(_) => {
            return Err(format!(
                "Invalid value at 'contents': {}",
                kind(body.get("contents"))
            ));
        }
    };
    settings(body)?;
    tools(body)?;
    history_check::check(contents, model)
}

fn settings(body: &Value) -> Result<(), String> {
    let config = |field: &str| {
        let value = body.pointer(&format!("/generationConfig/{field}"));
        value.filter(|value| !value.is_null())
    };
    for (field, most) in [("temperature", 2.0), ("topP", 1.0)] {
        let Some(value) = config(field) else {
            continue;
        };
        let number = value.as_f64().ok_or_else(|| invalid(field, value))?;
        if !(0.0..=most).contains(&number) {
            return Err(format!(
                "* GenerateContentRequest.generation_config.{field}: {field} must be in the range \
                 [0.0, {most:.1}]."
            ));
        }
    }
    if let Some(limit) = config("maxOutputTokens") {
        let number = limit
            .as_u64()
            .ok_or_else(|| invalid("max_output_tokens", limit))?;
        if number == 0 {
            return Err(
                "* GenerateContentRequest.generation_config.max_output_tokens: \
                        max_output_tokens must be positive."
                    .to_owned(),
            );
        }
    }
    match config("stopSequences") {
        Some(Value::Array(texts)) if texts.len() > 5 => Err(
            "* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences \
             are allowed."
                .to_owned(),
        ),
        Some(Value::Array(_)) | None => Ok(()),
        Some(other) => Err(invalid("stop_sequences", other)),
    }
}

fn invalid(field: &str, value: &Value) -> String {
    format!("Invalid value at 'generation_config.{field}': {value}")
}

fn tools(body: &Value) -> Result<(), String> {
    for (tool, entry) in list(body, "tools").iter().enumerate() {
        for (place, declaration) in list(entry, "functionDeclarations").iter().enumerate() {
            let at = format!("GenerateContentRequest.tools[{tool}].function_declarations[{place}]");
            let name = declaration.get("name").and_then(Value::as_str);
            check_name(
                &format!("{at}.name"),
                name.unwrap_or_default(),
                LONGEST_NAME,
            )?;
            let both = ["parameters", "parametersJsonSchema"].map(|field| declaration.get(field));
            if let [Some(_), Some(_)] = both {
                return Err(format!(
                    "* {at}: only one of parameters and parameters_json_schema may be set"
                ));
            }
        }
    }
    let names: Vec<&str> = request::tools(body).iter().map(|tool| tool.name).collect();
    for (place, name) in names.iter().enumerate() {
        if names.iter().take(place).any(|before| before == name) {
            return Err(format!("Duplicate function declaration found: {name}"));
        }
    }
    let allowed = "/toolConfig/functionCallingConfig/allowedFunctionNames";
    let allowed = body.pointer(allowed).and_then(Value::as_array);
    let unknown = allowed.into_iter().flatten().filter_map(Value::as_str);
    match unknown.into_iter().find(|name| !names.contains(name)) {
        Some(name) => Err(format!(
            "Function calling config: allowed function `{name}` is not declared"
        )),
        None => Ok(()),
    }
}

/// Refuses a name that no function has.
pub(super) fn check_name(at: &str, name: &str, longest: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("* {at}: Name cannot be empty."));
    }
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if begins && name.len() <= longest && name.chars().all(is_taken) {
        return Ok(());
    }
    Err(format!(
        "* {at}: Invalid function name. Must start with a letter or an underscore. Must be \
         alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:) or dashes (-), with a \
         maximum length of {longest}."
    ))
}

fn kind(value: Option<&Value>) -> String {
    value.map(Value::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(changes: Value) -> Value {
        let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    }

    fn declared(names: &[&str]) -> Value {
        let declarations: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!([{"functionDeclarations": declarations}, {"googleSearch": {}}])
    }

    #[test]
    fn requests_that_are_right_pass() {
        for changes in [
            json!({}),
            json!({"generationConfig": null, "tools": null, "toolConfig": null}),
            json!({"generationConfig": {"temperature": 2, "topP": 1.0, "maxOutputTokens": 1,
                                        "stopSequences": ["a"], "thinkingConfig": {}}}),
            json!({"tools": declared(&["f", "a.b:c-1"])}),
            json!({"somethingNew": 1}),
        ] {
            assert_eq!(check(&with(changes.clone()), "m"), Ok(()), "{changes}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (changes, expected) in [
            (json!({"contents": []}), "contents is not specified"),
            (json!({"contents": null}), "contents is not specified"),
            (json!({"contents": "Hi"}), "Invalid value at 'contents'"),
            (
                json!({"generationConfig": {"temperature": 2.1}}),
                "temperature must be in the range",
            ),
            (
                json!({"generationConfig": {"topP": "x"}}),
                "Invalid value at",
            ),
            (
                json!({"generationConfig": {"maxOutputTokens": 0}}),
                "must be positive",
            ),
            (
                json!({"generationConfig": {"stopSequences": "x"}}),
                "Invalid value at",
            ),
            (
                json!({"generationConfig": {"stopSequences": ["", "", "", "", "", ""]}}),
                "at most 5",
            ),
            (json!({"tools": declared(&[""])}), "Name cannot be empty"),
            (
                json!({"tools": declared(&["a b"])}),
                "Invalid function name",
            ),
            (json!({"tools": declared(&["1a"])}), "Invalid function name"),
            (
                json!({"tools": declared(&["a", "a"])}),
                "Duplicate function declaration",
            ),
            (
                json!({"tools": [{"functionDeclarations": [
                    {"name": "a", "parameters": {}, "parametersJsonSchema": {}}]}]}),
                "only one of parameters",
            ),
            (
                json!({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}}}),
                "`x` is not declared",
            ),
        ] {
            let error = check(&with(changes.clone()), "m").unwrap_err();

            assert!(error.contains(expected), "{changes}: {error}");
        }
    }
}
