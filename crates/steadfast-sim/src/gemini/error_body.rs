//! The errors of Gemini's wire: `{"error":{"code","message","status","details"}}`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::response::event;
use crate::dialect::Caller;
use crate::fault::{RetryHint, StreamError};
use crate::reply::Draft;

/// One error, in the words of the simulator and with the codes of the vendor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ErrorBody {
    code: u16,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Value>,
}

impl ErrorBody {
    pub(super) fn of(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code: status.as_u16(),
            message: message.into(),
            status: word(status),
            details: Vec::new(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn no_key() -> Self {
        let message = "Method doesn't allow unregistered callers; the simulator takes any key in \
                       the header `x-goog-api-key`.";
        Self::of(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn model_not_found(model: &str) -> Self {
        Self::not_found(format!(
            "models/{model} is not found for API version v1beta, or is not supported for \
             generateContent."
        ))
    }

    /// A quota of a day: a wait of seconds does not help.
    pub(super) fn quota() -> Self {
        let message =
            "You exceeded your current quota, please check your plan and billing details.";
        let quota = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
        Self {
            details: vec![quota_failure(quota, "250")],
            ..Self::of(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    fn rate_limit(hint: RetryHint, caller: &Caller<'_>) -> Self {
        let error = |message: &str| Self::of(StatusCode::TOO_MANY_REQUESTS, message);
        let (RetryHint::After(wait) | RetryHint::AfterMillis(wait)) = hint else {
            return error("Resource has been exhausted (e.g. check quota).");
        };
        let wait = seconds(wait);
        let quota = "GenerateRequestsPerMinutePerProjectPerModel";
        Self {
            details: vec![
                quota_failure(quota, &caller.requests_per_minute.to_string()),
                retry_info(&wait),
            ],
            ..error(&format!(
                "You exceeded your current quota of {} requests per minute.\nPlease retry in {wait}.",
                caller.requests_per_minute
            ))
        }
    }

    /// An error that is noticed only when the answer has begun.
    pub(super) fn in_stream(error: StreamError) -> Self {
        match error {
            StreamError::Server => Self::of(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An internal error has occurred.",
            ),
            StreamError::RateLimit => Self::of(
                StatusCode::TOO_MANY_REQUESTS,
                "Resource has been exhausted (e.g. check quota).",
            ),
            StreamError::Overloaded => Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "The model is overloaded. Please try again later.",
            ),
        }
    }

    /// The error that the vendor sends with a status, for faults.
    pub(super) fn for_status(status: StatusCode, hint: RetryHint, caller: &Caller<'_>) -> Self {
        let message = match status.as_u16() {
            401 => "Request had invalid authentication credentials.",
            403 => "The caller does not have permission.",
            404 => return Self::model_not_found(caller.model),
            429 => return Self::rate_limit(hint, caller),
            503 => "The model is overloaded. Please try again later.",
            504 => "The service was unable to finish processing within the deadline.",
            500.. => "An internal error has occurred.",
            _ => "Request contains an invalid argument.",
        };
        let error = Self::of(status, message);
        let (RetryHint::After(wait) | RetryHint::AfterMillis(wait)) = hint else {
            return error;
        };
        Self {
            details: vec![retry_info(&seconds(wait))],
            ..error
        }
    }

    pub(super) fn into_draft(self) -> Draft {
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Draft::json(status, &json!({ "error": self }))
    }

    /// Returns the error as an event of a stream.
    pub(super) fn to_event(&self) -> Bytes {
        event(&json!({ "error": self }))
    }
}

fn quota_failure(quota: &str, value: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": quota, "quotaValue": value}],
    })
}

fn retry_info(wait: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait})
}

/// Writes a wait as Google's JSON has it: in seconds, with a fraction where there is one.
fn seconds(wait: Duration) -> String {
    format!("{}s", wait.as_secs_f64())
}

/// Returns the word for a status in Google's error model, if it has one.
fn word(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_seconds() {
        for (millis, expected) in [(5, "0.005s"), (7_000, "7s"), (34_074, "34.074s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn errors_of_a_stream_are_data() {
        let event = ErrorBody::in_stream(StreamError::Overloaded).to_event();

        let event = String::from_utf8_lossy(&event);
        let data = event.strip_prefix("data: ").unwrap();
        let error = serde_json::from_str::<Value>(data).unwrap();
        assert_eq!(error["error"]["code"], 503);
        assert_eq!(error["error"]["status"], "UNAVAILABLE");
    }
}
