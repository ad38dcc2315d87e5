//! What Bedrock refuses in a conversation: roles that do not alternate, blank texts, calls without
//! results, results without calls, and thoughts that are not its own.

use serde_json::Value;

use super::request_check::name_of_tool;
use crate::conversation::{begin_of_answered_turn, list, string};
use crate::identifier::is_plain;
use crate::signature::signature;

/// The longest identifier of a call.
const LONGEST_IDENTIFIER: usize = 64;

/// The longest name of a document.
const LONGEST_DOCUMENT_NAME: usize = 200;

/// The kinds of blocks.
const KINDS: [&str; 12] = [
    "audio",
    "cachePoint",
    "citationsContent",
    "document",
    "guardContent",
    "image",
    "reasoningContent",
    "searchResult",
    "text",
    "toolResult",
    "toolUse",
    "video",
];

/// Refuses messages that Bedrock would refuse, with the first thing that is wrong.
pub(super) fn check(
    messages: &[Value],
    has_tools: bool,
    is_thinking_enabled: bool,
) -> Result<(), String> {
    if messages
        .first()
        .is_none_or(|first| string(first, "role") != "user")
    {
        return Err(
            "A conversation must start with a user message. Try again with a conversation that \
             starts with a user message."
                .to_owned(),
        );
    }
    let mut role_before = "";
    for (index, message) in messages.iter().enumerate() {
        let role = string(message, "role");
        if !["user", "assistant"].contains(&role) {
            return Err(format!(
                "Value '{role}' at 'messages.{index}.role' failed to satisfy constraint: Member \
                 must satisfy enum value set: [user, assistant]"
            ));
        }
        if role == role_before {
            return Err(
                "A conversation must alternate between user and assistant roles. Make sure the \
                 conversation alternates between user and assistant roles and try again."
                    .to_owned(),
            );
        }
        role_before = role;
        content(index, message, role, has_tools)?;
    }
    pairs(messages)?;
    documents(messages)?;
    prefill(messages)?;
    if is_thinking_enabled {
        thinks_first(messages)?;
    }
    Ok(())
}

fn content(index: usize, message: &Value, role: &str, has_tools: bool) -> Result<(), String> {
    let blocks = list(message, "content");
    if blocks.is_empty() {
        return Err(format!(
            "The content field in the Message object at messages.{index} is empty. Add a \
             ContentBlock object to the content field and try again."
        ));
    }
    for (number, block) in blocks.iter().enumerate() {
        let at = format!("messages.{index}.content.{number}");
        let kind = kind(&at, block)?;
        let value = block.get(kind).unwrap_or(&Value::Null);
        let is_allowed = match kind {
            "toolUse" | "reasoningContent" => role == "assistant",
            // Results in an answer are of tools that the vendor runs.
            "image" | "document" => role == "user",
            _ => true,
        };
        if !is_allowed {
            return Err(format!(
                "The {kind} block at {at} is not allowed in a message of the role {role}."
            ));
        }
        if matches!(kind, "toolUse" | "toolResult") && !has_tools {
            return Err(
                "The toolConfig field must be defined when using toolUse and toolResult content \
                 blocks."
                    .to_owned(),
            );
        }
        self::block(&at, kind, value)?;
    }
    let ends_thinking = blocks
        .last()
        .is_some_and(|block| block.get("reasoningContent").is_some());
    if ends_thinking {
        return Err(format!(
            "The model returned the following errors: messages.{index}: The final block in an \
             assistant message cannot be `thinking`."
        ));
    }
    Ok(())
}

/// Returns the kind of a block, which is its only key.
fn kind<'a>(at: &str, block: &'a Value) -> Result<&'a str, String> {
    let fields = block.as_object();
    let mut kinds = fields.into_iter().flat_map(|fields| fields.keys());
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) if KINDS.contains(&kind.as_str()) => Ok(kind),
        _ => Err(format!(
            "The ContentBlock object at {at} must set one of the following keys: {}.",
            KINDS.join(", ")
        )),
    }
}

