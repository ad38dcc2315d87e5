//! The words by which this wire says why an answer ended.

use steadfast_core::{ModelErrorKind, StopReason};

use crate::finish::Finish;

/// Reads a word. A call ends an answer with the word for an ordinary end.
pub(super) fn read(reason: &str, spoke: bool) -> Finish {
    match reason {
        "stop" => Finish::Stop(StopReason::EndTurn),
        "length" => Finish::Stop(StopReason::MaxTokens),
        // The model was loaded, or forgotten, and asked nothing. That it was asked is sure, so the
        // next time it may answer.
        "load" | "unload" if !spoke => Finish::Failed(ModelErrorKind::Server),
        // Servers before 2024 say no word.
        "" if spoke => Finish::Stop(StopReason::EndTurn),
        _ => Finish::Unknown,
    }
}
