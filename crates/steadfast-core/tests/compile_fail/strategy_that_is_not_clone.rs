//! Strands 13, 23: a strategy registers a clone of itself, and the message says so.

use steadfast_core::{Agent, FailedAttempt, RetryDecision, RetryStrategy};

struct Never;

impl RetryStrategy for Never {
    fn decide(&self, _attempt: &FailedAttempt<'_>) -> RetryDecision {
        RetryDecision::give_up()
    }
}

fn main() {
    let _ = Agent::builder().retry_strategy(Never);
}
