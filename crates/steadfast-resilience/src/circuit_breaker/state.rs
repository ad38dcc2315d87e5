//! The states of a circuit, and what is told of a change; who decides is elsewhere.

use std::{fmt, time::Duration};

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls go.
    Closed,
    /// Calls are refused.
    Open,
    /// One call may try; the others are refused.
    HalfOpen,
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// A change of a circuit's state, told once it has happened.
///
/// ```
/// use std::sync::mpsc;
/// use steadfast_resilience::{CircuitBreaker, CircuitState, secs};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (told, changes) = mpsc::channel();
/// let breaker = CircuitBreaker::builder()
///     .consecutive_failures(1)
///     .on_change(move |change| drop(told.send(change.clone())))
///     .build()?;
///
/// breaker.begin("search")?.failed();
///
/// let change = changes.recv()?;
/// assert_eq!((change.key(), change.from()), ("search", CircuitState::Closed));
/// assert_eq!((change.to(), change.open_for()), (CircuitState::Open, Some(secs(30))));
/// assert_eq!(change.to_string(), "the circuit of `search` is open for 30s");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitChange {
    key: String,
    from: CircuitState,
    to: CircuitState,
    open_for: Option<Duration>,
}

impl CircuitChange {
    pub(super) fn new(
        key: &str,
        from: CircuitState,
        to: CircuitState,
        open_for: Option<Duration>,
    ) -> Self {
        Self {
            key: key.to_owned(),
            from,
            to,
            open_for,
        }
    }

    /// Returns whose circuit it is.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the state before.
    #[must_use]
    pub const fn from(&self) -> CircuitState {
        self.from
    }

    /// Returns the state from now on.
    #[must_use]
    pub const fn to(&self) -> CircuitState {
        self.to
    }

    /// Returns for how long it is open, if it is.
    #[must_use]
    pub const fn open_for(&self) -> Option<Duration> {
        self.open_for
    }

    pub(super) fn trace(&self) {
        let Self { key, open_for, .. } = self;
        match self.to {
            CircuitState::Open => {
                tracing::warn!(key, ?open_for, "a circuit opens: calls are refused");
            }
            CircuitState::HalfOpen => tracing::info!(key, "a circuit is half-open: one call tries"),
            CircuitState::Closed => tracing::info!(key, "a circuit closes: calls go again"),
        }
    }
}

impl fmt::Display for CircuitChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the circuit of `{}` is {}", self.key, self.to)?;
        match self.open_for {
            Some(time) => write!(f, " for {time:?}"),
            None => Ok(()),
        }
    }
}
