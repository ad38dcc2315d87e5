//! What a provider says about its limits beside an answer. Nothing is concluded from it here.

use std::time::Duration;

/// What an answer's headers say of the limits, and of what is left of them.
///
/// A provider's wire reads them and hands them over with the answer
/// ([`ModelStream::with_rate_limits`](crate::ModelStream::with_rate_limits)) or with the error
/// ([`ModelError::with_rate_limits`](crate::ModelError::with_rate_limits)).
///
/// ```
/// use steadfast_core::{RateLimit, RateLimits, millis};
///
/// let requests = RateLimit::new(60, 59).with_reset(millis(1_000));
/// let limits = RateLimits::new().with_requests(requests);
/// assert_eq!(limits.requests.and_then(|requests| requests.per_second()), Some(1.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// The limit of requests.
    pub requests: Option<RateLimit>,
    /// The limit of tokens; of several the one of which the least is left.
    pub tokens: Option<RateLimit>,
}

impl RateLimits {
    /// Nothing is said.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            requests: None,
            tokens: None,
        }
    }

    /// Sets what is said of requests.
    #[must_use]
    pub fn with_requests(mut self, requests: impl Into<Option<RateLimit>>) -> Self {
        self.requests = requests.into();
        self
    }

    /// Sets what is said of tokens.
    #[must_use]
    pub fn with_tokens(mut self, tokens: impl Into<Option<RateLimit>>) -> Self {
        self.tokens = tokens.into();
        self
    }

    /// Returns whether nothing is said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }
}

/// One limit: how much may go at once, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RateLimit {
    /// How much may go when nothing is used up.
    pub limit: u64,
    /// How much may go now.
    pub remaining: u64,
    /// How long until all of it may go again.
    pub reset: Option<Duration>,
}

impl RateLimit {
    /// So much is left of so much.
    #[must_use]
    pub const fn new(limit: u64, remaining: u64) -> Self {
        Self {
            limit,
            remaining,
            reset: None,
        }
    }

    /// Sets how long it takes until nothing is used up.
    #[must_use]
    pub fn with_reset(mut self, reset: impl Into<Option<Duration>>) -> Self {
        self.reset = reset.into();
        self
    }

    /// Returns how much a second comes back of what is used up.
    ///
    /// In the long run the limit lets so much go. A server that rounds its times up has it look like
    /// less, the more so the less is used up. None where nothing is used up, or no time is said.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let used = self.limit.saturating_sub(self.remaining);
        let rate = used as f64 / self.reset?.as_secs_f64();
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}
