//! A conversation as all wires have it, whatever their messages look like.
//!
//! It holds what answers are made from, and nothing else: images and the like are only noticed.

use serde_json::Value;

/// One thing that somebody said or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// What the user said in one message.
    Prompt(String),
    /// What a tool answered.
    ToolResult { name: String, content: String },
    /// Anything else.
    Other,
}

/// A tool that a request offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedTool<'a> {
    pub(crate) name: &'a str,
    /// The schema of its arguments; null if there is none.
    pub(crate) schema: &'a Value,
}

/// Which of the offered tools a request wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Any,
    None,
    Named(&'a str),
}

/// Returns the place of the answer with which the turn began whose calls the last message answers.
///
/// A loop of tools is one turn: a message of results alone goes on with it, and any other message of
/// the user's begins a turn behind it.
pub(crate) fn begin_of_answered_turn<T>(
    messages: &[T],
    has_results: impl Fn(&T) -> bool,
    begins_a_turn: impl Fn(&T) -> bool,
) -> Option<usize> {
    let (last, before) = messages.split_last()?;
    let prompt = before.iter().rposition(begins_a_turn);
    let first = prompt.map_or(0, |place| place + 1);
    (has_results(last) && first < before.len()).then_some(first)
}

/// Returns a member that is a string; empty if it is none.
pub(crate) fn string<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a member that is a list; empty if it is none.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    let list = value.get(field).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

/// Returns a content's text: the content is a string or a list of parts, whose texts are joined.
pub(crate) fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => texts(parts.iter()),
        _ => String::new(),
    }
}

/// Joins the texts of parts.
pub(crate) fn texts<'a>(parts: impl Iterator<Item = &'a Value>) -> String {
    let texts = parts.filter_map(|part| part.get("text")?.as_str());
    texts.collect::<Vec<_>>().join("\n")
}
