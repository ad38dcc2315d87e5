//! What a run ends with when nothing went wrong.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    message::Message,
    millis,
    run::Run,
    usage::{StopReason, Usage},
};

/// The result of a run: its [summary](RunSummary) and the messages that it leaves.
///
/// ```
/// use steadfast_core::{Agent, StopReason, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder().model(ScriptedModel::new([Reply::text("Yes.")])).build()?;
/// let answer = agent.prompt("Umbrella?").await?;
/// assert_eq!(answer.text(), "Yes.");
/// assert_eq!(answer.stop_reason(), StopReason::EndTurn);
/// assert_eq!(answer.attempts(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AgentResult {
    summary: RunSummary,
    messages: Vec<Arc<Message>>,
    run: Option<Box<Run>>,
}

impl AgentResult {
    pub(crate) const fn new(
        summary: RunSummary,
        messages: Vec<Arc<Message>>,
        run: Option<Box<Run>>,
    ) -> Self {
        Self {
            summary,
            messages,
            run,
        }
    }

    /// Returns why the run ended.
    #[must_use]
    pub const fn stop_reason(&self) -> StopReason {
        self.summary.stop_reason
    }

    /// Returns the text of the last message that the model completed.
    ///
    /// Empty if there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.summary.text
    }

    /// Returns the tokens of all attempts, discarded ones included.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.summary.usage
    }

    /// Returns how many attempts were made.
    ///
    /// One that a hook answers, or that is stopped before its call, counts too.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.summary.attempts
    }

    /// Returns how many turns the run had.
    #[must_use]
    pub const fn turns(&self) -> u32 {
        self.summary.turns
    }

    /// Returns how long the run took.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.summary.duration
    }

    /// Returns how much of that was spent waiting before model calls.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.summary.waited
    }

    /// Returns the figures alone, in the form that events carry.
    #[must_use]
    pub const fn summary(&self) -> &RunSummary {
        &self.summary
    }

    /// Returns the messages that the run leaves: prompt, turns and answer.
    ///
    /// Of a run that was cancelled, what its conversation keeps.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Takes out the run of a result that was cut short, to go on with it later.
    ///
    /// There is one after a cancellation, and none where the run came to its end.
    #[must_use]
    pub fn into_run(self) -> Option<Run> {
        self.run.map(|run| *run)
    }
}

/// Writes the text of the answer.
impl fmt::Display for AgentResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary.text)
    }
}

/// The figures of a run that ended with a result, as its last event carries them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub(crate) stop_reason: StopReason,
    pub(crate) text: String,
    pub(crate) usage: Usage,
    pub(crate) attempts: u32,
    pub(crate) turns: u32,
    #[serde(rename = "duration_ms", with = "millis")]
    pub(crate) duration: Duration,
    #[serde(rename = "waited_ms", with = "millis")]
    pub(crate) waited: Duration,
}

impl RunSummary {
    /// Returns why the run ended.
    #[must_use]
    pub const fn stop_reason(&self) -> StopReason {
        self.stop_reason
    }

    /// Returns the text of the last message that the model completed.
    ///
    /// Empty if there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the tokens of all attempts, discarded ones included.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns how many attempts were made.
    ///
    /// One that a hook answers, or that is stopped before its call, counts too.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns how many turns the run had.
    #[must_use]
    pub const fn turns(&self) -> u32 {
        self.turns
    }

    /// Returns how long the run took.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns how much of that was spent waiting before model calls.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }
}
