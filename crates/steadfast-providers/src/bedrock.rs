//! Amazon Bedrock's Converse and ConverseStream, on the official SDK.

mod answer_stream;
mod attempt_identity;
mod connector;
mod document;
mod error_wire;
mod request_wire;
mod sdk_error;
mod sent_secrets;
mod setup;
mod stream_wire;
mod whole_wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_bedrockruntime::{Client, config::http::HttpRequest, operation::RequestId as _};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderValue, header};
use reqwest::Response;
use steadfast_core::{ConfigError, Model, ModelError, ModelRequest, ModelStream};

use crate::{
    http_client::{Head, ProxyChoice},
    secrets::Secrets,
};
use answer_stream::AnswerStream;
use attempt_identity::AttemptIdentity;
use sent_secrets::SentSecrets;
use setup::{Given, Keys, Setup};

/// A model behind Amazon Bedrock's Converse wire, on the official SDK.
///
/// One call is one HTTP request: the SDK's own retries are off, and nothing is retried here.
///
/// | setting | from the environment | default |
/// |---|---|---|
/// | region | `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's | required |
/// | credentials | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_BEARER_TOKEN_BEDROCK`; then the profile, then roles, as all AWS tools find them | looked up by the first call |
/// | profile | `AWS_PROFILE` | `default` |
/// | endpoint | `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_ENDPOINT_URL` | the region's |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | none |
///
/// Fields of Converse, such as `guardrailConfig`, and of the model, such as `thinking` or `top_k`,
/// go into [`ModelSettings::extra`](steadfast_core::ModelSettings::extra). What is no field of
/// Converse is sent in `additionalModelRequestFields`. Thinking goes back with its signature on the
/// next turn.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::{Agent, ModelSettings};
/// use steadfast_providers::Bedrock;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Bedrock::builder("eu.anthropic.claude-sonnet-4-5-20250929-v1:0").region("eu-north-1");
/// # let model = model.endpoint_url("http://127.0.0.1:8080").credentials("AKID", "secret", None);
/// let settings = ModelSettings::new()
///     .extra("guardrailConfig", json!({"guardrailIdentifier": "gr-1", "guardrailVersion": "1"}))
///     .extra("thinking", json!({"type": "enabled", "budget_tokens": 4_000}));
/// let agent = Agent::builder().model(model.build()?).settings(settings).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bedrock {
    name: String,
    model: String,
    form: AnswerForm,
    setup: Arc<Setup>,
}

/// In which form answers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerForm {
    Streamed,
    Whole,
}

impl Bedrock {
    /// Starts to build a provider of the named model: its identity, that of an inference profile, or
    /// an ARN.
    pub fn builder(model: impl Into<String>) -> BedrockBuilder {
        BedrockBuilder {
            model: model.into(),
            form: AnswerForm::Streamed,
            given: Given::default(),
        }
    }
}

#[async_trait]
impl Model for Bedrock {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let asked = Asked {
            model: &self.model,
            form: self.form,
            body: Bytes::from(request_wire::body(&request)?),
            identity: AttemptIdentity::of(&request),
        };
        drop(request);
        let client = self.setup.client().await;
        call(client, asked, self.setup.secrets()).await
    }
}

impl fmt::Debug for Bedrock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bedrock")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Names a body of JSON, where nothing says what it is: an event begins with its length, so with a
/// zero.
pub(crate) fn with_json_named(mut answer: http::Response<Vec<u8>>) -> http::Response<Vec<u8>> {
    if answer.body().trim_ascii_start().starts_with(b"{") {
        let json = HeaderValue::from_static("application/json");
        let headers = answer.headers_mut();
        headers.entry(header::CONTENT_TYPE).or_insert(json);
    }
    answer
}

/// Reads an answer as a call would.
pub(crate) async fn open(answer: Response) -> Result<ModelStream, ModelError> {
    let head = Head::new(&answer, Secrets::default());
    let form = if head.media_type().ends_with("json") {
        AnswerForm::Whole
    } else {
        AnswerForm::Streamed
    };
    let client = setup::client_that_is_told(answer);
    let asked = Asked {
        model: "told",
        form,
        body: Bytes::new(),
        identity: None,
    };
    call(&client, asked, &Secrets::default()).await
}

/// What is asked in one call.
struct Asked<'a> {
    model: &'a str,
    form: AnswerForm,
    body: Bytes,
    identity: Option<AttemptIdentity>,
}

