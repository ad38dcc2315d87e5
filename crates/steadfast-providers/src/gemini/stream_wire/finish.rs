//! The words by which this wire says why an answer ended.

use steadfast_core::{ModelErrorKind, StopReason};

use crate::finish::Finish;

/// Reads a word.
pub(super) fn read(reason: &str) -> Finish {
    match reason {
        "STOP" => Finish::Stop(StopReason::EndTurn),
        // The second is the limit of one request, in the vendor's own long answers.
        "MAX_TOKENS" | "CONTINUATION" => Finish::Stop(StopReason::MaxTokens),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "ESCALATION" => Finish::Stop(StopReason::ContentFiltered),
        // What a customer has set up in front of the model.
        "MODEL_ARMOR" => Finish::Stop(StopReason::GuardrailIntervened),
        // The model wrote something that its server could not read: the next time it may not.
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS" => Finish::Failed(ModelErrorKind::Server),
        // "Token generation stopped": what has come is not known to be whole.
        "OTHER" => Finish::Failed(ModelErrorKind::Server),
        "MISSING_THOUGHT_SIGNATURE" => Finish::Failed(ModelErrorKind::InvalidRequest),
        // The account broke the terms of use.
        "PUP_LIMITED_DISABLED" => Finish::Failed(ModelErrorKind::Auth),
        _ => Finish::Unknown,
    }
}
