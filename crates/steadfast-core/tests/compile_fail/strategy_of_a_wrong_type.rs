//! Strands 23, 26: what is no strategy is refused, also `None`, which switches retries off there.

use steadfast_core::{Agent, ModelRetryStrategy};

fn main() {
    let _ = Agent::builder().retry_strategy(None::<ModelRetryStrategy>);
}
