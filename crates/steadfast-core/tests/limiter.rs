//! A limiter in agents: whose turn it is, what is reserved and settled, what is given back.

mod support;

use std::time::Duration;

use steadfast_core::{
    Agent, AgentBuilder, BeforeModelCallEvent, CancellationToken, CircuitBreaker, ConfigError,
    Cost, Fallback, HookRegistry, Limiter, ModelErrorKind as Kind, ModelLimiter, ModelSettings,
    NoopRetryStrategy, RunErrorKind, StopReason, Usage, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// An agent that makes one attempt.
fn once(model: &ScriptedModel, limiter: &Limiter) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .hooks(limiter.clone())
}

/// One a second, one at a time.
fn slow() -> Result<Limiter, ConfigError> {
    Limiter::builder().per_second(1.0).burst(1).build()
}

/// Ten thousand tokens, and none that come back while a test runs.
fn tokens() -> Result<Limiter, ConfigError> {
    Limiter::builder()
        .tokens_per_minute(0.01)
        .token_burst(10_000)
        .build()
}

/// The whole tokens that are left.
fn left(limiter: &Limiter) -> u64 {
    limiter.available().tokens as u64
}

#[tokio::test(start_paused = true)]
async fn every_attempt_waits_its_turn_and_the_wait_is_told() -> TestResult {
    // AE-24: an agent's limiter admits each attempt.
    let model = ScriptedModel::new([Reply::fail(Kind::Server), Reply::text("yes")]);
    let limiter = slow()?;
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(steadfast_core::ModelRetryStrategy::new().initial_delay(Duration::ZERO))
        .hooks(limiter)
        .build()?;

    let told = told(agent.prompt("?")).await;

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 0ns by Backoff",
        "attempt 1.2",
        "1.2 waits 1s by Pacer",
        "+1s",
        "1.2 says yes",
        "assistant: yes",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(told.outcome?.waited(), secs(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn agents_go_in_the_order_in_which_they_came() -> TestResult {
    let limiter = slow()?;
    let model = ScriptedModel::always(Reply::text("yes"));
    let agents = [
        once(&model, &limiter).build()?,
        once(&model, &limiter).build()?,
    ];

    let runs: Vec<_> = (0..6).map(|n| agents[n % 2].prompt("?").spawn()).collect();
    let mut waited = Vec::new();
    for run in runs {
        waited.push(run.await?.waited());
    }

    assert_eq!(waited, [0, 1, 2, 3, 4, 5].map(secs));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn estimate_is_the_request_and_the_output_limit() -> TestResult {
    let limiter = tokens()?;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(1)));
    let agent = once(&model, &limiter).build()?;

    let running = agent.prompt("?").spawn();
    sleep(millis(500)).await;
    assert_eq!(left(&limiter), 10_000 - 5 - 1_024);
    running.await?;

    let settings = ModelSettings::new().max_tokens(3_000);
    let running = agent.prompt("?").settings(settings).spawn();
    sleep(millis(500)).await;
    assert_eq!(left(&limiter), 10_000 - 2 * 5 - 1_024 - 3_000);
    running.await?;
    Ok(())
}

/// What is left of the tokens after one run.
async fn left_after(reply: Reply) -> Result<u64, Box<dyn std::error::Error>> {
    let limiter = tokens()?;
    let agent = once(&ScriptedModel::new([reply]), &limiter).build()?;
    let _ended = agent.prompt("?").await;
    Ok(left(&limiter))
}

#[tokio::test(start_paused = true)]
async fn answer_settles_with_what_it_cost() -> TestResult {
    let answer = Reply::text("yes").with_usage(Usage::new(40, 2));
    assert_eq!(left_after(answer).await?, 10_000 - 42);

    let dear = Reply::text("yes").with_usage(Usage::new(40, 2_000));
    assert_eq!(left_after(dear).await?, 10_000 - 2_040);

    let silent = Reply::text("yes");
    assert_eq!(left_after(silent).await?, 10_000 - 1_029);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_request_used_nothing() -> TestResult {
    for kind in [
        Kind::Throttled,
        Kind::Overloaded,
        Kind::Auth,
        Kind::InvalidRequest,
        Kind::QuotaExhausted,
    ] {
        assert_eq!(left_after(Reply::fail(kind)).await?, 10_000, "{kind:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn estimate_stands_where_nobody_knows() -> TestResult {
    let half = || Reply::text("half");
    for reply in [
        Reply::fail(Kind::Network),
        Reply::fail(Kind::Timeout),
        Reply::hang(),
        half().then_cut(),
        half().then_fail(Kind::Overloaded),
    ] {
        let label = format!("{reply:?}");
        assert_eq!(left_after(reply).await?, 10_000 - 1_029, "{label}");
    }
    let told = half().then_cut().with_usage(Usage::new(40, 2));
    assert_eq!(left_after(told).await?, 10_000 - 42);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_is_held_until_the_call_has_ended() -> TestResult {
    let limiter = Limiter::builder().concurrency(1).build()?;
    let model = ScriptedModel::always(Reply::text("yes").after(secs(5)));
    let agent = once(&model, &limiter).build()?;

    let runs: Vec<_> = (0..3).map(|_| agent.prompt("?").spawn()).collect();
    let mut waited = Vec::new();
    for run in runs {
        waited.push(run.await?.waited());
    }

    assert_eq!(waited, [0, 5, 10].map(secs));
    assert_eq!(limiter.available().places, Some(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_comes_back_however_a_run_ends() -> TestResult {
    let limiter = Limiter::builder().concurrency(1).build()?;
    let agent = once(&ScriptedModel::always(Reply::hang()), &limiter).build()?;
    let free = || limiter.available().places == Some(1);

    let token = CancellationToken::new();
    let cancelled = agent.prompt("?").cancel_on(token.clone()).spawn();
    sleep(secs(1)).await;
    assert!(!free());
    token.cancel();
    cancelled.await?;
    assert!(free());

    assert!(agent.prompt("?").deadline(secs(1)).await.is_err());
    assert!(free());

    let dropped = agent.prompt("?").spawn();
    sleep(secs(1)).await;
    assert!(!free());
    drop(dropped);
    sleep(millis(1)).await;
    assert!(free());

    assert!(agent.prompt("?").await.is_err()); // silence
    assert!(free());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn call_that_is_not_made_gives_everything_back() -> TestResult {
    let limiter = tokens()?;
    let model = ScriptedModel::new([]);
    let cached = once(&model, &limiter)
        .on(|event: &mut BeforeModelCallEvent| event.cancel = Some("from the cache".into()))
        .build()?;
    cached.prompt("?").await?;
    assert_eq!(left(&limiter), 10_000);

    // Refused behind the limiter's queue and at the door.
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    let late = breaker.clone();
    let refused = once(&model, &limiter)
        .hooks(breaker)
        .on(move |event: &mut BeforeModelCallEvent| {
            let late = late.clone();
            event.wait_for(secs(1), async move {
                sleep(secs(1)).await;
                late.begin("scripted").map(|call| call.failed()).ok()
            });
        })
        .build()?;
    assert!(refused.prompt("?").await.is_err());
    assert_eq!(left(&limiter), 10_000);

    // Another wait is longer than the run's time.
    let slow = once(&model, &limiter)
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(1), sleep(secs(9))))
        .build()?;
    assert!(slow.prompt("?").deadline(secs(5)).await.is_err());
    assert_eq!((left(&limiter), model.calls()), (10_000, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn run_that_ends_in_the_queue_leaves_it() -> TestResult {
    let limiter = slow()?;
    let model = ScriptedModel::always(Reply::text("yes"));
    let agent = once(&model, &limiter).build()?;
    agent.prompt("?").await?;

    let token = CancellationToken::new();
    let cancelled = agent.prompt("?").cancel_on(token.clone()).spawn();
    let dropped = agent.prompt("?").spawn();
    let last = agent.prompt("?").spawn();
    sleep(millis(100)).await;
    token.cancel();
    drop(dropped);

    assert_eq!(cancelled.await?.stop_reason(), StopReason::Cancelled);
    assert_eq!(last.await?.duration(), secs(1));
    assert_eq!((model.calls(), limiter.available().waiting), (2, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn attempt_that_can_never_fit_is_refused_by_name() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(2_000.0).build()?;
    let model = ScriptedModel::new([]);
    let agent = Agent::builder()
        .model(model.clone())
        .settings(ModelSettings::new().max_tokens(2_000))
        .hooks(limiter)
        .build()?;
    let began = Instant::now();

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::TooLarge));
    let said = error.model_error().ok_or("an error of the model")?;
    assert_eq!(
        said.message(),
        "more than the limiter ever lets through: `tokens` must be at most 2000, got `2005`"
    );
    assert_eq!((model.calls(), began.elapsed()), (0, secs(0)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tokens_are_not_estimated_where_none_are_limited() -> TestResult {
    let limiter = ModelLimiter::new(slow()?).estimate(|_| panic!("asked"));
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::text("yes")]))
        .hooks(limiter)
        .build()?;

    assert_eq!(agent.prompt("?").await?.text(), "yes");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_limiters_of_one_agent_are_settled_each() -> TestResult {
    let (first, second) = (tokens()?, tokens()?);
    let answer = Reply::text("yes").with_usage(Usage::new(40, 2));
    let agent = once(&ScriptedModel::new([answer]), &first)
        .hooks(ModelLimiter::new(second.clone()).estimate(|_| 9_000))
        .build()?;

    agent.prompt("?").await?;

    assert_eq!((left(&first), left(&second)), (10_000 - 42, 10_000 - 42));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_provider_of_a_fallback_has_a_limiter_of_its_own() -> TestResult {
    let limits = |name: &'static str| -> Result<_, ConfigError> {
        let limiter = Limiter::builder().per_day(1.0).burst(10).build()?;
        let of_one = ModelLimiter::new(limiter.clone()).only_for(move |model| model == name);
        Ok((limiter, of_one))
    };
    let ((first, of_first), (second, of_second)) = (limits("a")?, limits("b")?);
    let failing = ScriptedModel::new([Reply::fail(Kind::Server)]).named("a");
    let models = Fallback::new(failing).then(ScriptedModel::always(Reply::text("yes")).named("b"));
    let agent = Agent::builder()
        .model(models)
        .hooks(of_first)
        .hooks(of_second)
        .build()?;

    for _ in 0..3 {
        agent.prompt("?").await?;
    }

    let taken = |limiter: &Limiter| 10 - limiter.available().requests.round() as u32;
    assert_eq!((taken(&first), taken(&second)), (1, 3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn agents_share_a_limiter_with_whoever_else_takes_from_it() -> TestResult {
    let limiter = slow()?;
    let agent = once(&ScriptedModel::new([Reply::text("yes")]), &limiter).build()?;

    let _taken = limiter.acquire(Cost::request()).await?;

    assert_eq!(agent.prompt("?").await?.waited(), secs(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn queue_that_outlasts_the_deadline_ends_the_run_at_once() -> TestResult {
    let limiter = slow()?;
    let model = ScriptedModel::new([]);
    let agent = once(&model, &limiter).build()?;
    let _taken = limiter.acquire(Cost::request()).await?;
    let began = Instant::now();

    let error = agent.prompt("?").deadline(millis(900)).await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(error.retry_after(), Some(secs(1)));
    assert_eq!((model.calls(), began.elapsed()), (0, secs(0)));
    Ok(())
}

/// An agent that takes a place of each limiter, in this order, and thinks for so long in between.
fn of_two(limiters: &[Limiter; 2], thinks: Duration) -> Result<Agent, ConfigError> {
    let mut hooks = HookRegistry::new();
    hooks
        .order(1)
        .on_async(move |_: &mut BeforeModelCallEvent| {
            Box::pin(async move {
                sleep(thinks).await;
                Ok::<(), ConfigError>(())
            })
        });
    let model = ScriptedModel::always(Reply::text("yes").after(secs(1)));
    let [first, second] = limiters;
    Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .hooks(first.clone())
        .hooks(hooks)
        .hooks(second.clone())
        .deadline(secs(60))
        .build()
}

#[tokio::test(start_paused = true)]
async fn runs_with_two_limiters_never_wait_for_each_other() -> TestResult {
    let limiter = || Limiter::builder().concurrency(1).build();
    let limiters = [limiter()?, limiter()?];
    let mut runs = Vec::new();
    // Who comes second to the first limiter may come first to the other.
    for number in 0..12 {
        let agent = of_two(&limiters, millis(100 * (12 - number % 3)))?;
        runs.push(agent.prompt("?").spawn());
    }

    for run in runs {
        assert_eq!(run.await?.text(), "yes");
    }

    for limiter in &limiters {
        assert_eq!(limiter.available().places, Some(1));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_of_one_limiter_is_given_back_when_the_wait_for_another_ends() -> TestResult {
    let limiter = || Limiter::builder().concurrency(1).per_day(1_000.0).build();
    let limiters = [limiter()?, limiter()?];
    let taken = limiters[1].try_acquire(Cost::request())?;
    let before = limiters.each_ref().map(Limiter::available);
    let agent = of_two(&limiters, Duration::ZERO)?;
    let token = CancellationToken::new();

    let cancelled = agent.prompt("?").cancel_on(token.clone()).spawn();
    sleep(secs(1)).await;
    assert_eq!(limiters[0].available().places, Some(0));
    token.cancel();
    assert_eq!(cancelled.await?.stop_reason(), StopReason::Cancelled);
    let late = agent.prompt("?").deadline(secs(1)).await.unwrap_err();
    assert_eq!(late.kind(), RunErrorKind::Deadline);
    let dropped = agent.prompt("?").spawn();
    sleep(secs(1)).await;
    drop(dropped);
    sleep(millis(1)).await;

    let after = limiters.each_ref().map(Limiter::available);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((after.places, after.waiting), (before.places, 0));
        assert!(after.requests >= before.requests, "{after:?}");
    }
    drop(taken);
    Ok(())
}
