//! The errors of Bedrock, classified from code, documented sentence and status, whether they come as
//! an answer or as an exception in a stream. Source: the error reference of Converse and
//! ConverseStream; each rule by sentence quotes it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use steadfast_core::{ModelError, ModelErrorKind as Kind};

use crate::{
    answer::without_mark,
    error_wire::{self, ErrorObject, Verdict},
    http_client::Head,
};

/// The header in which the vendor says its code, such as
/// `ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/`.
const CODE_HEADER: &str = "x-amzn-errortype";

/// Classifies an answer that is an error by its status.
pub(super) fn classify(head: &Head, body: &[u8]) -> ModelError {
    let parsed = serde_json::from_slice(without_mark(body)).ok();
    let header = head.headers.get(CODE_HEADER);
    let header = header.and_then(|code| code.to_str().ok());
    match (parsed, header) {
        (Some(body), header) => classify_object(head, header, body),
        (None, Some(code)) => classify_object(head, Some(code), Value::Null),
        (None, None) => error_wire::classify(head, body, judge),
    }
}

/// Classifies an exception of a stream: its code, and its payload.
pub(super) fn classify_exception(head: &Head, code: &str, payload: &[u8]) -> ModelError {
    let payload = serde_json::from_slice(payload).unwrap_or_default();
    classify_object(head, Some(code), payload)
}

/// Classifies a body of success, if it is an error.
pub(super) fn classify_if_error(head: &Head, body: &[u8]) -> Option<ModelError> {
    let parsed: Value = serde_json::from_slice(without_mark(body)).ok()?;
    let says = |field: &str| parsed.get(field).is_some_and(|value| !value.is_null());
    let is_error = !says("output")
        && ["message", "Message", "__type", "error"]
            .into_iter()
            .any(says);
    is_error.then(|| classify(head, body))
}

fn classify_object(head: &Head, code: Option<&str>, body: Value) -> ModelError {
    let body = in_usual_form(code, body);
    error_wire::classify_json(head, &body, judge)
}

/// Puts the code where other vendors have it: it stands in a header, or in the body under one of two
/// names. The services before the model spell `message` with a capital.
fn in_usual_form(code: Option<&str>, body: Value) -> Value {
    let Value::Object(mut body) = body else {
        return Value::Object(Map::from_iter(
            code.map(|code| ("code".to_owned(), bare(code).into())),
        ));
    };
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let code = code.or_else(|| text("__type")).or_else(|| text("code"));
    let code = code.map(|code| Value::from(bare(code)));
    if let Some(message) = body.remove("Message").filter(Value::is_string) {
        body.entry("message").or_insert(message);
    }
    // The model's own words are more exact than those around them.
    if let Some(original) = body.get("originalMessage").and_then(Value::as_str) {
        let said = body.get("message").and_then(Value::as_str);
        let said = said.unwrap_or_default();
        if !said.contains(original) {
            let both = if said.is_empty() {
                original.to_owned()
            } else {
                format!("{said}: {original}")
            };
            body.insert("message".to_owned(), both.into());
        }
    }
    body.extend(code.map(|code| ("code".to_owned(), code)));
    Value::Object(body)
}

/// Takes the namespace and the address away from a code.
fn bare(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default().trim()
}

/// Decides what an error is.
fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
    let code = error.code.as_deref().map(in_capitals).unwrap_or_default();
    by_sentence(error, &code, status)
        .or_else(|| by_models_own_status(error, &code))
        .or_else(|| by_code(&code))
        .or_else(|| error_wire::by_code("error code", &code))
        .unwrap_or_else(|| error.by_status(status))
}

/// In a stream, codes begin with a small letter: `throttlingException`.
fn in_capitals(code: &str) -> Cow<'_, str> {
    match code.chars().next() {
        Some(first) if first.is_ascii_lowercase() => {
            let mut code = code.to_owned();
            if let Some(first) = code.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Cow::Owned(code)
        }
        _ => Cow::Borrowed(code),
    }
}