fn block(at: &str, kind: &str, value: &Value) -> Result<(), String> {
    match kind {
        "text" => not_blank(at, value),
        "toolUse" => {
            identifier(
                &format!("{at}.toolUse.toolUseId"),
                string(value, "toolUseId"),
            )?;
            name_of_tool(&format!("{at}.toolUse.name"), string(value, "name"))?;
            if value.get("input").is_some_and(Value::is_object) {
                return Ok(());
            }
            Err(format!(
                "The format of the value at {at}.toolUse.input is invalid. Provide a json object \
                 for the field and try again."
            ))
        }
        "toolResult" => result(at, value),
        "reasoningContent" => {
            let Some(thought) = value.get("reasoningText") else {
                return Ok(());
            };
            if string(thought, "signature") == signature(string(thought, "text")) {
                return Ok(());
            }
            Err(format!(
                "The model returned the following errors: {at}: Invalid `signature` in `thinking` \
                 block"
            ))
        }
        "image" => media(
            &format!("{at}.image"),
            value,
            &["png", "jpeg", "gif", "webp"],
        ),
        "document" => media(
            &format!("{at}.document"),
            value,
            &[
                "pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md",
            ],
        ),
        _ => Ok(()),
    }
}

fn not_blank(at: &str, text: &Value) -> Result<(), String> {
    match text.as_str() {
        Some(text) if !text.trim().is_empty() => Ok(()),
        Some(_) => Err(format!(
            "The text field in the ContentBlock object at {at} is blank. Add text to the text \
             field, and try again."
        )),
        None => Err(format!("The text field at {at} is not a string.")),
    }
}

fn identifier(at: &str, id: &str) -> Result<(), String> {
    if is_plain(id) && id.len() <= LONGEST_IDENTIFIER {
        return Ok(());
    }
    Err(format!(
        "Value '{id}' at '{at}' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_-]+, and have length less than or equal to \
         {LONGEST_IDENTIFIER}"
    ))
}

fn result(at: &str, value: &Value) -> Result<(), String> {
    identifier(
        &format!("{at}.toolResult.toolUseId"),
        string(value, "toolUseId"),
    )?;
    let parts = list(value, "content");
    if parts.is_empty() {
        return Err(format!("The content field at {at}.toolResult is empty."));
    }
    for (number, part) in parts.iter().enumerate() {
        let at = format!("{at}.toolResult.content.{number}");
        let is_known = |kind: &&str| {
            ["text", "json", "image", "document", "video", "searchResult"].contains(kind)
        };
        let kinds: Vec<&str> = part
            .as_object()
            .map(|part| part.keys().map(String::as_str).collect())
            .unwrap_or_default();
        match kinds.as_slice() {
            ["text"] => not_blank(&at, part.get("text").unwrap_or(&Value::Null))?,
            ["json"] if !part.get("json").is_some_and(Value::is_object) => {
                return Err(format!(
                    "The format of the value at {at}.json is invalid. Provide a json object for \
                     the field and try again."
                ));
            }
            [kind] if is_known(kind) => {
                block(&at, kind, part.get(*kind).unwrap_or(&Value::Null))?;
            }
            _ => return Err(format!("The block at {at} is of no known kind.")),
        }
    }
    match value.get("status") {
        None => Ok(()),
        Some(status) if status == "success" || status == "error" => Ok(()),
        Some(status) => Err(format!(
            "Value {status} at '{at}.toolResult.status' is not known."
        )),
    }
}

fn media(at: &str, value: &Value, formats: &[&str]) -> Result<(), String> {
    if !formats.contains(&string(value, "format")) {
        return Err(format!(
            "Value at '{at}.format' failed to satisfy constraint: Member must satisfy enum value \
             set: [{}]",
            formats.join(", ")
        ));
    }
    let source = value.get("source").unwrap_or(&Value::Null);
    let has_bytes = ["bytes", "text"]
        .iter()
        .any(|form| !string(source, form).is_empty());
    if has_bytes || source.pointer("/s3Location/uri").is_some() {
        return Ok(());
    }
    Err(format!(
        "The source at {at} has neither bytes nor a location."
    ))
}

