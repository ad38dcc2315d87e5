//! A hook of one's own that has the model called again: here, when it says nothing.
//!
//! ```text
//! cargo run --example custom_retry_hook
//! ```

use std::sync::atomic::{AtomicU32, Ordering};

use steadfast::{AfterModelCallEvent, Agent, HookProvider, HookRegistry, OpenAiChat};
use steadfast_sim::{Answer, Simulator};

struct RetryBlankAnswers;

impl HookProvider for RetryBlankAnswers {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        hooks.on(|event: &mut AfterModelCallEvent| {
            if event.attempt() < 3 && event.response().is_some_and(|r| r.is_blank()) {
                println!("attempt {} was blank, asking again", event.attempt());
                event.retry = true; // at once; or event.retry_after(millis(200))
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A model that has nothing to say the first time.
    let calls = AtomicU32::new(0);
    let simulator = Simulator::builder()
        .answer(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::text(""),
            _ => Answer::text("Take one: it will rain in the afternoon."),
        })
        .start()
        .await?;
    let model = OpenAiChat::builder("gpt-5-mini")
        .base_url(simulator.base_url())
        .api_key("none")
        .build()?;

    let agent = Agent::builder()
        .model(model)
        .hooks(RetryBlankAnswers)
        .build()?;
    let answer = agent.prompt("Should I take an umbrella to Oslo?").await?;

    println!("{answer}");
    assert_eq!(answer.attempts(), 2);
    Ok(())
}
