//! Strands 23: what makes a strategy is none.

use steadfast_core::{Agent, ModelRetryStrategy};

fn main() {
    let _ = Agent::builder().retry_strategy(ModelRetryStrategy::new);
}
