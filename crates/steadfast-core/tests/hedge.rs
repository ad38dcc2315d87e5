//! Hedged attempts: when the model is called a second time, who answers, what is told.

#[path = "support/hedged.rs"]
mod hedged;
mod support;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hedged::hedged;
use steadfast_core::{
    AfterModelCallEvent, Agent, BeforeModelCallEvent, CancellationToken, FunctionTool, Hedge,
    ModelCallAcceptedEvent, ModelDelta, ModelErrorKind as Kind, ModelRequest, ModelRetryStrategy,
    RunErrorKind, StopReason, ToolError, Usage, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::{Told, told};
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

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
