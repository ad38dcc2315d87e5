//! Amazon Bedrock between a call and its answer: credentials that are found, connections that break,
//! HTTP clients of the application's own.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use aws_sdk_bedrockruntime::config::{
    SharedHttpClient,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use aws_smithy_types::{body::SdkBody, retry::ErrorKind};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;
use steadfast_core::{
    Agent, Message, Model, ModelError, ModelErrorKind as Kind, ModelRequest, ModelRetryStrategy,
};
use steadfast_providers::{Bedrock, BedrockBuilder};
use steadfast_sim::Simulator;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A session token as AWS makes them: long, with signs at which a mask by shape stops.
const SESSION: &str = "IQoJb3JpZ2luX2VjEGMaCXVzLWVhc3QtMSJHMEUCIQ/8GVxGvME0RMJ3HsYYy/ucI7295Qiy+Aq";

/// What a service says whose signature does not fit: it repeats the signed headers.
fn refusal(token: &str) -> String {
    let said = format!("The Canonical String should have been 'x-amz-security-token:{token}'");
    json!({"message": said, "__type": "InvalidSignatureException"}).to_string()
}

/// Credentials as those of a role are: nobody gave them to the provider.
fn found() -> SharedCredentialsProvider {
    let session = Some(SESSION.to_owned());
    SharedCredentialsProvider::new(Credentials::new(
        "AKIDROLE", "secret", session, None, "role",
    ))
}

/// The configuration of an application.
fn config(credentials: SharedCredentialsProvider, client: Option<SharedHttpClient>) -> SdkConfig {
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials);
    builder.set_http_client(client);
    builder.build()
}

/// An HTTP client that answers every call in one way.
#[derive(Debug)]
struct Client(fn(HttpRequest) -> Result<HttpResponse, ConnectorError>);

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready((self.0)(request))
    }
}

fn client(answer: fn(HttpRequest) -> Result<HttpResponse, ConnectorError>) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Client(answer));
    http_client_fn(move |_, _| connector.clone())
}

/// An answer of a client.
fn respond(
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
) -> Result<HttpResponse, ConnectorError> {
    let mut response = http::Response::new(SdkBody::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let content_type = http::HeaderValue::from_static(content_type);
    response.headers_mut().insert("content-type", content_type);
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}

/// A service of credentials that never answers.
#[derive(Debug)]
struct Silent;

impl ProvideCredentials for Silent {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(std::future::pending())
    }
}

fn prompt() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

/// A provider that was given its keys.
fn builder(url: &str) -> BedrockBuilder {
    let builder = Bedrock::builder("m").region("us-east-1");
    builder
        .credentials("AKIDTEST", "a secret of a test", None)
        .endpoint_url(url)
}

/// Makes a call that fails.
async fn failure(config: SdkConfig, endpoint: &str) -> TestResult<ModelError> {
    let builder = Bedrock::builder("m").sdk_config(config).no_proxy();
    let model = builder.endpoint_url(endpoint).build()?;
    let error = match model.stream(prompt()).await {
        Ok(stream) => stream.response().await.err(),
        Err(error) => Some(error),
    };
    Ok(error.ok_or("an answer came")?)
}

/// Asserts that no eight characters of the session token can be read.
fn check_token_is_hidden(error: &ModelError) {
    let shown = format!("{error} {error:?} {}", error.message());
    let pieces = SESSION.as_bytes().windows(8).map(String::from_utf8_lossy);
    for piece in pieces {
        assert!(!shown.contains(&*piece), "`{piece}` in {shown}");
    }
    assert!(shown.contains("x-amz-security-token:***"), "{shown}");
}

#[tokio::test]
async fn found_session_token_is_in_no_error() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        let mut request = Vec::new();
        // The body ends in the closing brace of the JSON object.
        while !request.ends_with(b"}") && socket.read_buf(&mut request).await? > 0 {}
        let request = String::from_utf8_lossy(&request).into_owned();
        let token = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name == "x-amz-security-token").then_some(value)
        });
        let body = refusal(token.unwrap_or_default());
        let length = body.len();
        let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n\r\n{body}");
        socket.write_all(answer.as_bytes()).await
    });

    let error = failure(config(found(), None), &endpoint).await?;

    serving.await??;
    assert_eq!(error.code(), Some("InvalidSignatureException"));
    check_token_is_hidden(&error);
    Ok(())
}

#[tokio::test]
async fn found_session_token_is_in_no_error_of_another_client() -> TestResult {
    let echoing = client(|request| {
        let token = request.headers().get("x-amz-security-token");
        let body = refusal(token.unwrap_or_default());
        respond(403, "application/json", body.into_bytes())
    });

    let error = failure(config(found(), Some(echoing)), "http://127.0.0.1:9").await?;

    check_token_is_hidden(&error);
    Ok(())
}

