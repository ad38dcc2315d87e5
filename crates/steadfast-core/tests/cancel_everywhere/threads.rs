//! A run that another thread cancels, at whatever moment that is.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_core::{
    AfterModelCallEvent, Agent, BeforeModelCallEvent, CancellationToken, ConfigError, FunctionTool,
    ModelRetryStrategy, StopReason, ToolError,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

use crate::laws;

/// An agent that answers after two retries and two tools, and in which no time passes.
fn timeless_agent() -> Result<Agent, ConfigError> {
    let replies = [
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::tool_calls([("look", json!({})), ("look", json!({}))]),
        Reply::text("Rain."),
    ];
    let look = FunctionTool::new("look", "", |_: Value| async {
        tokio::task::yield_now().await;
        Ok::<_, ToolError>("seen")
    });
    Agent::builder()
        .model(ScriptedModel::new(replies))
        .tool(look)
        .retry_strategy(ModelRetryStrategy::new().initial_delay(Duration::ZERO))
        .on_async(|_: &mut BeforeModelCallEvent| Box::pin(tokio::task::yield_now()))
        .on_async(|_: &mut AfterModelCallEvent| Box::pin(tokio::task::yield_now()))
        .build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_from_another_thread_ends_the_run_in_good_order() {
    // Everything is ready at once, and a yield lets the other thread in.
    let run = |yields: usize| {
        let token = CancellationToken::new();
        let later = token.clone();
        tokio::spawn(async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            later.cancel();
        });
        tokio::spawn(async move {
            let mut conversation = timeless_agent().unwrap().conversation();
            let began = Instant::now();
            let mut stream = conversation.prompt("Go.").cancel_on(token).stream();
            let mut seen = Vec::new();
            while let Some(event) = stream.next().await {
                seen.push((began.elapsed(), event));
            }
            let stop_reason = stream.result().await.unwrap().stop_reason();
            (seen, stop_reason, conversation)
        })
    };
    let runs: Vec<_> = (0..200).map(|number| run(number % 20)).collect();

    for run in runs {
        let (seen, stop_reason, conversation) = run.await.unwrap();
        let ends = [StopReason::EndTurn, StopReason::Cancelled];
        assert!(ends.contains(&stop_reason), "{stop_reason:?}");
        laws::check_events(&seen);
        laws::check_history(conversation.history().iter());
    }
}
