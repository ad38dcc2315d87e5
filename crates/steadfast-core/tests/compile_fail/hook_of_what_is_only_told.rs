//! Strands 48: nobody is asked at an `AgentEvent`.

use steadfast_core::{Agent, AgentEvent};

fn main() {
    let _ = Agent::builder().on(|event: &mut AgentEvent| drop(event.clone()));
}
