//! Who is asked whether an attempt may be hedged: budgets, limiters, breakers, and hooks of one's own.

#[path = "support/hedged.rs"]
mod hedged;

use std::sync::{Arc, Mutex, PoisonError};

use hedged::hedged;
use steadfast_core::{
    AfterModelCallEvent, BeforeModelCallEvent, CallRole, CircuitBreaker, CircuitState,
    HookRegistry, Limiter, ModelError, ModelErrorKind as Kind, RetryBudget, Usage, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::sleep;

type TestResult = Result<(), Box<dyn std::error::Error>>;

#[tokio::test(start_paused = true)]
async fn budget_draws_for_a_hedge_and_may_refuse_it() -> TestResult {
    let budget = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(1)
        .build()?;
    let slow = Reply::text("yes").after(secs(7));
    let model = ScriptedModel::always(slow);
    let agent = hedged(&model).hooks(budget.clone()).build()?;

    agent.prompt("?").await?;
    assert_eq!((model.calls(), budget.left()), (2, 0));
    let answer = agent.prompt("?").await?;

    assert_eq!((model.calls(), answer.duration()), (3, secs(7)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn limiter_lets_a_hedge_go_at_once_or_not_at_all() -> TestResult {
    let limiter = Limiter::builder().concurrency(2).build()?;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(7)));
    let agent = hedged(&model).hooks(limiter.clone()).build()?;

    let alone = agent.prompt("?").spawn();
    sleep(secs(6)).await;
    assert_eq!((model.calls(), limiter.available().places), (2, Some(0)));
    alone.await?;
    assert_eq!(limiter.available().places, Some(2));

    let (one, two) = tokio::join!(agent.prompt("?"), agent.prompt("?"));
    assert_eq!((one?.duration(), two?.duration()), (secs(7), secs(7)));
    assert_eq!((model.calls(), limiter.available().places), (4, Some(2)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedge_takes_its_tokens_and_gives_them_back_if_it_is_not_made() -> TestResult {
    let limiter = || {
        Limiter::builder()
            .tokens_per_minute(0.01)
            .token_burst(10_000)
            .build()
    };
    let answer = || {
        Reply::text("yes")
            .after(secs(7))
            .with_usage(Usage::new(40, 2))
    };

    let (shared, model) = (limiter()?, ScriptedModel::always(answer()));
    hedged(&model)
        .hooks(shared.clone())
        .build()?
        .prompt("?")
        .await?;
    // One has told what it used; the other took the estimate.
    assert_eq!(shared.available().tokens as u64, 10_000 - 42 - 1_029);

    let (shared, model) = (limiter()?, ScriptedModel::always(answer()));
    let spent = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(0)
        .build()?;
    let agent = hedged(&model).hooks(spent).hooks(shared.clone()).build()?;
    agent.prompt("?").await?;
    assert_eq!(shared.available().tokens as u64, 10_000 - 42);
    assert_eq!(model.calls(), 1);
    Ok(())
}

/// Refuses hedges behind all others.
fn no_hedges() -> HookRegistry {
    let mut hooks = HookRegistry::new();
    hooks
        .order(i32::MAX)
        .on(|event: &mut BeforeModelCallEvent| {
            event.admit_if(|role| match role {
                CallRole::First => Ok(()),
                _ => Err(ModelError::new(Kind::Overloaded, "no")),
            });
        });
    hooks
}

#[tokio::test(start_paused = true)]
async fn refused_hedge_leaves_its_place_to_others_at_once() -> TestResult {
    let limiter = Limiter::builder()
        .per_day(1.0)
        .burst(10)
        .concurrency(2)
        .build()?;
    let spent = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(0)
        .build()?;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(60)));
    let agent = hedged(&model).hooks(limiter.clone()).hooks(spent).build()?;

    let run = agent.prompt("?").spawn();
    sleep(secs(6)).await;

    let left = limiter.available();
    assert_eq!((left.places, left.requests as u64), (Some(1), 9));
    assert_eq!((run.await?.duration(), model.calls()), (secs(60), 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedge_that_a_later_hook_refuses_draws_nothing() -> TestResult {
    let budget = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(1)
        .build()?;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(60)));
    let agent = hedged(&model)
        .hooks(budget.clone())
        .hooks(no_hedges())
        .build()?;

    let run = agent.prompt("?").spawn();
    sleep(secs(6)).await;

    assert_eq!(budget.left(), 1);
    run.await?;
    assert_eq!((budget.left(), model.calls()), (1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedge_of_a_run_that_is_dropped_stays_drawn_and_taken() -> TestResult {
    let limiter = Limiter::builder().per_day(1.0).burst(10).build()?;
    let budget = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(1)
        .build()?;
    let agent = hedged(&ScriptedModel::always(Reply::hang()))
        .hooks(limiter.clone())
        .hooks(budget.clone())
        .build()?;

    let run = agent.prompt("?").spawn();
    sleep(secs(6)).await;
    drop(run);
    sleep(secs(1)).await;

    // Both calls have reached the provider.
    assert_eq!((limiter.available().requests as u64, budget.left()), (8, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trial_that_lasts_too_long_is_not_hedged() -> TestResult {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(secs(3))
        .build()?;
    breaker.begin("scripted")?.failed();
    sleep(secs(3)).await;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(7)));
    let agent = hedged(&model).hooks(breaker.clone()).build()?;

    let run = agent.prompt("?").spawn();
    sleep(secs(6)).await;

    // Its place has lapsed, and is not the hedge's.
    assert_eq!(model.calls(), 1);
    assert!(breaker.check("scripted").is_ok());
    run.await?;
    assert_eq!(breaker.state("scripted"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trial_of_a_circuit_is_not_hedged() -> TestResult {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    breaker.begin("scripted")?.failed();
    sleep(secs(30)).await;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(7)));
    let agent = hedged(&model).hooks(breaker.clone()).build()?;

    agent.prompt("?").await?;
    assert_eq!(model.calls(), 1);
    assert_eq!(breaker.state("scripted"), CircuitState::Closed);

    agent.prompt("?").await?;
    assert_eq!(model.calls(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failure_of_both_calls_counts_once() -> TestResult {
    let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
    let model = ScriptedModel::always(Reply::fail(Kind::Server).after(secs(7)));
    let agent = hedged(&model).hooks(breaker.clone()).build()?;

    assert!(agent.prompt("?").await.is_err());

    assert_eq!(model.calls(), 2);
    assert_eq!(breaker.state("scripted"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hooks_are_asked_for_each_call_and_what_they_give_is_held() -> TestResult {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let agent = hedged(&ScriptedModel::new([Reply::hang(), Reply::text("yes")]))
        .on(move |event: &mut BeforeModelCallEvent| {
            let noted = Arc::clone(&noted);
            event.admit_if(move |role| {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(role);
                Ok(role)
            });
        })
        .on(|event: &mut AfterModelCallEvent| {
            let mut take = || event.take_permit(|_: &CallRole| true);
            assert_eq!(take(), Some(CallRole::Hedge));
            assert_eq!(take(), Some(CallRole::First));
        })
        .build()?;

    agent.prompt("?").await?;

    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*asked, [CallRole::First, CallRole::Hedge]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_hedge_is_no_error() -> TestResult {
    let model = ScriptedModel::always(Reply::text("yes").after(secs(7)));
    let agent = hedged(&model)
        .on(|event: &mut BeforeModelCallEvent| {
            event.admit_if(|role| match role {
                CallRole::First => Ok(()),
                _ => Err(ModelError::new(Kind::Overloaded, "no")),
            });
        })
        .build()?;

    assert_eq!(agent.prompt("?").await?.duration(), secs(7));
    assert_eq!(model.calls(), 1);
    Ok(())
}
