//! What the SDK failed with, taken apart: an answer that is an error goes to the error wire, and
//! what is left is of the connection, the credentials or the call itself.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{config::http::HttpResponse, error::SdkError};
use aws_smithy_types::event_stream::{Message, RawMessage};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use steadfast_core::{ModelError, ModelErrorKind as Kind};
use tokio::time::Instant;

use super::error_wire;
use crate::{http_client::Head, secrets::Secrets};

/// Classifies a call that failed before its answer began.
pub(super) fn of_call<E>(error: SdkError<E, HttpResponse>, secrets: &Secrets) -> ModelError
where
    E: Error + Send + Sync + 'static,
{
    if let Some(ours) = our_own(&error) {
        return ours;
    }
    let Some(response) = error.raw_response() else {
        return without_answer(error, secrets);
    };
    let head = head_of(response, secrets);
    let body = response.body().bytes().unwrap_or_default();
    if head.status.is_success() && is_cut(&error) {
        return cut_stream(&head);
    }
    if head.status.is_success() {
        let message = "the body is not what was expected";
        return head
            .locate(ModelError::new(Kind::Protocol, message))
            .with_source(told(&error));
    }
    error_wire::classify(&head, body)
}

/// Classifies what a stream failed with.
pub(super) fn of_stream<E>(error: SdkError<E, RawMessage>, head: &Head) -> ModelError
where
    E: Error + Send + Sync + 'static,
{
    if let Some(ours) = our_own(&error) {
        return head.locate(ours);
    }
    if let Some(RawMessage::Decoded(message)) = error.raw_response() {
        // An exception has its type as its code, an error a code and a message of its own.
        let code = text(message, ":exception-type");
        if let Some(code) = code {
            return error_wire::classify_exception(head, code, message.payload());
        }
        if let Some(code) = text(message, ":error-code") {
            let sentence = text(message, ":error-message").unwrap_or_default();
            let payload = serde_json::json!({ "message": sentence }).to_string();
            return error_wire::classify_exception(head, code, payload.as_bytes());
        }
    }
    match &error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            head.locate(without_answer(error, &head.secrets))
        }
        _ if is_cut(&error) => cut_stream(head),
        _ => {
            let message = "an event of the stream cannot be read";
            head.locate(ModelError::new(Kind::Protocol, message))
                .with_source(told(&error))
        }
    }
}

/// Returns whether a stream ended inside an event. Our own client says so itself; of another one the
/// SDK says "unexpected end of stream", whose type it keeps for itself.
fn is_cut(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.to_string() == "unexpected end of stream")
}

fn cut_stream(head: &Head) -> ModelError {
    let message = "the stream ended inside an event";
    head.locate(ModelError::new(Kind::Truncated, message))
}

/// Finds an error of our own below: of the connection, or of what came in place of an answer.
fn our_own(error: &(dyn Error + 'static)) -> Option<ModelError> {
    chain(error).find_map(|error| error.downcast_ref::<ModelError>().cloned())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// Returns the texts of an error and of those below it, which the SDK's own form leaves out.
fn told(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn without_answer<E, R>(error: SdkError<E, R>, secrets: &Secrets) -> ModelError
where
    E: Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    if let Some(error) = chain(&error).find_map(|error| error.downcast_ref::<CredentialsError>()) {
        return of_credentials(error, secrets);
    }
    let said = secrets.mask(&told(&error));
    let (kind, message) = match &error {
        SdkError::TimeoutError(_) => (Kind::Timeout, "the call took too long"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (Kind::Timeout, "the connection took too long")
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (Kind::InvalidRequest, "the call cannot be made")
        }
        SdkError::DispatchFailure(_) => before_the_call(&error),
        _ => (Kind::InvalidRequest, "the call cannot be made"),
    };
    ModelError::new(kind, format!("{message}: {said}"))
}

/// What went wrong where the SDK has no more than its sentences. What it does not know, such as a
/// broken handshake, is of the connection, and may pass.
fn before_the_call(error: &(dyn Error + 'static)) -> (Kind, &'static str) {
    let says = |begin: &str| chain(error).any(|error| error.to_string().starts_with(begin));
    // "identity resolver timed out after 5s"
    if says("identity resolver timed out") {
        return (Kind::Timeout, "no credentials in time");
    }
    // "failed to select an auth scheme to sign the request with. …"
    if says("failed to select an auth scheme") {
        return (Kind::Auth, "the call cannot be signed");
    }
    (Kind::Network, "the connection broke")
}

/// What is wrong with the credentials, as found when a call needed them.
fn of_credentials(error: &CredentialsError, secrets: &Secrets) -> ModelError {
    let said = secrets.mask(&told(error));
    match error {
        CredentialsError::ProviderTimedOut(_) => {
            ModelError::new(Kind::Timeout, format!("no credentials in time: {said}"))
        }
        CredentialsError::CredentialsNotLoaded(_) => ModelError::new(
            Kind::Auth,
            "no AWS credentials: neither given, nor in the environment, a profile or a role",
        ),
        _ => ModelError::new(Kind::Auth, format!("no AWS credentials: {said}")),
    }
}

fn head_of(response: &HttpResponse, secrets: &Secrets) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers() {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = parsed {
            headers.append(name, value);
        }
    }
    Head {
        status: StatusCode::from_u16(response.status().as_u16()).unwrap_or_default(),
        headers,
        came: Instant::now(),
        secrets: secrets.clone(),
    }
}

/// The head of an answer of success, as far as the SDK tells it.
pub(super) fn head_of_success(request_id: Option<&str>, secrets: &Secrets) -> Head {
    let id = request_id.and_then(|id| HeaderValue::try_from(id).ok());
    let name = HeaderName::from_static("x-amzn-requestid");
    Head {
        status: StatusCode::OK,
        headers: id.map(|id| (name, id)).into_iter().collect(),
        came: Instant::now(),
        secrets: secrets.clone(),
    }
}

fn text<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message
        .headers()
        .iter()
        .find(|header| header.name().as_str() == name)?;
    Some(header.value().as_string().ok()?.as_str())
}
