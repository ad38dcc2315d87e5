//! Strands 48: of a model call's event only `retry` is written.

use steadfast_core::{AfterModelCallEvent, Agent};

fn main() {
    let _ = Agent::builder().on(|event: &mut AfterModelCallEvent| {
        event.retry = true;
        event.outcome = None;
        event.attempt() = 1;
    });
}
