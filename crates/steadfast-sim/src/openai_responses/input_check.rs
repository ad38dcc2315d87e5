//! What OpenAI refuses in the items of an input: above all calls without outputs, outputs without
//! calls, and thoughts that are not its own or that nothing came of.
//!
//! Only what an agent's history can get wrong is looked at, not every field of every item.

use serde_json::Value;

use super::form_check::missing;
use super::thought::encrypted;
use crate::conversation::string;
use crate::openai::{ErrorBody, form_check};

/// The most characters of the identity of a call.
const LONGEST_ID: usize = 64;

/// Items of the provider's own, which are not looked into.
const OWN_ITEMS: [&str; 8] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
];

/// Items of tools that run at the client, in the provider's own words.
const CLIENT_CALLS: [&str; 5] = [
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
];

/// Refuses an input that OpenAI would refuse, with the first thing that is wrong.
pub(super) fn check(body: &Value) -> Result<(), ErrorBody> {
    let items = match body.get("input") {
        Some(Value::String(_)) => return Ok(()),
        Some(Value::Array(items)) if !items.is_empty() => items,
        None | Some(Value::Null | Value::Array(_)) => {
            let message = "One of \"input\" or \"previous_response_id\" or 'prompt' or \
                           'conversation_id' must be provided.";
            return Err(ErrorBody::invalid_with("missing_required_parameter", message).at("input"));
        }
        Some(_) => return Err(invalid_type("input", "one of a string or an array")),
    };
    let is_stored = body.get("store") != Some(&Value::Bool(false));
    let mut input = Input::default();
    for (index, item) in items.iter().enumerate() {
        input.take(&format!("input[{index}]"), item, is_stored)?;
    }
    input.close()
}

/// What of an input is still to come.
#[derive(Default)]
struct Input<'a> {
    /// Calls: their identity, and whether their output has come.
    calls: Vec<(&'a str, bool)>,
    /// The thought that was last, until something came of it.
    thought: Option<&'a str>,
    thoughts: Vec<&'a str>,
}

impl<'a> Input<'a> {
    fn take(&mut self, at: &str, item: &'a Value, is_stored: bool) -> Result<(), ErrorBody> {
        if !item.is_object() {
            return Err(invalid_type(at, "an object"));
        }
        let kind = match string(item, "type") {
            "" if item.get("role").is_some() => "message",
            kind => kind,
        };
        if kind == "reasoning" {
            return self.reasoning(at, item, is_stored);
        }
        // What comes of a thought is the model's: words, or a call.
        let is_answer = string(item, "role") == "assistant" || kind.ends_with("_call");
        if let Some(thought) = self.thought.take().filter(|_| !is_answer) {
            return Err(without_followers(thought));
        }
        match kind {
            "message" => message(at, item),
            "function_call" => self.call(at, item),
            "function_call_output" => self.output(at, item),
            kind if CLIENT_CALLS.contains(&kind) => self.identity(at, item).map(|_| ()),
            kind if kind.ends_with("_call_output") => self.answered(at, item),
            kind if OWN_ITEMS.contains(&kind) => Ok(()),
            kind => {
                let at = format!("{at}.type");
                let message = format!("Invalid value: '{kind}' is no type of an item of '{at}'.");
                Err(ErrorBody::invalid_with("invalid_value", message).at(at))
            }
        }
    }

    fn reasoning(&mut self, at: &str, item: &'a Value, is_stored: bool) -> Result<(), ErrorBody> {
        let id = string(item, "id");
        if !id.starts_with("rs") {
            let message =
                format!("Invalid '{at}.id': '{id}'. Expected an ID that begins with 'rs'.");
            return Err(ErrorBody::invalid_with("invalid_value", message).at(format!("{at}.id")));
        }
        if !item.get("summary").is_some_and(Value::is_array) {
            return Err(missing(&format!("{at}.summary")));
        }
        match item.get("encrypted_content").and_then(Value::as_str) {
            Some(content) if content != encrypted(id) => {
                let message = format!("The encrypted content for item {id} could not be verified.");
                return Err(ErrorBody::invalid_with(
                    "invalid_encrypted_content",
                    message,
                ));
            }
            None if !is_stored => {
                let message = format!(
                    "Item with id '{id}' not found. Items are not persisted when `store` is set \
                     to false. Try again with `store` set to true, or remove this item from your \
                     input."
                );
                return Err(ErrorBody::invalid(message).at("input"));
            }
            _ => {}
        }
        if self.thoughts.contains(&id) {
            let message = format!(
                "Duplicate item found with id {id}. Remove duplicate items from your input and \
                 try again."
            );
            return Err(ErrorBody::invalid(message).at("input"));
        }
        self.thoughts.push(id);
        self.thought = Some(id);
        Ok(())
    }

