//! Why a limiter gave no permit; it decides nothing.

use std::{error, fmt, time::Duration};

use crate::ConfigError;

/// Why a [`Limiter`](crate::Limiter) gave no permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimiterError {
    /// The cost can never be met, however long it waits: it is more than may go at once, or nothing.
    NeverFits(ConfigError),
    /// It would have to wait, and was asked for without a wait. This long, as far as is known now:
    /// [`Limiter::expected_wait`](crate::Limiter::expected_wait) says what that promises.
    WouldWait(Duration),
}

impl LimiterError {
    /// Returns the part of the cost that can never be met, `requests` or `tokens`; `rate_limit` if a
    /// stream has a cost and no limiter.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::NeverFits(error) => Some(error.field()),
            Self::WouldWait(_) => None,
        }
    }
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What is inside is the whole sentence, so it is not a source as well.
            Self::NeverFits(error) => fmt::Display::fmt(error, f),
            Self::WouldWait(wait) => write!(f, "the limiter would have it wait `{wait:?}`"),
        }
    }
}

impl error::Error for LimiterError {}
