//! Assembly: from deltas to a message. It knows no wire and decides nothing about retries.

use std::{mem, sync::Arc};

use serde_json::{Map, Value};

use super::{ModelDelta, ModelError, ModelErrorKind, ModelResponse};
use crate::{
    message::{ContentBlock, Message, Reasoning, Role, ToolUse},
    usage::{StopReason, Usage},
};

/// The longest answer, in bytes: sixteen million tokens.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The most tool calls in one answer: vendors allow far fewer.
const MAX_CALLS: usize = 1_024;

/// How deep arguments and the blocks of a provider's own may be nested. What is stored of a run is
/// deeper by what stands around them, and JSON is not read deeper than 128 levels.
const MAX_DEPTH: usize = 64;

/// A message in the making.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    content: Vec<ContentBlock>,
    calls: Vec<OpenCall>,
    usage: Usage,
    stop: Option<StopReason>,
    request_id: Option<String>,
    /// How many bytes have come.
    held: usize,
}

/// A tool call whose arguments are still arriving.
#[derive(Debug)]
struct OpenCall {
    index: usize,
    block: usize,
    json: String,
}

impl Assembly {
    /// Adds a delta.
    pub(crate) fn push(&mut self, delta: &ModelDelta) -> Result<(), ModelError> {
        self.held = self.held.saturating_add(held_by(delta));
        if self.held > MAX_BYTES {
            let message = format!("the answer is longer than {MAX_BYTES} bytes");
            return Err(ModelError::new(ModelErrorKind::Protocol, message));
        }
        match delta {
            ModelDelta::Started { request_id } => self.request_id.clone_from(request_id),
            ModelDelta::Text(piece) => match self.content.last_mut() {
                Some(ContentBlock::Text { text }) => text.push_str(piece),
                _ => self.content.push(ContentBlock::text(piece)),
            },
            ModelDelta::Refusal(piece) => match self.content.last_mut() {
                Some(ContentBlock::Refusal { text }) => text.push_str(piece),
                _ => self.content.push(ContentBlock::Refusal {
                    text: piece.clone(),
                }),
            },
            ModelDelta::Reasoning(piece) => match self.content.last_mut() {
                // A block whose opaque data has come is closed: the data speaks for its text.
                Some(ContentBlock::Reasoning(Reasoning { text, opaque: None })) => {
                    text.push_str(piece)
                }
                _ => self
                    .content
                    .push(ContentBlock::Reasoning(Reasoning::new(piece))),
            },
            ModelDelta::ReasoningOpaque(data) | ModelDelta::Opaque(data) if is_deep(data) => {
                let message = format!("a block is nested more than {MAX_DEPTH} levels deep");
                return Err(ModelError::new(ModelErrorKind::Protocol, message));
            }
            ModelDelta::ReasoningOpaque(data) => self.attach_opaque(data.clone()),
            ModelDelta::ToolUseStart { .. } if self.calls.len() >= MAX_CALLS => {
                let message = format!("the answer has more than {MAX_CALLS} tool calls");
                return Err(ModelError::new(ModelErrorKind::Protocol, message));
            }
            ModelDelta::ToolUseStart { index, id, name } => {
                self.calls.push(OpenCall {
                    index: *index,
                    block: self.content.len(),
                    json: String::new(),
                });
                let call = ToolUse::new(id, name, Value::Null);
                self.content.push(ContentBlock::ToolUse(call));
            }
            ModelDelta::ToolUseInput { index, json } => {
                let open = self
                    .calls
                    .iter_mut()
                    .rev()
                    .find(|call| call.index == *index);
                let Some(call) = open else {
                    return Err(ModelError::new(
                        ModelErrorKind::Protocol,
                        format!("arguments for tool call {index}, which was never started"),
                    ));
                };
                call.json.push_str(json);
            }
            ModelDelta::Opaque(data) => {
                self.content
                    .push(ContentBlock::Opaque { data: data.clone() });
            }
            ModelDelta::Usage(usage) => self.usage = *usage,
            ModelDelta::Stop(reason) => self.stop = Some(*reason),
        }
        Ok(())
    }

    /// Gives opaque data to the latest reasoning block that has none, or makes one for it. The data
    /// may arrive after the text that it belongs to has been followed by something else.
    fn attach_opaque(&mut self, data: Value) {
        let bare = self.content.iter_mut().rev().find_map(|block| match block {
            ContentBlock::Reasoning(reasoning) if reasoning.opaque.is_none() => Some(reasoning),
            _ => None,
        });
        match bare {
            Some(reasoning) => reasoning.opaque = Some(data),
            None => self.content.push(ContentBlock::Reasoning(
                Reasoning::default().with_opaque(data),
            )),
        }
    }

    /// Returns whether the end marker has come.
    pub(crate) const fn is_complete(&self) -> bool {
        self.stop.is_some()
    }