fn by_code(code: &str) -> Option<Verdict> {
    let kind = match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "TransactionInProgressException"
        | "PriorRequestNotComplete"
        | "EC2ThrottledException"
        | "SlowDown" => Kind::Throttled,
        "ServiceUnavailableException" | "ServiceUnavailable" => Kind::Overloaded,
        "InternalServerException" | "InternalFailure" | "InternalServerError"
        // The model is being loaded; a 429 that no quota speaks of.
        | "ModelNotReadyException"
        // "An error occurred while streaming the response. Retry your request."
        | "ModelStreamErrorException"
        // "The request failed due to an error while processing the model."
        | "ModelErrorException"
        | "ConflictException" => Kind::Server,
        "ModelTimeoutException" | "RequestTimeout" | "RequestTimeoutException" => Kind::Timeout,
        "ServiceQuotaExceededException" | "ServiceQuotaExceeded" => Kind::QuotaExhausted,
        "AccessDeniedException"
        | "AccessDenied"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnauthorizedException"
        | "UnrecognizedClientException" => Kind::Auth,
        "ResourceNotFoundException" | "UnknownOperationException" => Kind::NotFound,
        "RequestEntityTooLargeException" => Kind::TooLarge,
        "ValidationException" | "ValidationError" => Kind::InvalidRequest,
        _ => return None,
    };
    Some(Verdict::by("error code", code, kind))
}

/// Decides by what the model itself answered, where the service only says that it failed.
fn by_models_own_status(error: &ErrorObject<'_>, code: &str) -> Option<Verdict> {
    if !is_models_own(code) {
        return None;
    }
    let status = error.object.get("originalStatusCode")?.as_u64()?;
    let status = u16::try_from(status).ok()?;
    // A 400 may be of what the model wrote, such as a broken call, and the next answer another.
    matches!(status, 408 | 413 | 429).then(|| {
        let kind = Verdict::by_status(status).kind;
        Verdict::by("the model's own status", &status.to_string(), kind)
    })
}

fn is_models_own(code: &str) -> bool {
    matches!(code, "ModelErrorException" | "ModelStreamErrorException")
}

/// Sentences of a prompt that is too long, each model's own.
const OVERFLOWS: &[(&str, Kind)] = &[
    // "Input is too long for requested model."
    (
        "Input is too long for requested model",
        Kind::ContextOverflow,
    ),
    // "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, …"
    (
        "input length and `max_tokens` exceed context limit",
        Kind::ContextOverflow,
    ),
    // "too many total text bytes: 4000000 > 3500000"
    ("too many total text bytes", Kind::ContextOverflow),
    // "The model returned the following errors: prompt is too long: 210000 tokens > …"
    ("prompt is too long", Kind::ContextOverflow),
    // "prompt tokens (1055489) exceed model maximum (1050000) for …"
    ("exceed model maximum", Kind::ContextOverflow),
    // Nova: "The model returned the following errors: Input Tokens Exceeded: Number of input tokens
    // exceeds maximum length. Please update the input to try again."
    ("Input Tokens Exceeded", Kind::ContextOverflow),
    // Titan: "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token
    // count: 9279"
    ("Too many input tokens", Kind::ContextOverflow),
    // Titan: "Malformed input request: expected maxLength: 50000, actual: 52611, …"; of another
    // field, its place stands between.
    (
        "Malformed input request: expected maxLength",
        Kind::ContextOverflow,
    ),
];

fn by_sentence(error: &ErrorObject<'_>, code: &str, status: u16) -> Option<Verdict> {
    // The sentences of one code mean nothing under another.
    let sentences: &[(&str, Kind)] = match code {
        // "Too many tokens per day, please wait before trying again."
        "ThrottlingException" => &[("per day", Kind::QuotaExhausted)],
        "ValidationException" => OVERFLOWS,
        code if is_models_own(code) => OVERFLOWS,
        // Without a code, only what every server says.
        "" => &[],
        _ => return None,
    };
    let found = sentences
        .iter()
        .find(|(part, _)| error.message.contains(part));
    found
        .map(|(part, kind)| Verdict::by_sentence(part, *kind))
        .or_else(|| error_wire::by_sentence(error, status))
}
