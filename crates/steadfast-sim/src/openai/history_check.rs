//! What OpenAI refuses in a conversation: above all calls without results, and results without
//! calls.
//!
//! Only what an agent's history can get wrong is looked at, not every field of every message.

use serde_json::Value;

use super::ErrorBody;
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
        }
    }
    close(open)
}

/// The calls of one assistant message.
struct Calls<'a> {
    index: usize,
    ids: Vec<&'a str>,
    unanswered: Vec<&'a str>,
}

impl Calls<'_> {
    fn answered_by(&mut self, index: usize, message: &Value) -> Result<(), ErrorBody> {
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
        let content = message.get("content");
        if !content.is_some_and(|content| content.is_string() || content.is_array()) {
            let message = "Invalid value for 'content': expected a string or a list of parts.";
            return Err(ErrorBody::invalid(message).at(format!("messages.[{index}].content")));
        }
        self.unanswered.retain(|unanswered| *unanswered != id);
        Ok(())
    }
}

fn close(calls: Option<Calls<'_>>) -> Result<(), ErrorBody> {
    let Some(calls) = calls.filter(|calls| !calls.unanswered.is_empty()) else {
        return Ok(());
    };
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        calls.unanswered.join(", ")
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
    let mut ids = Vec::new();
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
        if call
            .pointer("/function/name")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err(missing("function.name"));
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
        unanswered: ids.clone(),
        ids,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "add", "arguments": "{}"}})
    }

    fn calls(ids: &[&str]) -> Value {
        let calls: Vec<_> = ids.iter().map(|id| call(id)).collect();
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": "3"})
    }

    fn user() -> Value {
        json!({"role": "user", "content": "Hi"})
    }

    #[test]
    fn histories_in_order_are_accepted() {
        let histories = [
            vec![user()],
            vec![user(), calls(&["a"]), result("a")],
            vec![user(), calls(&["a", "b"]), result("b"), result("a"), user()],
            vec![
                user(),
                calls(&["a"]),
                result("a"),
                calls(&["b"]),
                result("b"),
            ],
            vec![
                user(),
                json!({"role": "assistant", "content": "x", "tool_calls": null}),
            ],
        ];
        for history in histories {
            assert_eq!(check(&history), Ok(()), "{history:?}");
        }
    }

    #[test]
    fn broken_histories_are_refused_in_the_vendors_words() {
        let bad_arguments = json!({"role": "assistant", "tool_calls": [
            {"id": "a", "function": {"name": "add", "arguments": {}}},
        ]});
        let cases = [
            (
                vec![user(), result("a")],
                "must be a response to a preceding message",
            ),
            (
                vec![user(), calls(&["a"])],
                "did not have response messages: a",
            ),
            (
                vec![user(), calls(&["a", "b"]), result("a"), user()],
                "response messages: b",
            ),
            (
                vec![user(), calls(&["a"]), user(), result("a")],
                "response messages: a",
            ),
            (
                vec![user(), calls(&["a"]), result("b")],
                "'tool_call_id' of 'b' not found",
            ),
            (
                vec![
                    user(),
                    calls(&["a"]),
                    json!({"role": "tool", "content": "3"}),
                ],
                "Missing parameter 'tool_call_id'",
            ),
            (
                vec![
                    user(),
                    calls(&["a"]),
                    json!({"role": "tool", "tool_call_id": "a"}),
                ],
                "Invalid value for 'content'",
            ),
            (vec![calls(&[])], "minimum length 1"),
            (
                vec![bad_arguments],
                "'messages[0].tool_calls[0].function.arguments'",
            ),
            (
                vec![json!({"role": "human", "content": "x"})],
                "Invalid value: \"human\".",
            ),
            (
                vec![json!({"content": "x"})],
                "Missing required parameter: 'messages[0].role'",
            ),
            (vec![json!(7)], "'messages[0]': expected an object"),
        ];
        for (history, expected) in cases {
            let error = String::from_utf8(check(&history).unwrap_err().to_json()).unwrap();

            assert!(
                error.contains(&expected.replace('"', "\\\"")),
                "{error} should say {expected}"
            );
        }
    }
}
