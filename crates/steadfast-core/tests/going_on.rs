//! Going on after a stop: what is kept, who may go on with it, and that nothing is done twice.

mod support;

use std::{
    future::IntoFuture as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterModelCallEvent, AfterToolCallEvent, Agent, BeforeToolCallEvent, CancellationToken,
    FunctionTool, HookError, HookProvider, HookRegistry, Message, ModelErrorKind,
    NoopRetryStrategy, RunErrorKind, StopReason, ToolError, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;
use tokio::time::Instant;

fn look() -> Reply {
    Reply::tool_call("look", json!({}))
}

fn down() -> Reply {
    Reply::fail(ModelErrorKind::Server)
}

/// An agent without retries, with the tool `look`.
fn agent(replies: impl IntoIterator<Item = Reply>) -> Agent {
    let look = FunctionTool::new("look", "Looks.", |_: Value| async {
        Ok::<_, ToolError>("seen")
    });
    let builder = Agent::builder()
        .model(ScriptedModel::new(replies))
        .retry_strategy(NoopRetryStrategy)
        .tool(look);
    builder
        .build()
        .unwrap_or_else(|error| unreachable_agent(&error))
}

#[expect(clippy::panic, reason = "a test's own agent is to be right")]
fn unreachable_agent(error: &dyn std::error::Error) -> ! {
    panic!("{error}")
}

#[tokio::test(start_paused = true)]
async fn handle_cancels_its_own_run_only() {
    let agent = agent([Reply::hang(), Reply::text("Fine.").after(secs(1))]);
    let shared = CancellationToken::new();
    let one = agent.prompt("One.").cancel_on(shared.clone()).spawn();
    let other = agent.prompt("Other.").cancel_on(shared.clone()).spawn();
    tokio::task::yield_now().await;

    one.cancel();

    assert_eq!(one.await.unwrap().stop_reason(), StopReason::Cancelled);
    assert_eq!(other.await.unwrap().text(), "Fine.");
    assert!(!shared.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn resume_that_is_dropped_loses_no_finished_turn() {
    let agent = agent([look(), down(), Reply::hang()]);
    let mut conversation = agent.conversation();
    let error = conversation.prompt("Weather?").await.unwrap_err();
    let before = conversation.history().len();

    let resumed = conversation.resume(error.into_run()).into_future();
    let dropped = tokio::time::timeout(secs(1), resumed).await;

    assert!(dropped.is_err());
    assert_eq!((before, conversation.history().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn run_stopped_by_its_runtime_goes_on_in_its_conversation() {
    let agent = agent([look(), Reply::text("Rain.")]);
    let mut conversation = agent.conversation();
    let stopping = JournalRuntime::new(&Journal::new()).stop_after(4);
    let error = conversation
        .prompt("Weather?")
        .on_runtime(&stopping)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Stopped);

    let answer = conversation.resume(error.into_run()).await.unwrap();

    assert_eq!(answer.text(), "Rain.");
    assert_eq!(conversation.history().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn run_of_another_conversation_is_refused_and_stays_whole() {
    let agent = agent([down(), Reply::text("Hello."), Reply::text("Mine.")]);
    let mut ada = agent
        .conversation()
        .with_messages([Message::user("I am Ada."), Message::assistant("Hi.")]);
    let mut bob = agent
        .conversation()
        .with_messages([Message::user("I am Bob."), Message::assistant("Hi.")]);
    let run = ada.prompt("Who am I?").await.unwrap_err().into_run();

    let refused = bob.resume(run).await.unwrap_err();

    assert_eq!(refused.kind(), RunErrorKind::Mismatch);
    assert_eq!(bob.history().len(), 2);
    assert_eq!(
        ada.resume(refused.into_run()).await.unwrap().text(),
        "Hello."
    );
}

#[tokio::test(start_paused = true)]
async fn cancelled_result_can_go_on() {
    let agent = agent([look(), Reply::hang(), Reply::text("Rain.")]);
    let token = CancellationToken::new();
    let run = agent.prompt("Weather?").cancel_on(token.clone()).spawn();
    tokio::time::sleep(secs(1)).await;
    token.cancel();
    let cancelled = run.await.unwrap();
    assert_eq!(cancelled.messages().len(), 3, "the finished turn");

    let answer = agent.resume(cancelled.into_run().unwrap()).await.unwrap();

    assert_eq!((answer.text(), answer.turns()), ("Rain.", 2));
    assert!(answer.into_run().is_none(), "it came to its end");
}

#[tokio::test(start_paused = true)]
async fn resuming_uses_up_no_turn() {
    let builder = Agent::builder()
        .max_turns(2)
        .retry_strategy(NoopRetryStrategy);
    let looking = FunctionTool::new("look", "Looks.", |_: Value| async {
        Ok::<_, ToolError>("seen")
    });
    let model = ScriptedModel::new([down(), down(), down(), look(), Reply::text("Rain.")]);
    let agent = builder.model(model).tool(looking).build().unwrap();
    let mut run = agent.prompt("Weather?").await.unwrap_err().into_run();
    for _ in 0..2 {
        run = agent.resume(run).await.unwrap_err().into_run();
    }

    let answer = agent.resume(run).await.unwrap();

    assert_eq!(
        (answer.stop_reason(), answer.turns()),
        (StopReason::EndTurn, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_of_a_resumed_run_cuts_its_wait() {
    let failing = FunctionTool::new("failing", "Fails.", |_: Value| async {
        Err::<(), _>(ToolError::new("later"))
    });
    let slow = FunctionTool::new("slow", "Takes a second.", |_: Value| async {
        tokio::time::sleep(secs(1)).await;
        Ok::<_, ToolError>("done")
    });
    let calls = [("failing", json!({})), ("slow", json!({}))];
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::tool_calls(calls)]))
        .tool(failing)
        .tool(slow)
        .on(|event: &mut AfterToolCallEvent| {
            if event.error().is_some() {
                event.retry_after(secs(60));
            }
        })
        .build()
        .unwrap();
    // Stopped while the first call waits for its retry and the second has just been recorded.
    let stopping = JournalRuntime::new(&Journal::new()).stop_after(6);
    let stopped = agent.prompt("Go.").on_runtime(&stopping).await.unwrap_err();
    assert_eq!(stopped.kind(), RunErrorKind::Stopped);
    let began = Instant::now();

    let resumed = agent.resume(stopped.into_run()).deadline(secs(5));
    let error = resumed.await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(began.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_when_another_fails_is_made_at_once_on_resume() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&tries);
    let flaky = FunctionTool::new("flaky", "Fails once.", move |_: Value| {
        let first = counting.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                Err(ToolError::new("later"))
            } else {
                Ok("done")
            }
        }
    });
    let armed = AtomicUsize::new(0);
    let calls = [("flaky", json!({})), ("flaky", json!({}))];
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::tool_calls(calls),
            Reply::text("Yes."),
        ]))
        .tool(flaky)
        .on(|event: &mut AfterToolCallEvent| {
            if event.error().is_some() {
                event.retry_after(secs(60));
            }
        })
        .on(move |event: &mut BeforeToolCallEvent| {
            let is_second = event.tool_use.id == "call_2";
            if is_second && armed.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(HookError::new("boom"));
            }
            Ok(())
        })
        .build()
        .unwrap();
    let run = agent.prompt("Go.").await.unwrap_err().into_run();
    let began = Instant::now();

    let answer = agent.resume(run).await.unwrap();

    assert_eq!((answer.text(), began.elapsed()), ("Yes.", Duration::ZERO));
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn two_failing_calls_fail_the_run_the_same_way_in_a_replay() {
    let tool = |name: &'static str, pause: u64| {
        FunctionTool::new(name, "Fails.", move |_: Value| async move {
            tokio::time::sleep(secs(pause)).await;
            Err::<(), _>(ToolError::new("broken"))
        })
    };
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::tool_calls([
            ("slow", json!({})),
            ("fast", json!({})),
        ])]))
        .tool(tool("slow", 10))
        .tool(tool("fast", 1))
        .on(
            |event: &mut AfterToolCallEvent| match event.result.is_error {
                true => Err(HookError::new(format!(
                    "{} is broken",
                    event.tool_use().name
                ))),
                false => Ok(()),
            },
        )
        .build()
        .unwrap();
    let journal = Journal::new();
    let live = agent
        .prompt("Go.")
        .on_runtime(&JournalRuntime::new(&journal))
        .await
        .unwrap_err();
    let recorded = journal.names().len();

    let replaying = JournalRuntime::new(&journal);
    let replayed = agent
        .prompt("Go.")
        .on_runtime(&replaying)
        .await
        .unwrap_err();

    assert_eq!(replayed.failure(), live.failure());
    assert_eq!(
        (replaying.new_records(), journal.names().len()),
        (0, recorded)
    );
}

