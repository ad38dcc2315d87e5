//! Waits before a call: a hook declares them, the loop tells and makes them.

mod support;

use std::{future::pending, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use steadfast_core::{
    Agent, AgentBuilder, AgentResult, BeforeModelCallEvent, CancellationToken, DecidedBy,
    EventLoopThrottleEvent, HookError, HookRegistry, Limiter, ModelError, ModelErrorKind,
    NoopRetryStrategy, Prompt, RunErrorKind, StopReason, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// An agent whose calls are let in after these delays, one for each hook.
fn limited<const N: usize>(model: &ScriptedModel, delays: [Duration; N]) -> AgentBuilder {
    let builder = Agent::builder().model(model.clone());
    delays.into_iter().fold(builder, |builder, delay| {
        builder.on(move |event: &mut BeforeModelCallEvent| event.wait_for(delay, sleep(delay)))
    })
}

#[tokio::test(start_paused = true)]
async fn wait_is_told_before_it_is_made() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = limited(&model, [secs(3)]).build().unwrap();

    let told = told(agent.prompt("?")).await;

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 waits 3s by Pacer",
        "+3s",
        "1.1 says Yes.",
        "assistant: Yes.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    let result = told.outcome.unwrap();
    assert_eq!((result.waited(), result.duration()), (secs(3), secs(3)));
}

#[tokio::test(start_paused = true)]
async fn several_waits_are_made_in_the_order_of_the_hooks() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let wait = |delay| {
        move |event: &mut BeforeModelCallEvent| {
            event.wait_for(delay, async move { sleep(delay).await });
        }
    };
    let mut hooks = HookRegistry::new();
    hooks.order(1).on(wait(secs(1)));
    let agent = Agent::builder()
        .model(model)
        .hooks(hooks)
        .on(wait(secs(3)))
        .on(wait(secs(0)))
        .on(wait(secs(5)))
        .build()
        .unwrap();

    let told = told(agent.prompt("?")).await;

    let waits = [
        "1.1 waits 3s by Pacer",
        "+3s",
        "1.1 waits 5s by Pacer",
        "+5s",
        "1.1 waits 1s by Pacer",
        "+1s",
    ];
    assert_eq!(told.trace()[3..9], waits);
    assert_eq!(told.outcome.unwrap().waited(), secs(3 + 5 + 1));
}

/// Has a call take the only place behind each gate, in this order.
fn through<const N: usize>(model: &ScriptedModel, gates: [&Arc<Semaphore>; N]) -> AgentBuilder {
    let builder = Agent::builder().model(model.clone());
    gates.into_iter().fold(builder, |builder, gate| {
        let gate = Arc::clone(gate);
        builder.on(move |event: &mut BeforeModelCallEvent| {
            let gate = Arc::clone(&gate);
            event.wait_for(secs(1), async move { gate.acquire_owned().await.ok() });
        })
    })
}

