//! The errors of the OpenAI wire: `{"error":{"message","type","param","code"}}`.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use serde::Serialize;

use super::{data_line, go_duration, insert, to_json};
use crate::fault::RetryHint;
use crate::reply::Draft;

/// One error, in the words of the simulator and with the codes of the vendor.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorBody {
    message: String,
    r#type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl ErrorBody {
    fn new(r#type: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            r#type,
            param: None,
            code,
        }
    }

    /// The request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_request_error", None, message)
    }

    /// The request itself is wrong, for a reason that has a code.
    pub(crate) fn invalid_with(code: &'static str, message: impl Into<String>) -> Self {
        Self::new("invalid_request_error", Some(code), message)
    }

    pub(crate) fn no_key() -> Self {
        Self::invalid(
            "You didn't provide an API key. Send it in the header `Authorization: Bearer KEY`; \
             the simulator takes any key.",
        )
    }

    pub(crate) fn model_not_found(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or is not open to you.");
        Self::invalid_with("model_not_found", message)
    }

    pub(crate) fn rate_limit(model: &str, per_minute: u64, hint: RetryHint) -> Self {
        let mut message = format!(
            "Rate limit reached for {model} on requests per min (RPM): Limit {per_minute}."
        );
        if let RetryHint::After(wait) | RetryHint::AfterMillis(wait) = hint {
            message.push_str(&format!(" Please try again in {}.", go_duration(wait)));
        }
        Self::new("requests", Some("rate_limit_exceeded"), message)
    }

    /// A rate limit that is noticed only when the answer has begun.
    pub(crate) fn rate_limit_in_stream() -> Self {
        let message = "Rate limit reached while the answer was being generated.";
        Self::new("requests", Some("rate_limit_exceeded"), message)
    }

    pub(crate) fn quota() -> Self {
        let message = "You exceeded your current quota; check your plan and billing details.";
        Self::new("insufficient_quota", Some("insufficient_quota"), message)
    }

    pub(crate) fn server() -> Self {
        let message = "The server had an error while processing your request.";
        Self::new("server_error", None, message)
    }

    pub(crate) fn overloaded() -> Self {
        let message = "The server is overloaded; please try again later.";
        Self::new("server_error", Some("server_is_overloaded"), message)
    }

    /// The error that the vendor sends with a status, for faults.
    pub(crate) fn for_status(
        status: StatusCode,
        model: &str,
        per_minute: u64,
        hint: RetryHint,
    ) -> Self {
        match status.as_u16() {
            401 => Self::invalid_with("invalid_api_key", "Incorrect API key provided."),
            403 => Self::invalid("Your key may not do this."),
            404 => Self::model_not_found(model),
            408 => Self::new(
                "server_error",
                Some("request_timeout"),
                "The request timed out.",
            ),
            409 => Self::invalid_with(
                "conflict",
                "The resource is being changed by another request.",
            ),
            413 => Self::invalid_with("request_too_large", "The request is too large."),
            429 => Self::rate_limit(model, per_minute, hint),
            503 => Self::overloaded(),
            500.. => Self::server(),
            _ => Self::invalid("The request could not be understood."),
        }
    }

    /// Returns the body as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: &'a ErrorBody,
        }
        to_json(&Envelope { error: self })
    }

    /// Returns the body as a line of a stream.
    pub(crate) fn to_data_line(&self) -> bytes::Bytes {
        data_line(&self.to_json())
    }

    pub(crate) fn into_draft(self, status: StatusCode) -> Draft {
        Draft::whole(status, "application/json", self.to_json())
    }
}

/// Returns the header that tells the client when to come back.
pub(crate) fn hint_headers(hint: RetryHint) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match hint {
        RetryHint::None => {}
        RetryHint::After(wait) => {
            if let Ok(value) = wait.as_secs_f64().to_string().parse() {
                headers.insert(RETRY_AFTER, value);
            }
        }
        RetryHint::AfterMillis(wait) => {
            insert(
                &mut headers,
                "retry-after-ms",
                &wait.as_millis().to_string(),
            );
        }
    }
    headers
}

impl RetryHint {
    /// Tells a wait in whole seconds, rounded up, so that nobody comes back too early.
    pub(crate) fn in_whole_seconds(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::After(Duration::from_secs(seconds.max(1)))
    }

    /// Tells a wait in milliseconds, rounded up.
    pub(crate) fn in_millis(wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        Self::AfterMillis(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_four_fields_in_order() {
        let body = String::from_utf8(ErrorBody::server().to_json()).unwrap();

        assert!(
            body.starts_with(r#"{"error":{"message":"The server"#),
            "{body}"
        );
        assert!(
            body.ends_with(r#""type":"server_error","param":null,"code":null}}"#),
            "{body}"
        );
    }

    #[test]
    fn hints_round_up() {
        let cases = [
            (0.0, 1, 0),
            (0.05, 1, 50),
            (1.0, 1, 1000),
            (1.2341, 2, 1235),
        ];
        for (wait, seconds, millis) in cases {
            let wait = Duration::from_secs_f64(wait);

            assert_eq!(
                RetryHint::in_whole_seconds(wait),
                RetryHint::After(Duration::from_secs(seconds))
            );
            assert_eq!(
                RetryHint::in_millis(wait),
                RetryHint::AfterMillis(Duration::from_millis(millis))
            );
        }
    }
}
