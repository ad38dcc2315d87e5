//! Retries are switched off by a strategy with a name, not by the absence of one.

use steadfast_core::Agent;

fn main() {
    let _ = Agent::builder().retry_strategy(None);
}
