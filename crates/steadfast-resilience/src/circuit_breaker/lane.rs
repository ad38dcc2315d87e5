//! One circuit: when it opens, who tries it, when it closes. Pure arithmetic on the time since a clock
//! began.

use std::time::Duration;

use super::CircuitState;
use crate::{rounding::NOTHING, secs, sliding_counts::SlidingCounts};

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

/// Into how many ticks the window of a rate is divided.
const TICKS: u64 = 60;

/// The time since a breaker's clock began, and how many calls have asked to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) time: Duration,
    pub(super) calls: u64,
}

/// One circuit.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The first call that says something: what began before the last change of state does not.
    since: u64,
    failed_at: Option<Duration>,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        in_a_row: u32,
        /// The calls of the window, and noted the failures; only kept where a rate is looked at.
        counts: SlidingCounts,
    },
    Open {
        until: Duration,
        length: Duration,
    },
    HalfOpen {
        trial: Option<Trial>,
        /// For how long the circuit was open.
        length: Duration,
    },
}

/// The call that has the place of the trial, and how long it keeps it.
#[derive(Debug, Clone, Copy)]
struct Trial {
    call: u64,
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// Its number among the calls of the breaker.
    pub(super) call: u64,
    pub(super) is_trial: bool,
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
    pub(super) fn begin(&mut self, now: Moment) -> (Result<Begun, Refused>, Option<Change>) {
        if let Some(refused) = self.refusal(now.time) {
            return (Err(refused), None);
        }
        let change = match self.state {
            State::Open { length, .. } => {
                let trial = None;
                Some(self.change_to(State::HalfOpen { trial, length }, now.calls))
            }
            State::Closed { .. } | State::HalfOpen { .. } => None,
        };
        let call = now.calls;
        let is_trial = match &mut self.state {
            State::HalfOpen { trial, length } => {
                let until = now.time.saturating_add(*length);
                *trial = Some(Trial { call, until });
                true
            }
            State::Closed { .. } | State::Open { .. } => false,
        };
        (Ok(Begun { call, is_trial }), change)
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
        now: Moment,
    ) -> Option<Change> {
        if begun.call < self.since {
            return None;
        }
        if ended == Ended::Failed {
            self.failed_at = Some(now.time);
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
                    rate.count(counts, failed, now.time);
                }
                let opens = failed && rules.are_met(*in_a_row, counts);
                opens.then(|| self.open(rules.open_for, now))
            }
            (State::HalfOpen { .. }, Ended::Succeeded) => {
                Some(self.change_to(State::default(), now.calls + 1))
            }
            (State::HalfOpen { length, .. }, Ended::Failed) => {
                let longer = length.saturating_mul(2).min(rules.max_open_for);
                Some(self.open(longer, now))
            }
            (State::HalfOpen { trial, .. }, Ended::Dropped) => {
                if trial.is_some_and(|trial| trial.call == begun.call) {
                    *trial = None;
                }
                None
            }
            (State::Closed { .. }, Ended::Dropped) | (State::Open { .. }, _) => None,
        }
    }

    fn open(&mut self, length: Duration, now: Moment) -> Change {
        let until = now.time.saturating_add(length);
        let change = self.change_to(State::Open { until, length }, now.calls + 1);
        Change {
            open_for: Some(length),
            ..change
        }
    }

    /// Changes the state. From this call on they say something.
    fn change_to(&mut self, state: State, since: u64) -> Change {
        let from = self.state.name();
        self.state = state;
        self.since = since;
        Change {
            from,
            to: self.state.name(),
            open_for: None,
        }
    }

    /// Whether it lets calls go, and its latest failure is so long ago that it may be taken for a circuit
    /// that was never used.
    pub(super) fn is_forgettable(&self, rules: &Rules, now: Duration) -> bool {
        let age = self.failed_at.map(|at| now.saturating_sub(at));
        self.refusal(now).is_none() && age.is_none_or(|age| age > rules.memory())
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
    /// For how long a failure counts: within a window, and for a circuit that was open for the longest
    /// time, as long again.
    fn memory(&self) -> Duration {
        let window = self.rate.map_or(Duration::ZERO, |rate| rate.window);
        self.max_open_for.saturating_mul(2).max(window)
    }

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
            counts.count_noted();
        }
    }

    fn is_met(&self, counts: &SlidingCounts) -> bool {
        let total = counts.total();
        total.calls >= u64::from(self.min_calls)
            && total.noted as f64 + NOTHING >= self.share * total.calls as f64
    }
}
