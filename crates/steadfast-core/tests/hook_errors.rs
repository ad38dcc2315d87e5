//! What a hook's failure does: it ends the run, once, and nothing else.

mod support;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, AttemptDiscardedEvent, BeforeInvocationEvent, BeforeModelCallEvent,
    BeforeToolCallEvent, BeforeToolsEvent, EventLoopThrottleEvent, ForceStopEvent, FunctionTool,
    HookError, HookEvent, MessageAddedEvent, ModelErrorKind, ModelRetryStrategy, RunErrorKind,
    ToolError,
    testing::{Reply, ScriptedModel},
};
use support::told;

/// Throttled once, then a tool, then a text: a run that passes every event but `ForceStopEvent`.
fn eventful() -> AgentBuilder {
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::tool_call("look", json!({})),
        Reply::text("Rain."),
    ]);
    Agent::builder()
        .model(model)
        .tool(FunctionTool::new("look", "Looks.", |_: Value| async {
            Ok::<_, ToolError>("seen")
        }))
}

/// Fails at an event and checks that the run ends once, as a hook error, with the hook asked once.
async fn check_failure<E: HookEvent>(builder: AgentBuilder) -> Vec<String> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let agent = builder
        .on(move |_: &mut E| {
            counter.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(HookError::new("boom"))
        })
        .build();
    let Ok(agent) = agent else {
        return vec!["not built".to_owned()];
    };

    // Exactly one force stop, as the last event: `told` checks it.
    let told = told(agent.prompt("Weather?")).await;

    let trace = told.trace();
    assert_eq!(trace.last().map(String::as_str), Some("force_stop hook"));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "{}", E::NAME);
    if let Err(error) = told.outcome {
        assert_eq!(error.kind(), RunErrorKind::Hook);
        assert_eq!(error.to_string(), format!("a hook failed at `{}`", E::NAME));
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("boom")
        );
    }
    trace
}

/// Strands 44, 45, 50.
#[tokio::test(start_paused = true)]
async fn hook_error_ends_the_run_once_at_every_event() {
    let lengths = [
        check_failure::<BeforeInvocationEvent>(eventful())
            .await
            .len(),
        check_failure::<MessageAddedEvent>(eventful()).await.len(),
        check_failure::<BeforeModelCallEvent>(eventful())
            .await
            .len(),
        check_failure::<AfterModelCallEvent>(eventful()).await.len(),
        check_failure::<AttemptDiscardedEvent>(eventful())
            .await
            .len(),
        check_failure::<EventLoopThrottleEvent>(eventful())
            .await
            .len(),
        check_failure::<BeforeToolsEvent>(eventful()).await.len(),
        check_failure::<BeforeToolCallEvent>(eventful()).await.len(),
        check_failure::<AfterToolCallEvent>(eventful()).await.len(),
        check_failure::<AfterToolsEvent>(eventful()).await.len(),
        check_failure::<AfterInvocationEvent>(eventful())
            .await
            .len(),
    ];

    // The later the event, the more was told before.
    assert_eq!(lengths, [2, 2, 5, 5, 5, 5, 9, 9, 11, 11, 15]);
}

/// Strands 44.
#[tokio::test(start_paused = true)]
async fn hook_error_on_a_model_error_carries_both() {
    let agent = eventful()
        .on(|_: &mut AfterModelCallEvent| Err(HookError::new("boom")))
        .build()
        .unwrap();

    let error = told(agent.prompt("?")).await.outcome.unwrap_err();

    assert_eq!(error.source().unwrap().to_string(), "boom");
    let model_error = error.model_error().map(|error| error.kind());
    assert_eq!(model_error, Some(ModelErrorKind::Throttled));
}

#[tokio::test(start_paused = true)]
async fn hook_error_at_the_force_stop_changes_nothing() {
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::fail(ModelErrorKind::Auth)]))
        .on(|_: &mut ForceStopEvent| Err(HookError::new("boom")))
        .on(|_: &mut AfterInvocationEvent| Err(HookError::new("boom")))
        .build()
        .unwrap();

    let told = told(agent.prompt("?")).await;

    assert_eq!(told.trace().last().unwrap(), "force_stop auth");
}

#[tokio::test(start_paused = true)]
async fn failing_hook_keeps_later_hooks_from_being_asked() {
    let later = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&later);
    let agent = eventful()
        .on(|_: &mut BeforeModelCallEvent| Err(HookError::new("boom")))
        .on(move |_: &mut BeforeModelCallEvent| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();

    told(agent.prompt("?")).await.outcome.unwrap_err();

    assert_eq!(later.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn panic_in_a_hook_unwinds_and_leaves_the_agent_usable() {
    let armed = AtomicUsize::new(0);
    let model = ScriptedModel::always(Reply::text("Yes."));
    let agent = Agent::builder()
        .model(model)
        .on(move |_: &mut AfterModelCallEvent| {
            assert!(armed.fetch_add(1, Ordering::Relaxed) > 1, "armed");
        })
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let awaited = conversation.prompt("?").into_future();
    let awaited = std::panic::AssertUnwindSafe(awaited).catch_unwind().await;
    let spawned = agent.prompt("?").spawn();
    let spawned = std::panic::AssertUnwindSafe(spawned).catch_unwind().await;

    assert!(awaited.is_err() && spawned.is_err());
    assert!(conversation.history().is_empty());
    assert_eq!(conversation.prompt("?").await.unwrap().text(), "Yes.");
}

/// Strands 43.
#[tokio::test(start_paused = true)]
async fn hook_error_on_an_answer_is_met_once() {
    let model = ScriptedModel::new([Reply::text("Yes."), Reply::text("never")]);
    let builder = Agent::builder()
        .model(model.clone())
        .retry_strategy(ModelRetryStrategy::new().retry_if(|_| true));

    let trace = check_failure::<AfterModelCallEvent>(builder).await;

    let expected = [
        "run",
        "user: Weather?",
        "attempt 1.1",
        "1.1 says Yes.",
        "1.1 discarded HookError",
        "force_stop hook",
    ];
    assert_eq!(trace, expected);
    assert_eq!(model.calls(), 1);
}

/// Strands 45: a strategy that would retry everything does not retry this.
#[tokio::test(start_paused = true)]
async fn hook_error_before_a_call_is_not_the_models() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let builder = Agent::builder()
        .model(model.clone())
        .retry_strategy(ModelRetryStrategy::new().retry_if(|_| true));

    let trace = check_failure::<BeforeModelCallEvent>(builder).await;

    let expected = [
        "run",
        "user: Weather?",
        "attempt 1.1",
        "1.1 discarded HookError",
        "force_stop hook",
    ];
    assert_eq!(trace, expected);
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn hook_error_after_the_tools_does_not_run_them_again() {
    let (looks, failures) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let looking = Arc::clone(&looks);
    let model = ScriptedModel::new([Reply::tool_call("look", json!({})), Reply::text("Rain.")]);
    let agent = Agent::builder()
        .model(model)
        .tool(FunctionTool::new("look", "Looks.", move |_: Value| {
            looking.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, ToolError>("seen") }
        }))
        .on(
            move |_: &mut AfterToolsEvent| match failures.fetch_add(1, Ordering::Relaxed) {
                0 => Err(HookError::new("boom")),
                _ => Ok(()),
            },
        )
        .build()
        .unwrap();
    let error = told(agent.prompt("?")).await.outcome.unwrap_err();

    let answer = agent.resume(error.into_run()).await.unwrap();

    assert_eq!(answer.text(), "Rain.");
    assert_eq!(looks.load(Ordering::Relaxed), 1);
}
