//! The words by which an answer says that it ended.

use aws_sdk_bedrockruntime::types;
use steadfast_core::{ModelError, ModelErrorKind, StopReason};

use crate::{finish::Finish, http_client::Head};

/// Decides how an answer ended: `spoke` where it says anything.
pub(in crate::bedrock) fn settle(
    reason: &types::StopReason,
    spoke: bool,
    head: &Head,
) -> Result<StopReason, ModelError> {
    let word = reason.as_str();
    let finish = match word {
        "end_turn" => Finish::Stop(StopReason::EndTurn),
        "tool_use" => Finish::Stop(StopReason::ToolUse),
        "max_tokens" => Finish::Stop(StopReason::MaxTokens),
        "stop_sequence" => Finish::Stop(StopReason::StopSequence),
        "guardrail_intervened" => Finish::Stop(StopReason::GuardrailIntervened),
        "content_filtered" => Finish::Stop(StopReason::ContentFiltered),
        // Anthropic's own words, of models that the wire has no word for yet.
        "refusal" => Finish::Stop(StopReason::Refusal),
        "pause_turn" => Finish::Stop(StopReason::PauseTurn),
        "model_context_window_exceeded" => Finish::Failed(ModelErrorKind::ContextOverflow),
        // What the model wrote cannot be read, and it may write better next time.
        "malformed_model_output" | "malformed_tool_use" => Finish::Failed(ModelErrorKind::Server),
        _ => Finish::Unknown,
    };
    finish.settle(spoke, "stop reason", word, head)
}
