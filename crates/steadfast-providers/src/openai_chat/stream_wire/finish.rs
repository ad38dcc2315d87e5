//! The words by which servers say why an answer ended. What follows from them is decided next door.

use steadfast_core::{ModelErrorKind, StopReason};

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop(StopReason),
    /// The answer broke off.
    Failed(ModelErrorKind),
    /// A word that no server was known to say. New ones appear and mostly mean an ordinary end, so
    /// an answer that says something stands; an empty one must not pass for a success.
    Unknown,
}

impl Finish {
    /// Reads a word, in any case and behind any prefix: Gemini's layers send `FinishReason.SAFETY`
    /// and `content_filter: RECITATION`.
    pub(super) fn read(reason: &str) -> Self {
        let word = reason.rsplit(['.', ':', ' ']).next().unwrap_or_default();
        match word.to_ascii_lowercase().as_str() {
            "stop" | "end_turn" | "eos" | "eos_token" => Self::Stop(StopReason::EndTurn),
            "length" | "model_length" | "max_tokens" => Self::Stop(StopReason::MaxTokens),
            "tool_calls" | "function_call" | "tool_use" => Self::Stop(StopReason::ToolUse),
            "content_filter" | "sensitive" | "safety" | "prohibited_content" | "blocklist"
            | "recitation" | "spii" => Self::Stop(StopReason::ContentFiltered),
            // OpenRouter's and Mistral's mark of an answer that broke off, SGLang's of an aborted
            // one, Z.ai's of a lost connection, Gemini's of a call that it could not read.
            "error" | "abort" | "network_error" | "malformed_function_call" => {
                Self::Failed(ModelErrorKind::Server)
            }
            // DeepSeek's.
            "insufficient_system_resource" => Self::Failed(ModelErrorKind::Overloaded),
            _ => Self::Unknown,
        }
    }
}
