//! Events around a whole agent and a whole run.

use std::fmt;

use crate::{
    agent::Agent, agent_result::RunSummary, event::EventScope, event::scoped, history::History,
    input::Input, message::Message, run_error::Failure,
};

scoped!(BeforeInvocationEvent, AfterInvocationEvent);

/// An agent was built. Its hooks cannot await: `build()` is not async.
#[derive(Debug)]
pub struct AgentInitializedEvent {
    pub(crate) agent: Agent,
}

impl AgentInitializedEvent {
    /// Returns the agent.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }
}

/// A prompt is about to be answered.
pub struct BeforeInvocationEvent {
    pub(crate) scope: EventScope,
    /// The messages of the prompt; what a hook leaves here is what joins the history.
    pub messages: Vec<Message>,
    /// Set to a text to answer with it at once, without calling the model.
    pub cancel: Option<String>,
}

/// A run is about to end.
pub struct AfterInvocationEvent {
    pub(crate) scope: EventScope,
    pub(crate) outcome: Result<RunSummary, Failure>,
    pub(crate) history: History,
    /// Set to go on with another prompt in the same run.
    ///
    /// Ignored if the run failed or was cancelled; the limits of the run go on counting.
    pub resume: Option<Input>,
}

impl AfterInvocationEvent {
    /// Returns all messages of the run, those that it began with included.
    ///
    /// After a run that failed or was cancelled, a conversation may keep fewer: see
    /// [`AgentBuilder::keep_failed_turn`](crate::AgentBuilder::keep_failed_turn) and its like.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Returns the result, if the run ends with one.
    #[must_use]
    pub const fn result(&self) -> Option<&RunSummary> {
        match &self.outcome {
            Ok(result) => Some(result),
            Err(_) => None,
        }
    }

    /// Returns what went wrong, if the run ends with an error.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Ok(_) => None,
            Err(failure) => Some(failure),
        }
    }
}

impl fmt::Debug for BeforeInvocationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeforeInvocationEvent")
            .field("scope", &self.scope)
            .field("messages", &self.messages.len())
            .field("cancel", &self.cancel.is_some())
            .finish()
    }
}

impl fmt::Debug for AfterInvocationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterInvocationEvent")
            .field("scope", &self.scope)
            .field("failure", &self.failure())
            .field("resume", &self.resume.is_some())
            .finish()
    }
}