    /// Adds to an error which answer it happened in.
    pub(crate) fn locate(&self, error: ModelError) -> ModelError {
        match &self.request_id {
            Some(id) if error.request_id().is_none() => error.with_request_id(id),
            _ => error,
        }
    }

    /// Returns what the answer cost so far.
    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Completes the message once the stream has ended.
    pub(crate) fn finish(&mut self) -> Result<ModelResponse, ModelError> {
        let Some(stop) = self.stop else {
            let message = "the stream ended without its end marker";
            return Err(self.locate(ModelError::new(ModelErrorKind::Truncated, message)));
        };
        for call in mem::take(&mut self.calls) {
            if let Some(ContentBlock::ToolUse(tool_use)) = self.content.get_mut(call.block) {
                tool_use.input = parse_input(call.json);
            }
        }
        let mut message = Message::new(Role::Assistant, mem::take(&mut self.content));
        let stop_reason = settle_stop_reason(stop, &message);
        message.stop_reason = Some(stop_reason);
        message.usage = Some(self.usage);
        Ok(ModelResponse {
            message: Arc::new(message),
            stop_reason,
            usage: self.usage,
            request_id: self.request_id.take(),
        })
    }
}

/// Parses arguments.
///
/// No arguments are an empty object; what is not JSON, or too deep to be stored, is kept as its text.
fn parse_input(json: String) -> Value {
    if matches!(json.trim(), "" | "null") {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(&json) {
        Ok(input) if !is_deep(&input) => input,
        _ => Value::String(json),
    }
}

/// Returns about how many bytes of memory a delta takes.
fn held_by(delta: &ModelDelta) -> usize {
    fn held(value: &Value) -> usize {
        let below = match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(held).sum(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| name.len() + held(field))
                .sum(),
            _ => 0,
        };
        size_of::<Value>() + below
    }
    match delta {
        ModelDelta::Text(piece) | ModelDelta::Refusal(piece) | ModelDelta::Reasoning(piece) => {
            piece.len()
        }
        ModelDelta::ToolUseStart { id, name, .. } => id.len() + name.len(),
        ModelDelta::ToolUseInput { json, .. } => json.len(),
        ModelDelta::ReasoningOpaque(data) | ModelDelta::Opaque(data) => held(data),
        ModelDelta::Started { .. } | ModelDelta::Usage(_) | ModelDelta::Stop(_) => 0,
    }
}

/// Returns whether a value is nested deeper than is kept.
fn is_deep(value: &Value) -> bool {
    fn reaches_below(value: &Value, levels: usize) -> bool {
        let below = levels.checked_sub(1);
        let reaches = |value| below.is_none_or(|levels| reaches_below(value, levels));
        match value {
            Value::Array(items) => below.is_none() || items.iter().any(reaches),
            Value::Object(fields) => below.is_none() || fields.values().any(reaches),
            _ => false,
        }
    }
    reaches_below(value, MAX_DEPTH)
}

