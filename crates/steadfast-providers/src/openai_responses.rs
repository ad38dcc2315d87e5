//! OpenAI responses, and every server that is compatible with it. Nothing is kept at the provider: the
//! whole history goes out with every call.

mod request_wire;
mod stream_wire;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Address, Endpoint, EndpointBuilder, Vendor, endpoint_setters};
pub(crate) use stream_wire::StreamDecoder;

/// How OpenAI is reached.
static OPENAI: Vendor = Vendor {
    name: "openai-responses",
    example_model: "gpt-5",
    address: Address::Own("https://api.openai.com/v1"),
    base_url_variable: "OPENAI_BASE_URL",
    key_variable: "OPENAI_API_KEY",
    key_header: "authorization",
    key_prefix: "Bearer ",
    headers: &[],
    call: "responses",
    refused_endings: &["/responses"],
};

/// A model behind OpenAI's responses wire.
///
/// The wire of OpenAI's reasoning models: what a model thought goes back to it with the results of
/// its tools, which the chat-completions wire cannot carry. One call is one HTTP request; nothing is
/// retried here.
///
/// | setting | environment variable | default |
/// |---|---|---|
/// | key | `OPENAI_API_KEY` | required at OpenAI's own address |
/// | base URL | `OPENAI_BASE_URL` | `https://api.openai.com/v1` |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// OpenAI is asked to store nothing (`store` is false): the whole history goes out with every call,
/// and thoughts go with it encrypted (`include` is `reasoning.encrypted_content`, which OpenAI's
/// older models refuse: it is left out for GPT-4 and before). Tools are not `strict`, which would
/// make every optional argument required. Effort, summaries, formats and whatever else has no
/// setting of its own goes into [`ModelSettings::extra`](steadfast_core::ModelSettings::extra),
/// which wins over all of these.
///
/// Items that only the provider understands, such as those of a web search, are kept and go back as
/// they came. The wire knows no stop sequences.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::{Agent, ModelSettings};
/// use steadfast_providers::OpenAiResponses;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = OpenAiResponses::builder("gpt-5").api_key("sk-…").build();
/// # let model = OpenAiResponses::builder("gpt-5").base_url("http://127.0.0.1:8080/v1").build();
/// let settings = ModelSettings::new()
///     .extra("reasoning", json!({"effort": "low", "summary": "auto"}));
/// let agent = Agent::builder().model(model?).settings(settings).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct OpenAiResponses(Endpoint);

impl OpenAiResponses {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> OpenAiResponsesBuilder {
        OpenAiResponsesBuilder(Endpoint::builder(model))
    }
}

#[async_trait]
impl Model for OpenAiResponses {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(self.0.model(), &request)?;
        drop(request);
        self.0.call(body, StreamDecoder::default()).await
    }
}

/// Builds an [`OpenAiResponses`].
///
/// ```
/// use steadfast_providers::OpenAiResponses;
///
/// let builder = OpenAiResponses::builder("gpt-5")
///     .base_url("http://127.0.0.1:8080/v1")
///     .header("openai-project", "blue")
///     .no_proxy();
/// assert!(builder.build().is_ok());
///
/// let refused = OpenAiResponses::builder("gpt-5").base_url("http://127.0.0.1:8080/v1/responses").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("base_url"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct OpenAiResponsesBuilder(EndpointBuilder);

impl OpenAiResponsesBuilder {
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
    pub fn build(self) -> Result<OpenAiResponses, ConfigError> {
        self.0.build(&OPENAI).map(OpenAiResponses)
    }
}