#[tokio::test(start_paused = true)]
async fn first_place_is_given_back_when_the_second_wait_is_cut_short() {
    let (one, two) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let _taken = Arc::clone(&two).try_acquire_owned().unwrap();
    let model = ScriptedModel::new([]);
    let agent = through(&model, [&one, &two]).build().unwrap();
    let token = CancellationToken::new();
    let cancelled = agent.prompt("?").cancel_on(token.clone());

    let runs = [cancelled, agent.prompt("?").deadline(secs(9))].map(Prompt::spawn);
    let dropped = agent.prompt("?").spawn();
    sleep(secs(5)).await;
    assert_eq!(one.available_permits(), 0);
    token.cancel();
    sleep(secs(5)).await;
    drop(dropped);
    let [cancelled, late] = runs;

    assert_eq!(
        cancelled.await.unwrap().stop_reason(),
        StopReason::Cancelled
    );
    assert_eq!(late.await.unwrap_err().kind(), RunErrorKind::Deadline);
    sleep(millis(10)).await;
    assert_eq!(one.available_permits(), 1);
    assert_eq!((two.available_permits(), model.calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn first_place_is_given_back_when_the_second_wait_would_be_too_late() {
    let (one, two) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let _taken = Arc::clone(&two).try_acquire_owned().unwrap();
    let model = ScriptedModel::new([]);
    let agent = through(&model, [&one, &two]).build().unwrap();

    let error = agent.prompt("?").deadline(secs(1)).await.unwrap_err();

    assert_eq!(
        (error.kind(), error.retry_after()),
        (RunErrorKind::Deadline, Some(secs(1)))
    );
    assert_eq!(one.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_too_long_for_the_deadline_is_seen_before_the_first() {
    let model = ScriptedModel::new([]);
    let agent = limited(&model, [secs(3), secs(60)]).build().unwrap();
    let began = Instant::now();

    let error = agent.prompt("?").deadline(secs(30)).await.unwrap_err();

    assert_eq!(error.retry_after(), Some(secs(60)));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn permit_is_held_until_the_attempt_has_ended() {
    let gate = Arc::new(Semaphore::new(1));
    let model = ScriptedModel::always(Reply::text("Yes.").after(secs(1)));
    let shared = Arc::clone(&gate);
    let agent = Agent::builder()
        .model(model.clone())
        .on(move |event: &mut BeforeModelCallEvent| {
            let gate = Arc::clone(&shared);
            event.wait_for(secs(1), async move { gate.acquire_owned().await.ok() });
        })
        .build()
        .unwrap();

    let runs: Vec<_> = (0..3).map(|_| agent.prompt("?").spawn()).collect();
    let dropped = agent.prompt("?").spawn();
    sleep(millis(500)).await;
    drop(dropped);
    let mut ended = Vec::new();
    for run in runs {
        let result = run.await.unwrap();
        ended.push((result.waited(), result.duration()));
    }

    let expected = [(0, 1), (1, 2), (2, 3)].map(|(waited, took)| (secs(waited), secs(took)));
    assert_eq!(ended, expected);
    assert_eq!(gate.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_makes_no_call() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(9), pending::<()>()))
        .build()
        .unwrap();
    let token = CancellationToken::new();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    sleep(secs(2)).await;

    token.cancel();
    let result = run.await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!((result.waited(), result.duration()), (secs(2), secs(2)));
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn wait_past_the_deadline_ends_the_run_at_once() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let agent = limited(&model, [secs(60)]).build().unwrap();

    let told = told(agent.prompt("?").deadline(secs(60))).await;

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded Deadline",
        "force_stop deadline",
    ];
    assert_eq!(told.trace(), expected);
    let error = told.outcome.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(error.retry_after(), Some(secs(60)));
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn replay_does_not_wait_again() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = limited(&model, [secs(3)]).build().unwrap();
    let journal = Journal::new();
    let first = JournalRuntime::new(&journal);
    let first = agent.prompt("?").on_runtime(&first).await.unwrap();

    let again = JournalRuntime::new(&journal);
    let again = agent.prompt("?").on_runtime(&again).await.unwrap();

    assert_eq!(again.summary(), first.summary());
    assert_eq!(again.waited(), secs(3));
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_call_that_a_hook_answers_is_not_made() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let agent = limited(&model, [secs(3)])
        .on(|event: &mut BeforeModelCallEvent| event.cancel = Some("from the cache".into()))
        .build()
        .unwrap();

    let result = agent.prompt("?").await.unwrap();

    assert_eq!(
        (result.text(), result.waited()),
        ("from the cache", Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn hook_sees_the_wait_and_that_nothing_has_failed() {
    let model = ScriptedModel::new([Reply::error(ModelError::new(ModelErrorKind::Auth, "no"))]);
    let agent = limited(&model, [secs(3)])
        .retry_strategy(NoopRetryStrategy)
        .on(|event: &mut EventLoopThrottleEvent| {
            assert_eq!(event.decided_by(), DecidedBy::Pacer);
            assert_eq!((event.delay(), event.error()), (secs(3), None));
        })
        .build()
        .unwrap();

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Auth));
}

/// Looks at a wait that is told for so long.
fn looks_for(
    time: Duration,
) -> impl for<'a> Fn(&'a mut EventLoopThrottleEvent) -> BoxFuture<'a, ()> + Send + Sync {
    move |_| Box::pin(sleep(time))
}

#[tokio::test(start_paused = true)]
async fn wait_goes_on_while_a_hook_looks_at_it() {
    let model = ScriptedModel::always(Reply::text("Yes."));
    let agent = |looks: u64| {
        limited(&model, [secs(3)])
            .on_async(looks_for(secs(looks)))
            .build()
            .unwrap()
    };

    let quick = agent(1).prompt("?").await.unwrap();
    let slow = agent(10).prompt("?").await.unwrap();

    let times = |result: &AgentResult| (result.waited(), result.duration());
    assert_eq!(times(&quick), (secs(3), secs(3)));
    // The call is made when both are done, and the hook's time is no wait.
    assert_eq!(times(&slow), (secs(3), secs(10)));
}

#[tokio::test(start_paused = true)]
async fn slow_hook_of_the_first_in_a_line_holds_up_nobody() {
    let limiter = Limiter::builder().per_second(1.0).burst(1).build().unwrap();
    let model = ScriptedModel::always(Reply::text("Yes."));
    let agent = || Agent::builder().model(model.clone()).hooks(limiter.clone());
    let slow = agent().on_async(looks_for(secs(60))).build().unwrap();
    let agent = agent().build().unwrap();
    agent.prompt("?").await.unwrap();

    let first = slow.prompt("?").spawn();
    sleep(millis(1)).await;
    let second = agent.prompt("?").await.unwrap();

    assert!(second.duration() <= secs(2), "{:?}", second.duration());
    assert_eq!(first.await.unwrap().duration(), secs(60));
}

#[tokio::test(start_paused = true)]
async fn place_that_came_while_a_hook_failed_is_given_back() {
    let gate = Arc::new(Semaphore::new(1));
    let taken = Arc::clone(&gate).try_acquire_owned().unwrap();
    let model = ScriptedModel::new([]);
    let agent = through(&model, [&gate])
        .on_async(|_: &mut EventLoopThrottleEvent| {
            Box::pin(async {
                sleep(secs(5)).await;
                Err(HookError::new("no"))
            })
        })
        .build()
        .unwrap();

    let failing = agent.prompt("?").spawn();
    sleep(secs(1)).await;
    drop(taken);
    sleep(secs(1)).await;
    assert_eq!(gate.available_permits(), 0);
    let error = failing.await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Hook);
    assert_eq!((gate.available_permits(), model.calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_let_in_at_once_has_not_waited() {
    let gate = Arc::new(Semaphore::new(1));
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let shared = Arc::clone(&gate);
    let agent = Agent::builder()
        .model(model.clone())
        .on(move |event: &mut BeforeModelCallEvent| {
            let gate = Arc::clone(&shared);
            event.wait_for(secs(60), async move { gate.acquire_owned().await.ok() });
        })
        .build()
        .unwrap();

    let told = told(agent.prompt("?").deadline(secs(60))).await;

    let waits = told.trace().iter().any(|line| line.contains("waits"));
    assert!(!waits, "{:#?}", told.trace());
    assert_eq!(told.outcome.unwrap().waited(), Duration::ZERO);
    assert_eq!(gate.available_permits(), 1);
}
