//! How a chat-completions request is read.
//!
//! What is missing reads as empty; what is wrong is refused by `history_check.rs` before anybody
//! reads it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list, string, text};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    let messages = list(body, "messages");
    let items = messages.iter().enumerate().map(|(index, message)| {
        let content = text(message.get("content"));
        match string(message, "role") {
            "user" => Item::Prompt(content),
            "tool" => {
                let before = messages.get(..index).unwrap_or_default();
                let name = name_of_call(before, string(message, "tool_call_id"));
                Item::ToolResult {
                    name: name.unwrap_or("tool").to_owned(),
                    content,
                }
            }
            _ => Item::Other,
        }
    });
    items.collect()
}

fn name_of_call<'a>(messages: &'a [Value], id: &str) -> Option<&'a str> {
    let calls = messages
        .iter()
        .rev()
        .flat_map(|message| list(message, "tool_calls"));
    let mut calls = calls.filter(|call| string(call, "id") == id);
    calls.next()?.pointer("/function/name")?.as_str()
}

pub(super) fn system(body: &Value) -> String {
    let messages = list(body, "messages").iter();
    let messages = messages
        .filter(|message| matches!(string(message, "role"), "system" | "developer"))
        .map(|message| text(message.get("content")));
    messages.collect::<Vec<_>>().join("\n")
}

pub(super) fn tools(body: &Value) -> Vec<OfferedTool<'_>> {
    let tools = list(body, "tools").iter().filter_map(|tool| {
        let function = tool.get("function")?;
        Some(OfferedTool {
            name: function.get("name")?.as_str()?,
            schema: function.get("parameters").unwrap_or(&Value::Null),
        })
    });
    tools.collect()
}

pub(super) fn tool_choice(body: &Value) -> ToolChoice<'_> {
    let Some(choice) = body.get("tool_choice") else {
        return ToolChoice::Any;
    };
    match choice.pointer("/function/name").and_then(Value::as_str) {
        Some(name) => ToolChoice::Named(name),
        None if choice == "none" => ToolChoice::None,
        None => ToolChoice::Any,
    }
}
