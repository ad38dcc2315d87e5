//! Why a call was not made, or failed; it decides nothing.

use std::{error, fmt, time::Duration};

use super::lane::Refused;

/// A call that was refused since its circuit is open: nothing was called.
///
/// ```
/// use steadfast_resilience::{CircuitBreaker, secs};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
/// breaker.begin("search")?.failed();
///
/// let refused = breaker.begin("search").unwrap_err();
/// assert_eq!((refused.key(), refused.retry_after()), ("search", Some(secs(30))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitOpen {
    key: String,
    retry_after: Option<Duration>,
}

impl CircuitOpen {
    pub(super) fn new(key: &str, refused: Refused) -> Self {
        Self {
            key: key.to_owned(),
            retry_after: refused.trial_in,
        }
    }

    /// Returns whose circuit is open.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns how long it is until a call may try. None while one tries: its end is not known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the circuit of `{}` is ", self.key)?;
        match self.retry_after {
            Some(time) => write!(f, "open for another {time:?}"),
            None => f.write_str("half-open, and another call tries it"),
        }
    }
}

impl error::Error for CircuitOpen {}

/// Why a call through a breaker gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitError<E> {
    /// Its circuit is open: nothing was called.
    Open(CircuitOpen),
    /// It was called and failed, with its own error.
    Failed(E),
}

impl<E> CircuitError<E> {
    /// Returns whether nothing was called.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl<E: fmt::Display> fmt::Display for CircuitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(open) => fmt::Display::fmt(open, f),
            Self::Failed(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// Either error stands for itself, so that what it came of is what that one came of.
impl<E: error::Error> error::Error for CircuitError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Open(open) => open.source(),
            Self::Failed(error) => error.source(),
        }
    }
}
