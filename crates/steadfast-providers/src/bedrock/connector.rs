//! The HTTP client of the SDK: ours, so that proxies, certificates, limits and what a broken
//! connection is are the same for all providers. It signs nothing, and what an error is the error
//! wire decides.

mod guarded_body;
mod transport;

use std::{fmt, future::poll_fn, pin::Pin};

use aws_sdk_bedrockruntime::config::{SharedHttpClient, http::HttpRequest, http::HttpResponse};
use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
        http_client_fn,
    },
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use http::header;
use http_body::Body as _;
use steadfast_core::{ModelError, ModelErrorKind};

use super::{attempt_identity::AttemptIdentity, error_wire, sent_secrets};
use crate::{
    crowd::Crowd,
    http_client::{Head, body_stream, read_body, read_error_body},
    secrets::Secrets,
};
use guarded_body::GuardedBody;
pub(super) use transport::{Clients, Transport};

/// How the path of a streamed call ends.
const STREAMED_CALL: &str = "/converse-stream";

/// How the path of a call ends whose answer comes whole.
const WHOLE_CALL: &str = "/converse";

/// Returns an HTTP client for the SDK.
pub(super) fn sdk_client(transport: Transport, secrets: Secrets) -> SharedHttpClient {
    http_client_fn(move |limits, _| {
        SharedHttpConnector::new(Connector {
            transport: transport.clone(),
            secrets: secrets.clone(),
            limits: limits.clone(),
        })
    })
}

struct Connector {
    transport: Transport,
    secrets: Secrets,
    /// What the SDK allows the call. That of the model is limited elsewhere.
    limits: HttpConnectorSettings,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (transport, secrets) = (self.transport.clone(), self.secrets.clone());
        let limits = self.limits.clone();
        HttpConnectorFuture::new(async move {
            call(&transport, request, secrets, &limits)
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
    limits: &HttpConnectorSettings,
) -> Result<HttpResponse, ModelError> {
    // The SDK signs other calls too, such as one for a role.
    let secrets = secrets.and(sent_secrets::of_request(&request));
    let (mut parts, body) = request.try_into_http1x().map_err(unusable)?.into_parts();
    let model_call = ModelCall::at(parts.uri.path());
    if let Some(identity) = parts.extensions.remove::<AttemptIdentity>() {
        identity.tell(&mut parts.headers);
    }
    let body = sent_body(body).await;
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body));
    let limits = Some(limits).filter(|_| model_call.is_none());
    let response = transport.send(request.map_err(unusable)?, limits).await?;
    let mut head = Head::new(&response, secrets);
    if let Some(model_call) = model_call {
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
            model_call.refuse_unless_answer(&head, &body)?;
            return respond(&head, SdkBody::from(body));
        }
    } else if !head.status.is_success() {
        // What the SDK makes of it is an error's text in the end.
        let body = read_error_body(body_stream(response)).await;
        let body = head.secrets.mask(&String::from_utf8_lossy(&body));
        head.headers.remove(header::CONTENT_LENGTH);
        return respond(&head, SdkBody::from(body));
    }
    let is_stream = model_call == Some(ModelCall::Stream);
    let body = http::Response::<reqwest::Body>::from(response).into_body();
    respond(
        &head,
        SdkBody::from_body_1_x(GuardedBody::new(body, head.clone(), is_stream)),
    )
}

/// Takes a body that is in memory as it is: with images it is large. Another is sent as it comes.
async fn sent_body(mut body: SdkBody) -> reqwest::Body {
    if body.bytes().is_none() {
        return reqwest::Body::wrap(body);
    }
    // All of it is in one frame.
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    let data = frame.and_then(|frame| frame.ok()?.into_data().ok());
    data.map_or_else(reqwest::Body::default, reqwest::Body::from)
}

/// Which of the model's calls is made. The SDK makes others for credentials, which are its own
/// business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelCall {
    Stream,
    Whole,
}

impl ModelCall {
    fn at(path: &str) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steadfast_core::secs;
    use tokio::{
        net::TcpListener,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::http_client::HttpConfig;

    type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

    /// A call that the SDK makes to find credentials.
    fn lookup() -> TestResult<HttpRequest> {
        let request = http::Request::post("http://127.0.0.1:9/")
            .header("x-amz-security-token", "IQoJ/0123/4567/89ab")
            .body(SdkBody::from("Action=AssumeRole"))?;
        Ok(HttpRequest::try_from(request)?)
    }

    /// What the SDK allows a machine's own service of credentials.
    fn limits() -> HttpConnectorSettings {
        HttpConnectorSettings::builder()
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(1))
            .build()
    }

    #[tokio::test]
    async fn body_in_memory_is_not_copied() {
        let body = bytes::Bytes::from_static(b"{\"messages\":[]}");

        let sent = sent_body(SdkBody::from(body.clone())).await;

        let sent = sent.as_bytes().unwrap_or_default();
        assert_eq!((sent.as_ptr(), sent.len()), (body.as_ptr(), body.len()));
        let empty = sent_body(SdkBody::empty()).await;
        assert_eq!(empty.as_bytes().unwrap_or_default(), b"");
    }

    #[tokio::test]
    async fn refused_lookup_repeats_no_token() -> TestResult {
        let refusal = "<Message>x-amz-security-token:IQoJ/0123/4567/89ab</Message>";
        let answer = http::Response::builder().status(403).body(refusal)?;
        let transport = Transport::told(answer.into());

        let response = call(&transport, lookup()?, Secrets::default(), &limits()).await?;

        assert_eq!(response.status().as_u16(), 403);
        let body = response.body().bytes().ok_or("no body")?;
        let said = str::from_utf8(body)?;
        assert_eq!(said, "<Message>x-amz-security-token:***</Message>");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn lookup_keeps_the_sdks_limits_and_a_call_has_none() -> TestResult {
        // Connections are made, and nobody answers.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let transport = Transport::Http(Clients::build(HttpConfig::default(), false)?);
        let ask = |path: &str| -> TestResult<_> {
            let address = format!("http://{}{path}", listener.local_addr()?);
            let request = http::Request::post(address).body(SdkBody::empty())?;
            let (request, transport) = (HttpRequest::try_from(request)?, transport.clone());
            Ok(async move { call(&transport, request, Secrets::default(), &limits()).await })
        };
        let begun = Instant::now();

        let lookup = timeout(secs(60), ask("/latest/api/token")?).await?;
        let lookup = lookup.err().ok_or("an answer came")?;
        let lasted = begun.elapsed();
        let call = timeout(secs(60), ask("/model/m/converse")?).await;

        assert_eq!(lookup.kind(), ModelErrorKind::Timeout);
        assert!(lasted <= secs(2), "{lasted:?}");
        assert!(call.is_err(), "the call has the limits of a lookup");
        Ok(())
    }
}
