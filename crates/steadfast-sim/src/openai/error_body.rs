//! The errors of the OpenAI wire: `{"error":{"message","type","param","code"}}`.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::go_duration;
use crate::dialect::Caller;
use crate::fault::{RetryHint, StreamError};
use crate::reply::{Draft, to_json};

/// One error, in the words of the simulator and with the codes of the vendor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ErrorBody {
    message: String,
    r#type: &'static str,
    param: Option<String>,
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

    /// Names the field of the request that is wrong.
    pub(crate) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    fn rate_limit(caller: &Caller<'_>, hint: RetryHint) -> Self {
        let mut message = format!(
            "Rate limit reached for {} on requests per min (RPM): Limit {}.",
            caller.model, caller.requests_per_minute
        );
        if let RetryHint::After(wait) | RetryHint::AfterMillis(wait) = hint {
            message.push_str(&format!(" Please try again in {}.", go_duration(wait)));
        }
        Self::new("requests", Some("rate_limit_exceeded"), message)
    }

    /// An error that is noticed only when the answer has begun.
    pub(crate) fn in_stream(error: StreamError) -> Self {
        match error {
            StreamError::Server => Self::server(),
            StreamError::Overloaded => Self::overloaded(),
            StreamError::RateLimit => {
                let message = "Rate limit reached while the answer was being generated.";
                Self::new("requests", Some("rate_limit_exceeded"), message)
            }
        }
    }

    /// Returns the code and the sentence, which is all that a response that failed says.
    pub(crate) fn of_response(&self) -> Value {
        let code = self.code.unwrap_or(self.r#type);
        json!({"code": code, "message": self.message})
    }

    pub(crate) fn quota() -> Self {
        let message = "You exceeded your current quota; check your plan and billing details.";
        Self::new("insufficient_quota", Some("insufficient_quota"), message)
    }

    fn server() -> Self {
        let message = "The server had an error while processing your request.";
        Self::new("server_error", None, message)
    }

    fn overloaded() -> Self {
        let message = "The server is overloaded; please try again later.";
        Self::new("server_error", Some("server_is_overloaded"), message)
    }

    /// The error that the vendor sends with a status, for faults.
    pub(crate) fn for_status(status: StatusCode, caller: &Caller<'_>, hint: RetryHint) -> Self {
        match status.as_u16() {
            401 => Self::invalid_with("invalid_api_key", "Incorrect API key provided."),
            403 => Self::invalid("Your key may not do this."),
            404 => Self::model_not_found(caller.model),
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
            429 => Self::rate_limit(caller, hint),
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

    pub(crate) fn into_draft(self, status: StatusCode) -> Draft {
        Draft::whole(status, "application/json", self.to_json())
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
}
