//! How a request is read.
//!
//! What is missing reads as empty; what is wrong is refused by `form_check.rs` before anybody reads
//! it.

use serde_json::Value;

use crate::conversation::{Item, OfferedTool, list, string};

pub(super) fn conversation(body: &Value) -> Vec<Item> {
    let items = list(body, "messages").iter().map(|message| {
        let content = string(message, "content").to_owned();
        match string(message, "role") {
            "user" => Item::Prompt(content),
            "tool" => {
                let name = Some(string(message, "tool_name")).filter(|name| !name.is_empty());
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

pub(super) fn system(body: &Value) -> String {
    let messages = list(body, "messages").iter();
    let messages = messages.filter(|message| string(message, "role") == "system");
    let texts: Vec<_> = messages.map(|message| string(message, "content")).collect();
    texts.join("\n")
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
