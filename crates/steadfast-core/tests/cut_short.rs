//! What is under way when a run is cut short: hooks, connections and tools are left in good order.

mod support;

use std::{
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, BeforeModelCallEvent, BeforeToolCallEvent, CancellationToken,
    EventLoopThrottleEvent, FunctionTool, HookError, MessageAddedEvent, Model, ModelError,
    ModelRequest, ModelRetryStrategy, ModelStream, Prompt, RunErrorKind, StopReason, Tool,
    ToolContext, ToolError, ToolOutput, ToolSpec, async_trait, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;
use tokio::time::Instant;

/// An agent that follows this script, with the tool `hang`.
fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    let hang = FunctionTool::new("hang", "", |_: Value| pending::<Result<(), ToolError>>());
    Agent::builder()
        .model(ScriptedModel::new(replies))
        .tool(hang)
}

/// A model whose connection is never made, and which knows when it is given up.
#[derive(Clone, Default)]
struct Unreachable(Arc<AtomicUsize>);

struct Connecting(Arc<AtomicUsize>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Model for Unreachable {
    fn name(&self) -> &'static str {
        "unreachable"
    }

    async fn stream(&self, _request: ModelRequest) -> Result<ModelStream, ModelError> {
        let _connecting = Connecting(Arc::clone(&self.0));
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn connection_in_the_making_is_dropped_by_cancelling_deadline_and_timeout() {
    let model = Unreachable::default();
    let agent = Agent::builder()
        .model(model.clone())
        .first_byte_timeout(secs(10))
        .retry_strategy(ModelRetryStrategy::new().max_attempts(1))
        .build()
        .unwrap();
    let run = agent.prompt("?").spawn();
    tokio::time::sleep(secs(1)).await;

    run.cancel();
    run.await.unwrap();
    let late = told(agent.prompt("?").deadline(secs(5))).await;
    let silent = told(agent.prompt("?")).await;

    assert_eq!(
        late.trace()[3..],
        ["+5s", "1.1 discarded Deadline", "force_stop deadline"]
    );
    assert_eq!(
        silent.trace()[3..],
        ["+10s", "1.1 discarded ModelError", "force_stop timeout"]
    );
    assert_eq!(model.0.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_opened_it_can_close_after_cancelling() {
    let builder = builder([Reply::tool_call("hang", json!({}))]);
    let closed: Arc<Mutex<Vec<&str>>> = Arc::default();
    let notes = || {
        let closed = Arc::clone(&closed);
        move |name| closed.lock().unwrap().push(name)
    };
    let (model, tool, tools, run) = (notes(), notes(), notes(), notes());
    let agent = builder
        .on(move |_: &mut AfterModelCallEvent| model("model call"))
        .on(move |_: &mut AfterToolCallEvent| tool("tool call"))
        .on(move |_: &mut AfterToolsEvent| tools("tools"))
        .on(move |_: &mut AfterInvocationEvent| run("invocation"))
        .build()
        .unwrap();
    let run = agent.prompt("Go.").spawn();
    tokio::time::sleep(secs(1)).await;

    run.cancel();
    run.await.unwrap();

    assert_eq!(
        *closed.lock().unwrap(),
        ["model call", "tool call", "tools", "invocation"]
    );
}

/// A tool whose work goes on elsewhere, and which cancels the run that calls it if it is to.
struct Spawning {
    cancels: Option<CancellationToken>,
    seen: Arc<AtomicBool>,
}

#[async_trait]
impl Tool for Spawning {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new("spawn", "", json!({"type": "object", "properties": {}}))
    }

    async fn call(&self, _input: Value, context: &ToolContext) -> Result<ToolOutput, ToolError> {
        let (context, seen) = (context.clone(), Arc::clone(&self.seen));
        tokio::spawn(async move {
            context.cancelled().await;
            seen.store(true, Ordering::Relaxed);
        });
        if let Some(token) = &self.cancels {
            token.cancel();
        }
        Ok(ToolOutput::text("begun"))
    }
}

#[tokio::test(start_paused = true)]
async fn tool_that_answered_keeps_its_answer_and_its_hooks() {
    let calls = [("spawn", json!({})), ("hang", json!({}))];
    let builder = builder([Reply::tool_calls(calls)]);
    let token = CancellationToken::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let agent = builder
        .tool(Spawning {
            cancels: Some(token.clone()),
            seen: Arc::default(),
        })
        .on(move |_: &mut AfterToolCallEvent| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();

    let told = told(agent.prompt("Go.").cancel_on(token)).await;

    let trace = told.trace();
    let results = "user: call_1=begun call_2!not run: the run was stopped";
    assert!(trace.contains(&results.to_owned()), "{trace:#?}");
    assert_eq!(told.outcome.unwrap().stop_reason(), StopReason::Cancelled);
    let ran = trace.iter().filter(|line| line.contains(" runs ")).count();
    assert_eq!(asked.load(Ordering::Relaxed), ran);
}

/// Strands 69.
#[tokio::test(start_paused = true)]
async fn work_of_a_tool_is_told_when_its_run_stops_and_only_then() {
    let seen =
        async |replies: Vec<Reply>,
               end: fn(Prompt<'static>, CancellationToken) -> Prompt<'static>| {
            let seen = Arc::new(AtomicBool::new(false));
            let token = CancellationToken::new();
            let agent = builder(replies).tool(Spawning {
                cancels: Some(token.clone()),
                seen: Arc::clone(&seen),
            });
            let prompt = end(agent.build().unwrap().prompt("Go."), token);
            let ended = tokio::time::timeout(secs(10), prompt.into_future()).await;
            drop(ended);
            tokio::time::sleep(secs(1)).await;
            seen.load(Ordering::Relaxed)
        };
    let alone = || vec![Reply::tool_call("spawn", json!({}))];
    let with_hanging = || {
        vec![Reply::tool_calls([
            ("spawn", json!({})),
            ("hang", json!({})),
        ])]
    };

    let finished = seen(alone(), |prompt, _| prompt).await;
    let cancelled = seen(alone(), Prompt::cancel_on).await;
    let late = seen(with_hanging(), |prompt, _| prompt.deadline(secs(5))).await;
    let dropped = seen(with_hanging(), |prompt, _| prompt).await;

    assert_eq!(
        [finished, cancelled, late, dropped],
        [false, true, true, true]
    );
}

#[tokio::test(start_paused = true)]
async fn hooks_of_a_whole_run_share_the_few_milliseconds() {
    let asked = Arc::new(AtomicUsize::new(0));
    let slowly = || {
        let asked = Arc::clone(&asked);
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(secs(60))
        }
    };
    let (after_call, after_tools, at_end) = (slowly(), slowly(), slowly());
    let agent = builder([Reply::tool_call("hang", json!({}))])
        .on_async(move |_: &mut AfterToolCallEvent| Box::pin(after_call()))
        .on_async(move |_: &mut AfterToolsEvent| Box::pin(after_tools()))
        .on_async(move |_: &mut AfterInvocationEvent| Box::pin(at_end()))
        .build()
        .unwrap();
    let token = CancellationToken::new();
    let run = agent.prompt("Go.").cancel_on(token.clone()).spawn();
    tokio::time::sleep(secs(1)).await;
    let began = Instant::now();

    token.cancel();
    let result = run.await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // Five, and the step of tokio's clock.
    assert!(began.elapsed() <= millis(6), "{:?}", began.elapsed());
}

/// Counts what hooks open before a call and close after it, by kind.
#[derive(Clone, Default)]
struct Brackets(Arc<Mutex<Vec<&'static str>>>);

impl Brackets {
    fn note(&self, what: &'static str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(what);
    }

    fn register(&self, builder: AgentBuilder) -> AgentBuilder {
        let [call, called, tool, tooled] = [self.clone(), self.clone(), self.clone(), self.clone()];
        builder
            .on(move |_: &mut BeforeModelCallEvent| call.note("call opened"))
            .on(move |_: &mut AfterModelCallEvent| called.note("call closed"))
            .on(move |_: &mut BeforeToolCallEvent| tool.note("tool opened"))
            .on(move |_: &mut AfterToolCallEvent| tooled.note("tool closed"))
    }

    fn seen(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_opened_is_closed_when_the_next_hook_is_cut_short_or_fails() {
    for fails in [false, true] {
        let brackets = Brackets::default();
        let script = [Reply::tool_call("hang", json!({}))];
        let agent = brackets
            .register(builder(script))
            .on_async(move |_: &mut BeforeToolCallEvent| {
                Box::pin(async move {
                    if fails {
                        return Err(HookError::new("no"));
                    }
                    pending().await
                })
            })
            .build()
            .unwrap();
        let token = CancellationToken::new();
        let run = agent.prompt("Go.").cancel_on(token.clone()).spawn();
        tokio::time::sleep(secs(1)).await;

        token.cancel();
        let outcome = run.await;

        assert_eq!(outcome.is_err(), fails);
        let expected = ["call opened", "call closed", "tool opened", "tool closed"];
        assert_eq!(brackets.seen(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn hook_that_fails_before_a_call_has_the_others_close() {
    let brackets = Brackets::default();
    let agent = brackets
        .register(builder([Reply::text("never")]))
        .on(|_: &mut BeforeModelCallEvent| Err::<(), _>(HookError::new("no")))
        .build()
        .unwrap();

    let told = told(agent.prompt("Go.")).await;

    assert_eq!(brackets.seen(), ["call opened", "call closed"]);
    let discarded = "1.1 discarded HookError".to_owned();
    assert!(told.trace().contains(&discarded), "{:#?}", told.trace());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_after_where_nothing_was_asked_before() {
    let brackets = Brackets::default();
    let token = CancellationToken::new();
    let cancelling = token.clone();
    let agent = brackets
        .register(builder([Reply::text("never")]))
        .on(move |_: &mut MessageAddedEvent| cancelling.cancel())
        .build()
        .unwrap();

    let result = agent.prompt("Go.").cancel_on(token).await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(brackets.seen(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn hook_that_awaits_when_the_interrupt_comes_has_the_milliseconds_too() {
    let closed = Arc::new(AtomicUsize::new(0));
    let closing = Arc::clone(&closed);
    let token = CancellationToken::new();
    let agent = builder([Reply::text("Yes.")])
        .on_async(move |_: &mut AfterModelCallEvent| {
            let closing = Arc::clone(&closing);
            Box::pin(async move {
                tokio::time::sleep(millis(102)).await;
                closing.fetch_add(1, Ordering::Relaxed);
            })
        })
        .build()
        .unwrap();
    let run = agent.prompt("Go.").cancel_on(token.clone()).spawn();
    tokio::time::sleep(millis(100)).await;

    token.cancel();
    let result = run.await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_opened_is_closed_when_the_deadline_cuts_the_next_hook() {
    let (at_call, at_tool) = (Brackets::default(), Brackets::default());
    let hangs_at_call = at_call
        .register(builder([Reply::text("never")]))
        .on_async(|_: &mut BeforeModelCallEvent| Box::pin(pending::<()>()));
    let hangs_at_tool = at_tool
        .register(builder([Reply::tool_call("hang", json!({}))]))
        .on_async(|_: &mut BeforeToolCallEvent| Box::pin(pending::<()>()));

    for builder in [hangs_at_call, hangs_at_tool] {
        let agent = builder.build().unwrap();
        let error = agent.prompt("Go.").deadline(secs(1)).await.unwrap_err();

        assert_eq!(error.kind(), RunErrorKind::Deadline);
    }

    let call = ["call opened", "call closed"];
    let tool = ["tool opened", "tool closed"];
    assert_eq!(at_call.seen(), call);
    assert_eq!(at_tool.seen(), [call, tool].concat());
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_opened_is_closed_when_the_wait_before_the_call_is_not_made() {
    let (fails, too_long) = (Brackets::default(), Brackets::default());
    let waits = |brackets: &Brackets| {
        brackets
            .register(builder([Reply::text("never")]))
            .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(9), pending::<()>()))
    };
    let failing = waits(&fails)
        .on(|_: &mut EventLoopThrottleEvent| Err::<(), _>(HookError::new("no")))
        .build()
        .unwrap();
    let hopeless = waits(&too_long).build().unwrap();

    let failed = failing.prompt("Go.").await.unwrap_err();
    let late = hopeless.prompt("Go.").deadline(secs(9)).await.unwrap_err();

    assert_eq!(failed.kind(), RunErrorKind::Hook);
    assert_eq!(late.kind(), RunErrorKind::Deadline);
    for brackets in [fails, too_long] {
        assert_eq!(brackets.seen(), ["call opened", "call closed"]);
    }
}

#[tokio::test(start_paused = true)]
async fn hook_that_awaits_at_the_cancel_leaves_milliseconds_to_the_next() {
    let token = CancellationToken::new();
    let closed: Arc<Mutex<Vec<&str>>> = Arc::default();
    let closes_after = |name: &'static str, time| {
        let (closed, token) = (Arc::clone(&closed), token.clone());
        move || {
            let (closed, token) = (Arc::clone(&closed), token.clone());
            async move {
                token.cancel();
                tokio::time::sleep(time).await;
                closed.lock().unwrap().push(name);
            }
        }
    };
    // What has happened is asked about in reverse.
    let third = closes_after("third", secs(1));
    let second = closes_after("second", millis(1));
    let first = closes_after("first", millis(1));
    let agent = builder([Reply::text("Yes.")])
        .on_async(move |_: &mut AfterModelCallEvent| Box::pin(third()))
        .on_async(move |_: &mut AfterModelCallEvent| Box::pin(second()))
        .on_async(move |_: &mut AfterModelCallEvent| Box::pin(first()))
        .build()
        .unwrap();

    let prompt = agent.prompt("Go.").cancel_on(token.clone());
    let result = prompt.await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(*closed.lock().unwrap(), ["first", "second"]);
    // Five, and the step of tokio's clock.
    assert!(result.duration() <= millis(6), "{:?}", result.duration());
}
