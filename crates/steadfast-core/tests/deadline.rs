//! The deadline holds for everything that a run may wait for: what would end behind it is not begun, what
//! is under way is cut short, and where it is known the error says when to come back.

mod support;

use std::{future::pending, time::Duration};

use serde_json::{Value, json};
use steadfast_core::{
    Agent, AgentBuilder, Backoff, BeforeModelCallEvent, CancellationToken, CircuitBreaker,
    CircuitState, Cost, FunctionTool, Hedge, Limiter, ModelErrorKind as Kind, ModelRetryStrategy,
    Permit, Retry, RunErrorKind, StopReason, ToolError, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The time that each run has.
const DEADLINE: Duration = secs(10);

/// Where a run is when its time is over, or what it would have to wait for.
struct Place {
    builder: AgentBuilder,
    model: ScriptedModel,
    /// What is held meanwhile by somebody else.
    _held: Option<Permit<'static>>,
}

fn place(replies: impl IntoIterator<Item = Reply>) -> Place {
    let model = ScriptedModel::new(replies);
    Place {
        builder: Agent::builder().model(model.clone()),
        model,
        _held: None,
    }
}

/// Runs into the deadline. Checks when it ends, how many calls were made, and what the error says.
async fn check(
    place: Place,
    ends: Duration,
    calls: usize,
    come_back: Option<Duration>,
) -> TestResult {
    let agent = place.builder.deadline(DEADLINE).build()?;
    let began = Instant::now();

    let told = told(agent.prompt("?")).await;

    assert_eq!(began.elapsed(), ends, "{:#?}", told.trace());
    assert_eq!(place.model.calls(), calls, "{:#?}", told.trace());
    let error = told.outcome.err().ok_or("it does not end well")?;
    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(error.retry_after(), come_back);
    let hint = error.hint().ok_or("it says what to do")?;
    match come_back {
        Some(time) => assert_eq!(hint, format!("come back in {time:?}")),
        None => assert_eq!(hint, "give the run more time, or resume it from the error"),
    }
    Ok(())
}

/// The same place, cancelled where the deadline would have come.
async fn check_cancelled(place: Place, calls: usize) -> TestResult {
    let agent = place.builder.build()?;
    let token = CancellationToken::new();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    let began = Instant::now();
    sleep(DEADLINE).await;

    token.cancel();
    let result = run.await?;

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!((began.elapsed(), place.model.calls()), (DEADLINE, calls));
    Ok(())
}

/// A queue whose length nobody knows.
async fn queue_without_end() -> Result<Place, Box<dyn std::error::Error>> {
    let limiter = Limiter::builder().concurrency(1).build()?;
    let held = limiter.acquire_owned(Cost::request()).await?;
    let place = place([]);
    Ok(Place {
        builder: place.builder.hooks(limiter),
        _held: Some(held),
        ..place
    })
}

#[tokio::test(start_paused = true)]
async fn queue_that_takes_longer_than_known_is_left() -> TestResult {
    check(queue_without_end().await?, DEADLINE, 0, None).await?;
    check_cancelled(queue_without_end().await?, 0).await
}

#[tokio::test(start_paused = true)]
async fn queue_that_is_known_to_take_longer_is_not_joined() -> TestResult {
    let limiter = Limiter::builder().per_minute(1.0).burst(1).build()?;
    let _taken = limiter.acquire(Cost::request()).await?;
    let place = place([]);
    let builder = place.builder.hooks(limiter.clone());

    check(Place { builder, ..place }, secs(0), 0, Some(secs(60))).await?;

    assert_eq!(limiter.available().waiting, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn circuit_that_is_open_for_longer_is_not_waited_for() -> TestResult {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    breaker.begin("scripted")?.failed();
    let place = place([]);
    let builder = place.builder.hooks(breaker);

    check(Place { builder, ..place }, secs(0), 0, Some(secs(30))).await
}

#[tokio::test(start_paused = true)]
async fn backoff_and_hint_that_end_later_are_not_waited_for() -> TestResult {
    check(
        place([Reply::fail(Kind::Server), Reply::fail(Kind::Server)]),
        secs(4),
        2,
        Some(secs(8)),
    )
    .await?;
    check(
        place([Reply::throttled_for(secs(11))]),
        secs(0),
        1,
        Some(secs(11)),
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn call_and_answer_that_stall_are_cut_short() -> TestResult {
    for reply in [
        Reply::hang(),
        Reply::text("half").then_hang(),
        Reply::fail(Kind::Server).after(secs(60)),
    ] {
        check(place([reply.clone()]), DEADLINE, 1, None).await?;
        check_cancelled(place([reply]), 1).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedged_call_is_cut_short() -> TestResult {
    let hedged = || {
        let place = place([Reply::hang(), Reply::hang()]);
        let builder = place.builder.hooks(Hedge::after(secs(5)));
        Place { builder, ..place }
    };

    check(hedged(), DEADLINE, 2, None).await?;
    check_cancelled(hedged(), 2).await
}

#[tokio::test(start_paused = true)]
async fn tool_and_its_own_retries_are_cut_short() -> TestResult {
    let called = || place([Reply::tool_call("slow", json!({}))]);
    let hangs = || {
        let place = called();
        let tool = FunctionTool::new("slow", "", |_: Value| pending::<Result<(), ToolError>>());
        let builder = place.builder.tool(tool);
        Place { builder, ..place }
    };
    check(hangs(), DEADLINE, 1, None).await?;
    check_cancelled(hangs(), 1).await?;

    let retries = || {
        let place = called();
        let tool = FunctionTool::new("slow", "", |_: Value| async {
            let retry = Retry::new(Backoff::constant(secs(60)));
            retry
                .run(async || Err::<(), _>(ToolError::new("down")))
                .await
        });
        let builder = place.builder.tool(tool);
        Place { builder, ..place }
    };
    check(retries(), DEADLINE, 1, None).await?;
    check_cancelled(retries(), 1).await
}

#[tokio::test(start_paused = true)]
async fn all_waits_of_a_run_count_together() -> TestResult {
    // Four seconds in the queue, four of the call, and then no time for a backoff of four.
    let place = place([Reply::fail(Kind::Server).after(secs(4))]);
    let builder = place
        .builder
        .retry_strategy(ModelRetryStrategy::new())
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(4), sleep(secs(4))));

    check(Place { builder, ..place }, secs(8), 1, Some(secs(4))).await
}

#[tokio::test(start_paused = true)]
async fn what_a_run_held_at_its_deadline_is_free_again() -> TestResult {
    let limiter = Limiter::builder().concurrency(1).build()?;
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    breaker.begin("scripted")?.failed();
    sleep(secs(30)).await;
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::hang()))
        .hooks(limiter.clone())
        .hooks(breaker.clone())
        .deadline(DEADLINE)
        .build()?;

    let running = agent.prompt("?").spawn();
    sleep(millis(1)).await;
    assert_eq!(limiter.available().places, Some(0));
    assert!(breaker.check("scripted").is_err());
    assert!(running.await.is_err());

    assert_eq!(limiter.available().places, Some(1));
    assert_eq!(breaker.state("scripted"), CircuitState::HalfOpen);
    assert!(breaker.check("scripted").is_ok());
    Ok(())
}
