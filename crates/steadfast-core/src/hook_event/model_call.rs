//! Events around a model call: the heart of retrying.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::permit::{Admission, DeclaredWait, Permits};
use crate::{
    event::{DecidedBy, EventScope, scoped},
    history::History,
    model::{CalledModel, Model, ModelError, ModelRequest, ModelResponse},
    retry::{FailedAttempt, RetryDecision},
    usage::Usage,
};

scoped!(BeforeModelCallEvent, AfterModelCallEvent);

/// The model is about to be called. Happens for every attempt.
///
/// A limiter that is shared by several agents has its calls wait their turn here: see
/// [`wait_for`](Self::wait_for).
#[derive(Debug)]
pub struct BeforeModelCallEvent {
    pub(crate) scope: EventScope,
    pub(crate) request: ModelRequest,
    pub(crate) model: CalledModel,
    pub(crate) waits: Vec<DeclaredWait>,
    pub(crate) admissions: Vec<Admission>,
    pub(crate) refusal: Option<Box<ModelError>>,
    /// Set to a text to answer with it instead of calling the model.
    pub cancel: Option<String>,
}

impl BeforeModelCallEvent {
    /// Returns the messages that the model will be asked with.
    #[must_use]
    pub const fn history(&self) -> &History {
        self.request.history()
    }

    /// Returns what the model will be asked: the messages, the system prompt, the tools and the settings.
    #[must_use]
    pub const fn request(&self) -> &ModelRequest {
        &self.request
    }

    /// Returns the name of the model that will be called.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.0.name()
    }

    /// Has this attempt call another model than the agent's.
    ///
    /// Observers are told of the change, as [`AgentEvent::ModelSwitched`](crate::AgentEvent). The next
    /// attempt begins with the agent's model again. The last writer wins. Hooks that the model would
    /// bring to an agent of its own are not registered; for models that stand in for each other there is
    /// [`Fallback`](crate::Fallback).
    ///
    /// ```
    /// use steadfast_core::{Agent, BeforeModelCallEvent, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let thorough = ScriptedModel::new([Reply::text("A long answer.")]);
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Short.")]))
    ///     .on(move |event: &mut BeforeModelCallEvent| {
    ///         if event.history().last().is_some_and(|message| message.text().len() > 100) {
    ///             event.use_model(thorough.clone());
    ///         }
    ///     })
    ///     .build()?;
    /// assert_eq!(agent.prompt("Why?").await?.text(), "Short.");
    /// assert_eq!(agent.prompt("Why? ".repeat(30)).await?.text(), "A long answer.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn use_model(&mut self, model: impl Model) {
        self.model = CalledModel(Arc::new(model));
    }

    /// Has the loop wait before it calls the model, until the future is done.
    ///
    /// A future that is done at once was no wait. Otherwise the loop tells it as a throttle event of a
    /// pacer, with the `expected` delay, which may be a guess, and waits; the time counts as waited.
    /// What the future gives, such as a semaphore's permit, is held until the attempt has ended,
    /// however it ends; a hook behind the call may take it
    /// ([`AfterModelCallEvent::take_permit`]).
    ///
    /// If the expected delay does not end before the run's deadline, the run ends at once, with an
    /// error that says when to come back. The future is dropped if the run is cancelled, if its
    /// deadline passes, and, without being polled, if another hook answers in the model's place or has
    /// the attempt fail.
    ///
    /// ```
    /// use steadfast_core::{Agent, BeforeModelCallEvent, secs, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Yes.")]))
    ///     .on(|event: &mut BeforeModelCallEvent| {
    ///         event.wait_for(secs(2), tokio::time::sleep(secs(2)));
    ///     })
    ///     .build()?;
    /// assert_eq!(agent.prompt("Umbrella?").await?.waited(), secs(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(
        &mut self,
        expected: Duration,
        until: impl Future<Output: Send + 'static> + Send + 'static,
    ) {
        self.waits.push(DeclaredWait::new(expected, until));
    }

    /// Has the attempt fail with this error, as if the model had said it: it is not called.
    ///
    /// Hooks and strategy decide about the error as about any other, so that a retry waits for its
    /// `retry_after`, and a [`Fallback`](crate::Fallback) goes on to its next model. The first error
    /// stands. A hook that answers in the model's place ([`cancel`](Self::cancel)) has the last word.
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, BeforeModelCallEvent, ModelError, ModelErrorKind, RunErrorKind, testing::ScriptedModel,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = ScriptedModel::new([]);
    /// let agent = Agent::builder()
    ///     .model(model.clone())
    ///     .on(|event: &mut BeforeModelCallEvent| {
    ///         if event.history().len() > 400 {
    ///             event.fail_with(ModelError::new(ModelErrorKind::TooLarge, "more than we ever send"));
    ///         }
    ///     })
    ///     .build()?;
    /// let error = agent.prompt(vec![steadfast_core::Message::user("?"); 401]).await.unwrap_err();
    /// assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::TooLarge));
    /// assert_eq!(model.calls(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail_with(&mut self, error: ModelError) {
        self.refusal.get_or_insert_with(|| Box::new(error));
    }

    /// Asks once more when all waits are over, right before the call: whether it is made.
    ///
    /// What a hook learns before a long wait may be wrong after it. An error has the attempt fail with
    /// it, as [`fail_with`](Self::fail_with) does. What else it gives is held until the attempt has
    /// ended, like the permit of a wait. It is not asked if the call is not made for another reason.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use steadfast_core::{
    ///     Agent, BeforeModelCallEvent, ModelError, ModelErrorKind, NoopRetryStrategy, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let is_night = Arc::new(AtomicBool::new(false));
    /// let asked = Arc::clone(&is_night);
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::always(Reply::text("Yes.")))
    ///     .retry_strategy(NoopRetryStrategy)
    ///     .on(move |event: &mut BeforeModelCallEvent| {
    ///         let is_night = Arc::clone(&asked);
    ///         event.admit_if(move || match is_night.load(Ordering::Relaxed) {
    ///             true => Err(ModelError::new(ModelErrorKind::Overloaded, "we sleep")),
    ///             false => Ok(()),
    ///         });
    ///     })
    ///     .build()?;
    /// assert!(agent.prompt("Umbrella?").await.is_ok());
    /// is_night.store(true, Ordering::Relaxed);
    /// assert!(agent.prompt("Umbrella?").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn admit_if<T: Send + 'static>(
        &mut self,
        admit: impl FnMut() -> Result<T, ModelError> + Send + 'static,
    ) {
        self.admissions.push(Admission::new(admit));
    }

    /// Whether a hook has already said that the model is not called.
    pub(crate) const fn is_decided(&self) -> bool {
        self.cancel.is_some() || self.refusal.is_some()
    }

    /// Returns the longest delay that was declared so far; none if the model is called at once.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.waits.iter().map(DeclaredWait::expected).max()
    }
}

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
    pub(crate) waits: u32,
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
    /// [`BeforeModelCallEvent::wait_for`] and [`BeforeModelCallEvent::admit_if`].
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
    ///     .on(|event: &mut BeforeModelCallEvent| event.admit_if(|| Ok(Ticket(7))))
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
