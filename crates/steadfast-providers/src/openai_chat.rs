//! OpenAI chat completions, and every server that is compatible with it.

mod delta_stream;
mod error_wire;
mod request_wire;
mod stream_wire;

use std::{env, fmt, time::Duration};

use async_trait::async_trait;
use reqwest::Response;
use steadfast_core::{ConfigError, Model, ModelError, ModelErrorKind, ModelRequest, ModelStream};

use crate::{
    base_url::BaseUrl,
    http_client::{
        Head, HttpClient, HttpConfig, ProxyChoice, body_stream, read_body, read_error_body,
    },
};
use delta_stream::DeltaStream;

/// OpenAI's own address.
const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// A model behind OpenAI's chat-completions wire.
///
/// The same wire is spoken by most other servers: give their address with
/// [`base_url`](OpenAiChatBuilder::base_url). One call is one HTTP request; nothing is retried here.
///
/// | setting | environment variable | default |
/// |---|---|---|
/// | key | `OPENAI_API_KEY` | required at OpenAI's own address |
/// | base URL | `OPENAI_BASE_URL` | `https://api.openai.com/v1` |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// ```
/// use steadfast_providers::OpenAiChat;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = OpenAiChat::builder("qwen3").base_url("http://127.0.0.1:8080/v1").build()?;
/// # let _ = model;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OpenAiChat {
    name: String,
    model: String,
    base_url: BaseUrl,
    http: HttpClient,
}

impl OpenAiChat {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> OpenAiChatBuilder {
        OpenAiChatBuilder {
            model: model.into(),
            api_key: None,
            base_url: None,
            http: HttpConfig::default(),
        }
    }
}

impl fmt::Debug for OpenAiChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChat")
            .field("model", &self.model)
            .field("host", &self.base_url.host())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Model for OpenAiChat {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(&self.model, &request)?;
        drop(request);
        let url = self.base_url.join("chat/completions");
        let response = self.http.post_json(url, body).await?;
        let head = self.http.head(&response);
        if !head.status.is_success() {
            let body = read_error_body(body_stream(response)).await;
            return Err(error_wire::classify(&head, &body));
        }
        answer(head, response).await
    }
}

/// Reads the answer in the form in which it came: asked for a stream, some servers send it whole.
async fn answer(head: Head, response: Response) -> Result<ModelStream, ModelError> {
    let media_type = head.media_type();
    if media_type.ends_with("json") {
        let body = read_body(body_stream(response)).await?;
        return stream_wire::decode_whole(&head, &body).map(ModelStream::from_deltas);
    }
    if media_type.ends_with("html") {
        // A proxy's page in place of an answer: it passes, as other broken answers do.
        let message = "a web page came instead of an answer";
        return Err(
            ModelError::new(ModelErrorKind::Truncated, message).with_status(head.status.as_u16())
        );
    }
    Ok(ModelStream::new(DeltaStream::new(
        body_stream(response),
        head,
    )))
}

/// Builds an [`OpenAiChat`].
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_providers::OpenAiChat;
///
/// let builder = OpenAiChat::builder("qwen3")
///     .base_url("http://127.0.0.1:8080/v1")
///     .header("x-team", "blue")
///     .connect_timeout(Duration::from_secs(3))
///     .no_proxy();
/// assert!(builder.build().is_ok());
///
/// let refused = OpenAiChat::builder("qwen3").api_key(" ").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("api_key"));
/// ```
#[must_use]
pub struct OpenAiChatBuilder {
    model: String,
    api_key: Option<String>,
    base_url: Option<String>,
    http: HttpConfig,
}

impl OpenAiChatBuilder {
    /// Sets the key instead of taking it from `OPENAI_API_KEY`.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Sets the address instead of taking it from `OPENAI_BASE_URL`: what the vendor's own client
    /// takes, usually ending in `/v1`.
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = Some(base_url.into());
        self
    }

    /// Adds a header to every call; it replaces one that is sent anyway.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.http.headers.push((name.into(), value.into()));
        self
    }

    /// Sends every call through this proxy, whatever the environment says: an address in full, with
    /// `http` or `https`.
    pub fn proxy(mut self, address: impl Into<String>) -> Self {
        self.http.proxy = ProxyChoice::Address(address.into());
        self
    }

    /// Sends no call through a proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.http.proxy = ProxyChoice::None;
        self
    }

    /// Sets how long the connection may take to be made; 10 seconds without this.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout;
        self
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing key at OpenAI's own address.
    pub fn build(self) -> Result<OpenAiChat, ConfigError> {
        if self.model.trim().is_empty() {
            return Err(ConfigError::new("model", "is empty").with_hint("such as `gpt-5`"));
        }
        let from_env = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let address = self.base_url.or_else(|| from_env("OPENAI_BASE_URL"));
        let base_url = BaseUrl::parse(address.as_deref().unwrap_or(DEFAULT_BASE_URL))?;
        if base_url
            .path()
            .trim_end_matches('/')
            .ends_with("/chat/completions")
        {
            return Err(ConfigError::new("base_url", "ends in the path of a call")
                .with_hint("leave out `/chat/completions`: it is added to every call"));
        }
        if self
            .api_key
            .as_ref()
            .is_some_and(|key| key.trim().is_empty())
        {
            return Err(ConfigError::new("api_key", "is empty")
                .with_hint("leave out `.api_key(..)` for a server that wants no key"));
        }
        let api_key = self.api_key.or_else(|| from_env("OPENAI_API_KEY"));
        if api_key.is_none() && base_url.host() == "api.openai.com" {
            return Err(ConfigError::new("api_key", "is missing").with_hint(
                "set the environment variable `OPENAI_API_KEY`, or call `.api_key(..)`",
            ));
        }
        let http = HttpClient::build(self.http, &base_url, api_key.as_deref().map(str::trim))?;
        Ok(OpenAiChat {
            name: format!("openai:{}", self.model),
            model: self.model,
            base_url,
            http,
        })
    }
}

/// Says what is set and no key.
impl fmt::Debug for OpenAiChatBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChatBuilder")
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}
