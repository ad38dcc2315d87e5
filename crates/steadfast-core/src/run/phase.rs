//! The phases of a run, and what it counts and collects in them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{AttemptOutcome, AttemptVerdict, RecordedWait};
use crate::{
    message::{Message, ToolResult},
    run_error::Failure,
    usage::StopReason,
};

/// What is counted within one turn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) number: u32,
    /// Attempts made; the next one has this number plus one.
    pub(super) attempts: u32,
    /// Those of them that called the model.
    #[serde(default)]
    pub(super) calls: u32,
    /// The retries that went on to another model.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) moves: u32,
    pub(super) waits: u32,
    /// Those of them behind a call, and not behind one that was refused.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) waits_behind_calls: u32,
    pub(super) last_delay: Option<Duration>,
    /// What the retry before the next attempt drew from a shared quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) drawn: Option<u32>,
    /// When its first attempt began.
    pub(super) started: Option<SystemTime>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Turn {
    pub(super) const fn new(number: u32) -> Self {
        Self {
            number,
            attempts: 0,
            calls: 0,
            moves: 0,
            waits: 0,
            waits_behind_calls: 0,
            last_delay: None,
            drawn: None,
            started: None,
        }
    }

    /// Counts an attempt that was made, and how it is retried, if it is.
    pub(super) fn count(&mut self, outcome: &AttemptOutcome) {
        let called = u32::from(outcome.called);
        self.attempts = self.attempts.saturating_add(1);
        self.calls = self.calls.saturating_add(called);
        self.started.get_or_insert(outcome.started);
        self.drawn = None;
        let AttemptVerdict::Retry { wait } = &outcome.verdict else {
            return;
        };
        self.moves = self.moves.saturating_add(outcome.moves_on.into());
        if let Some(wait) = wait {
            self.waits = self.waits.saturating_add(1);
            self.waits_behind_calls = self.waits_behind_calls.saturating_add(called);
            self.last_delay = Some(wait.delay);
            self.drawn = wait.drawn;
        }
    }

    /// The turn after this one.
    pub(super) const fn next(self) -> Self {
        Self::new(self.number.saturating_add(1))
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Phase {
    Begin {
        prompt: Vec<Message>,
    },
    Attempt,
    /// Only where a run was cancelled after it had finished a turn: an attempt of the next one.
    NextTurn,
    Wait(RecordedWait),
    BeginTools,
    Tools {
        slots: Vec<ToolSlot>,
    },
    FinishTools {
        results: Vec<ToolResult>,
        /// Set where nothing may follow: the run then ends with this.
        then: Option<StopReason>,
    },
    End {
        ending: Ending,
        /// What was being done when the run failed, to be done again on resume.
        unfinished: Option<Box<Self>>,
    },
    Done {
        ending: Ending,
        unfinished: Option<Box<Self>>,
        at: SystemTime,
    },
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Ending {
    Finished(StopReason),
    Failed(Failure),
}

impl Ending {
    /// Whether the run ended without having come to its end.
    pub(super) const fn is_stop(&self) -> bool {
        matches!(
            self,
            Self::Failed(_) | Self::Finished(StopReason::Cancelled)
        )
    }

    /// Whether a hook may go on with another prompt.
    pub(super) const fn may_resume(&self) -> bool {
        !self.is_stop()
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ToolSlot {
    Ready {
        tries: u32,
    },
    Waiting {
        tries: u32,
        wait: RecordedWait,
    },
    Done(ToolResult),
    /// Cut short, and to be done again if the run is resumed.
    Cancelled {
        tries: u32,
        result: ToolResult,
    },
    /// Ends the run.
    ///
    /// A tool that had answered by then is not run again if the run is resumed.
    Failed {
        tries: u32,
        failure: Failure,
        result: Option<ToolResult>,
    },
}

impl ToolSlot {
    /// What the model may read of it, if anything.
    pub(super) const fn result(&self) -> Option<&ToolResult> {
        match self {
            Self::Done(result) | Self::Cancelled { result, .. } => Some(result),
            Self::Failed { result, .. } => result.as_ref(),
            Self::Ready { .. } | Self::Waiting { .. } => None,
        }
    }

    /// The results of all calls, once each has one that stands.
    pub(super) fn results(slots: &[Self]) -> Option<Vec<ToolResult>> {
        // Asked after every outcome: nothing is copied before it is used.
        let stands = |slot: &Self| matches!(slot, Self::Done(_) | Self::Cancelled { .. });
        if !slots.iter().all(stands) {
            return None;
        }
        slots.iter().map(|slot| slot.result().cloned()).collect()
    }

    /// The failure that ends the run: of the first call that failed, in the model's order, so that
    /// it is the same in whatever order the outcomes came.
    pub(super) fn failure(slots: &[Self]) -> Option<&Failure> {
        slots.iter().find_map(|slot| match slot {
            Self::Failed { failure, .. } => Some(failure),
            _ => None,
        })
    }

    /// The state in which a resumed run finds the call.
    pub(super) fn reopened(self) -> Self {
        match self {
            Self::Cancelled { tries, .. }
            | Self::Failed {
                tries,
                result: None,
                ..
            } => Self::Ready { tries },
            Self::Failed {
                result: Some(result),
                ..
            } => Self::Done(result),
            other => other,
        }
    }
}
