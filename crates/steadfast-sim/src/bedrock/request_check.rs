//! What Bedrock refuses in a request before it looks at limits: fields of the wrong form or out of
//! range.
//!
//! Only what clients get wrong is looked at: a field that is not known here is not refused. The
//! conversation itself is looked at in `history_check.rs`.

use serde_json::Value;

use super::block::is_thinking_enabled;
use super::history_check;
use crate::conversation::{list, string};
use crate::identifier::is_plain;

/// The longest name of a tool.
const LONGEST_NAME: usize = 64;

/// Refuses a request with the first thing that is wrong in it.
pub(super) fn check(body: &Value) -> Result<(), String> {
    if !body.is_object() {
        return Err("The request body must be a JSON object.".to_owned());
    }
    inference_config(body)?;
    system(body)?;
    let has_tools = tools(body)?;
    match body.get("messages") {
        Some(Value::Array(messages)) => {
            history_check::check(messages, has_tools, is_thinking_enabled(body))
        }
        _ => {
            Err("The messages field is not a list. Add a Message object and try again.".to_owned())
        }
    }
}

fn inference_config(body: &Value) -> Result<(), String> {
    let Some(config) = body.get("inferenceConfig") else {
        return Ok(());
    };
    if let Some(limit) = config.get("maxTokens")
        && limit.as_u64().is_none_or(|limit| limit == 0)
    {
        return Err(format!(
            "Value '{limit}' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member \
             must have value greater than or equal to 1"
        ));
    }
    for field in ["temperature", "topP"] {
        let Some(value) = config.get(field) else {
            continue;
        };
        if value
            .as_f64()
            .is_none_or(|value| !(0.0..=1.0).contains(&value))
        {
            return Err(format!(
                "Value '{value}' at 'inferenceConfig.{field}' failed to satisfy constraint: Member \
                 must have value less than or equal to 1"
            ));
        }
    }
    for text in list(config, "stopSequences") {
        if text.as_str().is_none_or(str::is_empty) {
            return Err(
                "Value at 'inferenceConfig.stopSequences' failed to satisfy constraint: Member must \
                 have length greater than or equal to 1"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

fn system(body: &Value) -> Result<(), String> {
    for (index, block) in list(body, "system").iter().enumerate() {
        let text = block.get("text").and_then(Value::as_str);
        if text.is_some_and(|text| text.trim().is_empty()) {
            return Err(format!(
                "The text field in the SystemContentBlock object at system.{index} is blank. Add \
                 text to the text field, and try again."
            ));
        }
    }
    if body.get("system").is_some_and(|system| !system.is_array()) {
        return Err("The system field must be a list of SystemContentBlock objects.".to_owned());
    }
    Ok(())
}

/// Looks at the tools. Says whether there are any.
fn tools(body: &Value) -> Result<bool, String> {
    let Some(config) = body.get("toolConfig") else {
        return Ok(false);
    };
    let tools = list(config, "tools");
    if tools.is_empty() {
        return Err(
            "Value '[]' at 'toolConfig.tools' failed to satisfy constraint: Member must have \
             length greater than or equal to 1"
                .to_owned(),
        );
    }
    let mut names = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("toolConfig.tools.{index}");
        let Some(spec) = tool.get("toolSpec") else {
            continue;
        };
        let name = string(spec, "name");
        name_of_tool(&format!("{at}.toolSpec.name"), name)?;
        if names.contains(&name) {
            return Err(format!(
                "The toolSpec.name {name} at {at} is already defined."
            ));
        }
        names.push(name);
        if spec.get("description").is_some_and(|text| text == "") {
            return Err(format!(
                "Value '' at '{at}.toolSpec.description' failed to satisfy constraint: Member must \
                 have length greater than or equal to 1"
            ));
        }
        if spec
            .pointer("/inputSchema/json/type")
            .is_none_or(|kind| kind != "object")
        {
            return Err(format!(
                "The value at {at}.toolSpec.inputSchema.json.type must be one of the following: \
                 object."
            ));
        }
    }
    tool_choice(config, &names).map(|()| true)
}

fn tool_choice(config: &Value, names: &[&str]) -> Result<(), String> {
    let Some(choice) = config.get("toolChoice") else {
        return Ok(());
    };
    let kinds: Vec<&str> = choice
        .as_object()
        .map(|choice| choice.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let [kind] = kinds.as_slice() else {
        return Err("The toolChoice field must have exactly one key.".to_owned());
    };
    match *kind {
        "auto" | "any" => Ok(()),
        "tool"
            if names.contains(
                &choice
                    .pointer("/tool/name")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            ) =>
        {
            Ok(())
        }
        "tool" => Err("The tool that toolConfig.toolChoice names is not defined.".to_owned()),
        kind => Err(format!(
            "The key {kind} at toolConfig.toolChoice is not known."
        )),
    }
}

/// Refuses a name of a tool, or of a call, that is none.
pub(super) fn name_of_tool(at: &str, name: &str) -> Result<(), String> {
    if is_plain(name) && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(format!(
        "Value '{name}' at '{at}' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_-]+, and have length less than or equal to {LONGEST_NAME}"
    ))
}
