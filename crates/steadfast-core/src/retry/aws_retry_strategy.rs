//! AWS's three retry modes as a strategy, with botocore's numbers. Configuration is read elsewhere.

mod failure_class;
mod settings;

use std::time::Duration;

use steadfast_resilience::{
    AdaptiveLimiter, Backoff, ConfigError, Jitter, RetryQuota, Wait, millis, secs,
};

use super::{FailedAttempt, RetryDecision};
use crate::{
    hook::{BEHIND_ALL_WAITS, HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent},
    model::ModelError,
};

use failure_class::FailureClass;
pub use settings::{AwsRetryMode, AwsRetryRules, AwsRetrySettings, SetBy};

/// The tokens of a quota, and what a first try that succeeds gives back.
const QUOTA: u32 = 500;
const REWARD: u32 = 1;

/// The retry modes of AWS's SDKs: `legacy`, `standard` and `adaptive`.
///
/// For whoever is used to them, on any provider. The numbers are those of botocore 1.44, and of 1.42
/// with [`AwsRetryRules::Pre2026`].
///
/// | | [`legacy`](Self::legacy) | [`standard`](Self::standard) | [`adaptive`](Self::adaptive) |
/// |---|---|---|---|
/// | calls at most | 5 | 3 | 3 |
/// | delay before retry n | `U × 2ⁿ⁻¹` s, no cap | `U × min(b × 2ⁿ⁻¹, 20)` s, b = 1 after a throttle, else 0.05 | as standard |
/// | `x-amz-retry-after` | ignored | waited, up to 5 s longer than the delay | as standard |
/// | other hints, such as `retry-after` | ignored | ignored | ignored |
/// | quota | none | 500 tokens: a throttle's retry takes 5, another's 14 | as standard |
/// | sends | free | free | limited from the first throttle on |
///
/// `U` is drawn anew for each delay, from 0 up to 1. A success gives the quota back what its last retry
/// took, or one token if it took no retry; a quota that is empty lets errors stand at once.
///
/// A strategy's quota and limiter are shared by its clones: give the same value to all agents that
/// call one provider, as one client of AWS's would serve them. Two values that are built apart do not
/// influence each other.
///
/// What is retried, code and status say, as in botocore: see [`AwsRetryStrategy::decide`]. For
/// AG2's words and the environment variables of AWS see [`AwsRetryConfig`](crate::AwsRetryConfig).
///
/// ```
/// use steadfast_core::{Agent, AwsRetryStrategy, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let model = ScriptedModel::new([Reply::throttled(), Reply::text("Yes: it will rain.")]);
/// let retries = AwsRetryStrategy::standard().total_max_attempts(5);
/// let agent = Agent::builder().model(model).retry_strategy(retries.clone()).build()?;
/// assert_eq!(agent.prompt("Umbrella?").await?.attempts(), 2);
/// assert_eq!(retries.quota().left(), 500); // what the retry took, the success gave back
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct AwsRetryStrategy {
    settings: AwsRetrySettings,
    quota: RetryQuota,
    limiter: AdaptiveLimiter,
}

impl AwsRetryStrategy {
    /// Botocore's first mode: 5 calls, delays that double without a cap, no quota.
    pub fn legacy() -> Self {
        Self::of_mode(AwsRetryMode::Legacy)
    }

    /// The mode that AWS's SDKs have in common and take by default: 3 calls.
    pub fn standard() -> Self {
        Self::of_mode(AwsRetryMode::Standard)
    }

    /// The mode `standard` with a limiter that slows all sends after a throttle: 3 calls.
    ///
    /// The limiter's wait before a call is told as a throttle event of a pacer.
    pub fn adaptive() -> Self {
        Self::of_mode(AwsRetryMode::Adaptive)
    }

    fn of_mode(mode: AwsRetryMode) -> Self {
        Self::from_settings(AwsRetrySettings {
            total_max_attempts: mode.total_max_attempts(),
            total_max_attempts_set_by: SetBy::Default,
            mode,
            mode_set_by: SetBy::Program,
            rules: AwsRetryRules::default(),
        })
    }