#[tokio::test(start_paused = true)]
async fn hook_that_sleeps_after_a_cancel_holds_nothing_up_and_keeps_nobody_from_closing() {
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (Arc::clone(&closed), Arc::clone(&closed));
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::hang()]))
        // Asked in reverse: the sleeper comes first.
        .on(move |_: &mut AfterModelCallEvent| lock(&first).push("sync"))
        .on_async(move |_: &mut AfterModelCallEvent| {
            let closed = Arc::clone(&second);
            Box::pin(async move { lock(&closed).push("async") })
        })
        .on_async(|_: &mut AfterModelCallEvent| {
            Box::pin(async { tokio::time::sleep(secs(60)).await })
        })
        .build()
        .unwrap();
    let token = CancellationToken::new();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    tokio::time::sleep(secs(1)).await;
    let began = Instant::now();

    token.cancel();
    let result = run.await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert!(
        began.elapsed() <= Duration::from_millis(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(*lock(&closed), ["async", "sync"]);
}

fn lock<'a>(
    list: &'a Arc<Mutex<Vec<&'static str>>>,
) -> std::sync::MutexGuard<'a, Vec<&'static str>> {
    list.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[tokio::test(start_paused = true)]
async fn prompt_without_a_message_is_refused() {
    let agent = agent([Reply::text("never")]);

    let told = told(agent.prompt(Vec::<Message>::new())).await;

    assert_eq!(told.trace(), ["run", "force_stop config"]);
    let error = told.outcome.unwrap_err();
    assert_eq!(error.to_string(), "the prompt has no message");
}

#[tokio::test(start_paused = true)]
async fn resumed_run_is_recorded_beside_what_failed() {
    let agent = agent([down(), Reply::text("Now.")]);
    let journal = Journal::new();
    let on_journal = || JournalRuntime::new(&journal);
    let error = agent.prompt("?").on_runtime(&on_journal()).await;
    let run = error.unwrap_err().into_run();

    let answer = agent.resume(run).on_runtime(&on_journal()).await;

    assert_eq!(answer.unwrap().text(), "Now.");
}

#[tokio::test(start_paused = true)]
async fn provider_may_be_chosen_at_run_time() {
    struct Counting(Arc<AtomicUsize>);
    impl HookProvider for Counting {
        fn register_hooks(&self, hooks: &mut HookRegistry) {
            let count = Arc::clone(&self.0);
            hooks.on(move |_: &mut AfterModelCallEvent| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let boxed: Box<dyn HookProvider> = Box::new(NoopRetryStrategy);
    let shared: Arc<dyn HookProvider> = Arc::new(Counting(Arc::clone(&count)));
    let model = ScriptedModel::new([Reply::throttled()]);
    let builder = Agent::builder().model(model).retry_strategy(boxed);
    let agent = builder.hooks(shared).build().unwrap();

    assert!(agent.prompt("?").await.is_err());

    assert_eq!(count.load(Ordering::Relaxed), 1);
}
