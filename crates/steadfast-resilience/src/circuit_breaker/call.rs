//! A call through a breaker, until it has ended; whether it may begin was decided before.

use std::{fmt, sync::Arc};

use super::{
    CircuitBreaker,
    lane::{Begun, Ended},
};

/// A call that a [`CircuitBreaker`] let go, from [`CircuitBreaker::begin`].
///
/// Say how it ended. Dropped, it counts neither as a failure nor as a success, and a trial gives its
/// place to the next call. What is said once the circuit has changed its state comes too late: it tells
/// of a time before.
#[must_use = "say how the call ended; dropped, it counts as neither"]
pub struct CircuitCall {
    breaker: CircuitBreaker,
    key: String,
    /// None once it was said how it ended.
    begun: Option<Begun>,
}

impl CircuitCall {
    pub(super) fn new(breaker: CircuitBreaker, key: &str, begun: Begun) -> Self {
        Self {
            breaker,
            key: key.to_owned(),
            begun: Some(begun),
        }
    }

    /// The call succeeded: a circuit that it tried closes.
    pub fn succeeded(mut self) {
        self.end(Ended::Succeeded);
    }

    /// The call failed in a way that tells against the other side.
    pub fn failed(mut self) {
        self.end(Ended::Failed);
    }

    /// Returns whether it tries a circuit that was open.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.begun.is_some_and(|begun| begun.is_trial)
    }

    /// Returns whether it goes through this breaker or a clone of it.
    #[must_use]
    pub fn is_of(&self, breaker: &CircuitBreaker) -> bool {
        Arc::ptr_eq(&self.breaker.0, &breaker.0)
    }

    fn end(&mut self, ended: Ended) {
        if let Some(begun) = self.begun.take() {
            self.breaker.ended(&self.key, begun, ended);
        }
    }
}

impl Drop for CircuitCall {
    fn drop(&mut self) {
        if self.is_trial() {
            self.end(Ended::Dropped);
        }
    }
}

impl fmt::Debug for CircuitCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitCall")
            .field("key", &self.key)
            .field("is_trial", &self.is_trial())
            .finish_non_exhaustive()
    }
}
