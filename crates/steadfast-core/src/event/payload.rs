//! The payloads of agent events. Some are hook events too: asked first, then told.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EventScope, scoped};
use crate::{
    agent_result::RunSummary,
    message::{Message, ToolResult, ToolUse},
    millis,
    model::ModelError,
    run_error::Failure,
};

scoped!(
    RunStartedEvent,
    AttemptStartedEvent,
    ModelSwitchedEvent,
    TextDeltaEvent,
    ReasoningDeltaEvent,
    AttemptDiscardedEvent,
    EventLoopThrottleEvent,
    HedgeStartedEvent,
    HedgeWonEvent,
    MessageAddedEvent,
    ToolStartedEvent,
    ToolFinishedEvent,
    RunDroppedEvent,
    ForceStopEvent,
    ResultEvent,
);

/// A prompt begins to be answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStartedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) schema: u32,
    pub(crate) model: String,
}

impl RunStartedEvent {
    /// Returns the version of the events' stored form.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        self.schema
    }

    /// Returns the model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

/// The model is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptStartedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
}

/// Another model is called than before in the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSwitchedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl ModelSwitchedEvent {
    /// Returns the name of the model that was called before, or is the agent's.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the name of the model that is called now.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }
}

/// The model has said nothing for a time, and is called a second time in the same attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HedgeStartedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    #[serde(rename = "delay_ms", with = "millis")]
    pub(crate) delay: Duration,
}

impl HedgeStartedEvent {
    /// Returns how long the first call was waited for.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.delay
    }
}

/// One of two calls of an attempt has begun to answer, and the other was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HedgeWonEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) winner: CallRole,
}

impl HedgeWonEvent {
    /// Returns which of the two calls answers.
    #[must_use]
    pub const fn winner(&self) -> CallRole {
        self.winner
    }
}

/// Which call of an attempt it is: there is one, and a second where it is hedged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallRole {
    /// The first, and mostly the only one.
    First,
    /// The second, made since the first said nothing for a time.
    Hedge,
}

/// The model said a piece of text; a refusal too is text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextDeltaEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) text: String,
}

impl TextDeltaEvent {
    /// Returns the piece.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The model thought a piece of reasoning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReasoningDeltaEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) text: String,
}

impl ReasoningDeltaEvent {
    /// Returns the piece.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What an attempt said is taken back: whoever showed its deltas removes them.
///
/// Comes for every attempt that did not end in a message, also if it said nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptDiscardedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) reason: DiscardReason,
    pub(crate) error: Option<ModelError>,
}

impl AttemptDiscardedEvent {
    /// Returns why the attempt does not count.
    #[must_use]
    pub const fn reason(&self) -> DiscardReason {
        self.reason
    }

    /// Returns the error of the model call, if that is why.
    #[must_use]
    pub const fn error(&self) -> Option<&ModelError> {
        self.error.as_ref()
    }
}

/// Why an attempt does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscardReason {
    /// The model call failed.
    ModelError,
    /// The model answered, and a hook asked for another answer.
    RetriedByHook,
    /// A hook failed.
    HookError,
    /// The run's deadline passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
}

/// The loop is about to wait before it calls the model.
///
/// Emitted before the wait, for every wait for a model call that any strategy or hook declared, and
/// only if the call will follow. Its time is the one from which the delay counts. A tool that is
/// retried after a delay has none.
///
/// ```
/// use steadfast_core::{Agent, EventLoopThrottleEvent, testing::{Reply, ScriptedModel}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")]))
///     .on(|e: &mut EventLoopThrottleEvent| eprintln!("throttled, next try in {:?}", e.delay()))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLoopThrottleEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    #[serde(rename = "delay_ms", with = "millis")]
    pub(crate) delay: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) error: Option<ModelError>,
    pub(crate) decided_by: DecidedBy,
}