/// Refuses calls without results right after them, and results without calls right before them.
fn pairs(messages: &[Value]) -> Result<(), String> {
    let ids = |message: &Value, kind: &str| -> Vec<String> {
        let blocks = list(message, "content").iter();
        let blocks = blocks.filter_map(|block| block.get(kind));
        // What the vendor runs by itself is answered in the same message.
        let own = blocks.filter(|block| block.get("type").is_none());
        own.map(|block| string(block, "toolUseId").to_owned())
            .collect()
    };
    let mut seen: Vec<String> = Vec::new();
    let mut calls: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if string(message, "role") == "assistant" {
            calls = ids(message, "toolUse");
            for id in &calls {
                if seen.contains(id) {
                    return Err(format!(
                        "The model returned the following errors: messages.{index}: `tool_use` ids \
                         must be unique"
                    ));
                }
                seen.push(id.clone());
            }
            continue;
        }
        let results = ids(message, "toolResult");
        if results.len() > calls.len() {
            return Err(format!(
                "The number of toolResult blocks at messages.{index}.content exceeds the number of \
                 toolUse blocks of previous turn."
            ));
        }
        let blocks = list(message, "content");
        let leading = blocks.iter().take(calls.len());
        let leads = leading.clone().count() == calls.len()
            && leading
                .clone()
                .all(|block| block.get("toolResult").is_some());
        let missing = calls.iter().any(|id| !results.contains(id));
        let repeated = results.iter().enumerate();
        let repeated = repeated
            .into_iter()
            .any(|(place, id)| results.iter().take(place).any(|other| other == id));
        if missing || repeated || !leads {
            return Err(format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
                calls.join(", ")
            ));
        }
        calls.clear();
    }
    if calls.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Expected toolResult blocks at messages.{}.content for the following Ids: {}",
        messages.len(),
        calls.join(", ")
    ))
}

/// Refuses documents without a proper name of their own, and without words beside them.
fn documents(messages: &[Value]) -> Result<(), String> {
    let mut names = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let blocks = list(message, "content");
        let inner = blocks
            .iter()
            .filter_map(|block| block.get("toolResult"))
            .flat_map(|result| list(result, "content"));
        for document in blocks
            .iter()
            .chain(inner)
            .filter_map(|block| block.get("document"))
        {
            let name = string(document, "name");
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
            if name.trim().is_empty()
                || name.contains("  ")
                || name.chars().count() > LONGEST_DOCUMENT_NAME
                || !name.chars().all(is_allowed)
            {
                return Err(
                    "The document file name can only contain alphanumeric characters, whitespace \
                     characters, hyphens, parentheses, and square brackets. The name can't contain \
                     more than one consecutive whitespace character."
                        .to_owned(),
                );
            }
            if names.contains(&name) {
                return Err(format!(
                    "Duplicate document name at messages.{index}: {name}"
                ));
            }
            names.push(name);
        }
        let has = |kind: &str| blocks.iter().any(|block| block.get(kind).is_some());
        if has("document") && !has("text") {
            return Err(format!(
                "A text block is required with a document at messages.{index}.content."
            ));
        }
    }
    Ok(())
}

/// Refuses a beginning of the answer that ends with a space.
fn prefill(messages: &[Value]) -> Result<(), String> {
    let last = messages
        .last()
        .filter(|last| string(last, "role") == "assistant");
    let block = last.and_then(|last| list(last, "content").last());
    let text = block.map_or("", |block| string(block, "text"));
    if text.ends_with(char::is_whitespace) {
        return Err(
            "The model returned the following errors: messages: final assistant content cannot end \
             with trailing whitespace"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses results if the turn that they belong to did not begin with a thought.
fn thinks_first(messages: &[Value]) -> Result<(), String> {
    let is_result = |block: &Value| block.get("toolResult").is_some();
    let begin = begin_of_answered_turn(
        messages,
        |last| string(last, "role") == "user" && list(last, "content").iter().any(is_result),
        |message| {
            string(message, "role") == "user" && !list(message, "content").iter().all(is_result)
        },
    );
    let Some(begin) = begin else {
        return Ok(());
    };
    let answer = messages.get(begin).unwrap_or(&Value::Null);
    let first = list(answer, "content").first();
    if first.is_some_and(|block| block.get("reasoningContent").is_some()) {
        return Ok(());
    }
    Err(format!(
        "The model returned the following errors: messages.{begin}.content.0.type: Expected \
         `thinking` or `redacted_thinking`. When `thinking` is enabled, a final `assistant` message \
         must start with a thinking block (preceeding the lastmost set of `tool_use` and \
         `tool_result` blocks)."
    ))
}

#[cfg(test)]
mod tests;
