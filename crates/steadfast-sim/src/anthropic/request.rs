//! How a messages request is read.
//!
//! What is missing reads as empty; what is wrong is refused before anybody reads it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list, string, text, texts};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    let messages = list(body, "messages");
    let items = messages.iter().enumerate().flat_map(|(index, message)| {
        if string(message, "role") != "user" {
            return vec![Item::Other];
        }
        let before = messages.get(..index).unwrap_or_default();
        match message.get("content") {
            Some(Value::Array(blocks)) => items(before, blocks),
            content => vec![Item::Prompt(text(content))],
        }
    });
    items.collect()
}

/// Reads one message of the user: first the tool results in it, then what the user says.
fn items(before: &[Value], blocks: &[Value]) -> Vec<Item> {
    let mut items = Vec::new();
    for block in blocks {
        match string(block, "type") {
            "tool_result" => items.push(Item::ToolResult {
                name: name_of_call(before, string(block, "tool_use_id"))
                    .unwrap_or("tool")
                    .to_owned(),
                content: text(block.get("content")),
            }),
            "text" => {}
            _ => items.push(Item::Other),
        }
    }
    let words = blocks
        .iter()
        .filter(|block| string(block, "type") == "text");
    if words.clone().next().is_some() {
        items.push(Item::Prompt(texts(words)));
    }
    items
}

fn name_of_call<'a>(messages: &'a [Value], id: &str) -> Option<&'a str> {
    let blocks = messages
        .iter()
        .rev()
        .flat_map(|message| list(message, "content"));
    let mut calls =
        blocks.filter(|block| string(block, "type") == "tool_use" && string(block, "id") == id);
    calls.next()?.get("name")?.as_str()
}

pub(super) fn system(body: &Value) -> String {
    text(body.get("system"))
}

/// Reads the tools that the client runs; those that run at the vendor have no schema.
pub(super) fn tools(body: &Value) -> Vec<OfferedTool<'_>> {
    let tools = list(body, "tools").iter().filter_map(|tool| {
        Some(OfferedTool {
            name: tool.get("name")?.as_str()?,
            schema: tool.get("input_schema")?,
        })
    });
    tools.collect()
}

pub(super) fn tool_choice(body: &Value) -> ToolChoice<'_> {
    let Some(choice) = body.get("tool_choice") else {
        return ToolChoice::Any;
    };
    match string(choice, "type") {
        "tool" => ToolChoice::Named(string(choice, "name")),
        "none" => ToolChoice::None,
        _ => ToolChoice::Any,
    }
}
