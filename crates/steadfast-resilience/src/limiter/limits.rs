//! A limiter's limits as the gate of its queue, and what those who wait will take; it knows nothing of
//! who they are.

use std::time::Duration;

use super::{
    Cost,
    allowance::{Allowance, Hold, Taken},
};
use crate::queue::{Gate, NOBODY_KNOWS};

/// The limits, and the sum of what is waited for.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(super) allowance: Allowance,
    requests: u64,
    tokens: u128,
}

impl Limits {
    pub(super) const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            requests: 0,
            tokens: 0,
        }
    }

    /// How many nanoseconds the rates hold back what comes behind all who wait.
    pub(super) fn wait_behind_all(&mut self, cost: Cost, at: u64) -> u64 {
        // Who takes no tokens waits for those of all before it all the same: they go first.
        let requests = self.requests + u64::from(cost.request_count());
        let tokens = self.tokens + u128::from(cost.token_count());
        self.allowance.wait(requests as f64, tokens as f64, at)
    }

    /// How many nanoseconds the rates hold back the last of those who wait.
    pub(super) fn wait_of_all(&mut self, at: u64) -> u64 {
        let (requests, tokens) = (self.requests as f64, self.tokens as f64);
        self.allowance.wait(requests, tokens, at)
    }
}

impl Gate for Limits {
    type Wish = Cost;
    type Right = Taken;

    fn let_go(&mut self, cost: Cost, _: bool, now: Duration) -> Result<Taken, Duration> {
        self.allowance
            .take(cost, nanos(now))
            .map_err(|hold| match hold {
                Hold::For(wait) => now.saturating_add(Duration::from_nanos(wait)),
                Hold::UntilRelease => NOBODY_KNOWS,
            })
    }

    fn take_back(&mut self, taken: Taken, now: Duration) {
        self.allowance.give_back(taken, nanos(now));
        self.allowance.release();
    }

    fn joined(&mut self, cost: Cost) {
        self.requests += u64::from(cost.request_count());
        self.tokens += u128::from(cost.token_count());
    }

    fn left(&mut self, cost: Cost) {
        self.requests -= u64::from(cost.request_count());
        self.tokens -= u128::from(cost.token_count());
    }
}

/// A time in nanoseconds.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    let nanos = u64::from(time.subsec_nanos());
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos)
}