    fn call(&mut self, at: &str, item: &'a Value) -> Result<(), ErrorBody> {
        self.identity(at, item)?;
        match string(item, "name") {
            "" => return Err(missing(&format!("{at}.name"))),
            name => form_check::name(&format!("{at}.name"), name)?,
        }
        match item.get("arguments") {
            Some(Value::String(_)) => Ok(()),
            None => Err(missing(&format!("{at}.arguments"))),
            Some(_) => Err(invalid_type(&format!("{at}.arguments"), "a string")),
        }
    }

    /// Takes the identity of a call, to which an output belongs.
    fn identity(&mut self, at: &str, item: &'a Value) -> Result<(), ErrorBody> {
        let at = format!("{at}.call_id");
        let id = string(item, "call_id");
        if id.is_empty() {
            return Err(missing(&at));
        }
        form_check::not_longer_than(LONGEST_ID, &at, id)?;
        if self.calls.iter().any(|(call, _)| *call == id) {
            let message = format!("Duplicate value for 'call_id': '{id}'.");
            return Err(ErrorBody::invalid(message).at(at));
        }
        self.calls.push((id, false));
        Ok(())
    }

    fn output(&mut self, at: &str, item: &'a Value) -> Result<(), ErrorBody> {
        let output_at = format!("{at}.output");
        match item.get("output") {
            Some(Value::String(_)) => {}
            Some(Value::Array(parts)) => {
                check_parts(
                    &output_at,
                    parts,
                    &["input_text", "input_image", "input_file"],
                )?;
            }
            None => return Err(missing(&output_at)),
            Some(_) => return Err(invalid_type(&output_at, "a string or an array")),
        }
        self.answered(at, item)
    }

    fn answered(&mut self, at: &str, item: &'a Value) -> Result<(), ErrorBody> {
        let id = string(item, "call_id");
        if id.is_empty() {
            return Err(missing(&format!("{at}.call_id")));
        }
        match self.calls.iter_mut().find(|(call, _)| *call == id) {
            Some((_, answered @ false)) => {
                *answered = true;
                Ok(())
            }
            Some(_) => {
                let message = format!("Duplicate output for call with call_id {id}.");
                Err(ErrorBody::invalid(message).at("input"))
            }
            None => {
                let message =
                    format!("No tool call found for function call output with call_id {id}.");
                Err(ErrorBody::invalid(message).at("input"))
            }
        }
    }

    fn close(self) -> Result<(), ErrorBody> {
        if let Some(thought) = self.thought {
            return Err(without_followers(thought));
        }
        match self.calls.iter().find(|(_, answered)| !answered) {
            Some((id, _)) => {
                let message = format!("No tool output found for function call {id}.");
                Err(ErrorBody::invalid(message).at("input"))
            }
            None => Ok(()),
        }
    }
}

fn message(at: &str, item: &Value) -> Result<(), ErrorBody> {
    let known: &[&str] = match string(item, "role") {
        "user" | "system" | "developer" => &["input_text", "input_image", "input_file"],
        "assistant" => &["output_text", "refusal"],
        role => {
            let message = format!(
                "Invalid value: '{role}'. Supported values are: 'assistant', 'system', \
                 'developer', and 'user'."
            );
            let error = ErrorBody::invalid_with("invalid_value", message);
            return Err(error.at(format!("{at}.role")));
        }
    };
    let at = format!("{at}.content");
    match item.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => check_parts(&at, parts, known),
        None => Err(missing(&at)),
        Some(_) => Err(invalid_type(&at, "a string or an array")),
    }
}

fn check_parts(at: &str, parts: &[Value], known: &[&str]) -> Result<(), ErrorBody> {
    for (index, part) in parts.iter().enumerate() {
        let kind = string(part, "type");
        if !known.contains(&kind) {
            let message = format!(
                "Invalid value: '{kind}'. Supported values are: '{}'.",
                known.join("', '")
            );
            let error = ErrorBody::invalid_with("invalid_value", message);
            return Err(error.at(format!("{at}[{index}].type")));
        }
        let is_there = |field: &str| part.get(field).is_some_and(Value::is_string);
        let field = match kind {
            "input_image" => "image_url",
            "refusal" => "refusal",
            // Bytes have no name of their own.
            "input_file" if is_there("file_data") => "filename",
            "input_file" => "file_url",
            _ => "text",
        };
        // A file that lies at the vendor stands in for its address.
        if !is_there(field) && !is_there("file_id") {
            return Err(missing(&format!("{at}[{index}].{field}")));
        }
    }
    Ok(())
}

fn without_followers(thought: &str) -> ErrorBody {
    let message = format!(
        "Item '{thought}' of type 'reasoning' was provided without its required following item."
    );
    ErrorBody::invalid(message).at("input")
}

fn invalid_type(at: &str, expected: &str) -> ErrorBody {
    let message = format!("Invalid type for '{at}': expected {expected}.");
    ErrorBody::invalid_with("invalid_type", message).at(at)
}

#[cfg(test)]
mod tests;
