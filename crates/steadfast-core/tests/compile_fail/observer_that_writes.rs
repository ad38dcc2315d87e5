//! Strands 48: an observer is told and cannot answer.

use steadfast_core::{AfterModelCallEvent, Agent};

fn main() {
    let _ = Agent::builder().observe(|event: &AfterModelCallEvent| event.retry = true);
}
