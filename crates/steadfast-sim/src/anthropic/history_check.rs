//! What Anthropic refuses in a conversation: above all calls without results, results without
//! calls, and thoughts that are not its own.
//!
//! Messages of one role in a row are one turn, as for the vendor. Kinds of blocks that are not
//! known here are not refused.

mod server_calls;

use std::slice;

use serde_json::Value;

use crate::conversation::{begin_of_answered_turn, list, string};
use crate::identifier::is_plain;
use crate::signature::signature;

/// The most characters that the name of a call may have.
const LONGEST_NAME: usize = 200;

/// Refuses messages that Anthropic would refuse, with the first thing that is wrong.
pub(super) fn check(messages: &[Value], is_thinking_enabled: bool) -> Result<(), String> {
    let Some(last) = messages.len().checked_sub(1) else {
        return Err("messages: at least one message is required".to_owned());
    };
    for (index, message) in messages.iter().enumerate() {
        let role = role(index, message)?;
        content(index, message, role, index == last)?;
    }
    let turns = turns(messages);
    if turns.first().is_some_and(|turn| turn.role != Role::User) {
        return Err("messages: first message must use the \"user\" role".to_owned());
    }
    pairs(&turns)?;
    server_calls::check(&turns)?;
    prefill(messages)?;
    if is_thinking_enabled {
        thinks_first(&turns)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

fn role(index: usize, message: &Value) -> Result<Role, String> {
    if !message.is_object() {
        return Err(format!(
            "messages.{index}: Input should be a valid dictionary"
        ));
    }
    match message
        .get("role")
        .map(|role| role.as_str().unwrap_or_default())
    {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system") => Err(
            "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` \
             parameter, not \"system\" as an input message role."
                .to_owned(),
        ),
        Some(_) => Err(format!(
            "messages.{index}.role: Input should be 'user' or 'assistant'"
        )),
        None => Err(format!("messages.{index}.role: Field required")),
    }
}

fn content(index: usize, message: &Value, role: Role, is_last: bool) -> Result<(), String> {
    let blocks = match message.get("content") {
        None => return Err(format!("messages.{index}.content: Field required")),
        Some(Value::String(words)) if words.is_empty() => &[],
        Some(Value::String(words)) => return not_blank(words),
        Some(Value::Array(blocks)) => blocks.as_slice(),
        Some(_) => {
            return Err(format!(
                "messages.{index}.content: Input should be a valid list"
            ));
        }
    };
    if blocks.is_empty() {
        return match role {
            Role::User => Err(format!(
                "messages.{index}: user messages must have non-empty content"
            )),
            Role::Assistant if is_last => Ok(()),
            Role::Assistant => Err(format!(
                "messages.{index}: all messages must have non-empty content except for the \
                 optional final assistant message"
            )),
        };
    }
    for (number, block) in blocks.iter().enumerate() {
        self::block(&format!("messages.{index}.content.{number}"), block, role)?;
    }
    let ends_thinking = blocks
        .last()
        .is_some_and(|block| matches!(string(block, "type"), "thinking" | "redacted_thinking"));
    if ends_thinking {
        return Err(format!(
            "messages.{index}: The final block in an assistant message cannot be `thinking`."
        ));
    }
    Ok(())
}

fn not_blank(words: &str) -> Result<(), String> {
    if words.is_empty() {
        Err("messages: text content blocks must be non-empty".to_owned())
    } else if words.trim().is_empty() {
        Err("messages: text content blocks must contain non-whitespace text".to_owned())
    } else {
        Ok(())
    }
}

fn block(at: &str, block: &Value, role: Role) -> Result<(), String> {
    let required = |field: &str| {
        let kind = string(block, "type");
        let text = block.get(field).and_then(Value::as_str);
        text.ok_or_else(|| format!("{at}.{kind}.{field}: Field required"))
    };
    let only_in = |allowed: Role, name: &str| {
        let kind = string(block, "type");
        if role == allowed {
            return Ok(());
        }
        Err(format!(
            "{at}: `{kind}` blocks can only be in `{name}` messages"
        ))
    };
    match string(block, "type") {
        "" => Err(format!("{at}.type: Field required")),
        "text" => not_blank(required("text")?),
        "thinking" => {
            only_in(Role::Assistant, "assistant")?;
            if signature(required("thinking")?) == required("signature")? {
                Ok(())
            } else {
                Err(format!("{at}: Invalid `signature` in `thinking` block"))
            }
        }
        "redacted_thinking" => only_in(Role::Assistant, "assistant"),
        "tool_use" => {
            only_in(Role::Assistant, "assistant")?;
            if !is_plain(required("id")?) {
                return Err(format!(
                    "{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                ));
            }
            name_of_call(at, required("name")?)?;
            match block.get("input") {
                Some(Value::Object(_)) => Ok(()),
                Some(_) => Err(format!(
                    "{at}.tool_use.input: Input should be a valid dictionary"
                )),
                None => Err(format!("{at}.tool_use.input: Field required")),
            }
        }
        "tool_result" => {
            only_in(Role::User, "user")?;
            required("tool_use_id")?;
            content_of_result(at, block)
        }
        _ => Ok(()),
    }
}

fn name_of_call(at: &str, name: &str) -> Result<(), String> {
    let at = format!("{at}.tool_use.name: String should");
    if name.is_empty() {
        Err(format!("{at} have at least 1 character"))
    } else if name.chars().count() > LONGEST_NAME {
        Err(format!("{at} have at most {LONGEST_NAME} characters"))
    } else if is_plain(name) {
        Ok(())
    } else {
        // The vendor's schema has no pattern here any more, but it takes no tool of such a name:
        // a client that sends one has the call from somewhere else.
        Err(format!("{at} match pattern '^[a-zA-Z0-9_-]+$'"))
    }
}

/// Looks at the content of a result: a failure has to say something.
fn content_of_result(at: &str, block: &Value) -> Result<(), String> {
    let is_empty = match block.get("content") {
        None | Some(Value::Null) => true,
        Some(Value::String(words)) => words.is_empty(),
        Some(Value::Array(parts)) => parts.is_empty(),
        Some(_) => false,
    };
    if is_empty && block.get("is_error") == Some(&Value::Bool(true)) {
        return Err(format!(
            "{at}.tool_result: content cannot be empty if `is_error` is true"
        ));
    }
    list(block, "content")
        .iter()
        .filter(|part| string(part, "type") == "text")
        .try_for_each(|part| not_blank(string(part, "text")))
}

/// The messages of one role in a row.
struct Turn<'a> {
    role: Role,
    /// The blocks, or a string of words, each with the indices of its message and of itself in it.
    blocks: Vec<(usize, usize, &'a Value)>,
}

impl<'a> Turn<'a> {
    /// Returns the identifiers in a field of the blocks of one kind.
    fn ids(&self, kind: &str, field: &str) -> Vec<(usize, usize, &'a str)> {
        let blocks = self.blocks.iter();
        let blocks = blocks.filter(|(_, _, block)| string(block, "type") == kind);
        blocks
            .map(|(index, number, block)| (*index, *number, string(block, field)))
            .collect()
    }

    fn has_only_results(&self) -> bool {
        let mut blocks = self.blocks.iter();
        blocks.all(|(_, _, block)| string(block, "type") == "tool_result")
    }
}

fn turns(messages: &[Value]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = match string(message, "role") {
            "user" => Role::User,
            _ => Role::Assistant,
        };
        // Words that are in no block are in the way of results all the same.
        let blocks = match message.get("content") {
            Some(words @ Value::String(_)) => slice::from_ref(words),
            _ => list(message, "content"),
        };
        let blocks = blocks.iter().enumerate();
        let blocks = blocks.map(|(number, block)| (index, number, block));
        match turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.blocks.extend(blocks),
            None => turns.push(Turn {
                role,
                blocks: blocks.collect(),
            }),
        }
    }
    turns
}

/// Refuses calls without results right after them, and results without calls right before them.
fn pairs(turns: &[Turn<'_>]) -> Result<(), String> {
    let mut seen = Vec::new();
    let mut open = Vec::new();
    for turn in turns {
        match turn.role {
            Role::Assistant => {
                open = turn.ids("tool_use", "id");
                for (index, number, id) in &open {
                    if seen.contains(id) {
                        return Err(format!(
                            "messages.{index}.content.{number}: `tool_use` ids must be unique"
                        ));
                    }
                    seen.push(id);
                }
            }
            Role::User => {
                let calls = std::mem::take(&mut open);
                results(turn, &calls)?;
            }
        }
    }
    without_results(&open, &[])
}

fn results(turn: &Turn<'_>, calls: &[(usize, usize, &str)]) -> Result<(), String> {
    // Only results before anything else are right after the calls.
    let leading = turn.blocks.iter();
    let leading = leading.take_while(|(_, _, block)| string(block, "type") == "tool_result");
    let leading: Vec<_> = leading
        .map(|(_, _, block)| string(block, "tool_use_id"))
        .collect();
    without_results(calls, &leading)?;
    let mut seen = Vec::new();
    for (index, number, id) in turn.ids("tool_result", "tool_use_id") {
        if !calls.iter().any(|(_, _, call)| *call == id) {
            return Err(format!(
                "messages.{index}.content.{number}: unexpected `tool_use_id` found in \
                 `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding \
                 `tool_use` block in the previous message."
            ));
        }
        if seen.contains(&id) {
            return Err(format!(
                "messages.{index}.content.{number}: each tool_use must have a single result. Found \
                 multiple `tool_result` blocks with id: {id}"
            ));
        }
        seen.push(id);
    }
    Ok(())
}

fn without_results(calls: &[(usize, usize, &str)], results: &[&str]) -> Result<(), String> {
    let missing = calls.iter().filter(|(_, _, id)| !results.contains(id));
    let missing: Vec<_> = missing.collect();
    let Some((index, _, _)) = missing.first() else {
        return Ok(());
    };
    let ids: Vec<_> = missing.iter().map(|(_, _, id)| *id).collect();
    Err(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately \
         after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the \
         next message.",
        ids.join(", ")
    ))
}

/// Refuses a beginning of the answer that ends with a space.
fn prefill(messages: &[Value]) -> Result<(), String> {
    let last = messages
        .last()
        .filter(|last| string(last, "role") == "assistant");
    let words = match last.and_then(|last| last.get("content")) {
        Some(Value::String(words)) => words.as_str(),
        Some(Value::Array(blocks)) => blocks.last().map_or("", |block| string(block, "text")),
        _ => "",
    };
    if words.ends_with(char::is_whitespace) {
        return Err(
            "messages: final assistant content cannot end with trailing whitespace".to_owned(),
        );
    }
    Ok(())
}

/// Refuses results if the turn that they belong to did not begin with a thought.
fn thinks_first(turns: &[Turn<'_>]) -> Result<(), String> {
    let begin = begin_of_answered_turn(
        turns,
        |last| !last.ids("tool_result", "tool_use_id").is_empty(),
        |turn| turn.role == Role::User && !turn.has_only_results(),
    );
    let answer = begin.and_then(|begin| turns.get(begin));
    let Some((index, number, block)) = answer.and_then(|answer| answer.blocks.first()) else {
        return Ok(());
    };
    match string(block, "type") {
        "thinking" | "redacted_thinking" => Ok(()),
        kind => Err(format!(
            "messages.{index}.content.{number}.type: Expected `thinking` or `redacted_thinking`, \
             but found `{}`. When `thinking` is enabled, a final `assistant` message must start \
             with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` \
             blocks).",
            if kind.is_empty() { "text" } else { kind }
        )),
    }
}

#[cfg(test)]
mod tests;
