//! The HTTP side that all providers share: one client, one call, errors of the connection.

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Proxy, Response, Url, redirect};
use steadfast_core::{ConfigError, ModelError, ModelErrorKind};

use crate::base_url::BaseUrl;

/// How long the connection may take to be made; the design's default.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest body that is read whole, in bytes. Streams are not read whole.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The longest error body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// What a client is built from. It has no `Debug` form: headers and proxies hold secrets.
#[derive(Clone)]
pub(crate) struct HttpConfig {
    pub(crate) connect_timeout: Duration,
    pub(crate) proxy: ProxyChoice,
    pub(crate) headers: Vec<(String, String)>,
}

/// Through which proxy calls go.
#[derive(Clone)]
pub(crate) enum ProxyChoice {
    /// What `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    None,
    Address(String),
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            proxy: ProxyChoice::Environment,
            headers: Vec::new(),
        }
    }
}

/// A client with its headers. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client,
    headers: HeaderMap,
}

impl HttpClient {
    /// Builds the client. It has no timeout over the whole call and follows no redirect: a POST that
    /// is redirected has the wrong address.
    ///
    /// Without `https` no certificates are loaded: a machine that has none can still talk to itself.
    pub(crate) fn build(
        config: HttpConfig,
        base_url: &BaseUrl,
        bearer: Option<&str>,
    ) -> Result<Self, ConfigError> {
        if config.connect_timeout.is_zero() {
            return Err(ConfigError::new(
                "connect_timeout",
                "must be longer than zero",
            ));
        }
        let mut builder = Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")));
        builder = match &config.proxy {
            ProxyChoice::Environment => builder,
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Address(address) => {
                // The address is not repeated: it may hold a password.
                let refuse = |_| ConfigError::new("proxy", "is not an address");
                builder.proxy(Proxy::all(address).map_err(refuse)?)
            }
        };
        if !base_url.is_https() && !matches!(config.proxy, ProxyChoice::Address(_)) {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            let problem = format!("client cannot be built: {}", deepest(&error));
            ConfigError::new("http", problem).with_hint(
                "`https` needs the system's certificates, such as the package `ca-certificates`",
            )
        })?;
        let mut headers = HeaderMap::new();
        if let Some(key) = bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                ConfigError::new("api_key", "contains characters that no header may hold")
            })?;
            value.set_sensitive(true);
            headers.insert(http::header::AUTHORIZATION, value);
        }
        for (name, value) in config.headers {
            let refuse = |what: &str| ConfigError::new("header", format!("`{name}` {what}"));
            let parsed = HeaderName::try_from(&name).map_err(|_| refuse("is not a header name"))?;
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| refuse("has a value that no header may hold"))?;
            // Any header of the user's may carry a key.
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        Ok(Self { client, headers })
    }

    /// Makes one call with a JSON body and returns the answer as it begins.
    pub(crate) async fn post_json(&self, url: Url, body: Vec<u8>) -> Result<Response, ModelError> {
        let sent = self
            .client
            .post(url)
            .headers(self.headers.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "text/event-stream, application/json")
            .body(body)
            .send()
            .await;
        sent.map_err(connection_error)
    }
}

/// What a failed connection is. Its own text may hold the address, and an address may hold a key.
pub(crate) fn connection_error(error: reqwest::Error) -> ModelError {
    let error = error.without_url();
    let kind = if error.is_timeout() {
        ModelErrorKind::Timeout
    } else {
        ModelErrorKind::Network
    };
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    let message = format!("{what}: {}", deepest(&error));
    ModelError::new(kind, message).with_source(error)
}

/// The error at the bottom, which says what happened; those above it say where.
fn deepest<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}

/// The head of an answer: what classification needs besides the body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Head {
    pub(crate) fn of(response: &Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
        }
    }

    /// Returns the provider's identity of the request, under the names that vendors give it.
    pub(crate) fn request_id(&self) -> Option<String> {
        [
            "x-request-id",
            "request-id",
            "mistral-correlation-id",
            "apim-request-id",
        ]
        .iter()
        .find_map(|name| self.headers.get(*name)?.to_str().ok())
        .map(str::to_owned)
    }

    /// Returns the media type, in lower case and without parameters.
    pub(crate) fn media_type(&self) -> String {
        let value = self.headers.get(http::header::CONTENT_TYPE);
        let text = value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

/// Reads an error body, as much of it as matters.
pub(crate) async fn read_error_body(response: Response) -> Vec<u8> {
    // An error that arrives half is still the error: what broke the connection is not the news.
    read_up_to(response, MAX_ERROR_BYTES)
        .await
        .unwrap_or_else(|(read, _)| read)
}

/// Reads a whole body.
pub(crate) async fn read_body(response: Response) -> Result<Vec<u8>, ModelError> {
    read_up_to(response, MAX_BODY_BYTES)
        .await
        .map_err(|(_, error)| error)
}

async fn read_up_to(
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, (Vec<u8>, ModelError)> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                let message = format!("the body is longer than {limit} bytes");
                return Err((body, ModelError::new(ModelErrorKind::Protocol, message)));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err((body, connection_error(error))),
        }
    }
}

/// A body as it arrives.
pub(crate) fn body_stream(
    response: Response,
) -> impl Stream<Item = Result<Bytes, ModelError>> + Send + Unpin + 'static {
    BodyStream(Box::pin(response.bytes_stream()))
}

struct BodyStream<S>(std::pin::Pin<Box<S>>);

impl<S: Stream<Item = reqwest::Result<Bytes>>> Stream for BodyStream<S> {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|chunk| chunk.map_err(connection_error)))
    }
}
