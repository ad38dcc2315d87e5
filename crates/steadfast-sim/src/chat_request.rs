//! A chat request as an answerer sees it: the JSON body, and what is usually asked of it.
//!
//! It does not validate: the simulator refuses what OpenAI would refuse before an answerer is
//! asked.

use std::fmt;

use serde_json::Value;

/// Wraps the body of one chat request.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use steadfast_sim::ChatRequest;
///
/// let request = ChatRequest::new(json!({
///     "model": "sim",
///     "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
/// }));
///
/// assert_eq!(request.model(), "sim");
/// assert_eq!(request.prompt(), "Hello");
/// assert!(!request.is_stream());
/// assert!(request.tool_results().is_empty());
/// ```
#[derive(Clone, PartialEq)]
pub struct ChatRequest {
    body: Value,
}

/// Holds one tool result that the model is to answer.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use steadfast_sim::ChatRequest;
///
/// let request = ChatRequest::new(json!({"messages": [
///     {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"name": "add"}}]},
///     {"role": "tool", "tool_call_id": "call_1", "content": "5"},
/// ]}));
///
/// let results = request.tool_results();
///
/// assert_eq!(results[0].name, "add");
/// assert_eq!(results[0].content, "5");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolResult {
    /// The name of the tool, from the call that the result belongs to; `tool` if there is none.
    pub name: String,
    /// The text of the result.
    pub content: String,
}

impl ChatRequest {
    /// Wraps a body; any JSON will do, what is missing reads as empty.
    #[must_use]
    pub fn new(body: Value) -> Self {
        Self { body }
    }

    /// Returns the whole body.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    pub(crate) fn into_body(self) -> Value {
        self.body
    }

    /// Returns the name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        self.text_at("model")
    }

    /// Returns the messages as they were sent, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        self.array_at("messages")
    }

    /// Returns the tools as they were sent.
    #[must_use]
    pub fn tools(&self) -> &[Value] {
        self.array_at("tools")
    }

    /// Returns whether the answer is to be streamed.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.body.get("stream") == Some(&Value::Bool(true))
    }

    /// Returns whether a stream is to end with a chunk that says what it cost.
    #[must_use]
    pub fn includes_usage(&self) -> bool {
        self.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true))
    }

    /// Returns the text of the last message of the user; empty if there is none.
    #[must_use]
    pub fn prompt(&self) -> String {
        self.messages()
            .iter()
            .rfind(|message| role(message) == "user")
            .map(text)
            .unwrap_or_default()
    }

    /// Returns the tool results at the end of the conversation, oldest first; empty if the last
    /// message is something else.
    #[must_use]
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let messages = self.messages();
        let results = messages
            .iter()
            .rev()
            .take_while(|message| role(message) == "tool")
            .count();
        messages
            .iter()
            .skip(messages.len() - results)
            .map(|message| ToolResult {
                name: self
                    .name_of_call(string(message, "tool_call_id"))
                    .to_owned(),
                content: text(message),
            })
            .collect()
    }

    fn name_of_call(&self, id: &str) -> &str {
        let calls = self
            .messages()
            .iter()
            .filter_map(|message| message.get("tool_calls")?.as_array())
            .flatten();
        calls
            .rev()
            .find(|call| string(call, "id") == id)
            .and_then(|call| call.pointer("/function/name")?.as_str())
            .unwrap_or("tool")
    }

    fn text_at(&self, field: &str) -> &str {
        string(&self.body, field)
    }

    fn array_at(&self, field: &str) -> &[Value] {
        let array = self.body.get(field).and_then(Value::as_array);
        array.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Shows what kind of request it is, not what is in it: prompts do not belong into logs.
impl fmt::Debug for ChatRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatRequest")
            .field("model", &self.model())
            .field("messages", &self.messages().len())
            .field("tools", &self.tools().len())
            .finish_non_exhaustive()
    }
}

fn string<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn role(message: &Value) -> &str {
    string(message, "role")
}

/// Returns the text of a message, whose content is a string or a list of parts.
fn text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_json_reads_as_an_empty_request() {
        for body in [
            json!(null),
            json!([]),
            json!(7),
            json!({"messages": "no", "tools": {}}),
        ] {
            let request = ChatRequest::new(body);

            assert_eq!(request.model(), "");
            assert_eq!(request.prompt(), "");
            assert!(request.messages().is_empty() && request.tools().is_empty());
            assert!(request.tool_results().is_empty());
        }
    }

    #[test]
    fn only_results_at_the_end_count() {
        let request = ChatRequest::new(json!({"messages": [
            {"role": "tool", "tool_call_id": "a", "content": "old"},
            {"role": "user", "content": "and now?"},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        ]}));

        let results = request.tool_results();

        let contents: Vec<_> = results
            .iter()
            .map(|result| result.content.as_str())
            .collect();
        assert_eq!(contents, ["1", "2"]);
    }

    #[test]
    fn debug_does_not_show_the_prompt() {
        let request =
            ChatRequest::new(json!({"messages": [{"role": "user", "content": "secret"}]}));

        assert!(!format!("{request:?}").contains("secret"));
    }
}
