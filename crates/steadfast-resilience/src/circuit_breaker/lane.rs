//! One circuit: when it opens, who tries it, when it closes. Pure arithmetic on the time since a clock
//! began.

use std::time::Duration;

use super::CircuitState;
use crate::{secs, sliding_counts::SlidingCounts};

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) consecutive_failures: Option<u32>,
    pub(super) rate: Option<Rate>,
    pub(super) open_for: Duration,
    pub(super) max_open_for: Duration,
}

/// The share of failures that opens a circuit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) share: f64,
    pub(super) window: Duration,
    pub(super) min_calls: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            rate: None,
            open_for: secs(30),
            max_open_for: secs(300),
        }
    }
}

/// Products of floats may be this much off.
const NOTHING: f64 = 1e-9;
/// Into how many ticks the window of a rate is divided.
const TICKS: u64 = 60;

/// One circuit.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Counts the changes of state: what began before one says nothing after it.
    phase: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        in_a_row: u32,
        /// The calls of the window, and apart the failures; only kept where a rate is looked at.
        counts: SlidingCounts,
    },
    Open {
        until: Duration,
        length: Duration,
    },
    HalfOpen {
        trial: Option<Trial>,
        /// How many there were.
        trials: u64,
        /// For how long the circuit was open.
        length: Duration,
    },
}

/// The call that has the place of the trial, and how long it keeps it.
#[derive(Debug, Clone, Copy)]
struct Trial {
    number: u64,
    until: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            in_a_row: 0,
            counts: SlidingCounts::default(),
        }
    }
}

/// A call that was let go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Begun {
    phase: u64,
    /// The number of the trial that it is.
    trial: Option<u64>,
}

impl Begun {
    pub(super) const fn is_trial(self) -> bool {
        self.trial.is_some()
    }
}

/// A call that was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// None while a trial is under way: nobody knows when it ends.
    pub(super) trial_in: Option<Duration>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Succeeded,
    Failed,
    /// Nobody said.
    Dropped,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: CircuitState,
    pub(super) to: CircuitState,
    pub(super) open_for: Option<Duration>,
}

impl Lane {
    /// Lets a call go, or does not.
    pub(super) fn begin(&mut self, now: Duration) -> (Result<Begun, Refused>, Option<Change>) {
        if let Some(refused) = self.refusal(now) {
            return (Err(refused), None);
        }
        let (change, trial) = match &mut self.state {
            State::Closed { .. } => (None, None),
            State::Open { length, .. } => {
                let length = *length;
                let half_open = State::HalfOpen {
                    trial: None,
                    trials: 0,
                    length,
                };
                (Some(self.change_to(half_open)), self.try_it(now))
            }
            State::HalfOpen { .. } => (None, self.try_it(now)),
        };
        let begun = Begun {
            phase: self.phase,
            trial,
        };
        (Ok(begun), change)
    }

    /// Gives the place of the trial to a new call.
    fn try_it(&mut self, now: Duration) -> Option<u64> {
        let State::HalfOpen {
            trial,
            trials,
            length,
        } = &mut self.state
        else {
            return None;
        };
        *trials += 1;
        let number = *trials;
        let until = now.saturating_add(*length);
        *trial = Some(Trial { number, until });
        Some(number)
    }

    /// Whether a call is not let go now.
    pub(super) fn refusal(&self, now: Duration) -> Option<Refused> {
        match &self.state {
            State::Open { until, .. } if now < *until => Some(Refused {
                trial_in: Some(until.saturating_sub(now)),
            }),
            State::HalfOpen {
                trial: Some(trial), ..
            } if now < trial.until => Some(Refused { trial_in: None }),
            _ => None,
        }
    }

    pub(super) fn state_at(&self, now: Duration) -> CircuitState {
        match &self.state {
            State::Open { until, .. } if *until <= now => CircuitState::HalfOpen,
            state => state.name(),
        }
    }

    /// Concludes from how a call ended.
    pub(super) fn ended(
        &mut self,
        rules: &Rules,
        begun: Begun,
        ended: Ended,
        now: Duration,
    ) -> Option<Change> {
        if begun.phase != self.phase {
            return None;
        }
        match (&mut self.state, ended) {
            (State::Closed { in_a_row, counts }, Ended::Succeeded | Ended::Failed) => {
                let failed = ended == Ended::Failed;
                *in_a_row = if failed {
                    in_a_row.saturating_add(1)
                } else {
                    0
                };
                if let Some(rate) = &rules.rate {
                    rate.count(counts, failed, now);
                }
                let opens = failed && rules.are_met(*in_a_row, counts);
                opens.then(|| self.open(rules.open_for, now))
            }
            (State::HalfOpen { .. }, Ended::Succeeded) => Some(self.change_to(State::default())),
            (State::HalfOpen { length, .. }, Ended::Failed) => {
                let longer = length.saturating_mul(2).min(rules.max_open_for);
                Some(self.open(longer, now))
            }
            (State::HalfOpen { trial, .. }, Ended::Dropped) => {
                if trial.is_some_and(|trial| begun.trial == Some(trial.number)) {
                    *trial = None;
                }
                None
            }
            (State::Closed { .. }, Ended::Dropped) | (State::Open { .. }, _) => None,
        }
    }

    fn open(&mut self, length: Duration, now: Duration) -> Change {
        let change = self.change_to(State::Open {
            until: now.saturating_add(length),
            length,
        });
        Change {
            open_for: Some(length),
            ..change
        }
    }

    fn change_to(&mut self, state: State) -> Change {
        let from = self.state.name();
        self.state = state;
        self.phase += 1;
        Change {
            from,
            to: self.state.name(),
            open_for: None,
        }
    }

    /// Whether nothing is lost if this is taken for a circuit that was never used.
    pub(super) fn is_forgettable(&mut self, rules: &Rules, now: Duration) -> bool {
        match &mut self.state {
            State::Closed { in_a_row, counts } => {
                if let Some(rate) = &rules.rate {
                    rate.slide(counts, now);
                }
                *in_a_row == 0 && counts.total().apart == 0
            }
            _ => false,
        }
    }
}

impl State {
    const fn name(&self) -> CircuitState {
        match self {
            Self::Closed { .. } => CircuitState::Closed,
            Self::Open { .. } => CircuitState::Open,
            Self::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }
}

impl Rules {
    fn are_met(&self, in_a_row: u32, counts: &SlidingCounts) -> bool {
        let many = |most: u32| in_a_row >= most;
        self.consecutive_failures.is_some_and(many)
            || self.rate.is_some_and(|rate| rate.is_met(counts))
    }
}

impl Rate {
    fn slide(&self, counts: &mut SlidingCounts, now: Duration) {
        let tick = (self.window.as_nanos() / u128::from(TICKS)).max(1);
        let number = u64::try_from(now.as_nanos() / tick).unwrap_or(u64::MAX);
        counts.slide(number, TICKS);
    }

    fn count(&self, counts: &mut SlidingCounts, failed: bool, now: Duration) {
        self.slide(counts, now);
        counts.count_call();
        if failed {
            counts.count_apart();
        }
    }

    fn is_met(&self, counts: &SlidingCounts) -> bool {
        let total = counts.total();
        total.calls >= u64::from(self.min_calls)
            && total.apart as f64 + NOTHING >= self.share * total.calls as f64
    }
}
