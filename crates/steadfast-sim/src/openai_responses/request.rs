//! How a responses request is read.
//!
//! What is missing reads as empty; what is wrong is refused by `input_check.rs` before anybody reads
//! it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list, string, text};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    if let Some(prompt) = body.get("input").and_then(Value::as_str) {
        return vec![Item::Prompt(prompt.to_owned())];
    }
    let input = list(body, "input");
    let items = input.iter().enumerate().map(|(index, item)| {
        match (string(item, "type"), string(item, "role")) {
            ("message" | "", "user") => Item::Prompt(text(item.get("content"))),
            ("function_call_output", _) => {
                let before = input.get(..index).unwrap_or_default();
                let name = name_of_call(before, string(item, "call_id"));
                Item::ToolResult {
                    name: name.unwrap_or("tool").to_owned(),
                    content: text(item.get("output")),
                }
            }
            _ => Item::Other,
        }
    });
    items.collect()
}

fn name_of_call<'a>(items: &'a [Value], id: &str) -> Option<&'a str> {
    let mut items = items.iter().rev();
    let is_call =
        |item: &&Value| string(item, "type") == "function_call" && string(item, "call_id") == id;
    items.find(is_call)?.get("name")?.as_str()
}

pub(super) fn system(body: &Value) -> String {
    let instructions = string(body, "instructions").to_owned();
    let messages = list(body, "input").iter();
    let messages = messages
        .filter(|item| matches!(string(item, "role"), "system" | "developer"))
        .map(|item| text(item.get("content")));
    let all = [instructions].into_iter().chain(messages);
    let all: Vec<String> = all.filter(|text| !text.is_empty()).collect();
    all.join("\n")
}

pub(super) fn tools(body: &Value) -> Vec<OfferedTool<'_>> {
    let tools = list(body, "tools").iter().filter_map(|tool| {
        Some(OfferedTool {
            name: tool.get("name")?.as_str()?,
            schema: tool.get("parameters").unwrap_or(&Value::Null),
        })
    });
    tools.collect()
}

pub(super) fn tool_choice(body: &Value) -> ToolChoice<'_> {
    let Some(choice) = body.get("tool_choice") else {
        return ToolChoice::Any;
    };
    match choice.get("name").and_then(Value::as_str) {
        Some(name) => ToolChoice::Named(name),
        None if choice == "none" => ToolChoice::None,
        None => ToolChoice::Any,
    }
}
