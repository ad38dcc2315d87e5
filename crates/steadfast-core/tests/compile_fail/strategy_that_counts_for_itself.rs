//! Strands 8, 9, 10, 27: a strategy has no counter that anybody would have to reset.

use steadfast_core::{FailedAttempt, RetryDecision, RetryStrategy, secs};

#[derive(Clone)]
struct Counting {
    attempt: u32,
}

impl RetryStrategy for Counting {
    fn decide(&self, _attempt: &FailedAttempt<'_>) -> RetryDecision {
        self.attempt += 1;
        RetryDecision::after(secs(4))
    }
}

fn main() {}
