//! The words by which servers of this wire say why an answer ended.

use steadfast_core::{ModelErrorKind, StopReason};

use crate::finish::Finish;

/// Reads a word, in any case and behind any prefix: Gemini's layers send `FinishReason.SAFETY` and
/// `content_filter: RECITATION`.
pub(super) fn read(reason: &str) -> Finish {
    let word = reason.rsplit(['.', ':', ' ']).next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "stop" | "end_turn" | "eos" | "eos_token" => Finish::Stop(StopReason::EndTurn),
        "length" | "model_length" | "max_tokens" | "max_output_tokens" => {
            Finish::Stop(StopReason::MaxTokens)
        }
        "tool_calls" | "function_call" | "tool_use" => Finish::Stop(StopReason::ToolUse),
        "content_filter" | "sensitive" | "safety" | "prohibited_content" | "blocklist"
        | "recitation" | "spii" => Finish::Stop(StopReason::ContentFiltered),
        // OpenRouter's and Mistral's mark of an answer that broke off, SGLang's of an aborted
        // one, Z.ai's of a lost connection, Gemini's of a call that it could not read.
        "error" | "abort" | "network_error" | "malformed_function_call" => {
            Finish::Failed(ModelErrorKind::Server)
        }
        // Z.ai's: what is missing behind it may be the arguments of a call.
        "model_context_window_exceeded" => Finish::Failed(ModelErrorKind::ContextOverflow),
        // DeepSeek's.
        "insufficient_system_resource" => Finish::Failed(ModelErrorKind::Overloaded),
        _ => Finish::Unknown,
    }
}
