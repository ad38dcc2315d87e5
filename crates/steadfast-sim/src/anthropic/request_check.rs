//! What Anthropic refuses in a request before it looks at limits: fields that are missing, of the
//! wrong type or out of range.
//!
//! Only what clients get wrong is looked at: a field that is not known here is not refused. The
//! conversation itself is looked at in `history_check.rs`.

use serde_json::Value;

use super::block::is_thinking_enabled;
use super::history_check;
use crate::conversation::{list, string};
use crate::identifier::is_plain;

/// The version that took away what older clients may still send.
const WITHOUT_SAMPLING: &str = "2026-10-21";

/// The versions of the interface.
const VERSIONS: [&str; 3] = ["2023-01-01", "2023-06-01", WITHOUT_SAMPLING];

/// The most tokens that an answer may have, whatever the model.
const MOST_TOKENS: u64 = 128_000;

/// The least tokens that thinking may have.
const LEAST_THINKING: u64 = 1024;

/// Refuses a request with the first thing that is wrong in it.
pub(super) fn check(version: Option<&str>, body: &Value) -> Result<(), String> {
    let Some(version) = version else {
        return Err("anthropic-version: header is required".to_owned());
    };
    if !VERSIONS.contains(&version) {
        return Err(format!(
            "anthropic-version: \"{version}\" is not a valid version"
        ));
    }
    if !body.is_object() {
        return Err("body: Input should be a valid dictionary".to_owned());
    }
    let model = text(body, "model")?;
    if model.is_empty() {
        return Err("model: String should have at least 1 character".to_owned());
    }
    max_tokens(body, model)?;
    if version == WITHOUT_SAMPLING {
        removed(body)?;
    }
    for field in ["temperature", "top_p"] {
        share(body, field)?;
    }
    system(body)?;
    stop_sequences(body)?;
    tools(body)?;
    thinking(body)?;
    match body.get("messages") {
        None => Err(missing("messages")),
        Some(Value::Array(messages)) => history_check::check(messages, is_thinking_enabled(body)),
        Some(_) => Err("messages: Input should be a valid list".to_owned()),
    }
}

fn missing(field: &str) -> String {
    format!("{field}: Field required")
}

fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, String> {
    let value = body.get(field).ok_or_else(|| missing(field))?;
    let text = value.as_str();
    text.ok_or_else(|| format!("{field}: Input should be a valid string"))
}

fn max_tokens(body: &Value, model: &str) -> Result<(), String> {
    let value = body
        .get("max_tokens")
        .ok_or_else(|| missing("max_tokens"))?;
    let Some(tokens) = value.as_i64() else {
        return Err("max_tokens: Input should be a valid integer".to_owned());
    };
    match u64::try_from(tokens) {
        Ok(1..=MOST_TOKENS) => Ok(()),
        Ok(1..) => Err(format!(
            "max_tokens: {tokens} > {MOST_TOKENS}, which is the maximum allowed number of output \
             tokens for {model}"
        )),
        _ => Err("max_tokens: must be greater than or equal to 1".to_owned()),
    }
}

