//! The default strategy: exponential backoff on transient errors, the server's word first.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_resilience::{Backoff, ConfigError, Jitter, secs};

use super::{FailedAttempt, RetryDecision, RetryStrategy};
use crate::model::{ModelError, ModelErrorKind};

/// Exponential backoff on transient errors.
///
/// Without options: 6 attempts, the first wait 4 seconds, doubling, at most 240 seconds, no jitter.
/// A failed call is tried again after 4, 8, 16, 32 and 64 seconds, and the sixth failure stands.
///
/// When the server says how long to wait, the longer of its word and the backoff counts. A hint
/// never adds attempts and is never shortened; one beyond [`max_hint`](Self::max_hint) ends the run
/// at once, with an error that says when to come back.
///
/// What is transient, [`ModelErrorKind::is_transient`] says: throttled, overloaded, server, network,
/// timeout and truncated.
///
/// ```
/// use steadfast_core::{FailedAttempt, ModelError, ModelErrorKind, ModelRetryStrategy, RetryDecision, RetryStrategy, secs};
///
/// let strategy = ModelRetryStrategy::new();
/// let error = ModelError::new(ModelErrorKind::Throttled, "slow down");
/// let decide = |attempt| strategy.decide(&FailedAttempt::new(&error, attempt));
/// for (attempt, seconds) in [(1, 4), (2, 8), (3, 16), (4, 32), (5, 64)] {
///     assert_eq!(decide(attempt), RetryDecision::after(secs(seconds)));
/// }
/// assert!(matches!(decide(6), RetryDecision::GiveUp { .. }));
/// ```
#[derive(Clone)]
#[must_use]
pub struct ModelRetryStrategy {
    max_attempts: u32,
    backoff: Backoff,
    max_hint: Duration,
    retried: Retried,
}

/// Which errors are tried again.
#[derive(Clone)]
enum Retried {
    Transient,
    Throttles,
    If(Arc<dyn Fn(&ModelError) -> bool + Send + Sync>),
}

impl ModelRetryStrategy {
    /// Starts with the defaults.
    pub const fn new() -> Self {
        Self {
            max_attempts: 6,
            backoff: Backoff::exponential(secs(4)).max_delay(secs(240)),
            max_hint: secs(600),
            retried: Retried::Transient,
        }
    }

    /// Sets the most calls of one turn, the first included; 1 means no retry.
    pub const fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the first wait; one above `max_delay` is cut to it.
    pub const fn initial_delay(mut self, initial_delay: Duration) -> Self {
        self.backoff = self.backoff.initial_delay(initial_delay);
        self
    }

    /// Sets the longest wait that the backoff computes.
    pub const fn max_delay(mut self, max_delay: Duration) -> Self {
        self.backoff = self.backoff.max_delay(max_delay);
        self
    }

    /// Sets how waits are spread. A server's word is only ever lengthened by it.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.backoff = self.backoff.jitter(jitter);
        self
    }

    /// Sets the longest wait that a server may ask for.
    ///
    /// 10 minutes without this, and never less than the longest wait of the backoff.
    pub const fn max_hint(mut self, max_hint: Duration) -> Self {
        self.max_hint = max_hint;
        self
    }

    /// Retries throttled calls only, as Strands does.
    pub fn throttles_only(mut self) -> Self {
        self.retried = Retried::Throttles;
        self
    }

    /// Retries what the predicate accepts, instead of what is transient.
    pub fn retry_if(
        mut self,
        predicate: impl Fn(&ModelError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.retried = Retried::If(Arc::new(predicate));
        self
    }

    fn retries(&self, error: &ModelError) -> bool {
        match &self.retried {
            Retried::Transient => error.is_transient(),
            Retried::Throttles => error.kind() == ModelErrorKind::Throttled && error.is_transient(),
            Retried::If(predicate) => predicate(error),
        }
    }
}

impl Default for ModelRetryStrategy {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryStrategy for ModelRetryStrategy {
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        let error = attempt.error();
        if !self.retries(error) {
            return RetryDecision::give_up();
        }
        if attempt.attempt() >= self.max_attempts {
            return RetryDecision::give_up_because(super::gave_up_after(
                attempt.attempt(),
                "max_attempts",
            ));
        }
        let longest = self.max_hint.max(self.backoff.longest());
        match error.retry_after() {
            Some(hint) if hint > longest => RetryDecision::give_up_because(format!(
                "gave up since the server asks for a longer wait than `max_hint` allows ({longest:?})"
            )),
            _ => attempt.retry_with(&self.backoff),
        }
    }

    fn max_attempts(&self) -> Option<u32> {
        Some(self.max_attempts)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(
                ConfigError::new("max_attempts", "must be at least 1, got `0`")
                    .with_hint("the first call counts; `NoopRetryStrategy` switches retries off"),
            );
        }
        Ok(())
    }
}

impl fmt::Debug for ModelRetryStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retried = match self.retried {
            Retried::Transient => "transient",
            Retried::Throttles => "throttles",
            Retried::If(_) => "predicate",
        };
        f.debug_struct("ModelRetryStrategy")
            .field("max_attempts", &self.max_attempts)
            .field("backoff", &self.backoff)
            .field("max_hint", &self.max_hint)
            .field("retried", &retried)
            .finish()
    }
}

#[cfg(test)]
mod tests;
