//! The words by which this wire says how an answer ended.

use steadfast_core::{ModelErrorKind, StopReason};

use crate::finish::Finish;

/// Reads a status and the reason beside it, and returns which of them decided.
pub(super) fn read<'a>(status: &'a str, reason: &'a str) -> (Finish, &'a str) {
    let finish = match (status, reason) {
        ("completed", _) => Finish::Stop(StopReason::EndTurn),
        ("incomplete", "content_filter") => Finish::Stop(StopReason::ContentFiltered),
        // For whatever reason it was cut: a call may be cut as well, and is not run.
        ("incomplete", _) => Finish::Stop(StopReason::MaxTokens),
        // Answers that are to be fetched later: nobody here does.
        ("queued" | "in_progress", _) => Finish::Failed(ModelErrorKind::Unsupported),
        ("cancelled", _) => Finish::Failed(ModelErrorKind::Server),
        _ => Finish::Unknown,
    };
    (finish, if reason.is_empty() { status } else { reason })
}
