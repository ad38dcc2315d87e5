//! A retry budget in agents: what earns, what draws, what is said when nothing is left.

use std::time::Duration;

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, BeforeModelCallEvent, CircuitBreaker, Fallback,
    ModelError, ModelErrorKind as Kind, ModelRetryStrategy, RetryBudget, RunErrorKind, secs,
    testing::{Reply, ScriptedModel},
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn budget(share: f64, floor: u32) -> Result<RetryBudget, steadfast_core::ConfigError> {
    RetryBudget::builder()
        .share(share)
        .floor_per_minute(floor)
        .build()
}

/// An agent that tries up to six times, without waits.
fn agent(model: &ScriptedModel, budget: &RetryBudget) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(ModelRetryStrategy::new().initial_delay(Duration::ZERO))
        .hooks(budget.clone())
}

#[tokio::test(start_paused = true)]
async fn retries_of_all_agents_are_a_share_of_their_calls() -> TestResult {
    let budget = budget(0.2, 3)?;
    let model = ScriptedModel::always(Reply::fail(Kind::Server));
    let agents = [
        agent(&model, &budget).build()?,
        agent(&model, &budget).build()?,
    ];

    for number in 0..100 {
        let failed = agents[number % 2].prompt("?").await;
        assert!(failed.is_err());
    }

    assert_eq!(model.calls(), 100 + 20 + 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn error_stands_and_names_the_budget() -> TestResult {
    let model = ScriptedModel::always(Reply::fail(Kind::Overloaded));
    let agent = agent(&model, &budget(0.25, 0)?).build()?;

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Overloaded));
    let why = "gave up since the retry budget is used up: retries may be 25 % of the calls of a \
               minute, and 0 beside";
    assert_eq!(error.failure().gave_up(), Some(why));
    assert_eq!(model.calls(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn throttles_draw_nothing() -> TestResult {
    let budget = budget(0.0, 2)?;
    let model = ScriptedModel::always(Reply::throttled());
    let agent = agent(&model, &budget).build()?;

    let failed = agent.prompt("?").await;

    assert!(failed.is_err());
    assert_eq!((model.calls(), budget.left()), (6, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn answer_that_a_hook_did_not_like_stands_once_nothing_is_left() -> TestResult {
    let budget = budget(0.0, 2)?;
    let model = ScriptedModel::always(Reply::text("no"));
    let agent = agent(&model, &budget)
        .on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() < 9)
        .build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), model.calls()), ("no", 3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn next_model_of_a_fallback_draws_nothing() -> TestResult {
    let budget = budget(0.0, 1)?;
    let first = ScriptedModel::new([Reply::fail(Kind::Server)]);
    let second = ScriptedModel::new([Reply::fail(Kind::Server)]);
    let third = ScriptedModel::new([Reply::text("yes")]);
    let agent = Agent::builder()
        .model(Fallback::new(first).then(second).then(third))
        .hooks(budget.clone())
        .build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), answer.attempts()), ("yes", 3));
    assert_eq!(budget.left(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn retry_that_the_deadline_forbids_draws_nothing() -> TestResult {
    let budget = budget(0.0, 1)?;
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::fail(Kind::Server)))
        .hooks(budget.clone())
        .deadline(secs(4))
        .build()?;

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(budget.left(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_first_calls_of_a_turn_earn() -> TestResult {
    let budget = budget(1.0, 0)?;
    let model = ScriptedModel::new([Reply::fail(Kind::Server), Reply::text("yes")]);
    let agent = agent(&model, &budget).build()?;

    agent.prompt("?").await?;

    assert_eq!(budget.left(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn first_call_earns_also_behind_a_refusal() -> TestResult {
    let budget = budget(1.0, 0)?;
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    breaker.begin("scripted")?.failed();
    let model = ScriptedModel::new([Reply::text("yes")]);
    let agent = agent(&model, &budget).hooks(breaker).build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.attempts(), budget.left()), (2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn retry_behind_a_refusal_draws_and_earns_nothing() -> TestResult {
    let budget = budget(1.0, 0)?;
    let model = ScriptedModel::new([Reply::fail(Kind::Server), Reply::text("yes")]);
    let agent = agent(&model, &budget)
        .on(|event: &mut BeforeModelCallEvent| {
            if event.attempt() != 2 && event.attempt() != 4 {
                event.fail_with(ModelError::new(Kind::Overloaded, "not now"));
            }
        })
        .build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.attempts(), model.calls()), (4, 2));
    assert_eq!(budget.left(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn call_that_a_hook_answers_earns_nothing() -> TestResult {
    let budget = budget(1.0, 0)?;
    let agent = agent(&ScriptedModel::new([]), &budget)
        .on(|event: &mut BeforeModelCallEvent| event.cancel = Some("from the cache".into()))
        .build()?;

    agent.prompt("?").await?;

    assert_eq!(budget.left(), 0);
    Ok(())
}
