//! Strands 16, 71: numbers that count nothing, delays without a unit, limits that do not exist.

use steadfast_core::{Agent, ModelRetryStrategy};

fn main() {
    let _ = ModelRetryStrategy::new().max_attempts(2.5);
    let _ = ModelRetryStrategy::new().max_attempts("3");
    let _ = ModelRetryStrategy::new().initial_delay(-4.0);
    let _ = Agent::builder().max_turns(true);
    let _ = Agent::builder().max_turn(2);
}
