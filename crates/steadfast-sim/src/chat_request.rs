//! A chat request as an answerer sees it: the JSON body, and what is usually asked of it.
//!
//! It does not validate: the simulator refuses what the vendor would refuse before an answerer is
//! asked. How each wire's requests are read is in the folders of the wires.

use std::fmt;

use serde_json::Value;

use crate::Wire;
use crate::conversation::{Item, OfferedTool, ToolChoice, list, string};
use crate::dialect::SaidByPath;

/// Wraps the body of one chat request, in whichever wire it came.
///
/// # Examples
///
/// The same question in two wires reads the same:
///
/// ```
/// use serde_json::json;
/// use steadfast_sim::{ChatRequest, Wire};
///
/// let openai = ChatRequest::new(json!({
///     "model": "sim",
///     "messages": [
///         {"role": "system", "content": "Be brief."},
///         {"role": "user", "content": "Hello"},
///     ],
///     "tools": [{"type": "function", "function": {"name": "add"}}],
/// }));
/// let anthropic = ChatRequest::for_wire(Wire::Anthropic, json!({
///     "model": "sim",
///     "max_tokens": 100,
///     "system": "Be brief.",
///     "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
///     "tools": [{"name": "add", "input_schema": {"type": "object"}}],
/// }));
///
/// for request in [openai, anthropic] {
///     assert_eq!(request.model(), "sim");
///     assert_eq!(request.system(), "Be brief.");
///     assert_eq!(request.prompt(), "Hello");
///     assert_eq!(request.tool_names(), ["add"]);
///     assert!(!request.is_stream());
///     assert!(request.tool_results().is_empty());
/// }
/// ```
#[derive(Clone, PartialEq)]
pub struct ChatRequest {
    wire: Wire,
    body: Value,
    /// What the path says, of wires whose bodies do not say it.
    by_path: Option<SaidByPath>,
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
    /// Wraps a body in OpenAI's wire; any JSON will do, what is missing reads as empty.
    #[must_use]
    pub fn new(body: Value) -> Self {
        Self::for_wire(Wire::OpenAiChat, body)
    }

    /// Wraps a body in any wire; any JSON will do, what is missing reads as empty.
    #[must_use]
    pub fn for_wire(wire: Wire, body: Value) -> Self {
        Self {
            wire,
            body,
            by_path: None,
        }
    }

    /// Adds what the path of the request says.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.by_path = self.wire.dialect().said_by_path(path);
        self
    }

    /// Returns the wire in which the request came.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
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
        match &self.by_path {
            Some(said) => &said.model,
            None => string(&self.body, "model"),
        }
    }

    /// Returns the instructions for the whole conversation; empty if there are none.
    #[must_use]
    pub fn system(&self) -> String {
        self.wire.dialect().system(&self.body)
    }

    /// Returns the messages as they were sent, oldest first.
    ///
    /// What OpenAI's responses wire has are items, of which a call is one and the words before it
    /// are another.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        self.wire.dialect().messages(&self.body)
    }

    /// Returns the tools as they were sent.
    #[must_use]
    pub fn tools(&self) -> &[Value] {
        match self.body.get("toolConfig") {
            Some(config) => list(config, "tools"),
            None => list(&self.body, "tools"),
        }
    }

    /// Returns the names of the tools, in the order in which they are offered.
    #[must_use]
    pub fn tool_names(&self) -> Vec<&str> {
        let tools = self.offered_tools();
        tools.into_iter().map(|tool| tool.name).collect()
    }

    pub(crate) fn offered_tools(&self) -> Vec<OfferedTool<'_>> {
        self.wire.dialect().tools(&self.body)
    }

    pub(crate) fn tool_choice(&self) -> ToolChoice<'_> {
        self.wire.dialect().tool_choice(&self.body)
    }

    /// Returns whether the answer is to be streamed.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        match &self.by_path {
            Some(said) => said.is_stream,
            None => self.wire.dialect().is_stream(&self.body),
        }
    }

    /// Returns whether a stream is to end with a chunk that says what it cost, which only OpenAI's
    /// clients have to ask for.
    #[must_use]
    pub fn includes_usage(&self) -> bool {
        self.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true))
    }

    /// Returns the text of the last message of the user; empty if there is none.
    ///
    /// Tool results are not the user's, also where a wire sends them in the user's name.
    #[must_use]
    pub fn prompt(&self) -> String {
        let items = self.conversation().into_iter().rev();
        let mut prompts = items.filter_map(|item| match item {
            Item::Prompt(text) => Some(text),
            Item::ToolResult { .. } | Item::Other => None,
        });
        prompts.next().unwrap_or_default()
    }

    /// Returns the tool results at the end of the conversation, oldest first; empty if something
    /// else comes last.
    #[must_use]
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let items = self.conversation().into_iter().rev();
        let mut results: Vec<_> = items
            .map_while(|item| match item {
                Item::ToolResult { name, content } => Some(ToolResult { name, content }),
                Item::Prompt(_) | Item::Other => None,
            })
            .collect();
        results.reverse();
        results
    }

    fn conversation(&self) -> Vec<Item> {
        self.wire.dialect().conversation(&self.body)
    }
}

