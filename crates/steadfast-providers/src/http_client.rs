//! The HTTP side that all providers share: one client, one call, errors of the connection.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Client, Proxy, Response, Url, redirect};
use steadfast_core::{ConfigError, ModelError, ModelErrorKind};
use tokio::time::Instant;

use crate::{base_url::BaseUrl, secrets::Secrets};

/// How long the connection may take to be made; the design's default.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest body that is read whole, in bytes. Streams are not read whole.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The longest error body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// How much is kept of what a decoder says, in characters.
const MAX_SOURCE_CHARS: usize = 200;

/// How long an error body may take: status and headers are there already, and say the most.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client is built from. It has no `Debug` form: headers and proxies hold secrets.
#[derive(Clone)]
pub(crate) struct HttpConfig {
    pub(crate) connect_timeout: Duration,
    pub(crate) proxy: ProxyChoice,
    pub(crate) headers: Vec<(String, String)>,
}

/// The header with the key. It has no `Debug` form.
pub(crate) struct Credential {
    pub(crate) header: HeaderName,
    pub(crate) value: String,
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
    secrets: Secrets,
}

impl HttpClient {
    /// Builds the client with the headers of every call.
    pub(crate) fn build(
        config: HttpConfig,
        base_url: &BaseUrl,
        vendor_headers: &[(&'static str, &'static str)],
        credential: Option<Credential>,
    ) -> Result<Self, ConfigError> {
        let client = build_client(&config, base_url.is_https())?;
        let values = config.headers.iter().map(|(_, value)| value.as_str());
        let key = credential.as_ref().map(|credential| &*credential.value);
        let query = base_url.query_values();
        let secrets = Secrets::new(values.chain(key).chain(query.iter().map(String::as_str)));
        let mut headers = HeaderMap::new();
        // Before those of the user's, which replace them.
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream, application/json"),
        );
        for (name, value) in vendor_headers {
            let value = HeaderValue::from_static(value);
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(Credential { header, value }) = credential {
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                ConfigError::new("api_key", "contains characters that no header may hold")
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
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
        Ok(Self {
            client,
            headers,
            secrets,
        })
    }

    /// Makes one call with a JSON body and returns the answer as it begins.
    pub(crate) async fn post_json(&self, url: Url, body: Vec<u8>) -> Result<Response, ModelError> {
        let sent = self
            .client
            .post(url)
            .headers(self.headers.clone())
            .body(body)
            .send()
            .await;
        sent.map_err(connection_error)
    }

    /// Returns the head of an answer.
    pub(crate) fn head(&self, response: &Response) -> Head {
        Head::new(response, self.secrets.clone())
    }
}

/// Builds a client. It has no timeout over the whole call and follows no redirect: a POST that is
/// redirected has the wrong address.
///
/// Without `https` no certificates are loaded: a machine that has none can still talk to itself.
pub(crate) fn build_client(config: &HttpConfig, is_https: bool) -> Result<Client, ConfigError> {
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
        ProxyChoice::Address(address) => builder.proxy(parse_proxy(address)?),
    };
    if !is_https && !matches!(config.proxy, ProxyChoice::Address(_)) {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        let problem = format!("client cannot be built: {}", deepest(&error));
        ConfigError::new("http", problem).with_hint(
            "`https` needs the system's certificates, such as the package `ca-certificates`",
        )
    })
}

/// Reads a proxy's address. The client takes any scheme, and goes past a proxy that it cannot speak
/// to. The address is not repeated: it may hold a password.
fn parse_proxy(address: &str) -> Result<Proxy, ConfigError> {
    let refuse = || {
        ConfigError::new("proxy", "is not the address of an HTTP proxy")
            .with_hint("write it in full, such as `http://proxy.example:3128`")
    };
    let url = Url::parse(address).map_err(|_| refuse())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(refuse());
    }
    Proxy::all(url).map_err(|_| refuse())
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
    /// When it came, which hints in the headers count from.
    pub(crate) came: Instant,
    /// What no error may repeat.
    pub(crate) secrets: Secrets,
}

