//! What a stream takes from a limiter, and how long it holds it; it reads no stream.

use std::fmt;

use crate::{ConfigError, Cost, Limiter, LimiterError, Permit, limiter::Turn};

/// Reads from an item how many tokens were used so far.
type ReadTokens<T> = Box<dyn FnMut(&T) -> Option<u64> + Send + Sync>;

/// A stream's limiter, if it has one, and what the limiter let go.
pub(super) struct Admission<T> {
    limiter: Option<Limiter>,
    cost: Cost,
    pub(super) is_per_attempt: bool,
    pub(super) used_tokens: Option<ReadTokens<T>>,
    permit: Option<Permit<'static>>,
    /// By the attempts of this permit that have ended, as far as they said.
    used: Option<u64>,
    used_by_attempt: Option<u64>,
}

impl<T> Admission<T> {
    pub(super) fn limit(&mut self, limiter: &Limiter) {
        self.limiter = Some(limiter.clone());
        // One request fits every limiter. What another one could let go says nothing of this one.
        self.cost = Cost::request();
    }

    pub(super) fn set_cost(&mut self, cost: Cost) -> Result<(), LimiterError> {
        let Some(limiter) = &self.limiter else {
            let error = ConfigError::new("rate_limit", "must be given before the cost");
            return Err(LimiterError::NeverFits(error));
        };
        limiter.check(cost)?;
        self.cost = cost;
        Ok(())
    }

    /// Asks the limiter, if it has to be asked; none if the stream may be opened.
    pub(super) fn enter(&self) -> Option<Result<Permit<'static>, Turn<'static>>> {
        match (&self.limiter, &self.permit) {
            (Some(limiter), None) => Some(limiter.clone().enter(self.cost)),
            _ => None,
        }
    }

    pub(super) fn admit(&mut self, permit: Permit<'static>) {
        self.permit = Some(permit);
    }

    pub(super) fn met(&mut self, item: &T) {
        if let Some(read) = &mut self.used_tokens {
            self.used_by_attempt = read(item).or(self.used_by_attempt);
        }
    }

    /// An attempt has ended, and another one follows.
    pub(super) fn attempt_ended(&mut self) {
        if let Some(used) = self.used_by_attempt.take() {
            self.used = Some(self.used.unwrap_or_default().saturating_add(used));
        }
        if self.is_per_attempt {
            self.free();
        }
    }

    /// The last attempt has ended.
    pub(super) fn ended(&mut self) {
        self.attempt_ended();
        self.free();
    }

    fn free(&mut self) {
        match (self.permit.take(), self.used.take()) {
            (Some(permit), Some(used)) => permit.settle(used),
            (permit, _) => drop(permit),
        }
    }
}

impl<T> Default for Admission<T> {
    fn default() -> Self {
        Self {
            limiter: None,
            cost: Cost::request(),
            is_per_attempt: false,
            used_tokens: None,
            permit: None,
            used: None,
            used_by_attempt: None,
        }
    }
}

impl<T> fmt::Debug for Admission<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("limiter", &self.limiter)
            .field("cost", &self.cost)
            .field("is_per_attempt", &self.is_per_attempt)
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
