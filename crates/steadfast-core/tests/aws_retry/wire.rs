//! What servers answer, as errors of the kinds that a provider gives them.

use serde_json::Value;
use steadfast_core::{ModelError, ModelErrorKind as Kind, millis, secs, testing::Reply};

/// An answer of AWS with this code and status.
pub(crate) fn error(code: Option<&str>, status: u16) -> ModelError {
    let kind = match (code, status) {
        (
            Some("ThrottlingException" | "SlowDown" | "Throttling" | "TooManyRequestsException"),
            _,
        ) => Kind::Throttled,
        (Some("RequestTimeout"), _) | (_, 408) => Kind::Timeout,
        (Some("ServiceQuotaExceededException"), _) => Kind::QuotaExhausted,
        (Some("ModelNotReadyException"), _) | (_, 503 | 529) => Kind::Overloaded,
        (_, 429) => Kind::Throttled,
        (_, 400) => Kind::InvalidRequest,
        (_, 401 | 403) => Kind::Auth,
        (_, 404) => Kind::NotFound,
        (_, 501) => Kind::Unsupported,
        _ => Kind::Server,
    };
    let error = ModelError::new(kind, "scripted").with_status(status);
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// What botocore raises, as the kind that it is here.
pub(crate) fn exception(name: &str) -> ModelError {
    let kind = match name {
        "ReadTimeoutError" | "ConnectTimeoutError" => Kind::Timeout,
        "EndpointConnectionError" | "ConnectionClosedError" | "SSLError" => Kind::Network,
        "IncompleteReadError" => Kind::Truncated,
        _ => Kind::Protocol,
    };
    ModelError::new(kind, name)
}

/// The answer that a vector describes.
pub(crate) fn error_of(input: &Value) -> ModelError {
    if let Some(name) = input["exception"].as_str() {
        return exception(name);
    }
    let status = input["status"]
        .as_u64()
        .and_then(|status| status.try_into().ok());
    let error = error(input["error_code"].as_str(), status.unwrap_or_default());
    // As a provider reads the header: whole milliseconds, or nothing.
    let hint = input["x-amz-retry-after"].as_str();
    error.with_aws_retry_after(hint.and_then(|text| text.parse().ok()).map(millis))
}

/// One word of the script of botocore's fake endpoint.
pub(crate) fn reply(word: &str) -> Reply {
    let throttle = || error(Some("ThrottlingException"), 429);
    Reply::error(match word {
        "ok" => return Reply::text("Yes."),
        "throttle" => throttle(),
        // A provider gives the hint in both forms.
        "throttle_ra" => throttle()
            .with_retry_after(millis(2_500))
            .with_aws_retry_after(millis(2_500)),
        "throttle_http_ra" => throttle().with_retry_after(secs(7)),
        "503" => error(Some("ServiceUnavailableException"), 503),
        "500" => error(Some("InternalServerException"), 500),
        "bare429" => error(None, 429),
        "529" => error(None, 529),
        "notready" => error(Some("ModelNotReadyException"), 429),
        "model_timeout" => error(Some("ModelTimeoutException"), 408),
        "model_error" => error(Some("ModelErrorException"), 424),
        "validation" => error(Some("ValidationException"), 400),
        "read_timeout" => exception("ReadTimeoutError"),
        "conn_reset" => exception("ConnectionClosedError"),
        // No other word is an error that anything retries.
        word => exception(word),
    })
}

pub(crate) fn replies(words: &str) -> Vec<Reply> {
    words.split_whitespace().map(reply).collect()
}
