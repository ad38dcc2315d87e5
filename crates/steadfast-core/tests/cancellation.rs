//! Cancellation and the deadline end a run at once, wherever it waits.

mod support;

use std::{
    future::{IntoFuture as _, pending},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, AgentEvent, AsyncHookEvent, AttemptDiscardedEvent, BeforeInvocationEvent,
    BeforeModelCallEvent, BeforeToolCallEvent, BeforeToolsEvent, CancellationToken, ContentBlock,
    Conversation, EventLoopThrottleEvent, FunctionTool, MessageAddedEvent, ModelRetryStrategy,
    RunErrorKind, StopReason, ToolError, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};
use tokio::time::Instant;

/// What ends the run one second after its beginning.
#[derive(Clone, Copy)]
enum By {
    Cancelling,
    Deadline,
}

/// An agent on its way into a long wait, and the model that it calls.
type Place = (AgentBuilder, ScriptedModel);

fn place(replies: impl IntoIterator<Item = Reply>) -> Place {
    // The last replies are for the prompt that shows that the agent is usable afterwards.
    let again = [Reply::text("Again."), Reply::text("Again.")];
    let model = ScriptedModel::new(replies.into_iter().chain(again));
    let builder = Agent::builder()
        .model(model.clone())
        .tool(FunctionTool::new("look", "Looks.", |_: Value| async {
            Ok::<_, ToolError>("seen")
        }))
        .tool(FunctionTool::new("hang", "Hangs.", |_: Value| {
            pending::<Result<(), ToolError>>()
        }));
    (builder, model)
}

/// A run that waits in an async hook of an event, the n-th time it is asked.
fn in_hook<E: AsyncHookEvent>(nth: usize) -> Place {
    let (builder, model) = place([
        Reply::throttled(),
        Reply::tool_call("look", json!({})),
        Reply::text("Rain."),
    ]);
    let asked = AtomicUsize::new(0);
    let builder = builder
        .retry_strategy(ModelRetryStrategy::new().initial_delay(Duration::ZERO))
        .on_async(move |_: &mut E| {
            let hangs = asked.fetch_add(1, Ordering::Relaxed) + 1 == nth;
            Box::pin(async move {
                if hangs {
                    pending::<()>().await;
                }
            })
        });
    (builder, model)
}

fn in_tool_retry() -> Place {
    let (builder, model) = place([Reply::tool_calls([
        ("look", json!({})),
        ("nobody", json!({})),
    ])]);
    let builder = builder.on(|event: &mut AfterToolCallEvent| {
        if event.result.is_error {
            event.retry_after(secs(60));
        }
    });
    (builder, model)
}

/// Runs into the wait, ends it after a second, and checks all that is promised of such an end.
async fn check((builder, model): Place, by: By) -> Result<(), Box<dyn std::error::Error>> {
    let mut conversation = builder.build()?.conversation();
    let began = Instant::now();
    let token = CancellationToken::new();
    let (watched, later) = (model.clone(), token.clone());
    let calls = tokio::spawn(async move {
        tokio::time::sleep(secs(1)).await;
        let calls = watched.calls();
        later.cancel();
        calls
    });

    let prompt = match by {
        By::Cancelling => conversation.prompt("Go.").cancel_on(token),
        By::Deadline => conversation.prompt("Go.").deadline(secs(1)),
    };
    let told = told(prompt).await;

    assert!(
        (secs(1)..=millis(1_005)).contains(&began.elapsed()),
        "{:#?}",
        told.trace()
    );
    match (by, told.outcome) {
        (By::Cancelling, Ok(result)) => assert_eq!(result.stop_reason(), StopReason::Cancelled),
        (By::Deadline, Err(error)) => assert_eq!(error.kind(), RunErrorKind::Deadline),
        (_, outcome) => assert!(outcome.is_err() && outcome.is_ok(), "{outcome:?}"),
    }
    assert_eq!(model.calls(), calls.await?);
    assert_eq!(open_calls(&conversation), 0);
    assert!(!conversation.prompt("Again.").await?.text().is_empty());
    assert_eq!(open_calls(&conversation), 0);
    Ok(())
}

/// How many tool calls have no result: a provider would refuse the history.
fn open_calls(conversation: &Conversation) -> usize {
    let mut open = Vec::new();
    for block in conversation
        .history()
        .iter()
        .flat_map(|message| &message.content)
    {
        match block {
            ContentBlock::ToolUse(call) => open.push(call.id.clone()),
            ContentBlock::ToolResult(result) => open.retain(|id| *id != result.id),
            _ => {}
        }
    }
    open.len()
}

