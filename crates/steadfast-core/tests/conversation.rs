//! What a conversation remembers of a run, however it ended, and how a stopped run goes on.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterToolCallEvent, AfterToolsEvent, Agent, AgentBuilder,
    BeforeToolsEvent, CancellationToken, Conversation, FunctionTool, HookError, ModelDelta,
    ModelErrorKind, NoopRetryStrategy, RunErrorKind, StopReason, ToolError, secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};

fn lines(conversation: &Conversation) -> Vec<String> {
    conversation
        .history()
        .iter()
        .map(|m| message_line(m))
        .collect()
}

/// An agent without retries, with the tools `look` and `fail_once`; the count is of their runs.
fn builder(replies: impl IntoIterator<Item = Reply>) -> (AgentBuilder, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let look = FunctionTool::new("look", "Looks.", move |_: Value| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, ToolError>("seen") }
    });
    let builder = Agent::builder()
        .model(ScriptedModel::new(replies))
        .retry_strategy(NoopRetryStrategy)
        .tool(look);
    (builder, count)
}

fn look() -> Reply {
    Reply::tool_call("look", json!({}))
}

fn down() -> Reply {
    Reply::fail(ModelErrorKind::Server)
}

#[tokio::test(start_paused = true)]
async fn success_adds_prompt_turns_and_answer() {
    let (builder, _) = builder([look(), Reply::text("Rain."), Reply::text("Yes.")]);
    let mut conversation = builder.build().unwrap().conversation();

    conversation.prompt("Weather?").await.unwrap();
    conversation.prompt("Umbrella?").await.unwrap();

    let expected = [
        "user: Weather?",
        "assistant: call_1=look",
        "user: call_1=seen",
        "assistant: Rain.",
        "user: Umbrella?",
        "assistant: Yes.",
    ];
    assert_eq!(lines(&conversation), expected);
}

/// Fails a second prompt after `turns` finished turns and returns what it leaves behind.
async fn left_behind(turns: usize, policy: fn(AgentBuilder) -> AgentBuilder) -> Vec<String> {
    let answered = [Reply::text("Hello.")].into_iter();
    let replies = answered.chain((0..turns).map(|_| look())).chain([down()]);
    let Ok(agent) = policy(builder(replies).0).build() else {
        return Vec::new();
    };
    let mut conversation = agent.conversation();
    let first = conversation.prompt("Hi.").await;
    let second = told(conversation.prompt("Weather?")).await.outcome;
    assert!(first.is_ok() && second.is_err());
    lines(&conversation).split_off(2)
}

/// Strands 59.
#[tokio::test(start_paused = true)]
async fn failed_run_leaves_what_the_policy_says() {
    // AG2-18.
    let one_turn = [
        "user: Weather?",
        "assistant: call_1=look",
        "user: call_1=seen",
    ];
    let nothing: [&str; 0] = [];

    assert_eq!(left_behind(0, |builder| builder).await, nothing);
    assert_eq!(left_behind(1, |builder| builder).await, one_turn);
    assert_eq!(
        left_behind(0, AgentBuilder::keep_failed_turn).await,
        ["user: Weather?"]
    );
    assert_eq!(
        left_behind(1, AgentBuilder::keep_failed_turn).await,
        one_turn
    );
    assert_eq!(left_behind(0, AgentBuilder::roll_back_all).await, nothing);
    assert_eq!(left_behind(1, AgentBuilder::roll_back_all).await, nothing);
}

/// Strands 50.
#[tokio::test(start_paused = true)]
async fn kept_failed_turn_has_all_its_calls_answered() {
    let calls = Reply::tool_calls([("look", json!({})), ("nobody", json!({}))]);
    let (builder, _) = builder([calls]);
    let agent = builder
        .keep_failed_turn()
        .on(|event: &mut AfterToolCallEvent| match event.error() {
            None if event.result.is_error => Err(HookError::new("boom")),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let error = told(conversation.prompt("Go.")).await.outcome.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Hook);
    let expected = [
        "user: Go.",
        "assistant: call_1=look call_2=nobody",
        "user: call_1=seen call_2!there is no tool `nobody`; the tools are `look`",
    ];
    assert_eq!(lines(&conversation), expected);
}

#[tokio::test(start_paused = true)]
async fn kept_failed_turn_keeps_answers_that_hooks_failed_to_look_at() {
    let (builder, _) = builder([look()]);
    let agent = builder
        .keep_failed_turn()
        .on(|_: &mut AfterToolsEvent| Err(HookError::new("boom")))
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let error = told(conversation.prompt("Go.")).await.outcome.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Hook);
    let expected = ["user: Go.", "assistant: call_1=look", "user: call_1=seen"];
    assert_eq!(lines(&conversation), expected);
}

