//! Hedged attempts: when the model is called a second time, who answers, what is told, who is asked.

mod support;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, BeforeModelCallEvent, CallRole, CancellationToken,
    CircuitBreaker, CircuitState, FunctionTool, Hedge, Limiter, ModelCallAcceptedEvent, ModelDelta,
    ModelError, ModelErrorKind as Kind, ModelRequest, ModelRetryStrategy, NoopRetryStrategy,
    RetryBudget, RunErrorKind, StopReason, ToolError, Usage, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::{Told, told};
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// An agent that hedges after five seconds and makes one attempt.
fn hedged(model: &ScriptedModel) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .hooks(Hedge::after(secs(5)))
}

/// Runs a prompt on two replies, and tells its attempt.
async fn attempt(replies: [Reply; 2]) -> Result<(Vec<String>, Told), steadfast_core::ConfigError> {
    let agent = hedged(&ScriptedModel::new(replies)).build()?;
    let told = told(agent.prompt("?")).await;
    let mut lines = told.trace();
    lines.retain(|line| line.starts_with('1') || line.starts_with('+'));
    Ok((lines, told))
}

#[tokio::test(start_paused = true)]
async fn answer_that_comes_in_time_is_not_hedged() -> TestResult {
    let model = ScriptedModel::new([Reply::text("yes").after(millis(4_999))]);
    let agent = hedged(&model).build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), model.calls()), ("yes", 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedge_that_answers_first_is_told_and_the_first_call_is_dropped() -> TestResult {
    let (lines, told) = attempt([Reply::hang(), Reply::text("second").after(secs(2))]).await?;

    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "+2s",
        "1.1 won by Hedge",
        "1.1 says second",
    ];
    assert_eq!(lines, expected);
    let result = told.outcome?;
    assert_eq!((result.text(), result.attempts()), ("second", 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn first_call_may_still_win() -> TestResult {
    let first = Reply::text("first").after(secs(6));

    let (lines, _) = attempt([first, Reply::hang()]).await?;

    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "+1s",
        "1.1 won by First",
        "1.1 says first",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_loser_is_shown_or_counted() -> TestResult {
    let late = |text: &str, usage| {
        Reply::text(text)
            .after(secs(6))
            .preceded_by(ModelDelta::Usage(usage))
            .preceded_by(ModelDelta::Started {
                request_id: Some(text.to_owned()),
            })
    };
    let quick = Reply::text("second")
        .preceded_by(ModelDelta::Usage(Usage::new(7, 1)))
        .preceded_by(ModelDelta::Started {
            request_id: Some("second".to_owned()),
        });

    let (lines, told) = attempt([late("first", Usage::new(900, 90)), quick]).await?;

    assert_eq!(lines.last().map(String::as_str), Some("1.1 says second"));
    assert_eq!(told.outcome?.usage(), Usage::new(7, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn server_that_has_begun_has_not_answered() -> TestResult {
    let begun = Reply::text("first")
        .after(secs(60))
        .preceded_by(ModelDelta::Usage(Usage::new(7, 0)))
        .preceded_by(ModelDelta::Started { request_id: None });

    let (lines, _) = attempt([begun, Reply::text("second")]).await?;

    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "1.1 won by Hedge",
        "1.1 says second",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn thought_or_tool_call_is_an_answer() -> TestResult {
    let thinks = Reply::text("first")
        .after(secs(60))
        .preceded_by(ModelDelta::Reasoning("hm".into()));
    let model = ScriptedModel::new([thinks, Reply::text("second")]);
    assert_eq!(hedged(&model).build()?.prompt("?").await?.text(), "first");
    assert_eq!(model.calls(), 1);

    let ran = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ran);
    let tool = FunctionTool::new("count", "", move |_: serde_json::Value| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, ToolError>("1") }
    });
    let call = || Reply::tool_call("count", serde_json::json!({}));
    let replies = [Reply::hang(), call(), Reply::text("done")];
    let agent = hedged(&ScriptedModel::new(replies)).tool(tool).build()?;

    assert_eq!(agent.prompt("?").await?.text(), "done");
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn call_that_fails_in_time_is_the_strategys() -> TestResult {
    let model = ScriptedModel::new([Reply::fail(Kind::Server).after(secs(3)), Reply::text("yes")]);
    let agent = hedged(&model)
        .retry_strategy(ModelRetryStrategy::new())
        .build()?;

    let told = told(agent.prompt("?")).await;

    let hedges = told.trace().iter().any(|line| line.contains("hedges"));
    assert!(!hedges);
    let result = told.outcome?;
    assert_eq!((result.attempts(), result.waited()), (2, secs(4)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_of_two_calls_may_fail() -> TestResult {
    let failing = || Reply::fail(Kind::Server).after(secs(1));
    let broken = Reply::deltas([]).after(secs(7));

    let (_, told) = attempt([Reply::text("first").after(secs(9)), failing()]).await?;
    assert_eq!(told.outcome?.text(), "first");

    let second = Reply::text("second").after(secs(9));
    let (lines, told) = attempt([broken, second]).await?;
    assert_eq!(told.outcome?.text(), "second");
    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "+9s",
        "1.1 won by Hedge",
        "1.1 says second",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn later_error_of_two_is_the_attempts() -> TestResult {
    let first = Reply::fail(Kind::Server).after(secs(6));
    let second = Reply::fail(Kind::Overloaded).after(secs(9));

    let (lines, told) = attempt([first, second]).await?;

    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "+9s",
        "1.1 discarded ModelError",
    ];
    assert_eq!(lines, expected);
    let error = told.outcome.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Overloaded));
    assert_eq!(error.attempts(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn cut_answer_before_output_keeps_its_usage_and_identity() -> TestResult {
    let cut = Reply::deltas([
        ModelDelta::Started {
            request_id: Some("req_1".to_owned()),
        },
        ModelDelta::Usage(Usage::new(7, 0)),
    ]);
    let agent = hedged(&ScriptedModel::new([cut]))
        .on(|event: &mut AfterModelCallEvent| assert_eq!(event.usage(), Usage::new(7, 0)))
        .build()?;

    let error = agent.prompt("?").await.unwrap_err();

    let said = error.model_error().ok_or("an error of the model")?;
    assert_eq!(
        (said.kind(), said.request_id()),
        (Kind::Truncated, Some("req_1"))
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn winner_that_breaks_off_is_taken_back() -> TestResult {
    let broken = Reply::text("half").then_fail(Kind::Server);
    let (lines, told) = attempt([Reply::hang(), broken]).await?;

    let expected = [
        "+5s",
        "1.1 hedges after 5s",
        "1.1 won by Hedge",
        "1.1 says half",
        "1.1 discarded ModelError",
    ];
    assert_eq!(lines, expected);
    assert!(told.outcome.is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn silence_of_both_calls_ends_the_attempt() -> TestResult {
    let began = Instant::now();
    let agent = hedged(&ScriptedModel::always(Reply::hang()))
        .first_byte_timeout(secs(30))
        .build()?;

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Timeout));
    assert_eq!(began.elapsed(), secs(30));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn server_that_has_begun_may_be_silent_for_the_idle_time() -> TestResult {
    let thinking = Reply::text("yes")
        .after(secs(60))
        .preceded_by(ModelDelta::Started { request_id: None });
    let agent = hedged(&ScriptedModel::new([thinking, Reply::hang()]))
        .first_byte_timeout(secs(10))
        .idle_timeout(secs(90))
        .build()?;

    assert_eq!(agent.prompt("?").await?.text(), "yes");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn cancelled_run_drops_both_calls() -> TestResult {
    let agent = hedged(&ScriptedModel::always(Reply::hang())).build()?;
    let token = CancellationToken::new();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    sleep(secs(9)).await;

    token.cancel();
    let result = run.await?;

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(result.duration(), secs(9));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn both_calls_are_asked_the_same() -> TestResult {
    let model = ScriptedModel::new([Reply::hang(), Reply::text("yes")]);
    hedged(&model).build()?.prompt("?").await?;

    let requests = model.requests();
    let asked = |request: &ModelRequest| (request.history().clone(), request.attempt());
    assert_eq!(requests.len(), 2);
    assert_eq!(asked(&requests[0]), asked(&requests[1]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hook_hedges_some_attempts_and_the_last_word_counts() -> TestResult {
    let model = ScriptedModel::new([Reply::hang(), Reply::text("yes")]);
    let agent = hedged(&model)
        .on(|event: &mut BeforeModelCallEvent| event.hedge_after(secs(1)))
        .build()?;

    let answer = agent.prompt("?").await?;

    assert_eq!(answer.duration(), secs(1));
    Ok(())
}

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

#[tokio::test(start_paused = true)]
async fn hooks_learn_of_an_accepted_call_at_once_and_once() -> TestResult {
    for replies in [
        [Reply::hang(), Reply::text("yes").after(secs(2))],
        [Reply::deltas([]).after(secs(9)), Reply::fail(Kind::Server)],
    ] {
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&accepted);
        let agent = hedged(&ScriptedModel::new(replies))
            .on(move |event: &mut ModelCallAcceptedEvent| {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(event.at());
            })
            .build()?;

        let _ended = agent.prompt("?").await;

        let accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*accepted, [secs(0)]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_calls_are_never_accepted() -> TestResult {
    let refused = || Reply::fail(Kind::Server).after(secs(7));
    let agent = hedged(&ScriptedModel::new([refused(), refused()]))
        .on(|_: &mut ModelCallAcceptedEvent| -> () { panic!("accepted") })
        .build()?;

    assert!(agent.prompt("?").await.is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn replay_calls_nobody() -> TestResult {
    let model = ScriptedModel::new([Reply::hang(), Reply::text("yes")]);
    let agent = hedged(&model).build()?;
    let journal = Journal::new();
    let runtime = JournalRuntime::new(&journal);
    let first = agent.prompt("?").on_runtime(&runtime).await?;

    let runtime = JournalRuntime::new(&journal);
    let again = agent.prompt("?").on_runtime(&runtime).await?;

    assert_eq!(again.summary(), first.summary());
    assert_eq!(model.calls(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_delay_calls_twice_at_once_and_the_longest_never() -> TestResult {
    let model = ScriptedModel::new([Reply::hang(), Reply::text("yes")]);
    let agent = Agent::builder()
        .model(model.clone())
        .hooks(Hedge::after(Duration::ZERO))
        .build()?;
    assert_eq!(agent.prompt("?").await?.duration(), Duration::ZERO);

    let model = ScriptedModel::new([Reply::text("yes").after(secs(100))]);
    let agent = Agent::builder()
        .model(model)
        .hooks(Hedge::after(Duration::MAX))
        .build()?;
    assert_eq!(agent.prompt("?").await?.text(), "yes");
    Ok(())
}
