//! Assembly: from deltas to a message. It knows no wire and decides nothing about retries.

use std::{mem, sync::Arc};

use serde_json::{Map, Value};

use super::{ModelDelta, ModelError, ModelErrorKind, ModelResponse};
use crate::{
    message::{ContentBlock, Message, Reasoning, Role, ToolUse},
    usage::{StopReason, Usage},
};

/// A message in the making.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    content: Vec<ContentBlock>,
    calls: Vec<OpenCall>,
    usage: Usage,
    stop: Option<StopReason>,
    request_id: Option<String>,
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
            ModelDelta::ReasoningOpaque(data) => self.attach_opaque(data.clone()),
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
/// No arguments are an empty object; what is not JSON is kept as its text.
fn parse_input(json: String) -> Value {
    if json.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(&json).unwrap_or(Value::String(json))
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
