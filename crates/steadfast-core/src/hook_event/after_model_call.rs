//! The event behind a model call: the heart of retrying. What comes before the call is not here.

use std::{borrow::Cow, time::Duration};

use super::permit::Permits;
use crate::{
    event::{DecidedBy, EventScope, scoped},
    model::{CalledModel, ModelError, ModelResponse},
    retry::{FailedAttempt, RetryDecision},
    usage::Usage,
};

scoped!(AfterModelCallEvent);

/// The model answered or failed. Happens for every attempt.
///
/// A hook that sets [`retry`](Self::retry) has the model called again, after a failure or after an
/// answer that it does not like; the discarded answer never enters the history. The loop waits, not
/// the hook: [`retry_after`](Self::retry_after) declares how long.
///
/// Neither a response nor an error means that the attempt was cut short by cancellation or by the
/// deadline; what a hook writes then has no effect.
///
/// ```
/// use steadfast_core::{Agent, AfterModelCallEvent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::text(""), Reply::text("Take one, it will rain.")]))
///     .on(|event: &mut AfterModelCallEvent| {
///         if event.attempt() < 3 && event.response().is_some_and(|r| r.is_blank()) {
///             event.retry = true;
///         }
///     })
///     .build()?;
/// assert_eq!(agent.prompt("Umbrella?").await?.text(), "Take one, it will rain.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AfterModelCallEvent {
    pub(crate) scope: EventScope,
    pub(crate) model: CalledModel,
    /// Whether the model was called, and not answered for by a hook.
    pub(crate) called: bool,
    pub(crate) outcome: Option<Result<ModelResponse, ModelError>>,
    pub(crate) usage: Usage,
    pub(crate) facts: AttemptFacts,
    /// Whether the model is called again.
    ///
    /// Setting it alone retries at once; clearing it clears the delay too. The last writer wins.
    pub retry: bool,
    pub(crate) plan: Option<WaitPlan>,
    pub(crate) gave_up: bool,
    /// Whether the retry is a call of another model.
    pub(crate) elsewhere: bool,
    /// Why the strategy did not retry, where it said.
    pub(crate) why_not: Option<Cow<'static, str>>,
    pub(crate) permits: Permits,
}

/// What the loop counted for a strategy to decide by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AttemptFacts {
    /// The calls of this turn before this attempt.
    pub(crate) calls: u32,
    /// How often this turn went on to another model.
    pub(crate) moves: u32,
    pub(crate) waits: u32,
    /// Without those for calls that were refused.
    pub(crate) waits_behind_calls: u32,
    pub(crate) elapsed: Duration,
    /// Until the run's deadline, if it has one.
    pub(crate) time_left: Option<Duration>,
    pub(crate) last_delay: Option<Duration>,
    pub(crate) output_started: bool,
    pub(crate) random: u64,
    pub(crate) drawn: Option<u32>,
}

impl AttemptFacts {
    /// Whether a wait would not end before the run's deadline, so that no retry can follow.
    pub(crate) fn is_too_late(&self, delay: Duration) -> bool {
        self.time_left.is_some_and(|left| delay >= left)
    }
}

/// A declared wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitPlan {
    pub(crate) delay: Duration,
    pub(crate) decided_by: DecidedBy,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) drawn: Option<u32>,
}

impl WaitPlan {
    /// A wait before a call that nothing has failed yet.
    pub(crate) const fn of_pacer(delay: Duration) -> Self {
        Self {
            delay,
            decided_by: DecidedBy::Pacer,
            max_attempts: None,
            drawn: None,
        }
    }
}

