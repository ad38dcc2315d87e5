//! The errors of Bedrock: a code in the header `x-amzn-errortype`, a sentence in the body; in a
//! stream, an exception.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::frame::frame;
use crate::headers::insert;
use crate::reply::{Draft, to_json};

/// One error, with the code of the vendor.
#[derive(Debug)]
pub(super) struct ErrorBody {
    /// None for what comes from something before the service.
    code: Option<&'static str>,
    message: String,
}

impl ErrorBody {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(super) fn no_key() -> Self {
        let message = "Missing Authentication Token; the simulator takes any signature";
        Self::new("MissingAuthenticationTokenException", message)
    }

    pub(super) fn quota() -> Self {
        let message = "Too many tokens per day, please wait before trying again.";
        Self::new("ThrottlingException", message)
    }

    /// The error that the vendor sends with a status.
    pub(super) fn for_status(status: StatusCode) -> Self {
        let (code, message) = match status.as_u16() {
            400 => ("ValidationException", "The request is not valid."),
            401 | 403 => (
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ),
            404 => (
                "ResourceNotFoundException",
                "The model is not known in this region.",
            ),
            408 => (
                "ModelTimeoutException",
                "Model processing time exceeded the timeout length.",
            ),
            409 => ("ConflictException", "There was a conflict."),
            413 => (
                "RequestEntityTooLargeException",
                "The request is too large.",
            ),
            424 => (
                "ModelErrorException",
                "The request failed due to an error while processing the model.",
            ),
            429 => (
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            ),
            500 => (
                "InternalServerException",
                "The system encountered an unexpected error during processing. Try your request again.",
            ),
            503 => (
                "ServiceUnavailableException",
                "Bedrock is unable to process your request.",
            ),
            _ => {
                return Self {
                    code: None,
                    message: "The request could not be processed.".to_owned(),
                };
            }
        };
        Self::new(code, message)
    }

    pub(super) fn into_draft(self, status: StatusCode) -> Draft {
        let mut draft = Draft::json(status, &json!({ "message": self.message }));
        if let Some(code) = self.code {
            let code = format!("{code}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            insert(&mut draft.headers, "x-amzn-errortype", &code);
        }
        draft
    }

    /// Returns the error as an exception of a stream, where codes begin with a small letter.
    pub(super) fn into_exception(self) -> Bytes {
        let mut code = self.code.unwrap_or("InternalServerException").to_owned();
        if let Some(first) = code.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let headers = [
            (":exception-type", code.as_str()),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        frame(&headers, &to_json(&json!({ "message": self.message })))
    }
}
