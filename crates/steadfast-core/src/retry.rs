//! Retry strategies: one question, answered without side effects. The loop counts and waits.

mod aws_retry_config;
mod aws_retry_strategy;
mod fleet_retry_strategy;
mod model_retry_strategy;

use std::{borrow::Cow, sync::Arc, time::Duration};

use steadfast_resilience::{Backoff, Wait};

use crate::{
    ConfigError,
    event::DecidedBy,
    hook::{HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, AttemptFacts},
    model::ModelError,
};

pub use aws_retry_config::AwsRetryConfig;
pub use aws_retry_strategy::{
    AwsRetryMode, AwsRetryRules, AwsRetrySettings, AwsRetryStrategy, SetBy,
};
pub use fleet_retry_strategy::FleetRetryStrategy;
pub use model_retry_strategy::ModelRetryStrategy;

/// Decides whether a failed model call is tried again, and after how long.
///
/// A strategy keeps no state of a run: what it needs to know comes with the attempt, so one value
/// serves many agents and a replay gets the same answer. What is shared on purpose, such as a
/// budget, is a handle that the strategy clones.
///
/// Every strategy that is `Clone` is a [`HookProvider`], which is what
/// [`AgentBuilder::retry_strategy`](crate::AgentBuilder::retry_strategy) takes. It is asked after
/// all user hooks and leaves alone what one of them claimed.
///
/// ```
/// use steadfast_core::{FailedAttempt, ModelErrorKind, RetryDecision, RetryStrategy, secs};
///
/// #[derive(Clone)]
/// struct OnceAfterASecond;
///
/// impl RetryStrategy for OnceAfterASecond {
///     fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
///         if attempt.attempt() == 1 && attempt.error().is_transient() {
///             RetryDecision::after(secs(1))
///         } else {
///             RetryDecision::give_up()
///         }
///     }
/// }
///
/// # let error = steadfast_core::ModelError::new(ModelErrorKind::Throttled, "");
/// let first = FailedAttempt::new(&error, 1);
/// assert_eq!(OnceAfterASecond.decide(&first), RetryDecision::after(secs(1)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no retry strategy",
    note = "implement `RetryStrategy` for it and derive `Clone`, or implement `HookProvider`"
)]
pub trait RetryStrategy: Send + Sync + 'static {
    /// Decides about one failed attempt.
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision;

    /// Returns the most calls that one turn can have, for viewers and for providers that tell it.
    ///
    /// None if it has no such limit.
    fn max_attempts(&self) -> Option<u32> {
        None
    }

    /// Checks the strategy's configuration when an agent is built.
    ///
    /// # Errors
    ///
    /// A value that cannot work, with the name of its field.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

impl<S: RetryStrategy + ?Sized> RetryStrategy for Arc<S> {
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        (**self).decide(attempt)
    }

    fn max_attempts(&self) -> Option<u32> {
        (**self).max_attempts()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        (**self).validate()
    }
}

/// The bridge from strategies to hooks: the only code that knows both.
impl<S: RetryStrategy + Clone> HookProvider for S {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        if let Some(max_attempts) = self.max_attempts() {
            hooks.tell_max_attempts(max_attempts);
        }
        let strategy = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| {
            if event.is_claimed() {
                return;
            }
            if let Some(attempt) = event.failed_attempt() {
                let decision = strategy.decide(&attempt);
                event.decide(decision, strategy.max_attempts());
            }
        });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        RetryStrategy::validate(self)
    }
}

/// What a strategy answers.
///
/// A retry without a delay cannot be written; the delay may be zero.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum RetryDecision {
    /// The error stands; made by [`RetryDecision::give_up`] and its like.
    #[non_exhaustive]
    GiveUp {
        /// Why, where the error does not say it itself.
        why: Option<Cow<'static, str>>,
    },
    /// The model is called again; made by [`RetryDecision::after`] and its like.
    #[non_exhaustive]
    Retry {
        /// How long the loop waits first; a zero delay does not sleep.
        delay: Duration,
        /// Who set the delay, for viewers.
        decided_by: DecidedBy,
        /// What was drawn from a shared quota for it.
        drawn: Option<u32>,
    },
}

impl RetryDecision {
    /// Lets the error stand, since it is of a kind that no later try mends.
    pub const fn give_up() -> Self {
        Self::GiveUp { why: None }
    }