    pub(super) fn from_settings(settings: AwsRetrySettings) -> Self {
        Self {
            settings,
            quota: RetryQuota::new(QUOTA),
            limiter: AdaptiveLimiter::new(),
        }
    }

    /// Sets the most calls of one turn, the first included; 1 means no retry.
    pub const fn total_max_attempts(mut self, total_max_attempts: u32) -> Self {
        self.settings.total_max_attempts = total_max_attempts;
        self.settings.total_max_attempts_set_by = SetBy::Program;
        self
    }

    /// Goes by another set of AWS's rules.
    pub const fn rules(mut self, rules: AwsRetryRules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// Takes retries from this quota instead of one of its own, to share it with other strategies.
    pub fn with_quota(mut self, quota: RetryQuota) -> Self {
        self.quota = quota;
        self
    }

    /// Limits sends by this limiter instead of one of its own, to share it with other strategies.
    ///
    /// Without effect but in mode `adaptive`.
    pub fn with_limiter(mut self, limiter: AdaptiveLimiter) -> Self {
        self.limiter = limiter;
        self
    }

    /// Returns what the strategy goes by, and who set it.
    pub const fn settings(&self) -> &AwsRetrySettings {
        &self.settings
    }

    /// Returns the quota, which clones share. In mode `legacy` it is never touched.
    #[must_use]
    pub const fn quota(&self) -> &RetryQuota {
        &self.quota
    }

    /// Returns the limiter, which clones share. Only mode `adaptive` uses it.
    #[must_use]
    pub const fn limiter(&self) -> &AdaptiveLimiter {
        &self.limiter
    }

    /// Decides about one failed attempt, and draws on the quota if it is to be tried again.
    ///
    /// An answer of AWS is judged by its code and status, as botocore does: the codes of throttles
    /// whatever their status, `RequestTimeout`, `ModelNotReadyException`, and the statuses 429, 500,
    /// 502, 503 and 504 (`legacy`: also 509). So 408, 424, 501 and 529 are not retried, nor is any
    /// other code at status 400, 401, 403 or 404. An answer without a code is judged in the same way.
    ///
    /// What no AWS server said is judged by the error's kind: a connection that failed, an error in
    /// mid-stream, an answer with another vendor's code. A throttle counts as a throttle; what else is
    /// transient counts as another failure. AWS's own SDKs give errors in mid-stream to their
    /// caller; here the output is taken back and the call is made again.
    ///
    /// Quotas of a day or a plan, requests that are too large, histories that are too long, filters
    /// and refused credentials are never retried.
    ///
    /// ```
    /// use steadfast_core::{AwsRetryStrategy, FailedAttempt, ModelError, ModelErrorKind, RetryDecision, millis};
    ///
    /// let error = ModelError::new(ModelErrorKind::Server, "try later").with_status(503);
    /// let second = FailedAttempt::new(&error, 2).with_random(u64::MAX / 2);
    /// let retries = AwsRetryStrategy::standard();
    /// assert_eq!(retries.decide(&second), RetryDecision::after(millis(50)).drawing(14));
    /// assert_eq!(retries.quota().left(), 486);
    /// ```
    pub fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        let Some(class) = FailureClass::of(attempt.error(), &self.settings) else {
            return RetryDecision::give_up();
        };
        if attempt.attempt() >= self.settings.total_max_attempts {
            return RetryDecision::give_up_because(super::gave_up_after(
                attempt.attempt(),
                self.settings.attempts_field(),
            ));
        }
        let decision = self.delay(class, attempt);
        if let RetryDecision::Retry { delay, .. } = decision
            && attempt.is_too_late(delay)
        {
            // The loop refuses it and says why; nothing is drawn for a retry that is not made.
            return decision;
        }
        let cost = match self.settings.mode {
            AwsRetryMode::Legacy => return decision,
            AwsRetryMode::Standard | AwsRetryMode::Adaptive => self.cost(class),
        };
        if self.quota.take(cost) {
            decision.drawing(cost)
        } else {
            RetryDecision::give_up_because(format!(
                "gave up since a retry takes {cost} tokens of the `quota` that is shared, and {} are left: \
                 successes refill it",
                self.quota.left()
            ))
        }
    }

