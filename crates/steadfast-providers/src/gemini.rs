//! Gemini's own wire: `generateContent` and its stream.

mod error_wire;
mod request_wire;
mod stream_wire;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Address, Endpoint, EndpointBuilder, Vendor, endpoint_setters, from_env};
pub(crate) use stream_wire::StreamDecoder;

/// How Gemini is reached.
static GEMINI: Vendor = Vendor {
    name: "gemini",
    example_model: "gemini-2.5-flash",
    address: Address::Own("https://generativelanguage.googleapis.com"),
    base_url_variable: "GOOGLE_GEMINI_BASE_URL",
    key_variable: "GEMINI_API_KEY",
    key_header: "x-goog-api-key",
    key_prefix: "",
    headers: &[],
    call: "v1beta/models/{model}:streamGenerateContent?alt=sse",
    refused_endings: &["/v1beta", "/v1", "/models"],
};

/// The other variable that the vendor's own client takes a key from; it wins where both are set.
const FIRST_KEY_VARIABLE: &str = "GOOGLE_API_KEY";

/// What the vendor's list of models has before every name.
const MODELS: &str = "models/";

/// A model behind Gemini's own wire.
///
/// One call is one HTTP request; nothing is retried here.
///
/// | setting | environment variable | default |
/// |---|---|---|
/// | key | `GOOGLE_API_KEY`, or else `GEMINI_API_KEY` | required at Google's own address |
/// | base URL | `GOOGLE_GEMINI_BASE_URL` | `https://generativelanguage.googleapis.com` |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// Thinking, server-side tools and whatever else has no setting of its own goes into
/// [`ModelSettings::extra`](steadfast_core::ModelSettings::extra). A `generationConfig` or a
/// `toolConfig` there is merged, field by field, with what the settings say; `tools` there stand
/// beside the agent's. Thoughts, signatures and parts that only Gemini understands go back on the
/// next turn as they came.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::{Agent, ModelSettings};
/// use steadfast_providers::Gemini;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Gemini::builder("gemini-2.5-flash").api_key("AIza…").build();
/// # let model = Gemini::builder("gemini-2.5-flash").base_url("http://127.0.0.1:8080").build();
/// let settings = ModelSettings::new().extra(
///     "generationConfig",
///     json!({"thinkingConfig": {"includeThoughts": true}}),
/// );
/// let agent = Agent::builder().model(model?).settings(settings).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gemini(Endpoint);

impl Gemini {
    /// Starts to build a provider of the named model.
    ///
    /// The name may begin with `models/`, as the vendor's list has it.
    pub fn builder(model: impl Into<String>) -> GeminiBuilder {
        let mut model: String = model.into();
        if model.starts_with(MODELS) {
            model.drain(..MODELS.len());
        }
        GeminiBuilder(Endpoint::builder(model))
    }
}

#[async_trait]
impl Model for Gemini {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(self.0.model(), &request)?;
        drop(request);
        self.0.call(body, StreamDecoder::default()).await
    }
}

/// Builds a [`Gemini`].
///
/// ```
/// use steadfast_providers::Gemini;
///
/// let builder = Gemini::builder("models/gemini-2.5-flash")
///     .base_url("http://127.0.0.1:8080")
///     .no_proxy();
/// assert!(builder.build().is_ok());
///
/// let refused = Gemini::builder("tunedModels/mine").base_url("http://127.0.0.1:8080").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("model"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct GeminiBuilder(EndpointBuilder);

impl GeminiBuilder {
    endpoint_setters! {
        key: "GOOGLE_API_KEY` or `GEMINI_API_KEY",
        base_url: "GOOGLE_GEMINI_BASE_URL",
        "without `/v1beta`"
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing key at Google's own address.
    pub fn build(mut self) -> Result<Gemini, ConfigError> {
        // The name stands in the address, where these would mean another one.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let model = &self.0.model;
        if !model.chars().all(is_plain) || model.contains("..") {
            let problem = format!("has characters that no model's name has: `{model}`");
            let hint = format!("such as `{}`", GEMINI.example_model);
            return Err(ConfigError::new("model", problem).with_hint(hint));
        }
        self.0.api_key = self.0.api_key.or_else(|| from_env(FIRST_KEY_VARIABLE));
        self.0.build(&GEMINI).map(Gemini)
    }
}