    /// Lets an error stand that another try might have mended, and says why.
    ///
    /// The words go into the run's error, as [`Failure::gave_up`](crate::Failure::gave_up) and at the
    /// head of its hint, so they name what may be changed.
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, FailedAttempt, RetryDecision, RetryStrategy, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// #[derive(Clone)]
    /// struct NightShift;
    ///
    /// impl RetryStrategy for NightShift {
    ///     fn decide(&self, _: &FailedAttempt<'_>) -> RetryDecision {
    ///         RetryDecision::give_up_because("nothing is tried twice at night")
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::throttled()]))
    ///     .retry_strategy(NightShift)
    ///     .build()?;
    /// let error = agent.prompt("Umbrella?").await.unwrap_err();
    /// assert_eq!(error.hint().as_deref(), Some("nothing is tried twice at night"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn give_up_because(why: impl Into<Cow<'static, str>>) -> Self {
        Self::GiveUp {
            why: Some(why.into()),
        }
    }

    /// Tries again after a delay of the strategy's own.
    pub const fn after(delay: Duration) -> Self {
        Self::Retry {
            delay,
            decided_by: DecidedBy::Backoff,
            drawn: None,
        }
    }

    /// Tries again after the delay that the server named.
    pub const fn after_hint(delay: Duration) -> Self {
        Self::Retry {
            delay,
            decided_by: DecidedBy::Hint,
            drawn: None,
        }
    }

    /// Notes what this retry drew from a quota that is shared.
    ///
    /// It is recorded with the decision and comes back with the attempt that follows, as
    /// [`AfterModelCallEvent::drawn`](crate::AfterModelCallEvent::drawn), so that a strategy without
    /// a memory of its own can give it back when that attempt succeeds.
    ///
    /// ```
    /// use steadfast_core::{
    ///     AfterModelCallEvent, Agent, FailedAttempt, RetryDecision, RetryQuota, RetryStrategy, millis,
    ///     testing::{Reply, ScriptedModel},
    /// };
    ///
    /// #[derive(Clone)]
    /// struct Thrifty(RetryQuota);
    ///
    /// impl RetryStrategy for Thrifty {
    ///     fn decide(&self, _: &FailedAttempt<'_>) -> RetryDecision {
    ///         match self.0.take(5) {
    ///             true => RetryDecision::after(millis(10)).drawing(5),
    ///             false => RetryDecision::give_up_because("the `quota` is used up"),
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let quota = RetryQuota::new(100);
    /// let refund = quota.clone();
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")]))
    ///     .retry_strategy(Thrifty(quota.clone()))
    ///     .on(move |event: &mut AfterModelCallEvent| {
    ///         if let (Some(_), Some(drawn)) = (event.response(), event.drawn()) {
    ///             refund.give_back(drawn);
    ///         }
    ///     })
    ///     .build()?;
    /// agent.prompt("Umbrella?").await?;
    /// assert_eq!(quota.left(), 100);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drawing(self, tokens: u32) -> Self {
        match self {
            Self::Retry {
                delay, decided_by, ..
            } => Self::Retry {
                delay,
                decided_by,
                drawn: Some(tokens),
            },
            give_up => give_up,
        }
    }
}

/// A failed attempt, as the loop counted it.
#[derive(Debug, Clone, Copy)]
pub struct FailedAttempt<'a> {
    error: &'a ModelError,
    attempt: u32,
    facts: AttemptFacts,
}

impl<'a> FailedAttempt<'a> {
    /// Describes an attempt for a strategy's own tests.
    ///
    /// The first call of a turn has number 1. The waits follow from it, as if all retries before had
    /// waited.
    #[must_use]
    pub const fn new(error: &'a ModelError, attempt: u32) -> Self {
        Self {
            error,
            attempt,
            facts: AttemptFacts {
                calls: attempt.saturating_sub(1),
                moves: 0,
                waits: attempt.saturating_sub(1),
                waits_behind_calls: attempt.saturating_sub(1),
                elapsed: Duration::ZERO,
                time_left: None,
                last_delay: None,
                output_started: false,
                random: 0,
                drawn: None,
            },
        }
    }

    /// Sets the latest delay of the turn, for a strategy's own tests.
    #[must_use]
    pub const fn with_last_delay(mut self, delay: Duration) -> Self {
        self.facts.last_delay = Some(delay);
        self
    }