/// Strands 68.
#[tokio::test(start_paused = true)]
async fn silent_model_is_cut_short() {
    for by in [By::Cancelling, By::Deadline] {
        check(place([Reply::hang()]), by).await.unwrap();
        check(place([Reply::text("half").then_hang()]), by)
            .await
            .unwrap();
        let turn_two = [Reply::tool_call("look", json!({})), Reply::hang()];
        check(place(turn_two), by).await.unwrap();
        check(place([Reply::throttled().after(secs(60))]), by)
            .await
            .unwrap();
    }
}

/// Strands 66. (A deadline is not waited for: see `retry_waits.rs`.)
#[tokio::test(start_paused = true)]
async fn backoff_is_cut_short_by_cancelling() {
    // AT-15, AE-29.
    check(place([Reply::throttled()]), By::Cancelling)
        .await
        .unwrap();
    check(place([Reply::throttled_for(secs(600))]), By::Cancelling)
        .await
        .unwrap();
    let turn_two = [Reply::tool_call("look", json!({})), Reply::throttled()];
    check(place(turn_two), By::Cancelling).await.unwrap();
}

/// Strands 69, 70.
#[tokio::test(start_paused = true)]
async fn tools_are_cut_short() {
    for by in [By::Cancelling, By::Deadline] {
        let calls = [
            ("look", json!({})),
            ("hang", json!({})),
            ("hang", json!({})),
        ];
        check(place([Reply::tool_calls(calls)]), by).await.unwrap();
    }
}

/// Strands 49.
#[tokio::test(start_paused = true)]
async fn tool_is_not_retried_once_the_run_is_cancelled() {
    let (builder, model) = place([Reply::tool_call("look", json!({}))]);
    let token = CancellationToken::new();
    let cancelling = token.clone();
    let agent = builder
        .on(move |event: &mut AfterToolCallEvent| {
            cancelling.cancel();
            event.retry = true;
        })
        .build()
        .unwrap();

    let told = told(agent.prompt("Go.").cancel_on(token)).await;

    let runs = told
        .trace()
        .into_iter()
        .filter(|line| line.contains(" runs "));
    assert_eq!((runs.count(), model.calls()), (1, 1));
    assert_eq!(told.outcome.unwrap().stop_reason(), StopReason::Cancelled);
}

/// Strands 70.
#[tokio::test(start_paused = true)]
async fn calls_of_a_run_that_is_cancelled_before_its_tools_are_answered() {
    let (builder, model) = place([Reply::tool_calls([
        ("look", json!({})),
        ("hang", json!({})),
    ])]);
    let token = CancellationToken::new();
    let cancelling = token.clone();
    let agent = builder
        .on(move |_: &mut BeforeToolsEvent| cancelling.cancel())
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let told = told(conversation.prompt("Go.").cancel_on(token)).await;
    conversation.prompt("Again.").await.unwrap();

    assert!(!told.trace().iter().any(|line| line.contains(" runs ")));
    assert_eq!(told.outcome.unwrap().stop_reason(), StopReason::Cancelled);
    let asked = model.requests().last().unwrap().history().clone();
    let asked: Vec<_> = asked.iter().map(|message| message_line(message)).collect();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[1], "assistant: call_1=look call_2=hang");
    assert!(asked[2].starts_with("user: call_1!"), "{asked:?}");
    assert!(asked[2].contains(" call_2!"), "{asked:?}");
    assert_eq!(asked[3], "user: Again.");
    assert_eq!(open_calls(&conversation), 0);
}

