//! What OpenAI refuses in the fields of a responses request.
//!
//! Only what clients of its other wire get wrong, and what an agent's settings can; the items of the
//! input are looked at in `input_check.rs`.

use serde_json::Value;

use crate::conversation::{list, string};
use crate::openai::{ErrorBody, form_check};

/// Fields of the other wire, and where the vendor says they have gone.
const MOVED: [(&str, &str); 6] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("functions", "tools"),
];

/// The fewest tokens to which an answer may be limited.
const FEWEST_TOKENS: i64 = 16;

/// Refuses what OpenAI would refuse, with the first thing that is wrong.
pub(super) fn check(body: &Value, model: &str) -> Result<(), ErrorBody> {
    if model.is_empty() {
        return Err(missing("model"));
    }
    for (field, now) in MOVED {
        if body.get(field).is_some() {
            let message = format!(
                "Unsupported parameter: '{field}'. In the Responses API, this parameter has moved \
                 to '{now}'."
            );
            return Err(ErrorBody::invalid_with("unsupported_parameter", message).at(field));
        }
    }
    for field in ["stop", "stream_options.include_usage"] {
        let pointer = format!("/{}", field.replace('.', "/"));
        if body.pointer(&pointer).is_some() {
            let message = format!("Unknown parameter: '{field}'.");
            return Err(ErrorBody::invalid_with("unknown_parameter", message).at(field));
        }
    }
    let limit = body.get("max_output_tokens").and_then(Value::as_i64);
    if let Some(limit) = limit.filter(|limit| *limit < FEWEST_TOKENS) {
        let message = format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= \
             {FEWEST_TOKENS}, but got {limit} instead."
        );
        let error = ErrorBody::invalid_with("integer_below_min_value", message);
        return Err(error.at("max_output_tokens"));
    }
    let mut include = list(body, "include").iter();
    if !has_thoughts(model) && include.any(|field| field == "reasoning.encrypted_content") {
        let message = "Encrypted content is not supported with this model.";
        return Err(ErrorBody::invalid(message).at("include"));
    }
    tools(body)
}

/// Returns whether a model thinks, so that its thoughts may be asked for.
fn has_thoughts(model: &str) -> bool {
    let is_older = ["gpt-3.5", "gpt-4", "chatgpt-"]
        .iter()
        .any(|family| model.starts_with(family));
    let is_for_chats = model.starts_with("gpt-5") && model.contains("-chat");
    !is_older && !is_for_chats
}

fn tools(body: &Value) -> Result<(), ErrorBody> {
    for (index, tool) in list(body, "tools").iter().enumerate() {
        if string(tool, "type") == "function" {
            let at = format!("tools[{index}].name");
            match string(tool, "name") {
                "" => return Err(missing(&at)),
                name => form_check::name(&at, name)?,
            }
        }
    }
    let choice = body.get("tool_choice");
    let Some(choice) = choice.filter(|choice| string(choice, "type") == "function") else {
        return Ok(());
    };
    let name = string(choice, "name");
    if name.is_empty() {
        return Err(missing("tool_choice.name"));
    }
    let mut offered = list(body, "tools").iter();
    if offered.any(|tool| string(tool, "name") == name) {
        return Ok(());
    }
    let message = "Tool choice 'function' not found in 'tools' parameter.";
    Err(ErrorBody::invalid(message).at("tool_choice"))
}

/// Says that a field is missing.
pub(super) fn missing(at: &str) -> ErrorBody {
    let message = format!("Missing required parameter: '{at}'.");
    ErrorBody::invalid_with("missing_required_parameter", message).at(at)
}
