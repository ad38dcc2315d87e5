//! An agent that is never retried: the first error stands, and says when to come back.
//!
//! ```text
//! cargo run --example disabling_retries
//! ```

use steadfast::{Agent, ModelErrorKind, NoopRetryStrategy, OpenAiChat, RunErrorKind};
use steadfast_sim::Simulator;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let simulator = Simulator::builder()
        .faults("429:retry-after=7".parse()?)
        .start()
        .await?;
    let model = OpenAiChat::builder("gpt-5-mini")
        .base_url(simulator.base_url())
        .api_key("none")
        .build()?;

    let agent = Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .build()?;

    let Err(error) = agent.prompt("Should I take an umbrella to Oslo?").await else {
        return Err("the simulator was to refuse".into());
    };
    match error.kind() {
        RunErrorKind::Model(ModelErrorKind::Throttled) => {
            println!(
                "{error}; come back in {:?}",
                error.retry_after().unwrap_or_default()
            );
        }
        other => println!("something else: {other:?}"),
    }
    assert_eq!(simulator.requests().len(), 1);

    // Nothing is lost: the run goes on where it stopped, whenever you like.
    let answer = agent.resume(error.into_run()).await?;
    println!("{answer}");
    Ok(())
}
