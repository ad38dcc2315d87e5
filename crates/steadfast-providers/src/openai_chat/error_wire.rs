//! The errors of the chat wire, classified from code, type, documented sentence and status, in this
//! order. Sources: the vendors' error references; each rule by sentence quotes it.

use serde_json::Value;
use steadfast_core::{ModelError, ModelErrorKind as Kind};

use crate::{
    http_client::Head,
    retry_hint::{retry_after, should_retry},
};

/// The longest sentence of a vendor that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 600;

/// Classifies an answer that is an error.
pub(super) fn classify(head: &Head, body: &[u8]) -> ModelError {
    match serde_json::from_slice::<Value>(body) {
        Ok(body) => classify_json(head, &body),
        Err(_) => {
            // A page or a text of something between: the status is all that speaks.
            let message = if body.is_empty() {
                "the body is empty".to_owned()
            } else {
                format!("the body is not JSON ({} bytes)", body.len())
            };
            complete(
                head,
                ModelError::new(by_status(head.status.as_u16()), message),
                None,
            )
        }
    }
}

/// Classifies an error object that came as an event of a stream.
pub(super) fn classify_in_stream(head: &Head, error: &str) -> ModelError {
    let error = serde_json::from_str::<Value>(error).unwrap_or(Value::Null);
    classify_json(head, &serde_json::json!({ "error": error }))
}

fn classify_json(head: &Head, body: &Value) -> ModelError {
    let error = ErrorObject::find(body);
    let status = error.status(head.status.as_u16());
    let message: String = error.message.chars().take(MAX_MESSAGE_CHARS).collect();
    let classified = ModelError::new(error.kind(status), message);
    let classified = match error.code.or(error.kind) {
        Some(code) => classified.with_code(code),
        None => classified,
    };
    complete(head, classified, Some(body))
}

/// Adds status, identity and hints.
fn complete(head: &Head, error: ModelError, body: Option<&Value>) -> ModelError {
    let hint = retry_after(&head.headers, body, error.message());
    let advice = should_retry(&head.headers).filter(|retry| !retry || !is_settled(error.kind()));
    let error = error
        .with_status(head.status.as_u16())
        .with_retry_after(hint)
        .with_should_retry(advice);
    match head.request_id() {
        Some(id) => error.with_request_id(id),
        None => error,
    }
}

/// Kinds that no retry helps, whatever a header says: OpenAI asks to retry even where the money is
/// used up.
const fn is_settled(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::QuotaExhausted
            | Kind::TooLarge
            | Kind::ContextOverflow
            | Kind::Auth
            | Kind::ContentFiltered
    )
}

/// An error object in any of the forms that servers of this wire send.
#[derive(Default)]
struct ErrorObject<'a> {
    message: &'a str,
    code: Option<&'a str>,
    number: Option<u16>,
    kind: Option<&'a str>,
    metadata: Option<&'a Value>,
    inner_code: Option<&'a str>,
}

impl<'a> ErrorObject<'a> {
    /// Finds the object: under `error`, bare (Mistral), in a list (Gemini's compatible endpoint), or
    /// a text alone (FastAPI's `detail`).
    fn find(body: &'a Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = body.get("error").unwrap_or(body);
        let text = |field: &str| error.get(field).and_then(Value::as_str);
        let code = error.get("code");
        Self {
            message: error
                .as_str()
                .or_else(|| text("message"))
                .or_else(|| text("detail"))
                .unwrap_or_default(),
            code: code.and_then(Value::as_str),
            number: code
                .and_then(Value::as_u64)
                .and_then(|number| u16::try_from(number).ok()),
            kind: text("type").or_else(|| text("status")),
            metadata: error.get("metadata"),
            inner_code: error.pointer("/innererror/code").and_then(Value::as_str),
        }
    }

    /// The status that speaks: in a stream, and with OpenRouter at any time, it stands in the object.
    fn status(&self, of_answer: u16) -> u16 {
        match self.number {
            Some(number) if (200..300).contains(&of_answer) && (400..600).contains(&number) => {
                number
            }
            _ => of_answer,
        }
    }

    fn kind(&self, status: u16) -> Kind {
        let codes = [self.code, self.inner_code, self.kind];
        let by_code = codes
            .into_iter()
            .flatten()
            .find_map(|code| self.by_code(code, status));
        by_code
            .or_else(|| self.by_sentence())
            .or_else(|| self.by_metadata(status))
            .unwrap_or_else(|| by_status(status))
    }

