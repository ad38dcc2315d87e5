//! What OpenAI refuses in the names of functions and in the identifiers of calls.
//!
//! It looks at nothing else: which calls and results belong together is looked at in
//! `history_check.rs`.

use serde_json::Value;

use super::ErrorBody;
use crate::conversation::list;
use crate::identifier::is_plain;

/// The most characters of the name of a function.
const LONGEST_NAME: usize = 64;

/// The most characters of the identifier of a call.
const LONGEST_ID: usize = 40;

/// Refuses offered tools with the first name that is wrong; those without a name are passed over.
pub(super) fn tools(body: &Value) -> Result<(), ErrorBody> {
    for (index, tool) in list(body, "tools").iter().enumerate() {
        let named = tool.pointer("/function/name").and_then(Value::as_str);
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            name(&format!("tools[{index}].function.name"), named)?;
        }
    }
    Ok(())
}

pub(crate) fn name(at: &str, name: &str) -> Result<(), ErrorBody> {
    not_longer_than(LONGEST_NAME, at, name)?;
    if is_plain(name) {
        return Ok(());
    }
    let message = format!(
        "Invalid '{at}': string does not match pattern. Expected a string that matches the \
         pattern '^[a-zA-Z0-9_-]+$'."
    );
    Err(ErrorBody::invalid_with("invalid_value", message).at(at))
}

pub(super) fn id(at: &str, id: &str) -> Result<(), ErrorBody> {
    not_longer_than(LONGEST_ID, at, id)
}

pub(crate) fn not_longer_than(longest: usize, at: &str, text: &str) -> Result<(), ErrorBody> {
    let length = text.chars().count();
    if length <= longest {
        return Ok(());
    }
    let message = format!(
        "Invalid '{at}': string too long. Expected a string with maximum length {longest}, but got \
         a string with length {length} instead."
    );
    Err(ErrorBody::invalid_with("string_above_max_length", message).at(at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offering(name: &str) -> Value {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        json!({"tools": [tool("add"), tool(name)]})
    }

    #[test]
    fn tools_have_names_that_can_be_called() {
        let long = "x".repeat(65);
        let wrong = [
            (
                "get weather",
                "Invalid 'tools[1].function.name': string does not match",
            ),
            (
                "a.b",
                "Invalid 'tools[1].function.name': string does not match",
            ),
            (
                long.as_str(),
                "Invalid 'tools[1].function.name': string too long.",
            ),
        ];

        for (name, expected) in wrong {
            let error = String::from_utf8(tools(&offering(name)).unwrap_err().to_json()).unwrap();

            assert!(error.contains(expected), "{error} should say {expected}");
        }
        for name in ["get_weather", &long[1..]] {
            assert_eq!(tools(&offering(name)), Ok(()));
        }
    }
}
