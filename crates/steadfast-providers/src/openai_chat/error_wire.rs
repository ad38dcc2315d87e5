//! The errors of the chat wire, classified from code, documented sentence, general type and status, in this
//! order. Sources: the vendors' error references; each rule by sentence quotes it.

mod object;

use serde_json::Value;
use steadfast_core::{ModelError, ModelErrorKind as Kind};

use crate::{
    http_client::Head,
    retry_hint::{retry_after, should_retry},
};
use object::ErrorObject;

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

/// Classifies an event, or a body of success, if it is an error; servers of this wire send every
/// form of error under a status of success too.
pub(super) fn classify_if_error(head: &Head, data: &[u8]) -> Option<ModelError> {
    let body = serde_json::from_slice::<Value>(data).ok()?;
    ErrorObject::is_in(&body).then(|| classify_json(head, &body))
}

fn classify_json(head: &Head, body: &Value) -> ModelError {
    let error = ErrorObject::find(body);
    let kind = error.classify(error.status(head.status.as_u16()));
    // Masked before it is cut: half a secret is known to nobody.
    let message = head.secrets.mask(&error.message);
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    let classified = ModelError::new(kind, message);
    let classified = match error.code.as_deref().or(error.kind) {
        Some(code) => classified.with_code(head.secrets.mask(code)),
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

impl ErrorObject<'_> {
    fn classify(&self, status: u16) -> Kind {
        let codes = || {
            [self.code.as_deref(), self.inner_code, self.kind]
                .into_iter()
                .flatten()
                .chain(self.reasons())
        };
        codes()
            .find_map(|code| self.by_code(code))
            .or_else(|| self.by_sentence(status))
            .or_else(|| self.by_metadata(status))
            .or_else(|| codes().find_map(|code| by_general_type(code, status)))
            .unwrap_or_else(|| by_status(status))
    }

    fn by_code(&self, code: &str) -> Option<Kind> {
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
            "server_error" if self.is_permanent() => Kind::InvalidRequest,
            code => return zai_quota(code),
        })
    }

    /// OpenAI and Groq give one code to a request that must wait and to one that never fits: "Request
    /// too large for … on tokens per min (TPM): Limit 12000, Requested 15318".
    fn throttled_or_larger(&self) -> Kind {
        if self.names_daily_quota() {
            Kind::QuotaExhausted
        } else if self.message.starts_with("Request too large") {
            Kind::TooLarge
        } else {
            Kind::Throttled
        }
    }

    /// llama.cpp answers 500 for reasons in the request, and the same request fails again: "error:
    /// cannot make GET request", "failed to load image", "failed to parse image".
    fn is_permanent(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        [
            "cannot make get request",
            "failed to load image",
            "failed to parse image",
            "failed to decode image",
        ]
        .iter()
        .any(|sentence| message.contains(sentence))
    }

    fn by_sentence(&self, status: u16) -> Option<Kind> {
        let says = |part: &str| self.message.contains(part);
        // vLLM: "This model's maximum context length is 4096 tokens. However, …"; Mistral: "Prompt …
        // too large for model with 32768 maximum context length"; SGLang: "The input (5000 tokens)
        // is longer than the model's context length (4096 tokens)."; Gemini: "The input token count
        // (1200000) exceeds the maximum number of tokens allowed (1048576)."
        if says("maximum context length")
            || says("is longer than the model's context length")
            || (says("input token count") && says("exceeds the maximum"))
        {
            return Some(Kind::ContextOverflow);
        }
        if says("Request too large for model") {
            return Some(Kind::TooLarge);
        }
        // Mistral: "Service tier capacity exceeded for this model."
        if says("Service tier capacity exceeded") {
            return Some(Kind::Overloaded);
        }
        // OpenRouter: "Your chosen model requires moderation and your input was flagged".
        if status == 403 && says("moderation") {
            return Some(Kind::ContentFiltered);
        }
        None
    }

    /// OpenRouter tells in `metadata` which of several meanings a status has.
    fn by_metadata(&self, status: u16) -> Option<Kind> {
        let metadata = self.metadata?;
        let source = metadata.get("limit_source").and_then(Value::as_str);
        match status {
            402 if source == Some("openrouter_in_flight_budget") => Some(Kind::Throttled),
            // With OpenRouter this is the model's provider, and another may answer.
            502 if metadata.get("provider_name").is_some() => Some(Kind::Overloaded),
            403 if metadata.get("reasons").is_some() => Some(Kind::ContentFiltered),
            _ => None,
        }
    }
}

/// General types, which a sentence or a status says more exactly.
fn by_general_type(code: &str, status: u16) -> Option<Kind> {
    match code {
        _ if status >= 400 => None,
        "server_error" | "api_error" | "internal_error" => Some(Kind::Server),
        "invalid_request_error" => Some(Kind::InvalidRequest),
        _ => None,
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