    fn by_code(&self, code: &str, status: u16) -> Option<Kind> {
        Some(match code {
            "rate_limit_exceeded"
            | "rate_limit_error"
            | "tokens"
            | "requests"
            | "rate_limited"
            | "RESOURCE_EXHAUSTED"
            | "too_many_requests" => self.throttled_or_larger(),
            // OpenAI: traffic grew too fast. Z.ai: concurrency and frequency.
            "slow_down" | "1302" | "1305" => Kind::Throttled,
            "insufficient_quota"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "credit_balance_exhausted"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "organization_usage_limit_exceeded"
            | "usage_not_included"
            | "exceeded_current_quota_error" => Kind::QuotaExhausted,
            "server_is_overloaded"
            | "overloaded_error"
            | "engine_overloaded_error"
            | "capacity_exceeded"
            | "unavailable_error"
            | "UNAVAILABLE" => Kind::Overloaded,
            "context_length_exceeded" | "exceed_context_size_error" => Kind::ContextOverflow,
            "request_too_large" => Kind::TooLarge,
            "content_filter"
            | "content_policy_violation"
            | "invalid_prompt"
            | "ResponsibleAIPolicyViolation" => Kind::ContentFiltered,
            "invalid_api_key" | "authentication_error" | "permission_error" | "API_KEY_INVALID" => {
                Kind::Auth
            }
            "model_not_found" | "invalid_model" | "not_found_error" => Kind::NotFound,
            "not_supported_error" => Kind::Unsupported,
            // llama.cpp repeats the status as a number beside this type, and fails so for reasons in
            // the request, such as an image that it cannot fetch: the same request fails again.
            "server_error" if self.number == Some(500) => Kind::InvalidRequest,
            // General types, which a status says more exactly.
            "server_error" | "api_error" | "internal_error" if status < 400 => Kind::Server,
            "timeout" | "timeout_error" => Kind::Timeout,
            "invalid_request_error" if status < 400 => Kind::InvalidRequest,
            code => return zai_quota(code),
        })
    }

    /// OpenAI and Groq give one code to a request that must wait and to one that never fits: "Request
    /// too large for … on tokens per min (TPM): Limit 12000, Requested 15318".
    fn throttled_or_larger(&self) -> Kind {
        if self.message.starts_with("Request too large") {
            Kind::TooLarge
        } else {
            Kind::Throttled
        }
    }

    fn by_sentence(&self) -> Option<Kind> {
        let says = |part: &str| self.message.contains(part);
        // vLLM: "This model's maximum context length is 4096 tokens. However, …"; Mistral: "Prompt …
        // too large for model with 32768 maximum context length".
        if says("maximum context length") {
            return Some(Kind::ContextOverflow);
        }
        if says("Request too large for model") {
            return Some(Kind::TooLarge);
        }
        // Mistral: "Service tier capacity exceeded for this model."
        if says("Service tier capacity exceeded") {
            return Some(Kind::Overloaded);
        }
        None
    }

    /// OpenRouter tells in `metadata` which of several meanings a status has.
    fn by_metadata(&self, status: u16) -> Option<Kind> {
        let metadata = self.metadata?;
        let source = metadata.get("limit_source").and_then(Value::as_str);
        match status {
            402 if source == Some("openrouter_in_flight_budget") => Some(Kind::Throttled),
            403 if metadata.get("reasons").is_some() => Some(Kind::ContentFiltered),
            _ => None,
        }
    }
}

/// Z.ai's numbers of used-up plans.
fn zai_quota(code: &str) -> Option<Kind> {
    let number: u16 = code.parse().ok()?;
    matches!(number, 1113 | 1308..=1321).then_some(Kind::QuotaExhausted)
}

/// What a status means where nothing better is known.
fn by_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        402 => Kind::QuotaExhausted,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        413 => Kind::TooLarge,
        429 => Kind::Throttled,
        // 498 is Groq's, 529 Anthropic's and several others'.
        498 | 503 | 529 => Kind::Overloaded,
        501 | 505 => Kind::Unsupported,
        409 | 425 => Kind::Server,
        300..=399 => Kind::NotFound,
        400..=499 => Kind::InvalidRequest,
        _ => Kind::Server,
    }
}

#[cfg(test)]
mod tests;