    /// Sets how many waits were made in the turn, for a strategy's own tests.
    #[must_use]
    pub const fn with_waits(mut self, waits: u32) -> Self {
        self.facts.waits = waits;
        self.facts.waits_behind_calls = waits;
        self
    }

    /// Sets the time since the first attempt of the turn began, for a strategy's own tests.
    #[must_use]
    pub const fn with_elapsed(mut self, elapsed: Duration) -> Self {
        self.facts.elapsed = elapsed;
        self
    }

    /// Has a viewer see output of this attempt, for a strategy's own tests.
    #[must_use]
    pub const fn with_output_started(mut self) -> Self {
        self.facts.output_started = true;
        self
    }

    /// Sets the random bits, for a strategy's own tests.
    #[must_use]
    pub const fn with_random(mut self, random: u64) -> Self {
        self.facts.random = random;
        self
    }

    pub(crate) const fn from_loop(
        error: &'a ModelError,
        attempt: u32,
        facts: AttemptFacts,
    ) -> Self {
        Self {
            error,
            attempt,
            facts,
        }
    }

    /// Tries again after a backoff's delay, or after the server's hint where that is longer.
    ///
    /// A strategy that caps what a server may ask for looks at the hint first.
    ///
    /// ```
    /// use steadfast_core::{Backoff, FailedAttempt, ModelError, ModelErrorKind, RetryDecision, secs};
    ///
    /// let backoff = Backoff::exponential(secs(1));
    /// let error = ModelError::new(ModelErrorKind::Throttled, "slow down").with_retry_after(secs(3));
    ///
    /// let second = FailedAttempt::new(&error, 2);
    /// assert_eq!(second.retry_with(&backoff), RetryDecision::after_hint(secs(3)));
    /// let third = FailedAttempt::new(&error, 3);
    /// assert_eq!(third.retry_with(&backoff), RetryDecision::after(secs(4)));
    /// ```
    pub fn retry_with(&self, backoff: &Backoff) -> RetryDecision {
        let wait = Wait::after(self.waits())
            .last_delay(self.last_delay())
            .random(self.random());
        let delay = backoff.delay(&wait);
        match self.error.retry_after() {
            Some(hint) if hint > delay => {
                RetryDecision::after_hint(backoff.delay_with_hint(&wait, hint))
            }
            _ => RetryDecision::after(delay),
        }
    }

    /// Returns the error, with its kind and the server's hint.
    #[must_use]
    pub const fn error(&self) -> &'a ModelError {
        self.error
    }

    /// Returns the number of this call of the model in its turn, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns how many waits were made in this turn: the exponent of a backoff.
    #[must_use]
    pub const fn waits(&self) -> u32 {
        self.facts.waits
    }

    /// The same without the waits for calls that were refused before they were made.
    pub(crate) const fn only_behind_calls(self) -> Self {
        self.with_waits(self.facts.waits_behind_calls)
    }

    /// Returns the time since the first attempt of this turn began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.facts.elapsed
    }

    /// Whether a wait would not end before the run's deadline, so that no retry can follow.
    pub(crate) fn is_too_late(&self, delay: Duration) -> bool {
        self.facts.is_too_late(delay)
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

    /// Returns random bits drawn for this attempt: the same in a replay.
    #[must_use]
    pub const fn random(&self) -> u64 {
        self.facts.random
    }
}

/// Says that all attempts were made that a field allows.
fn gave_up_after(attempts: u32, field: &str) -> String {
    let made = match attempts {
        1 => "1 attempt".to_owned(),
        number => format!("{number} attempts"),
    };
    format!("gave up after {made}, all that `{field}` allows")
}

/// Switches retries off: the model is called once, and an error stands.
///
/// Hooks may still retry.
///
/// ```
/// use steadfast_core::{Agent, NoopRetryStrategy, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ScriptedModel::new([Reply::throttled(), Reply::text("never reached")]);
/// let agent = Agent::builder().model(model.clone()).retry_strategy(NoopRetryStrategy).build()?;
/// assert!(agent.prompt("Umbrella?").await.is_err());
/// assert_eq!(model.calls(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoopRetryStrategy;

impl RetryStrategy for NoopRetryStrategy {
    fn decide(&self, _attempt: &FailedAttempt<'_>) -> RetryDecision {
        RetryDecision::give_up()
    }

    fn max_attempts(&self) -> Option<u32> {
        Some(1)
    }
}
