//! The limits of a run and of a model call, with their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ConfigError, secs};

/// What a run may use before it is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) max_turns: u32,
    pub(crate) max_attempts_per_turn: u32,
    pub(crate) max_tool_tries: u32,
    pub(crate) max_total_tokens: Option<u64>,
    pub(crate) deadline: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_turns: 50,
            max_attempts_per_turn: 100,
            max_tool_tries: 10,
            max_total_tokens: None,
            deadline: None,
        }
    }
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("max_turns", u64::from(self.max_turns)),
            (
                "max_attempts_per_turn",
                u64::from(self.max_attempts_per_turn),
            ),
            ("max_tool_tries", u64::from(self.max_tool_tries)),
            ("max_total_tokens", self.max_total_tokens.unwrap_or(1)),
        ];
        for (field, count) in counts {
            if count == 0 {
                return Err(ConfigError::new(field, "must be at least 1, got `0`"));
            }
        }
        validate_duration("deadline", self.deadline)
    }
}

/// How long a model may stay silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Before the first delta.
    pub(crate) first_byte: Duration,
    /// Between two deltas.
    pub(crate) idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: secs(120),
            idle: secs(120),
        }
    }
}

impl Timeouts {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        validate_duration("first_byte_timeout", Some(self.first_byte))?;
        validate_duration("idle_timeout", Some(self.idle))
    }
}

fn validate_duration(field: &str, duration: Option<Duration>) -> Result<(), ConfigError> {
    if duration == Some(Duration::ZERO) {
        return Err(ConfigError::new(field, "must be longer than zero"));
    }
    Ok(())
}

/// What a conversation keeps of a run that failed or was cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FailedTurnPolicy {
    /// Finished turns stay, since their tools have run.
    ///
    /// The failed turn leaves nothing, and one that was the first takes back its prompt too.
    #[default]
    RollBackTurn,
    /// The failed turn stays as well, its open tool calls answered with an error.
    KeepTurn,
    /// Nothing of the run stays.
    RollBackAll,
}
