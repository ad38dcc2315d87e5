//! Anthropic messages, and every server that is compatible with it.

mod error_wire;
mod request_wire;
mod stream_wire;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Address, Endpoint, EndpointBuilder, Vendor, endpoint_setters};
pub(crate) use stream_wire::StreamDecoder;

/// How Anthropic is reached.
static ANTHROPIC: Vendor = Vendor {
    name: "anthropic",
    example_model: "claude-sonnet-4-5",
    address: Address::Own("https://api.anthropic.com"),
    base_url_variable: "ANTHROPIC_BASE_URL",
    key_variable: "ANTHROPIC_API_KEY",
    key_header: "x-api-key",
    key_prefix: "",
    headers: &[("anthropic-version", "2023-06-01")],
    call: "v1/messages",
    refused_endings: &["/v1/messages", "/v1"],
};

/// A model behind Anthropic's messages wire.
///
/// One call is one HTTP request; nothing is retried here.
///
/// | setting | environment variable | default |
/// |---|---|---|
/// | key | `ANTHROPIC_API_KEY` | required at Anthropic's own address |
/// | base URL | `ANTHROPIC_BASE_URL` | `https://api.anthropic.com` |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// The vendor requires an output limit. Where
/// [`ModelSettings::max_tokens`](steadfast_core::ModelSettings::max_tokens) sets none, it is what
/// the family accepts, at most 64,000:
///
/// | models | output limit in tokens |
/// |---|---|
/// | Claude 3 and before | 4,096 |
/// | Claude 3.5 | 8,192 |
/// | Claude Opus 4 and 4.1 | 32,000 |
/// | every other Claude | 64,000 |
/// | models of other vendors | 8,192 |
///
/// Thinking, server-side tools and whatever else has no setting of its own goes into
/// [`ModelSettings::extra`](steadfast_core::ModelSettings::extra). Thinking goes back with its
/// signature on the next turn, and so do blocks that only Anthropic understands. Of a call of the
/// agent's own tools, identity, name and arguments are kept; `caller` and `container`, which come
/// with calls out of server-side code, are not.
///
/// The vendor refuses thinking that is `enabled` while calls are answered that no thinking stands
/// before: of another provider, after a fallback or in a resumed conversation. `thinking` is left
/// out of such a request, and is back with the next prompt.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::{Agent, ModelSettings};
/// use steadfast_providers::Anthropic;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Anthropic::builder("claude-sonnet-4-5").api_key("sk-ant-…").build();
/// # let model = Anthropic::builder("claude-sonnet-4-5").base_url("http://127.0.0.1:8080").build();
/// let settings = ModelSettings::new()
///     .extra("thinking", json!({"type": "enabled", "budget_tokens": 4_000}));
/// let agent = Agent::builder().model(model?).settings(settings).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Anthropic(Endpoint);

impl Anthropic {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> AnthropicBuilder {
        AnthropicBuilder(Endpoint::builder(model))
    }
}

#[async_trait]
impl Model for Anthropic {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(self.0.model(), &request)?;
        drop(request);
        self.0.call(body, StreamDecoder::default()).await
    }
}

/// Builds an [`Anthropic`].
///
/// ```
/// use steadfast_providers::Anthropic;
///
/// let builder = Anthropic::builder("claude-sonnet-4-5")
///     .base_url("http://127.0.0.1:8080")
///     .header("anthropic-beta", "context-1m-2025-08-07")
///     .no_proxy();
/// assert!(builder.build().is_ok());
///
/// let refused = Anthropic::builder("claude-sonnet-4-5").base_url("http://127.0.0.1:8080/v1").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("base_url"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct AnthropicBuilder(EndpointBuilder);

impl AnthropicBuilder {
    endpoint_setters! {
        key: "ANTHROPIC_API_KEY",
        base_url: "ANTHROPIC_BASE_URL",
        "without `/v1`"
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing key at Anthropic's own address.
    pub fn build(self) -> Result<Anthropic, ConfigError> {
        self.0.build(&ANTHROPIC).map(Anthropic)
    }
}
