//! An agent with a tool and a retry strategy: the README's program.
//!
//! ```text
//! cargo run --example building_an_agent             # against the simulator, no key; waits 2 s once
//! cargo run --example building_an_agent -- --live   # against OpenAI, with OPENAI_API_KEY
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use steadfast::{Agent, FunctionTool, ModelRetryStrategy, OpenAiChat, ToolError, secs};
use steadfast_sim::Simulator;

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// The city, in English.
    city: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A provider that answers the first call with a 429, as the real one does.
    let simulator = Simulator::builder().faults("429".parse()?).start().await?;
    let mut provider = OpenAiChat::builder("gpt-5-mini");
    if !std::env::args().any(|argument| argument == "--live") {
        provider = provider.base_url(simulator.base_url()).api_key("none");
    }
    let model = provider.build()?;

    let get_weather = FunctionTool::new(
        "get_weather",
        "Tells the weather of a city.",
        |place: Place| async move { Ok::<_, ToolError>(format!("{}: 6 °C, light rain", place.city)) },
    );

    let agent = Agent::builder()
        .model(model)
        .retry_strategy(
            ModelRetryStrategy::new()
                .max_attempts(3)
                .initial_delay(secs(2))
                .max_delay(secs(60)),
        )
        .tool(get_weather)
        .build()?;
    let answer = agent.prompt("Should I take an umbrella to Oslo?").await?;

    println!("{answer}");
    println!(
        "({} turns, {} attempts, {:?} waited)",
        answer.turns(),
        answer.attempts(),
        answer.waited()
    );
    Ok(())
}