#[tokio::test(start_paused = true)]
async fn message_that_was_told_is_kept_when_the_tools_may_not_begin() {
    let (builder, count) = builder([look().preceded_by(ModelDelta::Text("Let me see.".into()))]);
    let agent = builder
        .keep_failed_turn()
        .on(|_: &mut BeforeToolsEvent| Err(HookError::new("boom")))
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let error = told(conversation.prompt("Go.")).await.outcome.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Hook);
    let expected = [
        "user: Go.",
        "assistant: Let me see. call_1=look",
        "user: call_1!not run: the run was stopped",
    ];
    assert_eq!(lines(&conversation), expected);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

/// Strands 70.
#[tokio::test(start_paused = true)]
async fn cancelled_answer_leaves_nothing_and_cancelled_tools_are_answered() {
    let (builder, _) = builder([
        Reply::text("half").then_hang(),
        Reply::tool_call("sleep", json!({})),
        Reply::text("Yes."),
    ]);
    let sleep = FunctionTool::new("sleep", "Sleeps.", |_: Value| async {
        tokio::time::sleep(secs(60)).await;
        Ok::<_, ToolError>("rested")
    });
    let mut conversation = builder.tool(sleep).build().unwrap().conversation();
    let soon = || {
        let token = CancellationToken::new();
        let later = token.clone();
        tokio::spawn(async move {
            tokio::time::sleep(secs(1)).await;
            later.cancel();
        });
        token
    };

    let mid_answer = told(conversation.prompt("One.").cancel_on(soon())).await;
    let after_answer = lines(&conversation);
    let mid_tool = told(conversation.prompt("Two.").cancel_on(soon())).await;
    let after_tool = lines(&conversation);
    let next = conversation.prompt("Three.").await.unwrap();

    assert_eq!(
        mid_answer.outcome.unwrap().stop_reason(),
        StopReason::Cancelled
    );
    assert_eq!(after_answer, [""; 0]);
    assert_eq!(
        mid_tool.outcome.unwrap().stop_reason(),
        StopReason::Cancelled
    );
    let answered = "user: call_1!cancelled before it finished: the run was stopped";
    assert_eq!(
        after_tool,
        ["user: Two.", "assistant: call_1=sleep", answered]
    );
    assert_eq!(next.text(), "Yes.");
}

#[tokio::test(start_paused = true)]
async fn dropped_prompt_leaves_the_history_as_it_was() {
    let (builder, _) = builder([
        Reply::text("Hello."),
        look(),
        Reply::text("half").then_hang(),
        Reply::text("Yes."),
    ]);
    let mut conversation = builder.build().unwrap().conversation();
    conversation.prompt("Hi.").await.unwrap();
    let before = lines(&conversation);

    let dropped =
        tokio::time::timeout(secs(1), conversation.prompt("Weather?").into_future()).await;

    assert!(dropped.is_err());
    assert_eq!(lines(&conversation), before);
    assert_eq!(
        conversation.prompt("Umbrella?").await.unwrap().text(),
        "Yes."
    );
}