impl Head {
    pub(crate) fn new(response: &Response, secrets: Secrets) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            came: Instant::now(),
            secrets,
        }
    }

    /// A head without headers and secrets.
    #[cfg(test)]
    pub(crate) fn of_status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::new(),
            came: Instant::now(),
            secrets: Secrets::default(),
        }
    }

    /// Returns the provider's identity of the request, under the names that vendors give it.
    pub(crate) fn request_id(&self) -> Option<String> {
        [
            "x-request-id",
            "request-id",
            "mistral-correlation-id",
            "apim-request-id",
            "x-amzn-requestid",
        ]
        .iter()
        .find_map(|name| self.headers.get(*name)?.to_str().ok())
        .map(|id| self.secrets.mask(id))
    }

    /// Adds to an error what is known of the answer in which it happened.
    pub(crate) fn locate(&self, error: ModelError) -> ModelError {
        let error = error.with_status(self.status.as_u16());
        match self.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }

    /// Says that JSON is of another shape than an answer's.
    pub(crate) fn unexpected(&self, what: &str, error: serde_json::Error) -> ModelError {
        // It repeats a text that stands in the wrong place, however long.
        let said: String = error.to_string().chars().take(MAX_SOURCE_CHARS).collect();
        let said = self.secrets.mask(&said);
        let message = format!("{what} is not the JSON that was expected");
        self.locate(ModelError::new(ModelErrorKind::Protocol, message).with_source(said))
    }

    /// Says that JSON holds more than is read.
    pub(crate) fn crowded(&self) -> ModelError {
        let message = "the answer holds more values at once, or deeper ones, than are accepted";
        self.locate(ModelError::new(ModelErrorKind::Protocol, message))
    }

    /// Says that a block goes on and on.
    #[cfg(any(feature = "anthropic", feature = "bedrock", feature = "openai"))]
    pub(crate) fn blocks_too_long(&self) -> ModelError {
        let message = format!(
            "the blocks that have not ended are longer than {} bytes",
            crate::answer_deltas::MAX_KEPT_BYTES
        );
        self.locate(ModelError::new(ModelErrorKind::Protocol, message))
    }

    /// Says that a body is JSON and says nothing.
    pub(crate) fn nothing_in_body(&self) -> ModelError {
        let message = "the body holds neither an answer nor an error";
        self.locate(ModelError::new(ModelErrorKind::Protocol, message))
    }

    /// Returns how the body is packed, if it is. No call asks for it.
    pub(crate) fn unread_encoding(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_ENCODING)?;
        let encoding = self.secrets.mask(value.to_str().ok()?.trim());
        (!encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")).then_some(encoding)
    }

    /// Returns the media type, in lower case and without parameters.
    pub(crate) fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE);
        let text = value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

/// Reads an error body, as much of it as matters and comes in time.
pub(crate) async fn read_error_body(
    mut body: impl Stream<Item = Result<Bytes, ModelError>> + Unpin,
) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = read_up_to(&mut body, MAX_ERROR_BYTES, &mut read);
    // An error that arrives half is still the error: what broke the connection is not the news.
    tokio::time::timeout(ERROR_BODY_TIMEOUT, reading).await.ok();
    read
}

/// Reads a whole body.
pub(crate) async fn read_body(
    mut body: impl Stream<Item = Result<Bytes, ModelError>> + Unpin,
) -> Result<Vec<u8>, ModelError> {
    let mut read = Vec::new();
    read_up_to(&mut body, MAX_BODY_BYTES, &mut read).await?;
    Ok(read)
}

async fn read_up_to(
    body: &mut (impl Stream<Item = Result<Bytes, ModelError>> + Unpin),
    limit: usize,
    read: &mut Vec<u8>,
) -> Result<(), ModelError> {
    while let Some(chunk) = poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await {
        let chunk = chunk?;
        let room = limit.saturating_sub(read.len());
        if chunk.len() > room {
            // The beginning of an error counts, however the body was cut.
            read.extend_from_slice(&chunk.slice(..room));
            let message = format!("the body is longer than {limit} bytes");
            return Err(ModelError::new(ModelErrorKind::Protocol, message));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(())
}

/// A body as it arrives.
pub(crate) fn body_stream(
    response: Response,
) -> impl Stream<Item = Result<Bytes, ModelError>> + Send + Unpin + 'static {
    BodyStream(Box::pin(response.bytes_stream()))
}

struct BodyStream<S>(Pin<Box<S>>);

impl<S: Stream<Item = reqwest::Result<Bytes>>> Stream for BodyStream<S> {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|chunk| chunk.map_err(connection_error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of one chunk that never ends.
    struct Stalled(Option<Bytes>);

    impl Stream for Stalled {
        type Item = Result<Bytes, ModelError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0
                .take()
                .map_or(Poll::Pending, |chunk| Poll::Ready(Some(Ok(chunk))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_error_body_is_read_as_far_as_it_came() {
        let begun = Instant::now();

        let read = read_error_body(Stalled(Some(Bytes::from_static(b"{")))).await;

        assert_eq!(read, b"{");
        assert_eq!(begun.elapsed(), ERROR_BODY_TIMEOUT);
    }

    #[tokio::test]
    async fn error_body_is_read_up_to_its_limit_if_it_comes_in_one_piece() {
        let body = Bytes::from(vec![b'x'; MAX_ERROR_BYTES + 1]);

        let read = read_error_body(Stalled(Some(body))).await;

        assert_eq!(read.len(), MAX_ERROR_BYTES);
    }

    #[test]
    fn identity_of_a_request_repeats_no_secret() {
        let mut head = Head::of_status(500);
        head.secrets = Secrets::new(["0123456789abcdef"]);
        let echoed = HeaderValue::from_static("Bearer 0123456789abcdef");
        head.headers.insert("request-id", echoed);

        assert_eq!(head.request_id().as_deref(), Some("Bearer ***"));
    }

    #[test]
    fn connection_must_be_made_within_ten_seconds() {
        let config = HttpConfig::default();
        assert_eq!(config.connect_timeout, Duration::from_secs(10));
    }

    #[test]
    fn proxies_that_would_be_gone_past_are_refused() {
        for address in [
            "ftp://user:password@h:21",
            "socks5://h:1080",
            "h:3128",
            "localhost",
            "http://",
            "::",
            "",
        ] {
            let error = parse_proxy(address).unwrap_err();
            assert_eq!(error.field(), "proxy", "{address}");
            assert!(!format!("{error} {error:?}").contains("password"));
        }
        for address in ["http://h:3128", "https://user:password@h"] {
            assert!(parse_proxy(address).is_ok(), "{address}");
        }
    }
}
