//! The errors of OpenAI and of compatible servers, which are the same on both of their wires: classified
//! from code, documented sentence, general type and status, in this order. Sources: the vendors' error
//! references; each rule by sentence quotes it.

use serde_json::Value;
use steadfast_core::ModelErrorKind as Kind;

use crate::error_wire::{self, ErrorObject, Verdict, google};

/// Decides what an error is. The status is the answer's.
pub(crate) fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
    let of_answer = status;
    let status = error.status(of_answer);
    let codes = || {
        let code = error.code.as_deref().map(|code| ("error code", code));
        let inner_code = error.text_at("/innererror/code");
        let inner_code = inner_code.map(|code| ("inner error code", code));
        let kind = error.kind.map(|kind| ("error type", kind));
        let reasons = google::reasons(error.object).map(|reason| ("error reason", reason));
        let named = [code, inner_code, kind];
        named.into_iter().flatten().chain(reasons)
    };
    codes()
        .find_map(|(what, code)| by_code(error, what, code))
        .or_else(|| by_sentence(error, status))
        .or_else(|| by_metadata(error, status))
        .or_else(|| codes().find_map(|(what, code)| by_general_type(what, code, status)))
        .unwrap_or_else(|| error.by_status(of_answer))
}

fn by_code(error: &ErrorObject<'_>, what: &str, code: &str) -> Option<Verdict> {
    let kind = match code {
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "tokens"
        | "requests"
        | "rate_limited"
        | "RESOURCE_EXHAUSTED"
        | "too_many_requests" => return Some(throttled_or_larger(error, what, code)),
        // OpenAI: traffic grew too fast.
        "slow_down" => Kind::Throttled,
        "billing_hard_limit_reached"
        | "billing_not_active"
        | "credit_balance_exhausted"
        | "organization_spend_limit_exceeded"
        | "project_spend_limit_exceeded"
        | "organization_usage_limit_exceeded"
        | "usage_not_included" => Kind::QuotaExhausted,
        "server_is_overloaded"
        | "overloaded_error"
        | "engine_overloaded_error"
        | "capacity_exceeded"
        | "unavailable_error"
        | "UNAVAILABLE" => Kind::Overloaded,
        "request_too_large" => Kind::TooLarge,
        "content_filter"
        | "content_policy_violation"
        | "invalid_prompt"
        | "image_content_policy_violation"
        | "misalignment_policy_violation"
        | "bio_policy"
        | "ResponsibleAIPolicyViolation" => Kind::ContentFiltered,
        "invalid_api_key" | "authentication_error" | "permission_error" | "API_KEY_INVALID" => {
            Kind::Auth
        }
        "model_not_found" | "invalid_model" | "not_found_error" => Kind::NotFound,
        "not_supported_error" => Kind::Unsupported,
        // OpenAI's file search did not answer in time.
        "vector_store_timeout" => Kind::Timeout,
        // The key's region may not answer this.
        "data_residency_mismatch" => Kind::InvalidRequest,
        // What is wrong with an image, which is noticed in mid-stream too.
        "invalid_image"
        | "invalid_image_format"
        | "invalid_base64_image"
        | "invalid_image_url"
        | "invalid_image_mode"
        | "image_too_large"
        | "image_too_small"
        | "image_file_too_large"
        | "image_parse_error"
        | "image_file_not_found"
        | "empty_image_file"
        | "unsupported_image_media_type"
        | "failed_to_download_image" => Kind::InvalidRequest,
        "server_error" => return permanent(error),
        code => return error_wire::by_code(what, code),
    };
    Some(Verdict::by(what, code, kind))
}

/// OpenAI and Groq: "Request too large for …".
const TOO_LARGE: &str = "Request too large";

/// OpenAI and Groq give one code to a request that must wait and to one that never fits: "Request
/// too large for … on tokens per min (TPM): Limit 12000, Requested 15318".
fn throttled_or_larger(error: &ErrorObject<'_>, what: &str, code: &str) -> Verdict {
    if google::names_daily_quota(error.object) {
        Verdict::by("a quota of a day, and", code, Kind::QuotaExhausted)
    } else if let Some(said) = says_no_money(error) {
        Verdict::by_sentence(said, Kind::QuotaExhausted)
    } else if error.message.contains(TOO_LARGE) {
        Verdict::by_sentence(TOO_LARGE, Kind::TooLarge)
    } else {
        Verdict::by(what, code, Kind::Throttled)
    }
}