#[tokio::test]
async fn what_another_client_does_not_know_is_of_the_network() -> TestResult {
    for broken in [
        // A server that closes before its answer.
        client(|_| {
            let closed = ConnectorError::other("closed".into(), Some(ErrorKind::TransientError));
            Err(closed)
        }),
        // An error of TLS or HTTP/2 that the client has no word for.
        client(|_| Err(ConnectorError::other("unexpected frame".into(), None))),
    ] {
        let error = failure(config(found(), Some(broken)), "http://127.0.0.1:9").await?;

        assert_eq!(error.kind(), Kind::Network, "{error}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn credentials_that_do_not_come_in_time_may_come_later() -> TestResult {
    let silent = SharedCredentialsProvider::new(Silent);

    let error = failure(config(silent, None), "http://127.0.0.1:9").await?;

    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(
        error.message().starts_with("no credentials in time"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn call_without_credentials_is_refused_as_such() -> TestResult {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .build();

    let error = failure(config, "http://127.0.0.1:9").await?;

    assert_eq!(error.kind(), Kind::Auth, "{error}");
    Ok(())
}

/// The event `messageStart`, as it travels.
const MESSAGE_START: &str = "AAAAVQAAADHED5/oDTptZXNzYWdlLXR5cGUHAAVldmVudAs6ZXZlbnQtdHlwZQcADG1lc3NhZ2VT\
    dGFydHsicm9sZSI6ImFzc2lzdGFudCJ9LAIB+A==";

#[tokio::test]
async fn stream_of_another_client_cut_inside_an_event_is_truncated() -> TestResult {
    let first = client(|_| cut_stream(0));
    let second = client(|_| cut_stream(1));
    for cut in [first, second] {
        let error = failure(config(found(), Some(cut)), "http://127.0.0.1:9").await?;

        assert_eq!(error.kind(), Kind::Truncated, "{error}");
        assert_eq!(error.status(), Some(200));
    }
    Ok(())
}

/// A stream of so many events, and 20 bytes of the next.
fn cut_stream(events: usize) -> Result<HttpResponse, ConnectorError> {
    let event = BASE64_STANDARD.decode(MESSAGE_START);
    let event = event.map_err(|error| ConnectorError::user(error.into()))?;
    let cut = event.iter().take(20).copied();
    let stream = event.repeat(events).into_iter().chain(cut);
    respond(200, "application/vnd.amazon.eventstream", stream.collect())
}

#[tokio::test]
async fn attempts_of_one_call_share_an_invocation_and_are_numbered() -> TestResult {
    let sim = Simulator::builder()
        .faults("503*2".parse()?)
        .start()
        .await?;
    let strategy = ModelRetryStrategy::new()
        .max_attempts(4)
        .initial_delay(Duration::from_millis(1));
    let agent = Agent::builder()
        .model(builder(&sim.url()).build()?)
        .retry_strategy(strategy)
        .build()?;
    let mut conversation = agent.conversation();

    conversation.prompt("Hi").await?;
    conversation.prompt("And now?").await?;

    let header = |name: &'static str| -> Vec<String> {
        let requests = sim.requests().into_iter();
        let values =
            requests.map(|seen| seen.headers[name].to_str().unwrap_or_default().to_owned());
        values.collect()
    };
    let attempts = header("amz-sdk-request");
    assert_eq!(
        attempts,
        [
            "attempt=1; max=4",
            "attempt=2; max=4",
            "attempt=3; max=4",
            "attempt=1; max=4"
        ]
    );
    let invocations = header("amz-sdk-invocation-id");
    assert!(
        invocations[..3].iter().all(|one| *one == invocations[0]),
        "{invocations:?}"
    );
    assert_ne!(invocations[3], invocations[0]);
    assert_eq!(invocations[0].len(), 36);
    Ok(())
}

#[tokio::test]
async fn broken_connections_are_of_the_network() -> TestResult {
    let sim = Simulator::builder()
        .faults("reset, cut, cut@text, cut@30".parse()?)
        .start()
        .await?;
    let model = builder(&sim.url()).build()?;
    let failed = |error: Option<ModelError>| error.map(|error| error.kind());
    let refused = builder("http://127.0.0.1:1").build()?;
    assert_eq!(
        failed(refused.stream(prompt()).await.err()),
        Some(Kind::Network)
    );
    for _ in 0..4 {
        let error = match model.stream(prompt()).await {
            Ok(stream) => stream.response().await.err(),
            Err(error) => Some(error),
        };
        assert_eq!(failed(error), Some(Kind::Network));
    }
    Ok(())
}