#[tokio::test(start_paused = true)]
async fn wait_before_a_tool_retry_is_cut_short_by_cancelling() {
    check(in_tool_retry(), By::Cancelling).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn async_hooks_are_cut_short_at_every_event() {
    for by in [By::Cancelling, By::Deadline] {
        check(in_hook::<BeforeInvocationEvent>(1), by)
            .await
            .unwrap();
        check(in_hook::<MessageAddedEvent>(1), by).await.unwrap();
        check(in_hook::<BeforeModelCallEvent>(1), by).await.unwrap();
        check(in_hook::<AfterModelCallEvent>(1), by).await.unwrap();
        check(in_hook::<AttemptDiscardedEvent>(1), by)
            .await
            .unwrap();
        check(in_hook::<EventLoopThrottleEvent>(1), by)
            .await
            .unwrap();
        check(in_hook::<AfterModelCallEvent>(2), by).await.unwrap();
        check(in_hook::<MessageAddedEvent>(2), by).await.unwrap();
        check(in_hook::<BeforeToolsEvent>(1), by).await.unwrap();
        check(in_hook::<BeforeToolCallEvent>(1), by).await.unwrap();
        check(in_hook::<AfterToolCallEvent>(1), by).await.unwrap();
        check(in_hook::<AfterToolsEvent>(1), by).await.unwrap();
        check(in_hook::<MessageAddedEvent>(3), by).await.unwrap();
        check(in_hook::<MessageAddedEvent>(4), by).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn hook_at_the_end_is_cut_short_and_the_result_stands() {
    for by in [By::Cancelling, By::Deadline] {
        let (builder, _) = in_hook::<AfterInvocationEvent>(1);
        let agent = builder.build().unwrap();
        let token = CancellationToken::new();
        let later = token.clone();
        tokio::spawn(async move {
            tokio::time::sleep(secs(1)).await;
            later.cancel();
        });

        let prompt = match by {
            By::Cancelling => agent.prompt("Go.").cancel_on(token),
            By::Deadline => agent.prompt("Go.").deadline(secs(1)),
        };
        let result = told(prompt).await.outcome.unwrap();

        assert_eq!(
            (result.stop_reason(), result.text()),
            (StopReason::EndTurn, "Rain.")
        );
    }
}

/// Strands 65.
#[tokio::test(start_paused = true)]
async fn prompt_cancelled_before_it_begins_calls_nothing() {
    let (builder, model) = place([]);
    let agent = builder.build().unwrap();
    let token = CancellationToken::new();
    token.cancel();

    let cancelled = told(agent.prompt("Go.").cancel_on(token)).await;

    assert_eq!(cancelled.trace(), ["run", "result Cancelled"]);
    assert_eq!(model.calls(), 0);
    assert_eq!(agent.prompt("Again.").await.unwrap().text(), "Again.");
}

#[tokio::test(start_paused = true)]
async fn passed_deadline_makes_no_call() {
    let (builder, model) = place([]);
    let agent = builder.build().unwrap();

    let error = told(agent.prompt("Go.").deadline(Duration::ZERO))
        .await
        .outcome
        .unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn spawned_run_is_cancelled_by_its_handle_and_aborted_by_its_drop() {
    let (builder, model) = place([Reply::hang(), Reply::hang()]);
    let agent = builder.build().unwrap();

    let run = agent.prompt("One.").spawn();
    tokio::time::sleep(secs(1)).await;
    run.cancel();
    let cancelled = run.await.unwrap();
    let run = agent.prompt("Two.").spawn();
    tokio::time::sleep(secs(1)).await;
    drop(run);

    assert_eq!(cancelled.stop_reason(), StopReason::Cancelled);
    assert_eq!(cancelled.duration(), secs(1));
    assert_eq!(agent.prompt("Again.").await.unwrap().text(), "Again.");
    assert_eq!(model.calls(), 3);
}

/// Strands 10, 67.
#[tokio::test(start_paused = true)]
async fn run_that_is_dropped_in_its_backoff_leaves_nothing_behind() {
    let (builder, model) = place([Reply::throttled(), Reply::throttled()]);
    let seen: Arc<Mutex<Vec<AgentEvent>>> = Arc::default();
    let seeing = Arc::clone(&seen);
    let agent = builder
        .observe(move |event: &AgentEvent| seeing.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    let mut conversation = agent.conversation();
    let began = Instant::now();

    let dropped = tokio::time::timeout(secs(1), conversation.prompt("Go.").into_future()).await;

    assert!(dropped.is_err());
    assert_eq!((began.elapsed(), model.calls()), (secs(1), 1));
    assert!(conversation.history().is_empty());
    let last = seen.lock().unwrap().pop();
    assert!(matches!(last, Some(AgentEvent::RunDropped(_))), "{last:?}");
    let stopped = |event: &AgentEvent| matches!(event, AgentEvent::ForceStop(_));
    assert!(!seen.lock().unwrap().iter().any(stopped));
    let next = conversation.prompt("Again.").await.unwrap();
    assert_eq!((next.waited(), next.attempts()), (secs(4), 2));
}

#[tokio::test(start_paused = true)]
async fn wait_without_end_counts_what_was_waited() {
    let token = CancellationToken::new();
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::throttled()]))
        .on(|event: &mut AfterModelCallEvent| event.retry_after(Duration::MAX))
        .build()
        .unwrap();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    tokio::time::sleep(secs(1)).await;

    token.cancel();
    let result = run.await.unwrap();

    assert_eq!(result.waited(), secs(1));
}
