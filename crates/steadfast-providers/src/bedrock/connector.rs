//! The HTTP client of the SDK: ours, so that proxies, certificates, limits and what a broken
//! connection is are the same for all providers. It signs nothing, and what an error is the error
//! wire decides.

mod guarded_body;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use aws_sdk_bedrockruntime::config::{SharedHttpClient, http::HttpRequest, http::HttpResponse};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Client, Response};
use steadfast_core::{ModelError, ModelErrorKind};

use super::{attempt_identity::AttemptIdentity, error_wire};
use crate::{
    crowd::Crowd,
    http_client::{Head, body_stream, connection_error, read_body, read_error_body},
    secrets::Secrets,
};
use guarded_body::GuardedBody;

/// How the path of a streamed call ends.
const STREAMED_CALL: &str = "/converse-stream";

/// How the path of a call ends whose answer comes whole.
const WHOLE_CALL: &str = "/converse";

/// Returns an HTTP client for the SDK.
pub(super) fn sdk_client(transport: Transport, secrets: Secrets) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector { transport, secrets });
    // Times are limited elsewhere, so that the SDK's settings make no difference.
    http_client_fn(move |_, _| connector.clone())
}

/// Where answers come from.
#[derive(Clone)]
pub(super) enum Transport {
    Http(Client),
    /// An answer that is there already.
    Told(Arc<Mutex<Option<Response>>>),
}

impl Transport {
    /// An answer that is given to the first call.
    pub(super) fn told(answer: Response) -> Self {
        Self::Told(Arc::new(Mutex::new(Some(answer))))
    }

    async fn send(&self, request: reqwest::Request) -> Result<Response, ModelError> {
        match self {
            Self::Http(client) => client.execute(request).await.map_err(connection_error),
            Self::Told(answer) => {
                let answer = answer.lock().ok().and_then(|mut answer| answer.take());
                answer.ok_or_else(|| ModelError::new(ModelErrorKind::Network, "no answer is left"))
            }
        }
    }
}

struct Connector {
    transport: Transport,
    secrets: Secrets,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (transport, secrets) = (self.transport.clone(), self.secrets.clone());
        HttpConnectorFuture::new(async move {
            call(&transport, request, secrets)
                .await
                .map_err(|error| match error.kind() {
                    ModelErrorKind::Timeout => ConnectorError::timeout(error.into()),
                    _ => ConnectorError::io(error.into()),
                })
        })
    }
}

async fn call(
    transport: &Transport,
    request: HttpRequest,
    secrets: Secrets,
) -> Result<HttpResponse, ModelError> {
    let (mut parts, body) = request.try_into_http1x().map_err(unusable)?.into_parts();
    let asked = Asked::by(parts.uri.path());
    if let Some(identity) = parts.extensions.remove::<AttemptIdentity>() {
        identity.tell(&mut parts.headers);
    }
    let body = match body.bytes() {
        Some(bytes) => reqwest::Body::from(bytes.to_vec()),
        None => reqwest::Body::wrap(body),
    };
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body));
    let response = transport.send(request.map_err(unusable)?).await?;
    let head = Head::new(&response, secrets);
    if let Some(asked) = asked {
        if !head.status.is_success() {
            // Read here, with the limits that all error bodies have. The SDK would only look for
            // what it may retry, and stumbles over a wait beside a code that it does not know.
            let body = read_error_body(body_stream(response)).await;
            return Err(error_wire::classify(&head, &body));
        }
        refuse_unreadable(&head)?;
        if head.media_type().ends_with("json") {
            let body = read_body(body_stream(response)).await;
            let body = body.map_err(|error| head.locate(error))?;
            if Crowd::default().is_too_much_with(&body) {
                return Err(head.crowded());
            }
            asked.refuse_unless_answer(&head, &body)?;
            return respond(&head, SdkBody::from(body));
        }
    }
    let is_stream = asked == Some(Asked::Stream);
    let body = http::Response::<reqwest::Body>::from(response).into_body();
    respond(
        &head,
        SdkBody::from_body_1_x(GuardedBody::new(body, head.clone(), is_stream)),
    )
}

/// Which of the model's calls is made. The SDK makes others for credentials, which are its own
/// business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stream,
    Whole,
}

impl Asked {
    fn by(path: &str) -> Option<Self> {
        let is = |ending: &str| path.starts_with('/') && path.ends_with(ending);
        match () {
            () if is(STREAMED_CALL) => Some(Self::Stream),
            () if is(WHOLE_CALL) => Some(Self::Whole),
            () => None,
        }
    }

    /// Refuses a JSON body under a status of success that is no answer of this call.
    fn refuse_unless_answer(self, head: &Head, body: &[u8]) -> Result<(), ModelError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            let message = "the body is empty";
            return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
        }
        if let Some(error) = error_wire::classify_if_error(head, body) {
            return Err(error);
        }
        if self == Self::Stream {
            let message = "JSON came where a stream of events was asked for";
            return Err(head.locate(ModelError::new(ModelErrorKind::Protocol, message)));
        }
        Ok(())
    }
}

/// Refuses what something between sends in place of an answer.
fn refuse_unreadable(head: &Head) -> Result<(), ModelError> {
    if let Some(encoding) = head.unread_encoding() {
        let message = format!("content-encoding `{encoding}` is not understood");
        return Err(head.locate(ModelError::new(ModelErrorKind::Protocol, message)));
    }
    if head.media_type().ends_with("html") {
        let message = "a web page came instead of an answer";
        return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    Ok(())
}

fn respond(head: &Head, body: SdkBody) -> Result<HttpResponse, ModelError> {
    let mut response = http::Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers.clone();
    HttpResponse::try_from(response).map_err(unusable)
}

/// Says that the SDK and HTTP do not understand each other.
fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> ModelError {
    let message = "the call has no form in HTTP";
    ModelError::new(ModelErrorKind::Protocol, message).with_source(error)
}
