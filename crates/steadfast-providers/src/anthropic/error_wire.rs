//! The errors of the messages wire, classified from code, documented sentence, general type and
//! status, in this order. Source: the vendor's error reference; each rule by sentence quotes it.

use steadfast_core::ModelErrorKind as Kind;

use crate::error_wire::{self, ErrorObject, Verdict};

/// Decides what an error is. The status is the answer's, and says nothing of an error in mid-stream.
pub(super) fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
    let of_answer = status;
    let status = error.status(of_answer);
    let codes = || {
        // The details are more exact than the type: a used-up budget is a `rate_limit_error` too.
        let detail = error.text_at("/details/error_code");
        let detail = detail.map(|code| ("error code", code));
        let code = error.code.as_deref().map(|code| ("error code", code));
        let kind = error.kind.map(|kind| ("error type", kind));
        [detail, code, kind].into_iter().flatten()
    };
    codes()
        .find_map(|(what, code)| by_code(what, code))
        .or_else(|| by_sentence(error, status))
        .or_else(|| codes().find_map(|(what, code)| by_general_type(what, code, status)))
        .unwrap_or_else(|| error.by_status(of_answer))
}

fn by_code(what: &str, code: &str) -> Option<Verdict> {
    let kind = match code {
        "rate_limit_error" | "ramp_limit_exceeded" => Kind::Throttled,
        "billing_error"
        | "enforced_spend_limit_reached"
        | "contract_spend_limit_reached"
        | "organization_on_hold" => Kind::QuotaExhausted,
        "overloaded_error" | "compaction_unavailable" => Kind::Overloaded,
        "timeout_error" => Kind::Timeout,
        "conflict_error" | "conflict" => Kind::Server,
        "request_too_large" => Kind::TooLarge,
        "authentication_error" | "permission_error" => Kind::Auth,
        "not_found_error" => Kind::NotFound,
        // Of an account that is linked to another, which pays.
        code if code.starts_with("linked_") => Kind::QuotaExhausted,
        // The customer's own key store does not answer; the same request is still being worked on.
        code if code.starts_with("cmek_") || code.ends_with("_in_flight") => Kind::Server,
        code => return error_wire::by_code(what, code),
    };
    Some(Verdict::by(what, code, kind))
}

fn by_sentence(error: &ErrorObject<'_>, status: u16) -> Option<Verdict> {
    [
        // "prompt is too long: 210000 tokens > 200000 maximum"
        ("prompt is too long", Kind::ContextOverflow),
        // "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, …"
        (
            "input length and `max_tokens` exceed context limit",
            Kind::ContextOverflow,
        ),
        // "Your credit balance is too low to access the Anthropic API. …"
        ("credit balance is too low", Kind::QuotaExhausted),
        // "Output blocked by content filtering policy"
        ("blocked by content filtering", Kind::ContentFiltered),
    ]
    .into_iter()
    .find(|(part, _)| error.message.contains(part))
    .map(|(part, kind)| Verdict::by_sentence(part, kind))
    .or_else(|| error_wire::by_sentence(error, status))
}

/// General types, which a status says more exactly: in mid-stream, where there is none.
fn by_general_type(what: &str, code: &str, status: u16) -> Option<Verdict> {
    let kind = match code {
        _ if status >= 400 => return None,
        "api_error" => Kind::Server,
        "invalid_request_error" => Kind::InvalidRequest,
        _ => return None,
    };
    Some(Verdict::by(what, code, kind))
}
