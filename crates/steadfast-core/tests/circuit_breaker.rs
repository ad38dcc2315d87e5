//! A circuit breaker in agents: what counts, what a refused attempt looks like, who tries again.

mod support;

use std::time::Duration;

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, AgentEvent, BeforeModelCallEvent, CancellationToken,
    CircuitBreaker, CircuitState, ConfigError, Fallback, FleetRetryStrategy, ModelCircuitBreaker,
    ModelErrorKind as Kind, NoopRetryStrategy, RetryBudget, StopReason, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;
use tokio::time::{Instant, advance, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Opens after two failures, for 30 seconds.
fn breaker() -> Result<CircuitBreaker, ConfigError> {
    CircuitBreaker::builder().consecutive_failures(2).build()
}

/// An agent that makes one attempt.
fn once(model: &ScriptedModel, breaker: &CircuitBreaker) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .hooks(breaker.clone())
}

/// Has the circuit of the scripted models open.
fn open(breaker: &CircuitBreaker) {
    for _ in 0..2 {
        if let Ok(call) = breaker.begin("scripted") {
            call.failed();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn open_circuit_refuses_at_once_and_the_strategy_waits_for_the_trial() -> TestResult {
    let breaker = breaker()?;
    let model = ScriptedModel::new([
        Reply::fail(Kind::Server),
        Reply::fail(Kind::Server),
        Reply::text("yes"),
    ]);
    let agent = Agent::builder()
        .model(model.clone())
        .hooks(breaker.clone())
        .build()?;

    let told = told(agent.prompt("?")).await;

    let mut lines = told.trace();
    lines.retain(|line| line.contains("1."));
    let expected = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 4s by Backoff",
        "attempt 1.2",
        "1.2 discarded ModelError",
        "1.2 waits 8s by Backoff",
        "attempt 1.3",
        "1.3 discarded ModelError",
        "1.3 waits 22s by Hint",
        "attempt 1.4",
        "1.4 says yes",
    ];
    assert_eq!(lines, expected);
    assert_eq!(model.calls(), 3);
    assert_eq!(breaker.state("scripted"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refusal_says_what_it_is_and_when_to_come_back() -> TestResult {
    let breaker = breaker()?;
    let model = ScriptedModel::new([]);
    let agent = once(&model, &breaker).build()?;
    open(&breaker);
    advance(secs(12)).await;

    let error = agent.prompt("?").await.unwrap_err();

    let said = error.model_error().ok_or("an error of the model")?;
    assert_eq!(
        (said.kind(), said.code()),
        (Kind::Overloaded, Some("circuit_open"))
    );
    assert_eq!(
        said.to_string(),
        "the provider is overloaded: the circuit of `scripted` is open for another 18s"
    );
    assert_eq!(error.retry_after(), Some(secs(18)));
    assert_eq!(model.calls(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_what_tells_against_the_provider_counts() -> TestResult {
    for kind in [
        Kind::Throttled,
        Kind::QuotaExhausted,
        Kind::ContextOverflow,
        Kind::TooLarge,
        Kind::Auth,
        Kind::InvalidRequest,
        Kind::NotFound,
        Kind::Unsupported,
        Kind::ContentFiltered,
        Kind::Protocol,
        Kind::Server,
        Kind::Overloaded,
        Kind::Network,
        Kind::Timeout,
        Kind::Truncated,
    ] {
        let breaker = breaker()?;
        let model = ScriptedModel::always(Reply::fail(kind));
        let agent = once(&model, &breaker).build()?;

        for _ in 0..9 {
            assert!(agent.prompt("?").await.is_err());
        }

        let counts = matches!(
            kind,
            Kind::Server | Kind::Overloaded | Kind::Network | Kind::Timeout | Kind::Truncated
        );
        assert_eq!(model.calls(), if counts { 2 } else { 9 }, "{kind:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failures_in_mid_stream_and_silence_count() -> TestResult {
    for reply in [
        Reply::text("half").then_cut(),
        Reply::text("half").then_fail(Kind::Server),
        Reply::hang(),
        Reply::text("half").then_hang(),
    ] {
        let breaker = breaker()?;
        let model = ScriptedModel::always(reply);
        let agent = once(&model, &breaker).build()?;

        for _ in 0..3 {
            assert!(agent.prompt("?").await.is_err());
        }

        assert_eq!(model.calls(), 2);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn answer_closes_the_row_also_if_a_hook_wants_another() -> TestResult {
    let breaker = breaker()?;
    let model = ScriptedModel::new([
        Reply::fail(Kind::Server),
        Reply::text(""),
        Reply::fail(Kind::Server),
        Reply::text("yes"),
    ]);
    let agent = Agent::builder()
        .model(model)
        .hooks(breaker.clone())
        .on(|event: &mut AfterModelCallEvent| {
            event.retry = event.response().is_some_and(|answer| answer.is_blank());
        })
        .build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), answer.attempts()), ("yes", 4));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn fallback_goes_on_at_once_where_a_circuit_is_open() -> TestResult {
    let breaker = breaker()?;
    open(&breaker);
    let preferred = ScriptedModel::new([]);
    let other = ScriptedModel::new([Reply::text("yes")]).named("other");
    let agent = Agent::builder()
        .model(Fallback::new(preferred.clone()).then(other))
        .hooks(breaker.clone())
        .build()?;
    let began = Instant::now();

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), answer.attempts()), ("yes", 2));
    assert_eq!((preferred.calls(), began.elapsed()), (0, secs(0)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn circuit_that_opens_while_a_call_waits_refuses_it() -> TestResult {
    let breaker = breaker()?;
    let model = ScriptedModel::new([]);
    let agent = once(&model, &breaker)
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(5), sleep(secs(5))))
        .build()?;
    let waiting = agent.prompt("?").spawn();
    sleep(secs(1)).await;

    open(&breaker);
    let error = waiting.await.unwrap_err();

    assert_eq!(error.retry_after(), Some(secs(26)));
    assert_eq!(model.calls(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn open_circuit_is_met_before_a_queue_is_joined() -> TestResult {
    let breaker = breaker()?;
    open(&breaker);
    let agent = once(&ScriptedModel::new([]), &breaker)
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(5), sleep(secs(5))))
        .build()?;
    let began = Instant::now();

    let failed = agent.prompt("?").await;

    assert!(failed.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_of_many_agents_tries_and_the_others_are_refused() -> TestResult {
    // AT-12.
    let breaker = breaker()?;
    open(&breaker);
    advance(secs(30)).await;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(1)));
    let agent = once(&model, &breaker).build()?;

    let runs: Vec<_> = (0..100).map(|_| agent.prompt("?").spawn()).collect();
    let mut answers = 0;
    for run in runs {
        answers += usize::from(run.await.is_ok());
    }

    assert_eq!((answers, model.calls()), (1, 1));
    assert_eq!(breaker.state("scripted"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trial_of_a_run_that_ends_early_gives_its_place_back() -> TestResult {
    let breaker = breaker()?;
    open(&breaker);
    advance(secs(30)).await;
    let model = ScriptedModel::always(Reply::hang());
    let agent = once(&model, &breaker).build()?;

    let token = CancellationToken::new();
    let cancelled = agent.prompt("?").cancel_on(token.clone()).spawn();
    sleep(secs(1)).await;
    assert!(breaker.check("scripted").is_err());
    token.cancel();
    assert_eq!(cancelled.await?.stop_reason(), StopReason::Cancelled);
    assert!(breaker.check("scripted").is_ok());

    let late = agent.prompt("?").deadline(secs(1)).await;
    assert!(late.is_err());
    assert!(breaker.check("scripted").is_ok());

    let mut dropped = agent.prompt("?").stream();
    while let Some(event) = dropped.next().await {
        if matches!(event, AgentEvent::AttemptStarted(_)) {
            break;
        }
    }
    let _ = tokio::time::timeout(millis(1), dropped.next()).await;
    assert!(breaker.check("scripted").is_err());
    drop(dropped);
    assert!(breaker.check("scripted").is_ok());
    assert_eq!(breaker.state("scripted"), CircuitState::HalfOpen);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_attempts_draw_on_no_retry_budget() -> TestResult {
    let breaker = breaker()?;
    open(&breaker);
    let budget = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(1)
        .build()?;
    let model = ScriptedModel::new([Reply::text("yes")]);
    let agent = Agent::builder()
        .model(model)
        .hooks(breaker)
        .hooks(budget.clone())
        .build()?;

    agent.prompt("?").await?;
    assert_eq!(budget.left(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn fleet_waits_for_the_trial_and_not_in_its_line() -> TestResult {
    let breaker = breaker()?;
    open(&breaker);
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::text("yes").after(secs(1))))
        .retry_strategy(FleetRetryStrategy::new().seed(7))
        .hooks(breaker)
        .build()?;
    let began = Instant::now();

    let runs: Vec<_> = (0..20).map(|_| agent.prompt("?").spawn()).collect();
    let mut most = 0;
    for run in runs {
        most = most.max(run.await?.attempts());
    }

    // One tries after 30 seconds; the others come soon after its answer, and not by a thousand tries.
    assert!(
        (secs(31)..secs(90)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert!(most <= 12, "{most} attempts");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn predicate_counts_otherwise() -> TestResult {
    let breaker = breaker()?;
    let throttles =
        ModelCircuitBreaker::new(breaker.clone()).counting(|error| error.kind() == Kind::Throttled);
    let model = ScriptedModel::new(
        [Kind::Server, Kind::Throttled, Kind::Server, Kind::Throttled].map(Reply::fail),
    );
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .hooks(throttles)
        .build()?;

    for _ in 0..9 {
        assert!(agent.prompt("?").await.is_err());
    }

    assert_eq!(model.calls(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refusal_of_one_breaker_is_no_failure_for_another() -> TestResult {
    let (first, second) = (breaker()?, breaker()?);
    open(&first);
    advance(secs(30)).await;
    let model = ScriptedModel::new([]);
    let agent = once(&model, &first)
        .hooks(second.clone())
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(5), sleep(secs(5))))
        .build()?;
    let waiting = agent.prompt("?").spawn();
    sleep(secs(1)).await;

    open(&second);
    let error = waiting.await.unwrap_err();

    // The first had begun its trial; nothing was called, so it is the next call's.
    assert_eq!(error.retry_after(), Some(secs(26)));
    assert_eq!(first.state("scripted"), CircuitState::HalfOpen);
    assert!(first.check("scripted").is_ok());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_breakers_of_one_agent_do_not_mix_their_calls() -> TestResult {
    let (first, second) = (breaker()?, breaker()?);
    let model = ScriptedModel::always(Reply::fail(Kind::Server));
    let agent = once(&model, &first).hooks(second.clone()).build()?;

    assert!(agent.prompt("?").await.is_err());
    second.begin("scripted")?.succeeded();
    assert!(agent.prompt("?").await.is_err());

    assert_eq!(first.state("scripted"), CircuitState::Open);
    assert_eq!(second.state("scripted"), CircuitState::Closed);
    Ok(())
}
