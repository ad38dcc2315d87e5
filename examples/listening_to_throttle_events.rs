//! Listening to throttle events: as a hook, and in the stream of a run.
//!
//! ```text
//! cargo run --example listening_to_throttle_events
//! ```

use std::io::Write as _;

use steadfast::{
    Agent, AgentEvent, EventLoopThrottleEvent, ModelRetryStrategy, OpenAiChat, millis,
};
use steadfast_sim::Simulator;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Refused twice, then cut off in the middle of an answer, then well.
    let simulator = Simulator::builder()
        .faults("429*2, cut@text".parse()?)
        .start()
        .await?;
    let model = OpenAiChat::builder("gpt-5-mini")
        .base_url(simulator.base_url())
        .api_key("none")
        .build()?;

    let agent = Agent::builder()
        .model(model)
        .retry_strategy(ModelRetryStrategy::new().initial_delay(millis(100)))
        .on(|e: &mut EventLoopThrottleEvent| {
            eprintln!("hook: throttled, next try in {:?}", e.delay())
        })
        .build()?;

    let mut events = agent.prompt("Should I take an umbrella to Oslo?").stream();
    while let Some(event) = events.next().await {
        match event {
            AgentEvent::EventLoopThrottle(e) => {
                println!(
                    "stream: attempt {} failed, waiting {:?}, decided by {:?}",
                    e.attempt(),
                    e.delay(),
                    e.decided_by()
                );
            }
            AgentEvent::TextDelta(delta) => {
                print!("{}", delta.text());
                std::io::stdout().flush()?;
            }
            AgentEvent::AttemptDiscarded(discarded) => {
                println!("\n(attempt {} is taken back)", discarded.attempt())
            }
            AgentEvent::Result(end) => println!("\nafter {} attempts", end.result().attempts()),
            _ => {}
        }
    }
    Ok(())
}