/// Shows what kind of request it is, not what is in it: prompts do not belong into logs.
impl fmt::Debug for ChatRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatRequest")
            .field("wire", &self.wire)
            .field("model", &self.model())
            .field("messages", &self.messages().len())
            .field("tools", &self.tools().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contents(request: &ChatRequest) -> Vec<(String, String)> {
        let results = request.tool_results().into_iter();
        results
            .map(|result| (result.name, result.content))
            .collect()
    }

    #[test]
    fn any_json_reads_as_an_empty_request() {
        for body in [
            json!(null),
            json!([]),
            json!(7),
            json!({"messages": "no", "tools": {}}),
            json!({"messages": [7, null, {"role": "user", "content": {}}], "tools": [1, {}]}),
        ] {
            for wire in Wire::all() {
                let request = ChatRequest::for_wire(*wire, body.clone());

                assert_eq!(request.model(), "");
                assert_eq!(request.prompt(), "");
                assert_eq!(request.system(), "");
                assert!(request.tool_names().is_empty() && request.tool_results().is_empty());
            }
        }
    }

    #[test]
    fn only_results_at_the_end_count() {
        let request = ChatRequest::new(json!({"messages": [
            {"role": "tool", "tool_call_id": "a", "content": "old"},
            {"role": "user", "content": "and now?"},
            {"role": "assistant", "tool_calls": [
                {"id": "a", "function": {"name": "f"}}, {"id": "b", "function": {"name": "g"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        ]}));

        assert_eq!(
            contents(&request),
            [("f".into(), "1".into()), ("g".into(), "2".into())]
        );
        assert_eq!(request.prompt(), "and now?");
    }

    #[test]
    fn results_in_user_messages_are_not_the_users_words() {
        let mut body = json!({"messages": [
            {"role": "user", "content": "and now?"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b",
                 "content": [{"type": "text", "text": "2"}]},
            ]},
        ]});
        let request = ChatRequest::for_wire(Wire::Anthropic, body.clone());
        let word = json!({"type": "text", "text": "Go on."});
        body["messages"][2]["content"]
            .as_array_mut()
            .unwrap()
            .push(word);
        let interrupted = ChatRequest::for_wire(Wire::Anthropic, body);

        assert_eq!(
            contents(&request),
            [("f".into(), "1".into()), ("g".into(), "2".into())]
        );
        assert_eq!(request.prompt(), "and now?");
        assert_eq!(contents(&interrupted), []);
        assert_eq!(interrupted.prompt(), "Go on.");
    }

    #[test]
    fn debug_does_not_show_the_prompt() {
        let request =
            ChatRequest::new(json!({"messages": [{"role": "user", "content": "secret"}]}));

        assert!(!format!("{request:?}").contains("secret"));
    }
}
