//! How a request of Gemini's is read.
//!
//! What is missing reads as empty; what is wrong is refused before anybody reads it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list, string, texts};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    let items = list(body, "contents").iter().flat_map(|content| {
        if string(content, "role") == "model" {
            return vec![Item::Other];
        }
        items(list(content, "parts"))
    });
    items.collect()
}

/// Reads one content of the user: first the results in it, then what the user says.
fn items(parts: &[Value]) -> Vec<Item> {
    let mut items = Vec::new();
    for part in parts {
        match part.get("functionResponse") {
            Some(response) => items.push(Item::ToolResult {
                name: string(response, "name").to_owned(),
                content: output(response.get("response").unwrap_or(&Value::Null)),
            }),
            None if part.get("text").is_some() => {}
            None => items.push(Item::Other),
        }
    }
    let words = parts.iter().filter(|part| part.get("text").is_some());
    if words.clone().next().is_some() {
        items.push(Item::Prompt(texts(words)));
    }
    items
}

/// Returns what a function answered: its output, its error, or else all that it sent.
fn output(response: &Value) -> String {
    let said = ["output", "result", "error"]
        .iter()
        .find_map(|key| response.get(key))
        .unwrap_or(response);
    match said {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn system(body: &Value) -> String {
    let system = body.get("systemInstruction").unwrap_or(&Value::Null);
    texts(list(system, "parts").iter())
}

/// Reads the functions that the client runs.
pub(super) fn tools(body: &Value) -> Vec<OfferedTool<'_>> {
    let declarations = list(body, "tools")
        .iter()
        .flat_map(|tool| list(tool, "functionDeclarations"));
    let tools = declarations.filter_map(|declaration| {
        // The vendor reads both spellings of every field; its own client writes this one so.
        let fields = [
            "parametersJsonSchema",
            "parameters_json_schema",
            "parameters",
        ];
        let schema = fields.iter().find_map(|field| declaration.get(field));
        Some(OfferedTool {
            name: declaration.get("name")?.as_str()?,
            schema: schema.unwrap_or(&Value::Null),
        })
    });
    tools.collect()
}

pub(super) fn tool_choice(body: &Value) -> ToolChoice<'_> {
    let Some(config) = body.pointer("/toolConfig/functionCallingConfig") else {
        return ToolChoice::Any;
    };
    match (string(config, "mode"), list(config, "allowedFunctionNames")) {
        ("NONE", _) => ToolChoice::None,
        (_, [name, ..]) => name.as_str().map_or(ToolChoice::Any, ToolChoice::Named),
        _ => ToolChoice::Any,
    }
}
