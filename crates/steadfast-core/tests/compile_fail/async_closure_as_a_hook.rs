//! Strands 47: what is not awaited cannot be registered.

use steadfast_core::{AfterModelCallEvent, Agent};

async fn look_up() {}

fn main() {
    let _ = Agent::builder().on(|event: &mut AfterModelCallEvent| {
        event.retry = true;
        look_up()
    });
}
