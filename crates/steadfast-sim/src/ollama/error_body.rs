//! The errors of Ollama's wire: `{"error": "…"}`, and of ollama.com with the status beside it.

use http::StatusCode;
use serde::Serialize;

use crate::dialect::Caller;
use crate::fault::StreamError;
use crate::reply::{Draft, to_json};

/// One error, in the words of the vendor: they are all that tells errors apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ErrorBody {
    #[serde(rename = "StatusCode", skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(rename = "Status", skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    error: String,
}

impl ErrorBody {
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self {
            code: None,
            status: None,
            error: error.into(),
        }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.code = Some(status.as_u16());
        self.status = Some(status.to_string());
        self
    }

    pub(super) fn model_not_found(model: &str) -> Self {
        Self::new(format!("model {model:?} not found, try pulling it first"))
    }

    pub(super) fn quota() -> Self {
        Self::new("you've reached your hourly usage limit, please wait or upgrade to continue")
    }

    /// An error that is noticed only when the answer has begun.
    pub(super) fn in_stream(error: StreamError) -> Self {
        Self::new(match error {
            StreamError::Server => "an error was encountered while running the model",
            StreamError::RateLimit => "too many requests",
            StreamError::Overloaded => "Server overloaded, please retry shortly",
        })
    }

    /// The error that the vendor sends with a status, for faults.
    pub(super) fn for_status(status: StatusCode, caller: &Caller<'_>) -> Self {
        match status.as_u16() {
            401 => Self::new("unauthorized"),
            403 => Self::new("forbidden"),
            404 => Self::model_not_found(caller.model),
            413 => Self::new("request body too large"),
            429 => Self::in_stream(StreamError::RateLimit),
            499 => Self::new("request canceled"),
            // The second space is the vendor's.
            503 => Self::new("server busy, please try again.  maximum pending requests exceeded"),
            500.. => Self::new("the model failed to generate a response"),
            _ => Self::new("invalid request"),
        }
    }

    pub(super) fn into_draft(self, status: StatusCode) -> Draft {
        let content_type = "application/json; charset=utf-8";
        Draft::whole(status, content_type, to_json(&self))
    }
}