impl EventLoopThrottleEvent {
    /// Returns how long the loop will wait.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns the most calls that the strategy allows this turn, if it limits them.
    #[must_use]
    pub const fn max_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    /// Returns the error that is waited out.
    ///
    /// None if a hook retries an answer, and for a wait before a call that nothing has failed yet. In the
    /// line of a [`FleetRetryStrategy`](crate::FleetRetryStrategy) it is what put the call back.
    #[must_use]
    pub const fn error(&self) -> Option<&ModelError> {
        self.error.as_ref()
    }

    /// Returns who set the delay.
    #[must_use]
    pub const fn decided_by(&self) -> DecidedBy {
        self.decided_by
    }
}

/// Who set the delay of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecidedBy {
    /// The server, in its answer.
    Hint,
    /// The strategy's own arithmetic.
    Backoff,
    /// Whoever has calls wait their turn, such as a limiter that several agents share.
    Pacer,
    /// A hook.
    Hook,
}

/// A message for the history: the prompt, an answer, or the results of tools.
///
/// Hooks are asked before it joins the history, and can keep it out only by failing, which ends the
/// run. Once none of them has failed the message joins, and is told as [`AgentEvent::Message`].
///
/// [`AgentEvent::Message`]: crate::AgentEvent::Message
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageAddedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) message: Arc<Message>,
}

impl MessageAddedEvent {
    /// Returns the message.
    #[must_use]
    pub const fn message(&self) -> &Arc<Message> {
        &self.message
    }
}

/// A tool begins to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolStartedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    #[serde(flatten)]
    pub(crate) tool_use: ToolUse,
}

impl ToolStartedEvent {
    /// Returns the call.
    #[must_use]
    pub const fn tool_use(&self) -> &ToolUse {
        &self.tool_use
    }
}

/// A tool answered or failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolFinishedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) input: Value,
    pub(crate) ok: bool,
    #[serde(rename = "duration_ms", with = "millis")]
    pub(crate) duration: Duration,
}

impl ToolFinishedEvent {
    pub(crate) fn new(
        scope: EventScope,
        call: &ToolUse,
        result: &ToolResult,
        duration: Duration,
    ) -> Self {
        Self {
            scope,
            id: call.id.clone(),
            name: call.name.clone(),
            input: call.input.clone(),
            ok: !result.is_error,
            duration,
        }
    }

    /// Returns the provider's identity of the call.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the tool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the arguments.
    #[must_use]
    pub const fn input(&self) -> &Value {
        &self.input
    }

    /// Returns whether the tool answered without an error.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.ok
    }

    /// Returns how long it took.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }
}

/// The run was dropped before its end, with its future, stream or task; or a hook panicked.
///
/// No hook is asked about it. An attempt or a tool that was under way has no end of its own. The
/// stream is gone, so only observers are told. Its time is that of the event before it.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use steadfast_core::{Agent, AgentEvent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dropped = Arc::new(Mutex::new(0));
/// let count = Arc::clone(&dropped);
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::hang()]))
///     .observe(move |event: &AgentEvent| {
///         if let (AgentEvent::RunDropped(_), Ok(mut count)) = (event, count.lock()) {
///             *count += 1;
///         }
///     })
///     .build()?;
///
/// let mut events = agent.prompt("Umbrella?").stream();
/// events.next().await;
/// drop(events);
///
/// assert_eq!(dropped.lock().map(|count| *count).ok(), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDroppedEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
}

/// The run ended with an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForceStopEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    #[serde(rename = "error")]
    pub(crate) failure: Failure,
}

impl ForceStopEvent {
    /// Returns what went wrong.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }
}

/// The run ended with a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultEvent {
    #[serde(flatten)]
    pub(crate) scope: EventScope,
    #[serde(flatten)]
    pub(crate) result: RunSummary,
}

impl ResultEvent {
    /// Returns the result.
    #[must_use]
    pub const fn result(&self) -> &RunSummary {
        &self.result
    }
}
