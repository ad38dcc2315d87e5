//! What a run ends with when nothing went wrong.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    millis,
    usage::{StopReason, Usage},
};

/// The result of a run.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentResult {
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

impl AgentResult {
    /// Returns why the run ended.
    #[must_use]
    pub const fn stop_reason(&self) -> StopReason {
        self.stop_reason
    }

    /// Returns the text of the last message that the model completed; empty if there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the tokens of all attempts, discarded ones included.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns how many times the model was called.
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

    /// Returns how much of that was spent waiting before a retry.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }
}

/// Writes the text of the answer.
impl fmt::Display for AgentResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