    fn delay(&self, class: FailureClass, attempt: &FailedAttempt<'_>) -> RetryDecision {
        let (first, longest) = match (self.settings.mode, self.settings.rules, class) {
            (AwsRetryMode::Legacy, ..) => (secs(1), Duration::MAX),
            (_, AwsRetryRules::V2026, FailureClass::Timeout | FailureClass::Other) => {
                (millis(50), secs(20))
            }
            _ => (secs(1), secs(20)),
        };
        // The exponent counts all attempts, also those that a hook had made.
        let wait = Wait::after(attempt.attempt().saturating_sub(1)).random(attempt.random());
        let delay = Backoff::exponential(first)
            .max_delay(longest)
            .jitter(Jitter::Full)
            .delay(&wait);
        match self.hint(attempt.error()) {
            Some(hint) if hint > delay => {
                RetryDecision::after_hint(hint.min(delay.saturating_add(secs(5))))
            }
            _ => RetryDecision::after(delay),
        }
    }

    fn hint(&self, error: &ModelError) -> Option<Duration> {
        match (self.settings.mode, self.settings.rules) {
            (AwsRetryMode::Legacy, _) | (_, AwsRetryRules::Pre2026) => None,
            _ => error.aws_retry_after(),
        }
    }

    const fn cost(&self, class: FailureClass) -> u32 {
        match (self.settings.rules, class) {
            (_, FailureClass::Throttle) | (AwsRetryRules::Pre2026, FailureClass::Other) => 5,
            (AwsRetryRules::Pre2026, FailureClass::Timeout) => 10,
            (AwsRetryRules::V2026, _) => 14,
        }
    }

    /// Has sends wait their turn.
    fn limit(&self, event: &mut BeforeModelCallEvent) {
        if self.limiter.is_on() {
            let limiter = self.limiter.clone();
            let line = limiter.clone();
            event.wait_in_line(
                move || line.expected_wait().unwrap_or_default(),
                async move { limiter.acquire().await },
            );
        }
    }

    /// Learns from every answer, whoever decides about it.
    fn learn(&self, event: &AfterModelCallEvent) {
        if self.settings.mode == AwsRetryMode::Legacy || !event.called {
            return;
        }
        if event.response().is_some() {
            self.quota.give_back(event.drawn().unwrap_or(REWARD));
        }
        if self.settings.mode == AwsRetryMode::Adaptive {
            match (event.error(), event.response()) {
                (Some(error), _) if self.is_throttle(error) => self.limiter.throttled(),
                (Some(_), _) | (_, Some(_)) => self.limiter.answered(),
                // Cut short by cancellation or by the deadline: nobody answered.
                (None, None) => {}
            }
        }
    }

    fn is_throttle(&self, error: &ModelError) -> bool {
        FailureClass::of(error, &self.settings) == Some(FailureClass::Throttle)
    }
}

/// A provider of its own, because a strategy alone is not asked about answers.
impl HookProvider for AwsRetryStrategy {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        hooks.tell_max_attempts(self.settings.total_max_attempts);
        if self.settings.mode == AwsRetryMode::Adaptive {
            let strategy = self.clone();
            hooks
                .order(BEHIND_ALL_WAITS)
                .on(move |event: &mut BeforeModelCallEvent| strategy.limit(event));
        }
        let strategy = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| {
            strategy.learn(event);
            if event.is_claimed() {
                return;
            }
            if let Some(attempt) = event.failed_attempt() {
                let decision = strategy.decide(&attempt);
                event.decide(decision, Some(strategy.settings.total_max_attempts));
            }
        });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.settings.total_max_attempts == 0 {
            return Err(
                ConfigError::new("total_max_attempts", "must be at least 1, got `0`")
                    .with_hint("the first call counts; `NoopRetryStrategy` switches retries off"),
            );
        }
        Ok(())
    }
}