/// Reconciles the wire's reason with what the message holds: servers disagree on both cases.
fn settle_stop_reason(stop: StopReason, message: &Message) -> StopReason {
    let calls = message.tool_uses().next().is_some();
    let refused = || {
        let refusal = |block: &ContentBlock| matches!(block, ContentBlock::Refusal { .. });
        message.content.iter().any(refusal)
    };
    match stop {
        // A call that came with a pause is whole, and the model waits for its result.
        StopReason::EndTurn | StopReason::PauseTurn if calls => StopReason::ToolUse,
        StopReason::EndTurn if refused() => StopReason::Refusal,
        StopReason::ToolUse if !calls => StopReason::EndTurn,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assemble(deltas: &[ModelDelta]) -> Result<ModelResponse, ModelError> {
        let mut assembly = Assembly::default();
        for delta in deltas {
            assembly.push(delta)?;
        }
        assembly.finish()
    }

    fn start(index: usize, name: &str) -> ModelDelta {
        ModelDelta::ToolUseStart {
            index,
            id: format!("call_{index}"),
            name: name.into(),
        }
    }

    fn input(index: usize, json: &str) -> ModelDelta {
        ModelDelta::ToolUseInput {
            index,
            json: json.into(),
        }
    }

    #[test]
    fn pieces_join_and_kinds_stay_apart() {
        let response = assemble(&[
            ModelDelta::Reasoning("a".into()),
            ModelDelta::Reasoning("b".into()),
            ModelDelta::Text("c".into()),
            ModelDelta::Text("d".into()),
            ModelDelta::ReasoningOpaque(json!("sealed")),
            ModelDelta::Usage(Usage::new(1, 2)),
            ModelDelta::Stop(StopReason::EndTurn),
        ])
        .unwrap();

        let expected = [
            ContentBlock::Reasoning(Reasoning::new("ab").with_opaque(json!("sealed"))),
            ContentBlock::text("cd"),
        ];
        assert_eq!(response.message.content, expected);
        assert_eq!(response.usage, Usage::new(1, 2));
    }

    #[test]
    fn interleaved_calls_keep_the_order_of_their_starts() {
        let response = assemble(&[
            start(0, "a"),
            start(1, "b"),
            input(1, "{\"y\":"),
            input(0, "{}"),
            input(1, "2}"),
            ModelDelta::Stop(StopReason::EndTurn),
        ])
        .unwrap();

        let calls: Vec<_> = response.message.tool_uses().cloned().collect();
        assert_eq!(calls[0], ToolUse::new("call_0", "a", json!({})));
        assert_eq!(calls[1], ToolUse::new("call_1", "b", json!({"y": 2})));
        assert_eq!(response.stop_reason, StopReason::ToolUse);
    }

    #[test]
    fn arguments_that_are_absent_or_cut_lose_nothing() {
        let response = assemble(&[
            start(0, "none"),
            start(1, "cut"),
            input(1, "{\"note\": \"The"),
            ModelDelta::Stop(StopReason::MaxTokens),
        ])
        .unwrap();

        let inputs: Vec<_> = response
            .message
            .tool_uses()
            .map(|call| call.input.clone())
            .collect();
        assert_eq!(inputs, [json!({}), json!("{\"note\": \"The")]);
        assert_eq!(response.stop_reason, StopReason::MaxTokens);
    }

    #[test]
    fn null_is_no_arguments() {
        let call = [
            start(0, "f"),
            input(0, " null "),
            ModelDelta::Stop(StopReason::ToolUse),
        ];

        let response = assemble(&call).unwrap();

        assert_eq!(
            response.message.tool_uses().next().unwrap().input,
            json!({})
        );
    }

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn arguments_too_deep_to_be_stored_are_kept_as_text() {
        for (levels, expected) in [
            (MAX_DEPTH, serde_json::from_str(&nested(MAX_DEPTH)).unwrap()),
            (MAX_DEPTH + 1, Value::String(nested(MAX_DEPTH + 1))),
        ] {
            let call = [
                start(0, "f"),
                input(0, &nested(levels)),
                ModelDelta::Stop(StopReason::ToolUse),
            ];

            let response = assemble(&call).unwrap();

            assert_eq!(response.message.tool_uses().next().unwrap().input, expected);
        }
    }

    #[test]
    fn answers_beyond_what_can_be_kept_are_refused() {
        let deep: Value = serde_json::from_str(&nested(MAX_DEPTH + 1)).unwrap();
        let long = "x".repeat(MAX_BYTES / 2);
        let calls = (0..=MAX_CALLS).map(|index| start(index, "f"));
        for (deltas, told) in [
            (vec![ModelDelta::Opaque(deep.clone())], "64 levels deep"),
            (vec![ModelDelta::ReasoningOpaque(deep)], "64 levels deep"),
            (calls.collect(), "more than 1024 tool calls"),
            (
                vec![
                    ModelDelta::Text(long.clone()),
                    ModelDelta::Opaque(json!({ "a": [long] })),
                ],
                "longer than 67108864 bytes",
            ),
        ] {
            let error = assemble(&deltas).unwrap_err();

            assert_eq!(error.kind(), ModelErrorKind::Protocol);
            assert!(error.message().contains(told), "{error}");
        }
    }

    #[test]
    fn opaque_block_keeps_its_place_between_texts() {
        let sealed = json!({"anthropic": {"type": "server_tool_use"}});
        let response = assemble(&[
            ModelDelta::Text("a".into()),
            ModelDelta::Opaque(sealed.clone()),
            ModelDelta::Text("b".into()),
            ModelDelta::Stop(StopReason::EndTurn),
        ])
        .unwrap();

        let expected = [
            ContentBlock::text("a"),
            ContentBlock::Opaque { data: sealed },
            ContentBlock::text("b"),
        ];
        assert_eq!(response.message.content, expected);
    }

    #[test]
    fn stream_without_end_marker_is_truncated() {
        let error = assemble(&[ModelDelta::Text("half".into())]).unwrap_err();

        assert_eq!(error.kind(), ModelErrorKind::Truncated);
    }

    #[test]
    fn arguments_without_a_start_are_a_protocol_error() {
        let error = assemble(&[input(3, "{}")]).unwrap_err();

        assert_eq!(error.kind(), ModelErrorKind::Protocol);
    }

    #[test]
    fn stop_reason_follows_the_content() {
        let refusal = [
            ModelDelta::Refusal("no".into()),
            ModelDelta::Stop(StopReason::EndTurn),
        ];
        assert_eq!(assemble(&refusal).unwrap().stop_reason, StopReason::Refusal);
        let no_calls = [
            ModelDelta::Text("x".into()),
            ModelDelta::Stop(StopReason::ToolUse),
        ];
        assert_eq!(
            assemble(&no_calls).unwrap().stop_reason,
            StopReason::EndTurn
        );
        let paused_with_a_call = [start(0, "a"), ModelDelta::Stop(StopReason::PauseTurn)];
        assert_eq!(
            assemble(&paused_with_a_call).unwrap().stop_reason,
            StopReason::ToolUse
        );
    }
}
