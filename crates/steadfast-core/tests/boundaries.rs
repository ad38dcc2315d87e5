//! Retries at the three boundaries where a program may have them: around an agent, within its turns, within
//! a tool. What AutoGen's tutorial leaves to its reader (rows AT-8 to AT-10, AT-20).

mod support;

use std::{
    future::IntoFuture as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use steadfast_core::{
    Agent, Backoff, CircuitBreaker, FunctionTool, Hedge, Limiter, ModelErrorKind as Kind,
    ModelRetryStrategy, NoopRetryStrategy, Retry, RetryBudget, RunError, ToolError, secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};
use tokio::time::Instant;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// What the model was asked each time, one line a message.
fn asked(model: &ScriptedModel) -> Vec<Vec<String>> {
    let lines = |request: &steadfast_core::ModelRequest| {
        let messages = request.history().iter();
        messages.map(|message| message_line(message)).collect()
    };
    model.requests().iter().map(lines).collect()
}

/// Tries three times, a second apart.
fn three_times<E>() -> Result<Retry<E>, steadfast_core::ConfigError> {
    Retry::new(Backoff::constant(secs(1))).max_attempts(3)
}

/// A tool that fails so often, and how often it was run.
fn fragile(failures: u32) -> (FunctionTool, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let look = move || {
        let run = count.fetch_add(1, Ordering::Relaxed) + 1;
        std::future::ready(match run {
            run if run <= failures => Err(ToolError::new(format!("no answer ({run})"))),
            _ => Ok("rain"),
        })
    };
    let tool = FunctionTool::new("look", "Looks.", move |_: Value| {
        let look = look.clone();
        async move {
            let retry = three_times().map_err(|error| ToolError::new(error.to_string()))?;
            retry.run(look).await
        }
    });
    (tool, runs)
}

#[tokio::test(start_paused = true)]
async fn retry_around_an_agent_shows_the_prompt_once_on_every_attempt() -> TestResult {
    // AT-8.
    let replies = || {
        [
            Reply::fail(Kind::Server),
            Reply::fail(Kind::Server),
            Reply::text("yes"),
        ]
    };
    let model = ScriptedModel::new(replies());
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .build()?;

    let retry: Retry<RunError> = three_times()?;
    let answer = retry
        .run(|| agent.prompt("Umbrella?").into_future())
        .await?;

    assert_eq!(answer.text(), "yes");
    assert_eq!(asked(&model), vec![["user: Umbrella?"]; 3]);

    let model = ScriptedModel::new(replies());
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .build()?;
    let mut conversation = agent.conversation();
    for _ in 0..2 {
        assert!(conversation.prompt("Umbrella?").await.is_err());
    }
    assert_eq!(conversation.prompt("Umbrella?").await?.text(), "yes");
    assert_eq!(asked(&model), vec![["user: Umbrella?"]; 3]);
    assert_eq!(conversation.history().len(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tool_that_has_answered_is_not_run_again_for_a_failed_attempt() -> TestResult {
    // AT-9: within the run by the strategy, and around it by resuming what is left of it.
    let (tool, runs) = fragile(0);
    let model = ScriptedModel::new([
        Reply::tool_call("look", json!({})),
        Reply::fail(Kind::Server),
        Reply::fail(Kind::Auth),
        Reply::text("yes"),
    ]);
    let agent = Agent::builder().model(model.clone()).tool(tool).build()?;

    let failed = agent.prompt("Umbrella?").await.unwrap_err();
    let answer = agent.resume(failed.into_run()).await?;

    assert_eq!(answer.text(), "yes");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    let with_result = [
        "user: Umbrella?",
        "assistant: call_1=look",
        "user: call_1=rain",
    ];
    assert_eq!(asked(&model)[1..], vec![with_result; 3]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tool_has_a_retry_policy_of_its_own() -> TestResult {
    // AT-10.
    let replies = || [Reply::tool_call("look", json!({})), Reply::text("yes")];
    let (tool, runs) = fragile(2);
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies()))
        .tool(tool)
        .build()?;
    let answer = agent.prompt("?").await?;
    assert_eq!(
        (runs.load(Ordering::Relaxed), answer.duration()),
        (3, secs(2))
    );

    let (tool, runs) = fragile(9);
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies()))
        .tool(tool)
        .build()?;
    let told = told(agent.prompt("?")).await;

    let expected = [
        "call_1 runs look",
        "+2s",
        "call_1 failed",
        "user: call_1!no answer (3)",
        "attempt 2.1",
        "2.1 says yes",
        "assistant: yes",
        "result EndTurn",
    ];
    assert_eq!(told.trace()[4..], expected);
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn layers_that_share_a_budget_do_not_multiply() -> TestResult {
    // AT-14: three tries of an operation that prompts twice, each of up to four calls, would be 24.
    let calls_with = async |budget: Option<RetryBudget>| -> Result<_, Box<dyn std::error::Error>> {
        let model = ScriptedModel::always(Reply::fail(Kind::Server));
        let agent = Agent::builder().model(model.clone()).retry_strategy(
            ModelRetryStrategy::new()
                .max_attempts(4)
                .initial_delay(secs(1)),
        );
        let around: Retry<RunError> = three_times()?;
        let (agent, around) = match budget {
            Some(budget) => (agent.hooks(budget.clone()), around.budget(budget)),
            None => (agent, around),
        };
        let agent = agent.build()?;
        let attempts = AtomicU32::new(0);
        let failed = around
            .run(async || {
                let first = agent.prompt("?").await.unwrap_err();
                let second = agent.prompt("?").await.unwrap_err();
                attempts.fetch_add(first.attempts() + second.attempts(), Ordering::Relaxed);
                Err::<(), _>(second)
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(attempts.into_inner() as usize, model.calls());
        Ok(model.calls())
    };
    let three = RetryBudget::builder().share(0.0).floor_per_minute(3);

    assert_eq!(calls_with(None).await?, 3 * 2 * 4);
    // The two prompts, and three retries among all layers.
    assert_eq!(calls_with(Some(three.build()?)).await?, 2 + 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn everything_is_tested_offline_in_virtual_time() -> TestResult {
    // AT-20: a replay client, all parts, and a day that passes at once.
    let down = || Reply::fail(Kind::Server);
    let model = ScriptedModel::new([
        Reply::throttled_for(secs(600)),
        down(),
        down(),
        Reply::hang(),
        Reply::text("yes").after(secs(3)),
    ]);
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .open_for(secs(120))
        .max_open_for(secs(120));
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(ModelRetryStrategy::new().max_attempts(10))
        .hooks(Limiter::builder().per_day(1.0).burst(4).build()?)
        .hooks(breaker.build()?)
        .hooks(RetryBudget::default())
        .hooks(Hedge::after(secs(60)))
        .build()?;
    let began = Instant::now();

    let answer = agent.prompt("?").await?;

    // A hint, two failures that open the circuit, a trial that hangs and opens it again; then the four
    // requests of the burst are gone, and the fifth comes a day after the beginning.
    assert_eq!((answer.text(), model.calls()), ("yes", 5));
    let took = began.elapsed();
    assert!((secs(86_403)..secs(86_404)).contains(&took), "{took:?}");
    Ok(())
}