/// Makes one call.
async fn call(
    client: &Client,
    asked: Asked<'_>,
    secrets: &Secrets,
) -> Result<ModelStream, ModelError> {
    let Asked {
        model,
        form,
        body,
        identity,
    } = asked;
    let sent = SentSecrets::beside(secrets);
    // Signed behind this, so that what is signed is what is sent.
    let write = move |request: &mut HttpRequest| {
        request
            .headers_mut()
            .insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body.clone());
        if let Some(identity) = &identity {
            request.add_extension(identity.clone());
        }
    };
    match form {
        AnswerForm::Streamed => {
            let call = client.converse_stream().model_id(model);
            let call = call.customize().interceptor(sent.clone());
            let answer = Box::pin(call.mutate_request(write).send()).await;
            let answer = answer.map_err(|error| sdk_error::of_call(error, sent.known()))?;
            let head = sdk_error::head_of_success(answer.request_id(), sent.known());
            Ok(AnswerStream::begin(answer.stream, head))
        }
        AnswerForm::Whole => {
            let call = client.converse().model_id(model);
            let call = call.customize().interceptor(sent.clone());
            let answer = Box::pin(call.mutate_request(write).send()).await;
            let answer = answer.map_err(|error| sdk_error::of_call(error, sent.known()))?;
            let head = sdk_error::head_of_success(answer.request_id(), sent.known());
            whole_wire::deltas(answer, &head).map(ModelStream::from_deltas)
        }
    }
}

/// Builds a [`Bedrock`].
///
/// ```
/// use steadfast_providers::Bedrock;
///
/// let builder = Bedrock::builder("amazon.nova-lite-v1:0")
///     .region("us-east-1")
///     .credentials("AKIDEXAMPLE", "a secret", None);
/// assert!(!format!("{builder:?}").contains("a secret"));
/// # let builder = builder.endpoint_url("http://127.0.0.1:8080");
/// assert!(builder.build().is_ok());
///
/// let refused = Bedrock::builder("amazon.nova-lite-v1:0").region(" ").build();
/// assert_eq!(refused.err().map(|error| error.field().to_owned()).as_deref(), Some("region"));
/// ```
#[derive(Debug)]
#[must_use]
pub struct BedrockBuilder {
    model: String,
    form: AnswerForm,
    given: Given,
}

impl BedrockBuilder {
    /// Sets the region instead of taking it from `AWS_REGION`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.given.region = Some(region.into());
        self
    }

    /// Sets the keys instead of looking for them in the environment, a profile or a role.
    pub fn credentials(
        mut self,
        access_key: impl Into<String>,
        secret: impl Into<String>,
        session_token: impl Into<Option<String>>,
    ) -> Self {
        self.given.keys = Some(Keys {
            access_key: access_key.into(),
            secret: secret.into(),
            session_token: session_token.into(),
        });
        self
    }

    /// Sets the profile instead of taking it from `AWS_PROFILE`.
    ///
    /// Keys in the environment still come first, as with all AWS tools.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.given.profile = Some(profile.into());
        self
    }

    /// Sets the address instead of the region's own, such as that of a VPC endpoint.
    pub fn endpoint_url(mut self, endpoint_url: impl Into<String>) -> Self {
        self.given.endpoint_url = Some(endpoint_url.into());
        self
    }

    /// Takes what is not set here from a configuration that the application has already.
    ///
    /// Its retries stay off all the same. If it has an HTTP client, that one is used, with its own
    /// time limits, and neither proxy nor connect timeout are those of this builder.
    pub fn sdk_config(mut self, sdk_config: SdkConfig) -> Self {
        self.given.sdk_config = Some(sdk_config);
        self
    }

    /// Asks for whole answers (Converse) instead of streams, for models that cannot stream.
    pub const fn whole_answers(mut self) -> Self {
        self.form = AnswerForm::Whole;
        self
    }

    /// Sends every call through this proxy, whatever the environment says.
    ///
    /// The address is written in full, with `http` or `https`.
    pub fn proxy(mut self, address: impl Into<String>) -> Self {
        self.given.http.proxy = ProxyChoice::Address(address.into());
        self
    }

    /// Sends no call through a proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.given.http.proxy = ProxyChoice::None;
        self
    }

    /// Sets how long the connection may take to be made; 10 seconds without this.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.given.http.connect_timeout = timeout;
        self
    }

    /// Builds the provider.
    ///
    /// Nothing is asked of AWS yet: credentials are looked up by the first call, and renewed by
    /// later ones. Without any, a call fails with
    /// [`ModelErrorKind::Auth`](steadfast_core::ModelErrorKind::Auth).
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing region.
    pub fn build(self) -> Result<Bedrock, ConfigError> {
        if self.model.trim().is_empty() {
            return Err(ConfigError::new("model", "is empty")
                .with_hint("such as `anthropic.claude-sonnet-4-5-20250929-v1:0`"));
        }
        Ok(Bedrock {
            name: format!("bedrock:{}", self.model),
            model: self.model,
            form: self.form,
            setup: Arc::new(self.given.build()?),
        })
    }
}