/// Refuses what the version of 2026 has no longer: how tokens are sampled, documents in the words
/// of the assistant, citations in those of the user.
fn removed(body: &Value) -> Result<(), String> {
    for field in ["temperature", "top_p", "top_k"] {
        if body.get(field).is_some() {
            return Err(format!("{field}: Extra inputs are not permitted"));
        }
    }
    for (index, message) in list(body, "messages").iter().enumerate() {
        for (number, block) in list(message, "content").iter().enumerate() {
            let at = format!("messages.{index}.content.{number}");
            match (string(message, "role"), string(block, "type")) {
                ("assistant", "document") => {
                    return Err(format!(
                        "{at}: `document` blocks can only be in `user` messages"
                    ));
                }
                ("user", "text") if !list(block, "citations").is_empty() => {
                    return Err(format!(
                        "{at}.text.citations: citations can only be in `assistant` messages"
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Looks at a field that is a number from 0 to 1.
fn share(body: &Value, field: &str) -> Result<(), String> {
    let Some(value) = body.get(field).filter(|value| !value.is_null()) else {
        return Ok(());
    };
    match value.as_f64() {
        Some(0.0..=1.0) => Ok(()),
        Some(_) => Err(format!("{field}: range: 0..1")),
        None => Err(format!("{field}: Input should be a valid number")),
    }
}

fn system(body: &Value) -> Result<(), String> {
    let blocks = match body.get("system") {
        None | Some(Value::String(_)) => return Ok(()),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err("system: Input should be a valid list".to_owned()),
    };
    for (index, block) in blocks.iter().enumerate() {
        if string(block, "type") != "text" {
            return Err(format!("system.{index}.type: Input should be 'text'"));
        }
        if string(block, "text").is_empty() {
            return Err("system: text content blocks must be non-empty".to_owned());
        }
    }
    Ok(())
}

fn stop_sequences(body: &Value) -> Result<(), String> {
    let blank = |sequence: &Value| sequence.as_str().is_none_or(|text| text.trim().is_empty());
    if list(body, "stop_sequences").iter().any(blank) {
        return Err("stop_sequences: each stop sequence must contain non-whitespace".to_owned());
    }
    Ok(())
}

fn tools(body: &Value) -> Result<(), String> {
    let tools = list(body, "tools");
    let mut names = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = string(tool, "name");
        if matches!(string(tool, "type"), "" | "custom") {
            custom_tool(index, tool)?;
        }
        if names.contains(&name) {
            return Err("tools: Tool names must be unique.".to_owned());
        }
        names.push(name);
    }
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else {
        return Ok(());
    };
    let name = string(choice, "name");
    match string(choice, "type") {
        "auto" | "any" | "none" | "tool" if tools.is_empty() => {
            Err("tool_choice: may only be specified while providing tools".to_owned())
        }
        "tool" if !names.contains(&name) => Err(format!(
            "tool_choice: Tool '{name}' not found in provided tools"
        )),
        "auto" | "any" | "none" | "tool" => Ok(()),
        kind => Err(format!(
            "tool_choice: Input tag '{kind}' found using 'type' does not match any of the \
             expected tags: 'auto', 'any', 'tool', 'none'"
        )),
    }
}

/// Looks at a tool that the client runs.
fn custom_tool(index: usize, tool: &Value) -> Result<(), String> {
    let at = format!("tools.{index}.custom");
    let Some(name) = tool.get("name") else {
        return Err(missing(&format!("{at}.name")));
    };
    if !name.as_str().is_some_and(is_name) {
        return Err(format!(
            "{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        ));
    }
    let Some(schema) = tool.get("input_schema") else {
        return Err(missing(&format!("{at}.input_schema")));
    };
    match schema.get("type") {
        Some(kind) if kind == "object" => Ok(()),
        Some(_) => Err(format!("{at}.input_schema.type: Input should be 'object'")),
        None => Err(missing(&format!("{at}.input_schema.type"))),
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 128 && is_plain(name)
}

/// Looks at thinking with a budget, and at what may not be asked for together with it.
fn thinking(body: &Value) -> Result<(), String> {
    if !is_thinking_enabled(body) {
        return Ok(());
    }
    let budget = body.pointer("/thinking/budget_tokens");
    let Some(budget) = budget.and_then(Value::as_u64) else {
        return Err(missing("thinking.enabled.budget_tokens"));
    };
    if budget < LEAST_THINKING {
        return Err(format!(
            "thinking.enabled.budget_tokens: Input should be greater than or equal to \
             {LEAST_THINKING}"
        ));
    }
    if body.get("max_tokens").and_then(Value::as_u64) <= Some(budget) {
        return Err("`max_tokens` must be greater than `thinking.budget_tokens`".to_owned());
    }
    let temperature = body.get("temperature").and_then(Value::as_f64);
    if temperature.is_some_and(|temperature| temperature < 1.0) {
        return Err("`temperature` may only be set to 1 when thinking is enabled".to_owned());
    }
    let choice = body.pointer("/tool_choice/type").and_then(Value::as_str);
    if matches!(choice, Some("any" | "tool")) {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const VERSION: Option<&str> = Some("2023-06-01");

    /// A request in order, with some of its fields replaced; null takes a field away.
    fn with(changes: Value) -> Value {
        let mut body = json!({
            "model": "m",
            "max_tokens": 2000,
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"name": "add", "input_schema": {"type": "object"}}],
        });
        for (field, value) in changes.as_object().unwrap() {
            if value.is_null() {
                body.as_object_mut().unwrap().remove(field);
            } else {
                body[field] = value.clone();
            }
        }
        body
    }

    #[test]
    fn requests_in_order_are_accepted() {
        let cases = [
            json!({}),
            json!({"tools": null, "temperature": 0, "top_p": 1.0, "max_tokens": 128_000}),
            json!({"system": "", "stop_sequences": ["END"], "unknown": {"field": 1}}),
            json!({"system": [{"type": "text", "text": "Be brief."}]}),
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            json!({"tool_choice": {"type": "tool", "name": "add"}}),
            json!({"thinking": {"type": "adaptive"}, "tool_choice": {"type": "any"}}),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1}),
        ];
        for changes in cases {
            assert_eq!(check(VERSION, &with(changes.clone())), Ok(()), "{changes}");
        }
    }

    #[test]
    fn mistakes_are_named_in_the_vendors_words() {
        let enabled = |budget: u64| json!({"type": "enabled", "budget_tokens": budget});
        let cases = [
            (json!({"model": null}), "model: Field required"),
            (json!({"model": 7}), "model: Input should be a valid string"),
            (
                json!({"model": ""}),
                "model: String should have at least 1 character",
            ),
            (json!({"max_tokens": null}), "max_tokens: Field required"),
            (
                json!({"max_tokens": "9"}),
                "max_tokens: Input should be a valid integer",
            ),
            (
                json!({"max_tokens": 0}),
                "max_tokens: must be greater than or equal to 1",
            ),
            (
                json!({"max_tokens": -1}),
                "max_tokens: must be greater than or equal to 1",
            ),
            (
                json!({"max_tokens": 128_001}),
                "max_tokens: 128001 > 128000, which is the maximum",
            ),
            (json!({"temperature": 1.5}), "temperature: range: 0..1"),
            (
                json!({"temperature": "hot"}),
                "temperature: Input should be a valid number",
            ),
            (json!({"top_p": -0.1}), "top_p: range: 0..1"),
            (json!({"messages": null}), "messages: Field required"),
            (
                json!({"messages": {}}),
                "messages: Input should be a valid list",
            ),
            (
                json!({"messages": []}),
                "messages: at least one message is required",
            ),
            (
                json!({"system": [{"type": "text", "text": ""}]}),
                "system: text content blocks",
            ),
            (
                json!({"system": [{"type": "image"}]}),
                "system.0.type: Input should be 'text'",
            ),
            (json!({"system": 7}), "system: Input should be a valid list"),
            (
                json!({"stop_sequences": [" "]}),
                "stop_sequences: each stop sequence must",
            ),
            (
                json!({"tools": [{"input_schema": {}}]}),
                "tools.0.custom.name: Field required",
            ),
            (
                json!({"tools": [{"name": "a b"}]}),
                "tools.0.custom.name: String should match",
            ),
            (
                json!({"tools": [{"name": "a"}]}),
                "tools.0.custom.input_schema: Field required",
            ),
            (
                json!({"tools": [{"name": "a", "input_schema": {}}]}),
                "tools.0.custom.input_schema.type: Field required",
            ),
            (
                json!({"tools": [{"name": "a", "input_schema": {"type": "string"}}]}),
                "tools.0.custom.input_schema.type: Input should be 'object'",
            ),
            (
                json!({"tools": [
                    {"name": "a", "input_schema": {"type": "object"}},
                    {"name": "a", "input_schema": {"type": "object"}},
                ]}),
                "tools: Tool names must be unique.",
            ),
            (
                json!({"tool_choice": {"type": "tool", "name": "x"}}),
                "tool_choice: Tool 'x' not",
            ),
            (
                json!({"tool_choice": {"type": "required"}}),
                "tool_choice: Input tag 'required'",
            ),
            (
                json!({"tools": null, "tool_choice": {"type": "auto"}}),
                "tool_choice: may only be specified",
            ),
            (
                json!({"thinking": {"type": "enabled"}}),
                "thinking.enabled.budget_tokens: Field required",
            ),
            (
                json!({"thinking": enabled(1023)}),
                "thinking.enabled.budget_tokens: Input should be greater",
            ),
            (
                json!({"thinking": enabled(2000)}),
                "`max_tokens` must be greater than `thinking",
            ),
            (
                json!({"thinking": enabled(1024), "temperature": 0.5}),
                "`temperature` may only be set to 1",
            ),
            (
                json!({"thinking": enabled(1024), "tool_choice": {"type": "any"}}),
                "Thinking may not be enabled when tool_choice",
            ),
        ];
        for (changes, expected) in cases {
            let error = check(VERSION, &with(changes.clone())).unwrap_err();

            assert!(error.starts_with(expected), "{changes}: {error}");
        }
    }

    #[test]
    fn latest_version_has_fewer_fields() {
        let cited = json!({"type": "text", "text": "x", "citations": [{"type": "char_location"}]});
        let document = json!({"type": "document", "source": {}});
        let user = json!({"role": "user", "content": "Hi"});
        let cases = [
            (
                json!({"temperature": 1.0}),
                "temperature: Extra inputs are not permitted",
            ),
            (
                json!({"top_p": 0.9}),
                "top_p: Extra inputs are not permitted",
            ),
            (json!({"top_k": 5}), "top_k: Extra inputs are not permitted"),
            (
                json!({"messages": [user, {"role": "assistant", "content": [document]}]}),
                "messages.1.content.0: `document` blocks",
            ),
            (
                json!({"messages": [{"role": "user", "content": [cited]}]}),
                "messages.0.content.0.text.citations",
            ),
        ];
        for (changes, expected) in cases {
            let body = with(changes.clone());

            let error = check(Some(WITHOUT_SAMPLING), &body).unwrap_err();

            assert!(error.starts_with(expected), "{changes}: {error}");
            assert_eq!(check(VERSION, &body), Ok(()), "{changes}");
        }
        assert_eq!(check(Some(WITHOUT_SAMPLING), &with(json!({}))), Ok(()));
    }

    #[test]
    fn version_is_looked_at_first() {
        let cases = [
            (None, "anthropic-version: header is required"),
            (
                Some("2024-01-01"),
                "anthropic-version: \"2024-01-01\" is not a valid version",
            ),
            (VERSION, "body: Input should be a valid dictionary"),
        ];
        for (version, expected) in cases {
            assert_eq!(check(version, &json!([])), Err(expected.to_owned()));
        }
    }
}
