//! OpenAI chat completions, and every server that is compatible with it.

mod compatible_server;
mod dialect;
mod request_wire;
mod stream_wire;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Address, Endpoint, EndpointBuilder, Vendor, endpoint_setters, from_env};
pub use compatible_server::CompatibleServer;
use dialect::Dialect;
pub(crate) use stream_wire::StreamDecoder;

/// How OpenAI is reached.
const OPENAI: Vendor = Vendor {
    name: "openai",
    example_model: "gpt-5",
    address: Address::Own("https://api.openai.com/v1"),
    base_url_variable: "OPENAI_BASE_URL",
    key_variable: "OPENAI_API_KEY",
    key_header: "authorization",
    key_prefix: "Bearer ",
    headers: &[],
    call: "chat/completions",
    refused_endings: &["/chat/completions"],
};

/// A model behind OpenAI's chat-completions wire.
///
/// The same wire is spoken by most other servers: name one with
/// [`server`](OpenAiChatBuilder::server), or give its address with
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
#[derive(Debug, Clone)]
pub struct OpenAiChat {
    endpoint: Endpoint,
    dialect: Dialect,
}

impl OpenAiChat {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> OpenAiChatBuilder {
        OpenAiChatBuilder(Endpoint::builder(model), None)
    }
}

#[async_trait]
impl Model for OpenAiChat {
    fn name(&self) -> &str {
        self.endpoint.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let (model, host) = (self.endpoint.model(), self.endpoint.host());
        let body = request_wire::body(self.dialect, model, host, &request)?;
        drop(request);
        let decoder = StreamDecoder::of(host);
        self.endpoint.call(body, decoder).await
    }
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
#[derive(Debug)]
#[must_use]
pub struct OpenAiChatBuilder(EndpointBuilder, Option<CompatibleServer>);

impl OpenAiChatBuilder {
    endpoint_setters! {
        key: "OPENAI_API_KEY",
        base_url: "OPENAI_BASE_URL",
        "usually ending in `/v1`"
    }

    /// Talks to a server other than OpenAI: with its address, its own environment variables in place of
    /// OpenAI's, and what it wants to be written otherwise.
    pub fn server(mut self, server: CompatibleServer) -> Self {
        self.1 = Some(server);
        self
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing key at the vendor's own address.
    pub fn build(self) -> Result<OpenAiChat, ConfigError> {
        let Self(mut endpoint, server) = self;
        let Some(server) = server else {
            let dialect = Dialect::OpenAi;
            let endpoint = endpoint.build(&OPENAI)?;
            return Ok(OpenAiChat { endpoint, dialect });
        };
        let vendor = server.vendor();
        let base_url = endpoint
            .base_url
            .or_else(|| from_env(vendor.base_url_variable));
        endpoint.base_url = base_url.map(|base_url| server.complete(base_url));
        Ok(OpenAiChat {
            endpoint: endpoint.build(vendor)?,
            dialect: server.dialect(),
        })
    }
}
