//! What OpenAI refuses in a conversation: above all calls without results, and results without
//! calls.
//!
//! Only what an agent's history can get wrong is looked at, not every field of every message.

use serde_json::Value;

use super::{ErrorBody, form_check};
use crate::conversation::{list, string};

const ROLES: [&str; 6] = [
    "system",
    "assistant",
    "user",
    "function",
    "tool",
    "developer",
];

/// Refuses messages that OpenAI would refuse, with the first thing that is wrong.
pub(super) fn check(messages: &[Value]) -> Result<(), ErrorBody> {
    let mut open: Option<Calls<'_>> = None;
    for (index, message) in messages.iter().enumerate() {
        let role = role(index, message)?;
        if role != "user" {
            without_images(index, message, role)?;
        }
        if role == "tool" {
            let Some(calls) = &mut open else {
                return Err(ErrorBody::invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a \
                     preceding message with 'tool_calls'.",
                )
                .at(format!("messages.[{index}].role")));
            };
            calls.answered_by(index, message)?;
            continue;
        }
        close(open.take())?;
        if role == "assistant" {
            open = calls(index, message)?;
            if open.is_none() {
                says_something(index, message)?;
            }
        }
    }
    close(open)
}

/// The calls of one assistant message.
struct Calls<'a> {
    index: usize,
    ids: Vec<&'a str>,
    /// The calls that have a result, each with the index of its message.
    answered: Vec<(&'a str, usize)>,
}

impl<'a> Calls<'a> {
    fn answered_by(&mut self, index: usize, message: &'a Value) -> Result<(), ErrorBody> {
        let at = format!("messages.[{index}].tool_call_id");
        let id = string(message, "tool_call_id");
        if id.is_empty() {
            let message = "Missing parameter 'tool_call_id': messages with role 'tool' must have a \
                           'tool_call_id'.";
            return Err(ErrorBody::invalid(message).at(at));
        }
        if !self.ids.contains(&id) {
            let message = format!(
                "Invalid parameter: 'tool_call_id' of '{id}' not found in 'tool_calls' of \
                 previous message."
            );
            return Err(ErrorBody::invalid(message).at(at));
        }
        if let Some((_, first)) = self.answered.iter().find(|(answered, _)| *answered == id) {
            let message = format!(
                "Invalid parameter: Duplicate value for 'tool_call_id' of '{id}', in \
                 messages[{first}] and messages[{index}]."
            );
            return Err(ErrorBody::invalid(message).at(at));
        }
        let content = message.get("content");
        if !content.is_some_and(|content| content.is_string() || content.is_array()) {
            let message = "Invalid value for 'content': expected a string or a list of parts.";
            return Err(ErrorBody::invalid(message).at(format!("messages.[{index}].content")));
        }
        self.answered.push((id, index));
        Ok(())
    }

    fn unanswered(&self) -> Vec<&'a str> {
        let is_open = |id: &&str| !self.answered.iter().any(|(answered, _)| answered == id);
        self.ids.iter().copied().filter(is_open).collect()
    }
}

fn close(calls: Option<Calls<'_>>) -> Result<(), ErrorBody> {
    let Some(calls) = calls else {
        return Ok(());
    };
    let unanswered = calls.unanswered();
    if unanswered.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        unanswered.join(", ")
    );
    Err(ErrorBody::invalid(message).at(format!("messages.[{}].role", calls.index)))
}

fn role(index: usize, message: &Value) -> Result<&str, ErrorBody> {
    if !message.is_object() {
        let message = format!("Invalid type for 'messages[{index}]': expected an object.");
        return Err(
            ErrorBody::invalid_with("invalid_type", message).at(format!("messages[{index}]"))
        );
    }
    let at = format!("messages[{index}].role");
    match message.get("role") {
        None => {
            let message = format!("Missing required parameter: '{at}'.");
            Err(ErrorBody::invalid_with("missing_required_parameter", message).at(at))
        }
        Some(Value::String(role)) if ROLES.contains(&role.as_str()) => Ok(role),
        Some(role) => {
            let message = format!(
                "Invalid value: {role}. Supported values are: 'system', 'assistant', 'user', \
                 'function', 'tool', and 'developer'."
            );
            Err(ErrorBody::invalid_with("invalid_value", message).at(at))
        }
    }
}

fn without_images(index: usize, message: &Value, role: &str) -> Result<(), ErrorBody> {
    let mut parts = list(message, "content").iter();
    if !parts.any(|part| string(part, "type") == "image_url") {
        return Ok(());
    }
    let at = format!("messages[{index}]");
    let message = format!(
        "Invalid '{at}'. Image URLs are only allowed for messages with role 'user', but this \
         message with role '{role}' contains an image URL."
    );
    Err(ErrorBody::invalid_with("invalid_value", message).at(at))
}

/// Refuses a message without calls that says nothing: it must have some content, were it empty.
fn says_something(index: usize, message: &Value) -> Result<(), ErrorBody> {
    // A refusal, a sound or a call of the old kind stands in for the content.
    let instead = ["content", "refusal", "audio", "function_call"];
    let is_there = |field: &str| message.get(field).is_some_and(|value| !value.is_null());
    if instead.into_iter().any(is_there) {
        return Ok(());
    }
    let message = "Invalid value for 'content': expected a string, got null.";
    Err(ErrorBody::invalid(message).at(format!("messages.[{index}].content")))
}

/// Reads the calls of an assistant message; none if it has no such member.
fn calls(index: usize, message: &Value) -> Result<Option<Calls<'_>>, ErrorBody> {
    let at = format!("messages[{index}].tool_calls");
    if message.get("tool_calls").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let calls = list(message, "tool_calls");
    if calls.is_empty() {
        let message = format!(
            "Invalid '{at}': expected an array with minimum length 1, but got an empty one."
        );
        return Err(ErrorBody::invalid_with("empty_array", message).at(at));
    }
    let mut ids: Vec<&str> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let missing = |field: &str| {
            let at = format!("{at}[{number}].{field}");
            let message = format!("Missing required parameter: '{at}'.");
            ErrorBody::invalid_with("missing_required_parameter", message).at(at)
        };
        let id = string(call, "id");
        if id.is_empty() {
            return Err(missing("id"));
        }
        form_check::id(&format!("{at}[{number}].id"), id)?;
        if ids.contains(&id) {
            let message = format!(
                "Invalid parameter: Duplicate value for 'tool_call_id' of '{id}' in \
                 messages[{index}]."
            );
            return Err(ErrorBody::invalid(message).at(format!("{at}[{number}].id")));
        }
        let name = call.pointer("/function/name").and_then(Value::as_str);
        match name.unwrap_or_default() {
            "" => return Err(missing("function.name")),
            name => form_check::name(&format!("{at}[{number}].function.name"), name)?,
        }
        match call.pointer("/function/arguments") {
            Some(Value::String(_)) => {}
            None => return Err(missing("function.arguments")),
            Some(_) => {
                let at = format!("{at}[{number}].function.arguments");
                let message = format!("Invalid type for '{at}': expected a string.");
                return Err(ErrorBody::invalid_with("invalid_type", message).at(at));
            }
        }
        ids.push(id);
    }
    Ok(Some(Calls {
        index,
        ids,
        answered: Vec::new(),
    }))
}

#[cfg(test)]
mod tests;