impl AfterModelCallEvent {
    /// Returns the name of the model that was called, or in whose place a hook answered.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.0.name()
    }

    /// Returns the answer, if the model gave a complete one.
    #[must_use]
    pub const fn response(&self) -> Option<&ModelResponse> {
        match &self.outcome {
            Some(Ok(response)) => Some(response),
            _ => None,
        }
    }

    /// Returns the error, if the call failed.
    #[must_use]
    pub const fn error(&self) -> Option<&ModelError> {
        match &self.outcome {
            Some(Err(error)) => Some(error),
            _ => None,
        }
    }

    /// Returns what the attempt cost, as far as its provider has said: also where it failed.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns how many waits were made in this turn: the exponent of a backoff.
    #[must_use]
    pub const fn waits(&self) -> u32 {
        self.facts.waits
    }

    /// Returns the time since the first attempt of this turn began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.facts.elapsed
    }

    /// Returns the latest delay of this turn, if there was one.
    #[must_use]
    pub const fn last_delay(&self) -> Option<Duration> {
        self.facts.last_delay
    }

    /// Returns whether a viewer may have seen output of this attempt.
    #[must_use]
    pub const fn output_started(&self) -> bool {
        self.facts.output_started
    }

    /// Returns what the retry that led to this attempt drew from a shared quota.
    ///
    /// See [`RetryDecision::drawing`].
    #[must_use]
    pub const fn drawn(&self) -> Option<u32> {
        self.facts.drawn
    }

    /// Takes what a wait before the call has given, or its admission: the latest of this type that is
    /// accepted.
    ///
    /// What nobody takes is dropped when the attempt has ended. See
    /// [`BeforeModelCallEvent::wait_for`](crate::BeforeModelCallEvent::wait_for) and
    /// [`BeforeModelCallEvent::admit_if`](crate::BeforeModelCallEvent::admit_if).
    ///
    /// ```
    /// use steadfast_core::{
    ///     AfterModelCallEvent, Agent, BeforeModelCallEvent, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// struct Ticket(u32);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Yes.")]))
    ///     .on(|event: &mut BeforeModelCallEvent| event.admit_if(|_| Ok(Ticket(7))))
    ///     .on(|event: &mut AfterModelCallEvent| {
    ///         let ticket = event.take_permit(|_: &Ticket| true);
    ///         assert_eq!(ticket.map(|ticket| ticket.0), Some(7));
    ///     })
    ///     .build()?;
    /// agent.prompt("Umbrella?").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_permit<T: 'static>(&mut self, is_mine: impl Fn(&T) -> bool) -> Option<T> {
        self.permits.take(is_mine)
    }

    /// Asks for another call after a wait.
    ///
    /// The loop tells it as a throttle event and waits.
    pub const fn retry_after(&mut self, delay: Duration) {
        self.retry = true;
        self.plan = Some(WaitPlan {
            delay,
            decided_by: DecidedBy::Hook,
            max_attempts: None,
            drawn: None,
        });
    }

    /// Claims that there is to be no other call.
    ///
    /// The retry strategy, asked last, respects it.
    pub const fn give_up(&mut self) {
        self.gave_up = true;
        self.retry = false;
        self.plan = None;
    }

    /// Returns the wait that has been declared so far; none for a retry at once.
    #[must_use]
    pub const fn delay(&self) -> Option<Duration> {
        match self.plan {
            Some(plan) => Some(plan.delay),
            None => None,
        }
    }

    /// Returns whether a hook has already said yes or no.
    ///
    /// A strategy then leaves the event alone.
    #[must_use]
    pub const fn is_claimed(&self) -> bool {
        self.retry || self.gave_up
    }

    /// Returns the attempt as a strategy judges it; none if the call did not fail.
    #[must_use]
    pub const fn failed_attempt(&self) -> Option<FailedAttempt<'_>> {
        match self.error() {
            Some(error) => Some(FailedAttempt::from_loop(
                error,
                self.scope.attempt,
                self.facts,
            )),
            None => None,
        }
    }

    /// Writes a strategy's decision into the event. `max_attempts` is told to viewers.
    pub fn decide(&mut self, decision: RetryDecision, max_attempts: Option<u32>) {
        match decision {
            RetryDecision::GiveUp { why } => {
                self.retry = false;
                self.plan = None;
                self.why_not = why;
            }
            RetryDecision::Retry {
                delay,
                decided_by,
                drawn,
            } => {
                self.retry = true;
                self.plan = Some(WaitPlan {
                    delay,
                    decided_by,
                    max_attempts,
                    drawn,
                });
            }
        }
    }

    /// Has another model called at once.
    pub(crate) const fn move_on(&mut self) {
        self.retry = true;
        self.plan = None;
        self.elsewhere = true;
    }

    /// A delay, and where to call, belong to the retry that they were declared with.
    pub(crate) const fn drop_stale_delay(&mut self) {
        if !self.retry {
            self.plan = None;
            self.elsewhere = false;
        }
    }
}
