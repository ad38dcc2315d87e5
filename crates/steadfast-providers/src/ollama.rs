//! Ollama's own wire: models on the user's own machine, and those of ollama.com.

mod address;
mod error_wire;
mod request_wire;
mod stream_wire;

use std::env;

use async_trait::async_trait;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::endpoint::{Address, Endpoint, EndpointBuilder, Vendor, endpoint_setters};
pub(crate) use stream_wire::StreamDecoder;

/// How Ollama is reached.
static OLLAMA: Vendor = Vendor {
    name: "ollama",
    example_model: "qwen3:4b",
    address: Address::Own("http://127.0.0.1:11434"),
    base_url_variable: "OLLAMA_HOST",
    key_variable: "OLLAMA_API_KEY",
    key_header: "authorization",
    key_prefix: "Bearer ",
    headers: &[("accept", "application/x-ndjson, application/json")],
    call: "api/chat",
    refused_endings: &["/api/chat", "/api", "/v1"],
};

/// A model behind Ollama's own wire, `POST /api/chat`.
///
/// One call is one HTTP request; nothing is retried here.
///
/// | setting | environment variable | default |
/// |---|---|---|
/// | base URL | `OLLAMA_HOST` | `http://127.0.0.1:11434` |
/// | key | `OLLAMA_API_KEY` | none; `https://ollama.com` wants one |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// The address has the forms that Ollama's own clients take: `gpu-box`, `:11435`,
/// `127.0.0.1:11434`, `https://ollama.com`. Without a scheme the port is 11434 unless it is named.
/// `0.0.0.0`, which tells the server to listen everywhere, is this machine.
///
/// Sampling and the output limit go into `options`. What
/// [`ModelSettings::extra`](steadfast_core::ModelSettings::extra) sets under `options`, such as
/// `num_ctx`, is added to them one by one, and wins; so do `think`, `format` and `keep_alive`, which
/// have no setting of their own.
///
/// A prompt that is longer than the context is cut by the server, which does not say so: set
/// `num_ctx` to what the conversation needs.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::{Agent, ModelSettings};
/// use steadfast_providers::Ollama;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Ollama::builder("qwen3:4b").base_url("http://127.0.0.1:11434").build()?;
/// let settings = ModelSettings::new()
///     .temperature(0.2)
///     .extra("options", json!({"num_ctx": 32_768}))
///     .extra("think", json!(true));
/// let agent = Agent::builder().model(model).settings(settings).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Ollama(Endpoint);

impl Ollama {
    /// Starts to build a provider of the named model.
    pub fn builder(model: impl Into<String>) -> OllamaBuilder {
        OllamaBuilder(Endpoint::builder(model))
    }
}

#[async_trait]
impl Model for Ollama {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request_wire::body(self.0.model(), &request)?;
        drop(request);
        self.0.call(body, StreamDecoder::default()).await
    }
}

/// Builds an [`Ollama`].
///
/// ```
/// use steadfast_providers::Ollama;
///
/// assert!(Ollama::builder("qwen3:4b").base_url("gpu-box:11434").no_proxy().build().is_ok());
///
/// let refused = Ollama::builder("qwen3:4b").base_url("http://127.0.0.1:11434/v1").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("base_url"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct OllamaBuilder(EndpointBuilder);

impl OllamaBuilder {
    endpoint_setters! {
        key: "OLLAMA_API_KEY",
        base_url: "OLLAMA_HOST",
        "a host with or without scheme and port"
    }

    /// Builds the provider.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field.
    pub fn build(mut self) -> Result<Ollama, ConfigError> {
        let from_env = || env::var(OLLAMA.base_url_variable).ok();
        let host = self.0.base_url.or_else(from_env);
        self.0.base_url = host.as_deref().map(address::of_host);
        self.0.build(&OLLAMA).map(Ollama)
    }
}

#[cfg(test)]
mod tests {
    use super::Ollama;

    #[test]
    fn server_on_this_machine_wants_no_key() {
        for address in ["127.0.0.1", "http://127.0.0.1:11434", "0.0.0.0"] {
            assert!(Ollama::builder("m").base_url(address).build().is_ok());
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_by_name() {
        for address in [
            "ftp://h",
            "http://",
            "me:secret@h",
            "h:port",
            "h/api",
            "h/api/chat",
        ] {
            let refused = Ollama::builder("m").base_url(address).build();
            let error = refused
                .err()
                .unwrap_or_else(|| panic!("{address} was taken"));
            assert_eq!(error.field(), "base_url", "{address}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
