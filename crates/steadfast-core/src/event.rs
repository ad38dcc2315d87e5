//! Agent events: everything a run does, told to observers and streamed. Nobody can answer them.

mod payload;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use payload::{
    AttemptDiscardedEvent, AttemptStartedEvent, CallRole, DecidedBy, DiscardReason,
    EventLoopThrottleEvent, ForceStopEvent, HedgeStartedEvent, HedgeWonEvent, MessageAddedEvent,
    ModelSwitchedEvent, ReasoningDeltaEvent, ResultEvent, RunDroppedEvent, RunStartedEvent,
    TextDeltaEvent, ToolFinishedEvent, ToolStartedEvent,
};

use crate::run_id::RunId;

/// The version of the events' stored form.
///
/// It grows when a reader would have to change.
pub const EVENT_SCHEMA: u32 = 1;

/// Where in a run an event happened: the fields that every event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventScope {
    /// The run.
    pub run: RunId,
    /// The turn, from 1.
    pub turn: u32,
    /// The attempt of the turn, from 1; 0 where no attempt was made yet.
    pub attempt: u32,
    /// The time since the run began.
    #[serde(rename = "at_ms", with = "crate::millis")]
    pub at: Duration,
}

/// Gives an event the accessors of its scope.
macro_rules! scoped {
    ($($event:ident),+ $(,)?) => {$(
        impl $event {
            /// Returns the run that this belongs to.
            #[must_use]
            pub const fn run(&self) -> $crate::run_id::RunId {
                self.scope.run
            }

            /// Returns the turn, from 1.
            #[must_use]
            pub const fn turn(&self) -> u32 {
                self.scope.turn
            }

            /// Returns the attempt of the turn, from 1: the number of this call of the model.
            #[must_use]
            pub const fn attempt(&self) -> u32 {
                self.scope.attempt
            }

            /// Returns the time since the run began.
            #[must_use]
            pub const fn at(&self) -> std::time::Duration {
                self.scope.at
            }
        }
    )+};
}
pub(crate) use scoped;

/// Everything that a run does, in order.
///
/// Deltas carry the attempt that they belong to, and every attempt ends in exactly one of
/// [`AgentEvent::Message`] and [`AgentEvent::AttemptDiscarded`]. What a discarded attempt has said
/// is taken back; the texts of the other attempts are exactly the texts of the history. The last
/// event is exactly one of [`AgentEvent::Result`] and [`AgentEvent::ForceStop`]; an observer of a run
/// that is dropped on the way is told [`AgentEvent::RunDropped`] instead.
///
/// The serde form, one JSON object with a `type`, is what `steadfast run --events jsonl` prints and
/// what a stored trace holds. It is public and versioned: see `docs/events.md`.
///
/// ```
/// use steadfast_core::{Agent, AgentEvent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder().model(ScriptedModel::new([Reply::text("Yes.")])).build()?;
/// let mut events = agent.prompt("Umbrella?").stream();
/// let mut text = String::new();
/// while let Some(event) = events.next().await {
///     if let AgentEvent::TextDelta(delta) = event {
///         text.push_str(delta.text());
///     }
/// }
/// assert_eq!(text, "Yes.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentEvent {
    /// A prompt begins to be answered.
    RunStarted(RunStartedEvent),
    /// The model is called.
    AttemptStarted(AttemptStartedEvent),
    /// Another model is called than before, since a hook or a [`Fallback`](crate::Fallback) chose it.
    ModelSwitched(ModelSwitchedEvent),
    /// The model has said nothing for a time, and is called a second time in the same attempt.
    HedgeStarted(HedgeStartedEvent),
    /// One of two calls of an attempt has begun to answer, and the other was dropped.
    HedgeWon(HedgeWonEvent),
    /// The model said a piece of text; a refusal too is text.
    TextDelta(TextDeltaEvent),
    /// The model thought a piece of reasoning.
    ReasoningDelta(ReasoningDeltaEvent),
    /// What this attempt said is taken back.
    AttemptDiscarded(AttemptDiscardedEvent),
    /// The loop is about to wait before it calls the model.
    EventLoopThrottle(EventLoopThrottleEvent),
    /// A message joins the history; its hooks were asked first, and none of them failed.
    Message(MessageAddedEvent),
    /// A tool begins to run.
    ToolStarted(ToolStartedEvent),
    /// A tool answered or failed.
    ToolFinished(ToolFinishedEvent),
    /// The run was dropped before its end. Told to observers only, and the last event then.
    RunDropped(RunDroppedEvent),
    /// The run ended with an error. The last event.
    ForceStop(ForceStopEvent),
    /// The run ended with a result. The last event.
    Result(ResultEvent),
}

impl AgentEvent {
    /// Returns where in the run this happened.
    #[must_use]
    pub const fn scope(&self) -> &EventScope {
        match self {
            Self::RunStarted(event) => &event.scope,
            Self::AttemptStarted(event) => &event.scope,
            Self::ModelSwitched(event) => &event.scope,
            Self::HedgeStarted(event) => &event.scope,
            Self::HedgeWon(event) => &event.scope,
            Self::TextDelta(event) => &event.scope,
            Self::ReasoningDelta(event) => &event.scope,
            Self::AttemptDiscarded(event) => &event.scope,
            Self::EventLoopThrottle(event) => &event.scope,
            Self::Message(event) => &event.scope,
            Self::ToolStarted(event) => &event.scope,
            Self::ToolFinished(event) => &event.scope,
            Self::RunDropped(event) => &event.scope,
            Self::ForceStop(event) => &event.scope,
            Self::Result(event) => &event.scope,
        }
    }
}
