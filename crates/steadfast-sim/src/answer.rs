//! What the simulated model says: text, reasoning, tool calls, a refusal, and what it cost.
//!
//! Nothing here knows a wire format; the folders of the wires turn an answer into bytes.

use serde_json::Value;

use crate::ChatRequest;
use crate::built_in_answer;

/// Describes one answer of the simulated model.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use steadfast_sim::Answer;
///
/// let text = Answer::text("It rains in Oslo.");
/// let careful = Answer::reasoning("The user asks for Oslo.").then_text("It rains.");
/// let parallel = Answer::tool_call("get_weather", json!({"city": "Oslo"}))
///     .then_tool_call("get_weather", json!({"city": "Bergen"}));
/// let cut_short = Answer::text("It rai").finish("length").usage(12, 2);
///
/// assert_eq!(text.finish_reason(), "stop");
/// assert_eq!(careful.finish_reason(), "stop");
/// assert_eq!(parallel.finish_reason(), "tool_calls");
/// assert_eq!(cut_short.finish_reason(), "length");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Answer {
    pub(crate) contents: Vec<Content>,
    finish: Option<String>,
    /// The tokens of input and output.
    pub(crate) usage: Option<(u64, u64)>,
    pub(crate) cached_tokens: u64,
}

/// One stretch of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Reasoning(String),
    Text(String),
    Refusal(String),
    ToolCall { name: String, arguments: String },
}

impl Answer {
    /// Says nothing: an answer with a role and an end, but without content.
    pub fn empty() -> Self {
        Self {
            contents: Vec::new(),
            finish: None,
            usage: None,
            cached_tokens: 0,
        }
    }

    /// Says a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::empty().then_text(text)
    }

    /// Thinks aloud: the field `reasoning_content`, or a `thinking` block with a signature.
    pub fn reasoning(text: impl Into<String>) -> Self {
        Self::empty().then_reasoning(text)
    }

    /// Asks for a tool, with arguments as JSON.
    ///
    /// A [`Value::String`] is sent as it is, for arguments that are not JSON. Only an Anthropic
    /// answer that is not a stream, and an Ollama answer, have no place for those; they get them as
    /// a JSON string. Gemini has none at all: its answer ends with `MALFORMED_FUNCTION_CALL`, and
    /// without the call.
    pub fn tool_call(name: impl Into<String>, arguments: impl Into<Value>) -> Self {
        Self::empty().then_tool_call(name, arguments)
    }

    /// Refuses to answer: the field `refusal`, a text that ends with the stop reason `refusal`, or
    /// with Gemini a text.
    pub fn refusal(text: impl Into<String>) -> Self {
        let mut answer = Self::empty();
        answer.contents.push(Content::Refusal(text.into()));
        answer
    }

    /// Answers as the simulator does without an answerer: see
    /// [`SimulatorBuilder::answer`](crate::SimulatorBuilder::answer).
    ///
    /// For answerers that care about some requests only.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde_json::json;
    /// use steadfast_sim::{Answer, ChatRequest};
    ///
    /// let request = ChatRequest::new(json!({
    ///     "model": "sim",
    ///     "messages": [{"role": "user", "content": "Should I take an umbrella to Oslo?"}],
    ///     "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {
    ///         "type": "object",
    ///         "properties": {"city": {"type": "string"}},
    ///         "required": ["city"],
    ///     }}}],
    /// }));
    ///
    /// let answer = Answer::built_in(&request);
    ///
    /// assert_eq!(answer, Answer::tool_call("get_weather", json!({"city": "Oslo"})));
    /// ```
    pub fn built_in(request: &ChatRequest) -> Self {
        built_in_answer::answer(request)
    }

    /// Adds text.
    pub fn then_text(mut self, text: impl Into<String>) -> Self {
        self.contents.push(Content::Text(text.into()));
        self
    }

    /// Adds reasoning.
    pub fn then_reasoning(mut self, text: impl Into<String>) -> Self {
        self.contents.push(Content::Reasoning(text.into()));
        self
    }

    /// Adds a tool call; several calls in one answer are parallel calls.
    pub fn then_tool_call(mut self, name: impl Into<String>, arguments: impl Into<Value>) -> Self {
        let arguments = match arguments.into() {
            Value::String(raw) => raw,
            arguments => arguments.to_string(),
        };
        self.contents.push(Content::ToolCall {
            name: name.into(),
            arguments,
        });
        self
    }

    /// Sets the finish reason, instead of `tool_calls` after a tool call and `stop` otherwise.
    ///
    /// In the words of OpenAI or Anthropic: each wire says it in its own. A word that a wire has no
    /// other word for is sent as it is.
    ///
    /// | OpenAI says | Anthropic says | Gemini says | Ollama says |
    /// |---|---|---|---|
    /// | `stop` | `end_turn`, or `stop_sequence` if that was the word | `STOP` | `stop` |
    /// | `tool_calls` | `tool_use` | `STOP` | `stop` |
    /// | `length` | `max_tokens`, or `model_context_window_exceeded` if that was the word | `MAX_TOKENS` | `length` |
    /// | `content_filter` | `refusal` | `SAFETY` | `stop` |
    pub fn finish(mut self, reason: impl Into<String>) -> Self {
        self.finish = Some(reason.into());
        self
    }

    /// Sets the tokens, instead of a guess from the lengths of prompt and answer.
    pub fn usage(mut self, input_tokens: u64, output_tokens: u64) -> Self {
        self.usage = Some((input_tokens, output_tokens));
        self
    }

    /// Sets how many of the input tokens came from the vendor's cache; the default is none.
    ///
    /// OpenAI counts them among the input tokens, Anthropic beside them.
    pub fn cached_tokens(mut self, tokens: u64) -> Self {
        self.cached_tokens = tokens;
        self
    }

    /// Returns why the answer says that it ended.
    #[must_use]
    pub fn finish_reason(&self) -> &str {
        match &self.finish {
            Some(reason) => reason,
            None if self.has_tool_calls() => "tool_calls",
            None => "stop",
        }
    }

    /// Says whether the answer names its finish reason itself.
    pub(crate) fn has_own_finish(&self) -> bool {
        self.finish.is_some()
    }

    pub(crate) fn has_tool_calls(&self) -> bool {
        self.contents
            .iter()
            .any(|content| matches!(content, Content::ToolCall { .. }))
    }
}
