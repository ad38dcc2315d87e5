//! A provider of one's own, in a file to copy: `own_provider/ollama.rs`.
//!
//! ```text
//! cargo run --example own_provider             # against recorded lines; refused once, waits 1 s
//! cargo run --example own_provider -- --live   # against `ollama serve` with the model `qwen3`
//! ```

#[path = "own_provider/ollama.rs"]
mod ollama;

use ollama::Ollama;
use steadfast::{Agent, ModelRetryStrategy, secs};
use steadfast_sim::{Cassette, Simulator};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/own_provider/recorded.yaml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A server that refuses the first call, and then cuts its lines anywhere, as networks do.
    let server = Simulator::builder()
        .faults("503".parse()?)
        .cassette(Cassette::load(RECORDED)?)
        .start()
        .await?;
    let live = std::env::args().any(|argument| argument == "--live");
    let ollama = "http://127.0.0.1:11434".to_owned();
    let model = Ollama {
        url: if live { ollama } else { server.url() },
        model: "qwen3".to_owned(),
        http: reqwest::Client::new(),
    };

    let agent = Agent::builder()
        .model(model)
        .retry_strategy(ModelRetryStrategy::new().initial_delay(secs(1)))
        .build()?;
    let answer = agent.prompt("Should I take an umbrella to Oslo?").await?;

    println!("{answer}");
    println!("({} attempts, {:?})", answer.attempts(), answer.usage());
    Ok(())
}
