//! The model seam: one request in, a stream of typed deltas out. Nothing here retries or waits.

mod assembly;
mod error;
mod fallback;
mod rate_limits;
mod settings;
mod size;

use std::{
    borrow::Cow,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::stream;
use serde_json::Value;

pub(crate) use assembly::Assembly;
pub use error::{ModelError, ModelErrorKind};
pub use fallback::Fallback;
pub use rate_limits::{RateLimit, RateLimits};
pub use settings::{ModelSettings, ToolChoice};

use crate::{
    ConfigError,
    history::History,
    hook::HookRegistry,
    message::Message,
    run_id::RunId,
    tool::ToolSpec,
    usage::{StopReason, Usage},
};

/// The answer of a model as it arrives.
///
/// ```
/// use steadfast_core::{ModelDelta, ModelStream, StopReason};
///
/// let answer = ModelStream::from_deltas([
///     ModelDelta::Text("Hi!".into()),
///     ModelDelta::Stop(StopReason::EndTurn),
/// ]);
/// # let _ = answer;
/// ```
pub struct ModelStream {
    deltas: Pin<Box<dyn Stream<Item = Result<ModelDelta, ModelError>> + Send>>,
    rate_limits: Option<Box<RateLimits>>,
}

impl ModelStream {
    /// Wraps a stream of deltas.
    pub fn new(
        stream: impl Stream<Item = Result<ModelDelta, ModelError>> + Send + 'static,
    ) -> Self {
        Self {
            deltas: Box::pin(stream),
            rate_limits: None,
        }
    }

    /// Adds what the answer's headers say of the provider's limits.
    #[must_use]
    pub fn with_rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = (!limits.is_empty()).then(|| Box::new(limits));
        self
    }

    pub(crate) const fn take_rate_limits(&mut self) -> Option<Box<RateLimits>> {
        self.rate_limits.take()
    }

    /// Returns what the answer's headers say of the provider's limits, if they say something.
    #[must_use]
    pub fn rate_limits(&self) -> Option<&RateLimits> {
        self.rate_limits.as_deref()
    }

    /// Makes an answer that is there at once.
    pub fn from_deltas<I>(deltas: I) -> Self
    where
        I: IntoIterator<Item = ModelDelta>,
        I::IntoIter: Send + 'static,
    {
        Self::new(stream::iter(deltas.into_iter().map(Ok)))
    }

    /// Reads the answer to its end, outside an agent, such as for a provider's own test.
    ///
    /// # Errors
    ///
    /// What the stream fails with; [`ModelErrorKind::Truncated`] where it ends without its end
    /// marker.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped takes with it what has come so far.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_core::{ModelDelta, ModelErrorKind, ModelStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cut = ModelStream::from_deltas([ModelDelta::Text("Hi".into())]);
    /// assert_eq!(cut.response().await.unwrap_err().kind(), ModelErrorKind::Truncated);
    /// # }
    /// ```
    pub async fn response(mut self) -> Result<ModelResponse, ModelError> {
        let mut assembly = Assembly::default();
        while let Some(delta) = poll_fn(|cx| self.deltas.as_mut().poll_next(cx)).await {
            assembly.push(&delta?)?;
        }
        assembly.finish()
    }
}

impl Stream for ModelStream {
    type Item = Result<ModelDelta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deltas.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ModelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelStream")
    }
}

/// Something that answers a history: a provider, a local model, or a script.
///
/// An `impl` needs the attribute `#[async_trait]`, which is re-exported here.
///
/// A model makes exactly one attempt. It classifies what went wrong (see [`ModelErrorKind`]) and
/// never retries: that is the business of the agent's retry strategy, and two layers that retry
/// multiply.
///
/// # Cancel safety
///
/// The future and the stream are dropped when a run is cancelled or times out; dropping must end
/// the work below, such as the connection.
///
/// # Examples
///
/// ```
/// use steadfast_core::{
///     Agent, Model, ModelDelta, ModelError, ModelRequest, ModelStream, StopReason, async_trait,
/// };
///
/// struct Parrot;
///
/// #[async_trait]
/// impl Model for Parrot {
///     fn name(&self) -> &str {
///         "parrot"
///     }
///
///     async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
///         let heard = request.history().last().map(|m| m.text().into_owned()).unwrap_or_default();
///         Ok(ModelStream::from_deltas([
///             ModelDelta::Text(heard),
///             ModelDelta::Stop(StopReason::EndTurn),
///         ]))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder().model(Parrot).build()?;
/// assert_eq!(agent.prompt("Hello!").await?.text(), "Hello!");
/// # Ok(())
/// # }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    note = "a model implements `steadfast::Model`; providers are built first, as in `OpenAiChat::builder(\"gpt-5\").build()?`"
)]
pub trait Model: Send + Sync + 'static {
    /// Returns the name that events and errors use, such as `openai:gpt-5`.
    fn name(&self) -> &str;

    /// Makes one attempt and returns the answer as it arrives.
    ///
    /// # Errors
    ///
    /// Everything that fails before the answer begins. What fails later is an item of the stream.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;

    /// Registers hooks that the model brings along, when an agent is built with it.
    ///
    /// They are registered before the hooks of the user: asked first at `Before` events, and at `After`
    /// events when the user's have had their say and the retry strategy has not; [`HookRegistry::order`]
    /// chooses another place. Most models bring none. A model around another one calls the other's.
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let _ = hooks;
    }
}

/// The model that an attempt calls.
#[derive(Clone)]
pub(crate) struct CalledModel(pub(crate) Arc<dyn Model>);

impl CalledModel {
    /// Whether it is this very model; several may have one name.
    pub(crate) fn is(&self, other: &Arc<dyn Model>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(other))
    }
}

