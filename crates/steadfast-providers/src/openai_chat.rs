//! OpenAI chat completions, and every server that is compatible with it.

mod request_wire;
mod stream_wire;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Endpoint, EndpointBuilder, Vendor, endpoint_setters};
pub(crate) use stream_wire::StreamDecoder;

/// How OpenAI is reached.
static OPENAI: Vendor = Vendor {
    name: "openai",
    example_model: "gpt-5",
    base_url: "https://api.openai.com/v1",
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
#[derive(Debug, Clone)]
pub struct OpenAiChat(Endpoint);

impl OpenAiChat {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> OpenAiChatBuilder {
        OpenAiChatBuilder(Endpoint::builder(model))
    }
}

#[async_trait]
impl Model for OpenAiChat {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(self.0.model(), &request)?;
        drop(request);
        self.0.call::<StreamDecoder>(body).await
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
pub struct OpenAiChatBuilder(EndpointBuilder);

impl OpenAiChatBuilder {
    endpoint_setters! {
        key: "OPENAI_API_KEY",
        base_url: "OPENAI_BASE_URL",
        "usually ending in `/v1`"
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing key at OpenAI's own address.
    pub fn build(self) -> Result<OpenAiChat, ConfigError> {
        self.0.build(&OPENAI).map(OpenAiChat)
    }
}
