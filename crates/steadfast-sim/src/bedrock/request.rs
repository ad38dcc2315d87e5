//! How a request of Converse is read.
//!
//! What is missing reads as empty; what is wrong is refused before anybody reads it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list, string, texts};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    let messages = list(body, "messages");
    let items = messages.iter().enumerate().flat_map(|(index, message)| {
        if string(message, "role") != "user" {
            return vec![Item::Other];
        }
        let before = messages.get(..index).unwrap_or_default();
        items(before, list(message, "content"))
    });
    items.collect()
}

/// Reads one message of the user: first the tool results in it, then what the user says.
fn items(before: &[Value], blocks: &[Value]) -> Vec<Item> {
    let mut items = Vec::new();
    for block in blocks {
        if let Some(result) = block.get("toolResult") {
            items.push(Item::ToolResult {
                name: name_of_call(before, string(result, "toolUseId"))
                    .unwrap_or("tool")
                    .to_owned(),
                content: content_of_result(result),
            });
        } else if block.get("text").is_none() {
            items.push(Item::Other);
        }
    }
    let words = blocks.iter().filter(|block| block.get("text").is_some());
    if words.clone().next().is_some() {
        items.push(Item::Prompt(texts(words)));
    }
    items
}

fn content_of_result(result: &Value) -> String {
    let parts = list(result, "content").iter();
    let parts = parts.filter_map(|part| match part.get("json") {
        Some(json) => Some(json.to_string()),
        None => Some(part.get("text")?.as_str()?.to_owned()),
    });
    parts.collect::<Vec<_>>().join("\n")
}

fn name_of_call<'a>(messages: &'a [Value], id: &str) -> Option<&'a str> {
    let blocks = messages
        .iter()
        .rev()
        .flat_map(|message| list(message, "content"));
    let mut calls = blocks.filter_map(|block| block.get("toolUse"));
    calls
        .find(|call| string(call, "toolUseId") == id)?
        .get("name")?
        .as_str()
}

pub(super) fn system(body: &Value) -> String {
    texts(list(body, "system").iter())
}

/// Reads the tools that the client runs.
pub(super) fn tools(body: &Value) -> Vec<OfferedTool<'_>> {
    let Some(config) = body.get("toolConfig") else {
        return Vec::new();
    };
    let specs = list(config, "tools").iter().filter_map(|tool| {
        let spec = tool.get("toolSpec")?;
        Some(OfferedTool {
            name: spec.get("name")?.as_str()?,
            schema: spec.pointer("/inputSchema/json")?,
        })
    });
    specs.collect()
}

pub(super) fn tool_choice(body: &Value) -> ToolChoice<'_> {
    let name = body.pointer("/toolConfig/toolChoice/tool/name");
    match name.and_then(Value::as_str) {
        Some(name) => ToolChoice::Named(name),
        None => ToolChoice::Any,
    }
}