#[tokio::test(start_paused = true)]
async fn resumed_run_goes_on_where_the_model_failed() {
    // AT-9.
    let (builder, count) = builder([look(), down(), Reply::text("Rain.")]);
    let agent = builder.build().unwrap();
    let error = agent.prompt("Weather?").await.unwrap_err();

    let told = told(agent.resume(error.into_run())).await;

    let expected = [
        "run",
        "attempt 2.1",
        "2.1 says Rain.",
        "assistant: Rain.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(told.outcome.unwrap().attempts(), 3);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn conversation_goes_on_with_its_own_stopped_run() {
    let (builder, count) = builder([Reply::text("Hello."), look(), down(), Reply::text("Rain.")]);
    let mut conversation = builder.build().unwrap().conversation();
    conversation.prompt("Hi.").await.unwrap();
    let error = conversation.prompt("Weather?").await.unwrap_err();

    conversation.resume(error.into_run()).await.unwrap();

    let expected = [
        "user: Hi.",
        "assistant: Hello.",
        "user: Weather?",
        "assistant: call_1=look",
        "user: call_1=seen",
        "assistant: Rain.",
    ];
    assert_eq!(lines(&conversation), expected);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn conversation_that_has_gone_on_is_not_taken_back() {
    let (builder, _) = builder([down(), Reply::text("Hello."), Reply::text("never")]);
    let mut conversation = builder.build().unwrap().conversation();
    let error = conversation.prompt("Weather?").await.unwrap_err();
    conversation.prompt("Hi.").await.unwrap();
    let before = lines(&conversation);

    let told = told(conversation.resume(error.into_run())).await;

    assert_eq!(told.trace(), ["run", "force_stop mismatch"]);
    assert_eq!(lines(&conversation), before);
}

#[tokio::test(start_paused = true)]
async fn resumed_run_does_not_run_finished_tools_again() {
    let calls = Reply::tool_calls([("look", json!({})), ("fragile", json!({}))]);
    let (builder, looks) = builder([calls, Reply::text("Done.")]);
    let tries = Arc::new(AtomicUsize::new(0));
    let trying = Arc::clone(&tries);
    let fragile = FunctionTool::new("fragile", "Breaks.", move |_: Value| {
        trying.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, ToolError>("whole") }
    });
    let failing = Arc::clone(&tries);
    let agent = builder
        .tool(fragile)
        .on(move |event: &mut AfterToolCallEvent| {
            let first = failing.load(Ordering::Relaxed) == 1;
            match event.tool_use().name.as_str() {
                "fragile" if first => Err(HookError::new("boom")),
                _ => Ok(()),
            }
        })
        .build()
        .unwrap();
    let error = agent.prompt("Go.").await.unwrap_err();

    let told = told(agent.resume(error.into_run())).await;

    assert!(
        told.trace()
            .contains(&"user: call_1=seen call_2=whole".to_owned())
    );
    assert_eq!(told.outcome.unwrap().text(), "Done.");
    assert_eq!(
        (looks.load(Ordering::Relaxed), tries.load(Ordering::Relaxed)),
        (1, 1),
        "a tool that answered is not run again, also if a hook failed at its answer"
    );
}

#[tokio::test(start_paused = true)]
async fn tools_are_asked_about_again_when_a_run_is_resumed() {
    // A guard that failed, or was cut short by the deadline, must not be passed by resuming.
    let asked = Arc::new(AtomicUsize::new(0));
    let (builder, count) = builder([look(), Reply::text("Done.")]);
    let asking = Arc::clone(&asked);
    let agent = builder
        .on_async(move |event: &mut BeforeToolsEvent| {
            let nth = asking.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match nth {
                    0 => return Err(HookError::new("the guard is down")),
                    1 => tokio::time::sleep(secs(60)).await,
                    _ => event.cancel = Some("Not allowed.".into()),
                }
                Ok(())
            })
        })
        .build()
        .unwrap();

    let first = agent.prompt("Go.").deadline(secs(5)).await.unwrap_err();
    let second = agent.resume(first.into_run()).await.unwrap_err();
    assert_eq!(second.kind(), RunErrorKind::Deadline);
    let third = told(agent.resume(second.into_run())).await;

    assert!(
        third
            .trace()
            .contains(&"user: call_1!Not allowed.".to_owned())
    );
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn resumed_run_may_have_a_deadline_of_its_own() {
    let (builder, _) = builder([down(), Reply::text("Late.").after(secs(10))]);
    let agent = builder.build().unwrap();
    let error = agent.prompt("Go.").await.unwrap_err();

    let resumed = told(agent.resume(error.into_run()).deadline(secs(7))).await;

    let error = resumed.outcome.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Deadline);
}

#[tokio::test(start_paused = true)]
async fn run_that_failed_at_its_very_end_can_be_resumed() {
    let (builder, _) = builder([Reply::text("Yes.")]);
    let failures = AtomicUsize::new(0);
    let agent = builder
        .on(
            move |_: &mut AfterInvocationEvent| match failures.fetch_add(1, Ordering::Relaxed) {
                0 => Err(HookError::new("the store is away")),
                _ => Ok(()),
            },
        )
        .build()
        .unwrap();
    let error = told(agent.prompt("Go.")).await.outcome.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Hook);

    let answer = agent.resume(error.into_run()).await.unwrap();

    assert_eq!((answer.text(), answer.turns()), ("Yes.", 1));
}
