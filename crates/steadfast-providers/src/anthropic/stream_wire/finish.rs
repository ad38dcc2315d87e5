//! The words by which this wire says why an answer ended.

use steadfast_core::{ModelErrorKind, StopReason};

use crate::finish::Finish;

/// Reads a word.
pub(super) fn read(reason: &str) -> Finish {
    match reason {
        "end_turn" => Finish::Stop(StopReason::EndTurn),
        "stop_sequence" => Finish::Stop(StopReason::StopSequence),
        "max_tokens" => Finish::Stop(StopReason::MaxTokens),
        "tool_use" => Finish::Stop(StopReason::ToolUse),
        "pause_turn" => Finish::Stop(StopReason::PauseTurn),
        "refusal" => Finish::Stop(StopReason::Refusal),
        // The answer does not fit behind the history: a shorter history is what helps.
        "model_context_window_exceeded" => Finish::Failed(ModelErrorKind::ContextOverflow),
        // Compatible servers' mark of an answer that broke off.
        "error" | "abort" => Finish::Failed(ModelErrorKind::Server),
        _ => Finish::Unknown,
    }
}
