//! Hooks: when they are asked, in which order, and what they see.

mod support;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, AgentEvent, AgentInitializedEvent, AttemptDiscardedEvent, BeforeInvocationEvent,
    BeforeModelCallEvent, BeforeToolCallEvent, BeforeToolsEvent, EventLoopThrottleEvent,
    ForceStopEvent, FunctionTool, Hook, HookError, HookEvent, HookProvider, HookRegistry,
    MessageAddedEvent, ModelErrorKind, NoopRetryStrategy, RunErrorKind, ToolError, async_trait,
    secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};

/// What hooks were asked, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

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

#[tokio::test(start_paused = true)]
async fn hooks_are_asked_in_the_order_of_a_tool_turn() {
    // Section 1.2 of the map, with the throttled attempt's events among them.
    let log = Log::default();
    macro_rules! noting {
        ($builder:expr, $($event:ty),+) => {{
            let builder = $builder;
            $(
                let noted = log.clone();
                let builder = builder.on(move |_: &mut $event| noted.note(<$event>::NAME));
            )+
            builder
        }};
    }
    let agent = noting!(
        eventful(),
        BeforeInvocationEvent,
        MessageAddedEvent,
        BeforeModelCallEvent,
        AfterModelCallEvent,
        AttemptDiscardedEvent,
        EventLoopThrottleEvent,
        BeforeToolsEvent,
        BeforeToolCallEvent,
        AfterToolCallEvent,
        AfterToolsEvent,
        AfterInvocationEvent,
        ForceStopEvent
    )
    .build()
    .unwrap();

    agent.prompt("Weather?").await.unwrap();

    let expected = [
        "BeforeInvocationEvent",
        "MessageAddedEvent",
        "BeforeModelCallEvent",
        "AfterModelCallEvent",
        "AttemptDiscardedEvent",
        "EventLoopThrottleEvent",
        "BeforeModelCallEvent",
        "AfterModelCallEvent",
        "MessageAddedEvent",
        "BeforeToolsEvent",
        "BeforeToolCallEvent",
        "AfterToolCallEvent",
        "AfterToolsEvent",
        "MessageAddedEvent",
        "BeforeModelCallEvent",
        "AfterModelCallEvent",
        "MessageAddedEvent",
        "AfterInvocationEvent",
    ];
    assert_eq!(log.lines(), expected);
}

