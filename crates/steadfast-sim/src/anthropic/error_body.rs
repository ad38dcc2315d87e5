//! The errors of the Anthropic wire: `{"type":"error","error":{"type","message"},"request_id"}`.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{event, request_id};
use crate::dialect::Caller;
use crate::fault::StreamError;
use crate::reply::Draft;

/// What an organisation gets that has spent its money for the month.
const SPEND_LIMIT: &str = "enforced_spend_limit_reached";

/// One error, in the words of the simulator and with the types of the vendor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ErrorBody {
    r#type: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What a program can read of an error that has a code.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Details {
    error_code: &'static str,
}

impl ErrorBody {
    pub(super) fn new(r#type: &'static str, message: impl Into<String>) -> Self {
        Self {
            r#type,
            message: message.into(),
            details: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_request_error", message)
    }

    pub(super) fn no_key() -> Self {
        let message = "x-api-key header is required; the simulator takes any key";
        Self::new("authentication_error", message)
    }

    pub(super) fn model_not_found(model: &str) -> Self {
        Self::new("not_found_error", format!("model: {model}"))
    }

    pub(super) fn quota() -> Self {
        Self {
            details: Some(Details {
                error_code: SPEND_LIMIT,
            }),
            ..Self::new(
                "rate_limit_error",
                "Your organization has reached its spend limit for this month.",
            )
        }
    }

    fn rate_limit(caller: &Caller<'_>) -> Self {
        let message = format!(
            "This request would exceed the rate limit for your organization of {} requests per \
             minute.",
            caller.requests_per_minute
        );
        Self::new("rate_limit_error", message)
    }

    /// An error that is noticed only when the answer has begun.
    pub(super) fn in_stream(error: StreamError) -> Self {
        match error {
            StreamError::Server => Self::new("api_error", "Internal server error"),
            StreamError::RateLimit => Self::new("rate_limit_error", "Rate limited"),
            StreamError::Overloaded => Self::new("overloaded_error", "Overloaded"),
        }
    }

    /// The error that the vendor sends with a status, for faults.
    pub(super) fn for_status(status: StatusCode, caller: &Caller<'_>) -> Self {
        match status.as_u16() {
            401 => Self::new("authentication_error", "invalid x-api-key"),
            402 => {
                let message = "There is a problem with your billing or payment information.";
                Self::new("billing_error", message)
            }
            403 => {
                let message = "Your API key does not have permission to use this resource.";
                Self::new("permission_error", message)
            }
            404 => Self::model_not_found(caller.model),
            409 => {
                let message = "The resource is being changed by another request.";
                Self::new("conflict_error", message)
            }
            413 => Self::too_large(),
            429 => Self::rate_limit(caller),
            503 => Self::new("api_error", "Service unavailable"),
            504 => Self::new("timeout_error", "Request timed out"),
            529 => Self::in_stream(StreamError::Overloaded),
            500.. => Self::in_stream(StreamError::Server),
            _ => Self::invalid("The request could not be understood."),
        }
    }

    pub(super) fn too_large() -> Self {
        Self::new("request_too_large", "Request exceeds the maximum size")
    }

    pub(super) fn into_draft(self, status: StatusCode, number: u64) -> Draft {
        Draft::json(status, &self.envelope(number))
    }

    /// Returns the error as an event of a stream.
    pub(super) fn to_event(&self, number: u64) -> bytes::Bytes {
        // There, unlike in the body of a status, an error without details says so.
        let error = json!({
            "details": self.details,
            "type": self.r#type,
            "message": self.message,
        });
        let data = json!({"type": "error", "error": error, "request_id": request_id(number)});
        event("error", &data)
    }

    fn envelope(&self, number: u64) -> Envelope<'_> {
        Envelope {
            r#type: "error",
            error: self,
            request_id: request_id(number),
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: &'a ErrorBody,
    request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_stream_are_named_events() {
        let event = ErrorBody::in_stream(StreamError::Overloaded).to_event(1);

        let event = String::from_utf8_lossy(&event);
        let data = event.strip_prefix("event: error\ndata: ").unwrap();
        let expected = json!({
            "type": "error",
            "error": {"details": null, "type": "overloaded_error", "message": "Overloaded"},
            "request_id": request_id(1),
        });
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(data).unwrap(),
            expected
        );
    }

    #[test]
    fn spend_limits_have_a_code() {
        let json = serde_json::to_value(ErrorBody::quota()).unwrap();

        assert_eq!(json["type"], "rate_limit_error");
        assert_eq!(json["details"]["error_code"], SPEND_LIMIT);
    }
}