/// Sentences by which compatible servers say that nothing is left, for today or for good, under codes
/// and statuses of an ordinary limit.
fn says_no_money(error: &ErrorObject<'_>) -> Option<&'static str> {
    [
        // OpenRouter: "Rate limit exceeded: free-models-per-day. Add 10 credits …"
        "free-models-per-day",
        // xAI: "Your team … has either used all available credits or reached its monthly spending
        // limit."
        "used all available credits",
    ]
    .into_iter()
    .find(|part| error.message.contains(part))
    .or_else(|| google::says_no_money(&error.message))
}

/// llama.cpp answers 500 for reasons in the request, and the same request fails again.
fn permanent(error: &ErrorObject<'_>) -> Option<Verdict> {
    let message = error.message.to_ascii_lowercase();
    let (said, kind) = [
        // "image input is not supported - hint: …", the same for sound
        ("input is not supported", Kind::Unsupported),
        // "error: cannot make GET request: …"
        ("cannot make get request", Kind::InvalidRequest),
        ("failed to load image", Kind::InvalidRequest),
        ("failed to parse image", Kind::InvalidRequest),
        ("failed to decode image", Kind::InvalidRequest),
        // The model's template cannot write this conversation: "Jinja Exception: No user query found
        // in messages.", "Value is not callable: null at row 49, column 79: …"
        ("jinja exception", Kind::InvalidRequest),
        ("value is not callable", Kind::InvalidRequest),
        ("cannot subscript null", Kind::InvalidRequest),
        (
            "unable to generate parser for this template",
            Kind::InvalidRequest,
        ),
    ]
    .into_iter()
    .find(|(sentence, _)| message.contains(sentence))?;
    Some(Verdict::by_sentence(said, kind))
}

fn by_sentence(error: &ErrorObject<'_>, status: u16) -> Option<Verdict> {
    let says = |part: &&str| error.message.contains(*part);
    let of_kind = |kind| move |part| Verdict::by_sentence(part, kind);
    if let Some(verdict) = error_wire::by_sentence(error, status) {
        return Some(verdict);
    }
    if let Some(said) = says_no_money(error) {
        return Some(Verdict::by_sentence(said, Kind::QuotaExhausted));
    }
    let too_large = Some(TOO_LARGE).filter(says);
    // xAI, with status 400: "Incorrect API key provided: na***ys. …"
    let key = Some("Incorrect API key provided").filter(says);
    // Mistral: "Service tier capacity exceeded for this model."
    let capacity = Some("Service tier capacity exceeded").filter(says);
    // OpenRouter: "Your chosen model requires moderation and your input was flagged".
    let moderation = Some("requires moderation").filter(|part| status == 403 && says(part));
    too_large
        .map(of_kind(Kind::TooLarge))
        .or_else(|| key.map(of_kind(Kind::Auth)))
        .or_else(|| capacity.map(of_kind(Kind::Overloaded)))
        .or_else(|| moderation.map(of_kind(Kind::ContentFiltered)))
}

/// OpenRouter tells in `metadata` which of several meanings a status has.
fn by_metadata(error: &ErrorObject<'_>, status: u16) -> Option<Verdict> {
    let metadata = error.object.get("metadata")?;
    let source = metadata.get("limit_source").and_then(Value::as_str);
    let budget = "openrouter_in_flight_budget";
    match status {
        402 if source == Some(budget) => {
            Some(Verdict::by("`limit_source`", budget, Kind::Throttled))
        }
        // With OpenRouter this is the model's provider, and another may answer.
        502 if metadata.get("provider_name").is_some() => {
            Some(Verdict::by("a 502 with", "provider_name", Kind::Overloaded))
        }
        403 if metadata.get("reasons").is_some() => {
            Some(Verdict::by("a 403 with", "reasons", Kind::ContentFiltered))
        }
        _ => None,
    }
}

/// General types, which a sentence or a status says more exactly.
fn by_general_type(what: &str, code: &str, status: u16) -> Option<Verdict> {
    let kind = match code {
        _ if status >= 400 => return None,
        "server_error" | "api_error" | "internal_error" => Kind::Server,
        "invalid_request_error" => Kind::InvalidRequest,
        _ => return None,
    };
    Some(Verdict::by(what, code, kind))
}

#[cfg(test)]
mod tests;
