//! A token bucket whose rate changes while it is used: pure arithmetic on seconds.

use std::time::Duration;

use crate::rounding::NOTHING;

/// Tokens that fill at a rate, up to one second's worth, and at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    /// In tokens a second.
    fill_rate: f64,
    max_capacity: f64,
    capacity: f64,
    filled_at: f64,
}

/// The slowest rate, in tokens a second: one try every two seconds finds out what is possible again.
const MIN_RATE: f64 = 0.5;

impl TokenBucket {
    /// Starts empty.
    pub(super) fn new(rate: f64, at: f64) -> Self {
        let mut bucket = Self {
            fill_rate: MIN_RATE,
            max_capacity: 1.0,
            capacity: 0.0,
            filled_at: at,
        };
        bucket.set_rate(rate, at);
        bucket
    }

    /// Changes the rate. What was filled until now stays filled.
    pub(super) fn set_rate(&mut self, rate: f64, at: f64) {
        self.refill(at);
        self.fill_rate = rate.max(MIN_RATE);
        self.max_capacity = rate.max(1.0);
        self.capacity = self.capacity.min(self.max_capacity);
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(super) fn take(&mut self, at: f64) -> Result<(), Duration> {
        self.refill(at);
        let missing = 1.0 - self.capacity;
        // No clock could show the wait for less: it would be made again and again, for ever.
        if missing > NOTHING {
            let seconds = missing / self.fill_rate;
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            return Err(wait.max(Duration::from_nanos(1)));
        }
        self.capacity = (self.capacity - 1.0).max(0.0);
        Ok(())
    }

    /// The tokens that are missing for one more, now; and the rate at which they come.
    pub(super) fn missing(&mut self, at: f64) -> f64 {
        self.refill(at);
        (1.0 - self.capacity).max(0.0)
    }

    pub(super) const fn fill_rate(&self) -> f64 {
        self.fill_rate
    }

    pub(super) fn refill(&mut self, at: f64) {
        let passed = (at - self.filled_at).max(0.0);
        self.capacity = (self.capacity + passed * self.fill_rate).min(self.max_capacity);
        self.filled_at = at.max(self.filled_at);
    }

    #[cfg(test)]
    pub(super) const fn max_capacity(&self) -> f64 {
        self.max_capacity
    }

    #[cfg(test)]
    pub(super) const fn capacity(&self) -> f64 {
        self.capacity
    }
}
