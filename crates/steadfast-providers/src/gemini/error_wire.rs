//! The errors of Gemini's wire, classified from reason, quota, documented sentence, status word and
//! status, in this order. Sources: Google's error model and its page on troubleshooting; each rule by
//! sentence quotes it.

use std::time::Duration;

use steadfast_core::ModelErrorKind as Kind;

use crate::{
    error_wire::{self, ErrorObject, Verdict, google},
    retry_hint::of_error,
};

/// The longest wait for a limit of a minute, with room to spare. What takes longer is a quota.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Decides what an error is. The status is the answer's, and says nothing of an error in mid-stream.
pub(super) fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
    let of_answer = status;
    let is_quota = error.kind == Some("RESOURCE_EXHAUSTED") || error.status(of_answer) == 429;
    google::reasons(error.object)
        .find_map(by_reason)
        .or_else(|| by_quota(error).filter(|_| is_quota))
        .or_else(|| by_sentence(error, error.status(of_answer)))
        .or_else(|| by_word(error.kind?))
        .or_else(|| error_wire::by_code("error code", error.code.as_deref()?))
        .or_else(|| error_wire::by_code("error type", error.kind?))
        .unwrap_or_else(|| error.by_status(of_answer))
}

/// The reasons of an `ErrorInfo`, which are more exact than the status.
fn by_reason(reason: &str) -> Option<Verdict> {
    let kind = match reason {
        "API_KEY_INVALID" => Kind::Auth,
        "QUOTA_EXHAUSTED" | "INSUFFICIENT_G1_CREDITS_BALANCE" | "BILLING_DISABLED" => {
            Kind::QuotaExhausted
        }
        "MODEL_CAPACITY_EXHAUSTED" => Kind::Overloaded,
        _ => return None,
    };
    Some(Verdict::by("error reason", reason, kind))
}

/// Quotas that no short wait fills.
fn by_quota(error: &ErrorObject<'_>) -> Option<Verdict> {
    let of_kind = |what, value: &str| Some(Verdict::by(what, value, Kind::QuotaExhausted));
    if let Some(quota) = google::daily_quota(error.object) {
        return of_kind("a quota of a day", quota);
    }
    if let Some(said) = google::says_no_money(&error.message) {
        return of_kind("the sentence", said);
    }
    // "… Quota exceeded for metric: …, limit: 0, model: gemini-3-pro": the plan has none of it.
    if google::has_empty_quota(error.object) || says_no_limit(&error.message) {
        return of_kind("a quota with", "limit: 0");
    }
    let hint = of_error(error.object, &error.message)?;
    let said = hint.delay > LONGEST_WAIT;
    said.then(|| Verdict {
        kind: Kind::QuotaExhausted,
        why: format!("a wait of more than {} s", LONGEST_WAIT.as_secs()),
    })
}

/// Finds `limit: 0`, and not `limit: 0.5` or `limit: 01`.
fn says_no_limit(message: &str) -> bool {
    message.split("limit: 0").skip(1).any(|rest| {
        let mut rest = rest.chars();
        match rest.next() {
            Some('.') => !rest.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !c.is_ascii_digit(),
            None => true,
        }
    })
}

fn by_sentence(error: &ErrorObject<'_>, status: u16) -> Option<Verdict> {
    let says = |part: &&str| error.message.contains(*part);
    if error.kind == Some("FAILED_PRECONDITION") && error.message.contains("billing") {
        // "Gemini API free tier is not available in your country. Please enable billing on your
        // project in Google AI Studio."
        return Some(Verdict::by_sentence("billing", Kind::QuotaExhausted));
    }
    [
        // "API key not valid. Please pass a valid API key."
        ("API key not valid", Kind::Auth),
        // "API key expired. Please renew the API key."
        ("API key expired", Kind::Auth),
        // "Request payload size exceeds the limit: 20971520 bytes."
        ("payload size exceeds the limit", Kind::TooLarge),
        // "User location is not supported for the API use."
        ("location is not supported", Kind::Unsupported),
        // "The model is overloaded. Please try again later."
        ("model is overloaded", Kind::Overloaded),
        // "No capacity available for model gemini-2.5-pro on the server"
        ("No capacity available", Kind::Overloaded),
    ]
    .into_iter()
    .find(|(part, _)| says(part))
    .map(|(part, kind)| Verdict::by_sentence(part, kind))
    .or_else(|| error_wire::by_sentence(error, status))
}

/// The words of Google's error model.
fn by_word(word: &str) -> Option<Verdict> {
    let kind = match word {
        "RESOURCE_EXHAUSTED" => Kind::Throttled,
        "UNAVAILABLE" => Kind::Overloaded,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "ABORTED" => Kind::Server,
        "DEADLINE_EXCEEDED" => Kind::Timeout,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Kind::Auth,
        "NOT_FOUND" => Kind::NotFound,
        "UNIMPLEMENTED" => Kind::Unsupported,
        // Nobody here cancelled it, but nothing says that it would go better again.
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "CANCELLED" => {
            Kind::InvalidRequest
        }
        _ => return None,
    };
    Some(Verdict::by("error status", word, kind))
}