/// Strands 34.
#[tokio::test(start_paused = true)]
async fn before_runs_forward_after_runs_backward_and_numbers_win() {
    let log = Log::default();
    let mut hooks = HookRegistry::new();
    for (order, name) in [(100, "last"), (0, "a"), (0, "b"), (-100, "first")] {
        let (before, after) = (log.clone(), log.clone());
        hooks
            .order(order)
            .on(move |_: &mut BeforeModelCallEvent| before.note(format!("before {name}")));
        hooks
            .order(order)
            .on(move |_: &mut AfterModelCallEvent| after.note(format!("after {name}")));
    }
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = Agent::builder().model(model).hooks(hooks).build().unwrap();

    agent.prompt("?").await.unwrap();

    let expected = [
        "before first",
        "before a",
        "before b",
        "before last",
        "after first",
        "after b",
        "after a",
        "after last",
    ];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn unregistered_hook_is_not_asked_by_any_agent() {
    let log = Log::default();
    let mut hooks = HookRegistry::new();
    let (noted, told) = (log.clone(), log.clone());
    let hook = hooks.on(move |_: &mut BeforeModelCallEvent| noted.note("asked"));
    let observer = hooks.observe(move |_: &BeforeModelCallEvent| told.note("told"));
    let agent = || {
        let model = ScriptedModel::always(Reply::text("Yes."));
        Agent::builder()
            .model(model)
            .hooks(hooks.clone())
            .build()
            .unwrap()
    };
    let (one, two) = (agent(), agent());

    one.prompt("?").await.unwrap();
    hook.unregister();
    two.prompt("?").await.unwrap();
    observer.unregister();
    one.prompt("?").await.unwrap();

    assert_eq!(log.lines(), ["asked", "told", "told"]);
}

struct Named(Log, &'static str);

#[async_trait]
impl Hook<BeforeModelCallEvent> for Named {
    async fn call(&self, _event: &mut BeforeModelCallEvent) -> Result<(), HookError> {
        tokio::time::sleep(secs(1)).await;
        self.0.note(self.1);
        Ok(())
    }
}

impl HookProvider for Log {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let (sync, waits) = (self.clone(), self.clone());
        hooks.on(move |_: &mut BeforeModelCallEvent| sync.note("on"));
        hooks.on_async(move |_: &mut BeforeModelCallEvent| {
            let waits = waits.clone();
            Box::pin(async move {
                tokio::time::sleep(secs(1)).await;
                waits.note("on_async");
            })
        });
        hooks.add(Named(self.clone(), "add"));
        let told = self.clone();
        hooks.observe(move |_: &BeforeModelCallEvent| told.note("observe"));
        hooks.order(-1).add(Named(self.clone(), "order"));
    }
}

/// Strands 47.
#[tokio::test(start_paused = true)]
async fn all_forms_of_registration_are_asked_and_observers_told_last() {
    let log = Log::default();
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .hooks(log.clone())
        .build()
        .unwrap();

    let result = agent.prompt("?").await.unwrap();

    assert_eq!(log.lines(), ["order", "on", "on_async", "add", "observe"]);
    assert_eq!(result.duration(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn observer_sees_what_hooks_left() {
    let log = Log::default();
    let noted = log.clone();
    let model = ScriptedModel::new([Reply::fail(ModelErrorKind::Auth), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .observe(move |event: &AfterModelCallEvent| {
            noted.note(format!("{} {:?}", event.retry, event.delay()));
        })
        .on(|event: &mut AfterModelCallEvent| {
            if event.error().is_some() {
                event.retry_after(secs(2));
            }
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    assert_eq!(log.lines(), ["true Some(2s)", "false None"]);
}

#[test]
fn initialised_event_comes_once_with_the_agent_and_may_refuse_it() {
    let log = Log::default();
    let noted = log.clone();
    let build = |refuse: bool| {
        let noted = noted.clone();
        eventful()
            .name("guide")
            .on(move |event: &mut AgentInitializedEvent| {
                noted.note(event.agent().name());
                if refuse {
                    Err(HookError::new("not now"))
                } else {
                    Ok(())
                }
            })
            .build()
    };

    assert!(build(false).is_ok());
    let error = build(true).unwrap_err();

    assert_eq!(log.lines(), ["guide", "guide"]);
    assert_eq!(error.to_string(), "`hooks` refused the agent: not now");
}

#[tokio::test(start_paused = true)]
async fn hook_that_sleeps_by_itself_and_retries_works() {
    // Design section 2.1: it has no delay to show.
    let model = ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .on_async(|event: &mut AfterModelCallEvent| {
            Box::pin(async move {
                if event.error().is_some() {
                    tokio::time::sleep(secs(3)).await;
                    event.retry = true;
                }
            })
        })
        .build()
        .unwrap();

    let told = told(agent.prompt("?")).await;

    assert_eq!(
        told.trace()[2..6],
        [
            "attempt 1.1",
            "+3s",
            "1.1 discarded ModelError",
            "attempt 1.2"
        ]
    );
    assert_eq!(told.outcome.unwrap().waited(), Duration::ZERO);
}

/// Strands 40: one for the prompt, the answer, the results, the answer; none for a retry.
#[tokio::test(start_paused = true)]
async fn message_hook_sees_every_message_once() {
    let log = Log::default();
    let noted = log.clone();
    let agent = eventful()
        .on(move |event: &mut MessageAddedEvent| noted.note(message_line(event.message())))
        .build()
        .unwrap();

    agent.prompt("Weather?").await.unwrap();

    let expected = [
        "user: Weather?",
        "assistant: call_1=look",
        "user: call_1=seen",
        "assistant: Rain.",
    ];
    assert_eq!(log.lines(), expected);
}

/// Strands 52.
#[tokio::test(start_paused = true)]
async fn observers_of_all_events_are_told_what_the_stream_tells() {
    let log = Log::default();
    let noted = log.clone();
    let agent = eventful()
        .observe(move |event: &AgentEvent| noted.note(format!("{event:?}")))
        .build()
        .unwrap();
    let mut streamed = Vec::new();

    let mut events = agent.prompt("Weather?").stream();
    while let Some(event) = events.next().await {
        streamed.push(format!("{event:?}"));
    }

    assert_eq!(log.lines(), streamed);
}

/// Strands 6, 40.
#[tokio::test(start_paused = true)]
async fn each_attempt_asks_its_hooks_once_and_shows_what_was_decided() {
    let log = Log::default();
    let (before, after, added) = (log.clone(), log.clone(), log.clone());
    let replies = (0..3).map(|_| Reply::throttled());
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies.chain([Reply::text("Yes.")])))
        .on(move |event: &mut BeforeModelCallEvent| before.note(format!("{}", event.attempt())))
        .observe(move |event: &AfterModelCallEvent| {
            let (attempt, waits) = (event.attempt(), event.waits());
            after.note(format!(
                "{attempt} {} {:?} {waits}",
                event.retry,
                event.delay()
            ));
        })
        .on(move |event: &mut MessageAddedEvent| added.note(message_line(event.message())))
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let expected = [
        "user: ?",
        "1",
        "1 true Some(4s) 0",
        "2",
        "2 true Some(8s) 1",
        "3",
        "3 true Some(16s) 2",
        "4",
        "4 false None 3",
        "assistant: Yes.",
    ];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn end_of_a_run_shows_what_it_came_to() {
    let log = Log::default();
    let noting = log.clone();
    let model = ScriptedModel::new([Reply::text("Yes."), Reply::fail(ModelErrorKind::Auth)]);
    let agent = Agent::builder()
        .model(model)
        .on(move |event: &mut AfterInvocationEvent| {
            let result = event.result().map(|result| result.stop_reason());
            let failure = event.failure().map(|failure| failure.kind().name());
            noting.note(format!("{result:?} {failure:?} {}", event.history().len()));
        })
        .build()
        .unwrap();

    agent.prompt("One?").await.unwrap();
    agent.prompt("Two?").await.unwrap_err();

    let expected = ["Some(EndTurn) None 2", "None Some(\"auth\") 1"];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn hook_may_not_leave_the_prompt_without_a_message() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(|event: &mut BeforeInvocationEvent| event.messages.clear())
        .build()
        .unwrap();

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Config);
    assert_eq!(model.calls(), 0);
}