impl fmt::Debug for CalledModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[async_trait]
impl<M: Model + ?Sized> Model for Arc<M> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        (**self).stream(request).await
    }

    fn register_hooks(&self, hooks: &mut HookRegistry) {
        (**self).register_hooks(hooks);
    }
}

#[async_trait]
impl<M: Model + ?Sized> Model for Box<M> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        (**self).stream(request).await
    }

    fn register_hooks(&self, hooks: &mut HookRegistry) {
        (**self).register_hooks(hooks);
    }
}

/// What a model is asked: the history, the tools it may call, and how to answer.
///
/// Owned and cheap to clone, so that a model can move it into its stream.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    pub(crate) history: History,
    pub(crate) frame: Arc<RequestFrame>,
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// The part of a request that stays the same for every turn of an agent.
#[derive(Clone)]
pub(crate) struct RequestFrame {
    pub(crate) system: Option<String>,
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) settings: ModelSettings,
    pub(crate) max_attempts: Option<u32>,
}

impl RequestFrame {
    /// Checks the settings, by themselves and against the tools.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.settings.validate()?;
        match &self.settings.tool_choice {
            Some(ToolChoice::Tool(name)) if !self.tools.iter().any(|tool| tool.name == *name) => {
                Err(ConfigError::new(
                    "tool_choice",
                    format!("names the tool `{name}`, which the agent does not have"),
                ))
            }
            Some(ToolChoice::Required) if self.tools.is_empty() => Err(ConfigError::new(
                "tool_choice",
                "requires a tool, and the agent has none",
            )),
            _ => Ok(()),
        }
    }
}

/// Says what is set and nothing of what it says: a system prompt may be secret.
impl fmt::Debug for RequestFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFrame")
            .field("system", &self.system.is_some())
            .field("tools", &self.tools.len())
            .finish_non_exhaustive()
    }
}

impl ModelRequest {
    /// Makes a request outside an agent, such as for a provider's own test.
    ///
    /// ```
    /// use steadfast_core::{Message, ModelRequest, ModelSettings};
    ///
    /// let request = ModelRequest::new([Message::user("Hi")]).with_settings(ModelSettings::new().max_tokens(10));
    /// assert_eq!(request.settings().max_tokens, Some(10));
    /// ```
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            history: History::from_messages(messages),
            frame: Arc::new(RequestFrame {
                system: None,
                tools: Vec::new(),
                settings: ModelSettings::new(),
                max_attempts: None,
            }),
            run: RunId::default(),
            attempt: 1,
        }
    }

    /// Sets the system prompt.
    #[must_use]
    pub fn with_system(mut self, system: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.frame).system = Some(system.into());
        self
    }

    /// Sets the tools that the model may call.
    #[must_use]
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = ToolSpec>) -> Self {
        Arc::make_mut(&mut self.frame).tools = tools.into_iter().collect();
        self
    }

    /// Sets how the model is to answer.
    #[must_use]
    pub fn with_settings(mut self, settings: ModelSettings) -> Self {
        Arc::make_mut(&mut self.frame).settings = settings;
        self
    }

    /// Returns the messages so far, the prompt last or the results of its tools.
    ///
    /// Two messages of one role may follow each other, as after a run that ended at a limit, and an
    /// assistant's message may have no content; a wire whose provider refuses that joins or skips
    /// them. Every tool call is followed by its result.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Returns the system prompt.
    #[must_use]
    pub fn system(&self) -> Option<&str> {
        self.frame.system.as_deref()
    }

    /// Returns the tools that the model may call.
    #[must_use]
    pub fn tools(&self) -> &[ToolSpec] {
        &self.frame.tools
    }

    /// Returns how the model is to answer.
    pub fn settings(&self) -> &ModelSettings {
        &self.frame.settings
    }

    /// Returns the run that asks.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// Returns which call of the turn this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns how many calls the turn has at most, where the retry strategy has such a limit.
    ///
    /// It is the strategy's word: a hook may end the turn earlier or ask for more, and the agent's own
    /// limit holds in any case.
    #[must_use]
    pub fn max_attempts(&self) -> Option<u32> {
        self.frame.max_attempts
    }
}

/// A piece of a model's answer.
///
/// Texts are pieces to be joined. An answer is complete when [`ModelDelta::Stop`] has come and the
/// stream has ended; a stream that ends without it is truncated, whatever else it said.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelDelta {
    /// The server began to answer.
    Started {
        /// The provider's identity of the request.
        request_id: Option<String>,
    },
    /// A piece of text.
    Text(String),
    /// A piece of a refusal.
    Refusal(String),
    /// A piece of reasoning.
    Reasoning(String),
    /// What the provider wants back with the reasoning, whole.
    ///
    /// See [`crate::Reasoning::opaque`].
    ReasoningOpaque(Value),
    /// A tool call begins.
    ToolUseStart {
        /// The call's place among the calls of this answer, as the wire numbers them.
        index: usize,
        /// The provider's identity of the call.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A piece of a tool call's arguments, in JSON.
    ToolUseInput {
        /// Which call.
        index: usize,
        /// The piece.
        json: String,
    },
    /// A block that only its provider understands, whole.
    ///
    /// See [`crate::ContentBlock::Opaque`].
    Opaque(Value),
    /// What the answer cost; a later one replaces an earlier one.
    Usage(Usage),
    /// The end marker.
    Stop(StopReason),
}

/// A complete answer of a model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelResponse {
    /// The message.
    pub message: Arc<Message>,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// What it cost.
    pub usage: Usage,
    /// The provider's identity of the request.
    pub request_id: Option<String>,
}

impl ModelResponse {
    /// Returns the text of the answer.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }

    /// Returns whether the answer says nothing: no text, and no tool call either.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text().trim().is_empty() && self.message.tool_uses().next().is_none()
    }
}
