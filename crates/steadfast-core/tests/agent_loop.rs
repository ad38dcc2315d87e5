//! Turns, limits and endings: a run seen from outside.

mod support;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, Agent, AgentBuilder, AgentEvent,
    BeforeInvocationEvent, BeforeModelCallEvent, FunctionTool, Message, ModelDelta, ModelError,
    ModelErrorKind, ModelSettings, RunErrorKind, StopReason, ToolChoice, ToolError, Usage, secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};

/// An agent with the tool `look`, which answers `seen`.
fn builder(model: &ScriptedModel) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .tool(FunctionTool::new("look", "Looks.", |_: Value| async {
            Ok::<_, ToolError>("seen")
        }))
}

fn look() -> Reply {
    Reply::tool_call("look", json!({}))
}

#[tokio::test(start_paused = true)]
async fn text_turn_tells_prompt_answer_and_result() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = builder(&model).build().unwrap();

    let told = told(agent.prompt("Umbrella?")).await;

    let expected = [
        "run",
        "user: Umbrella?",
        "attempt 1.1",
        "1.1 says Yes.",
        "assistant: Yes.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
}

#[tokio::test(start_paused = true)]
async fn tool_turn_asks_the_model_again_with_the_results() {
    let model = ScriptedModel::new([
        look().preceded_by(ModelDelta::Text("Let me see.".into())),
        Reply::text("Rain."),
    ]);
    let agent = builder(&model).build().unwrap();

    let told = told(agent.prompt("Weather?")).await;

    let expected = [
        "run",
        "user: Weather?",
        "attempt 1.1",
        "1.1 says Let me see.",
        "assistant: Let me see. call_1=look",
        "call_1 runs look",
        "call_1 ok",
        "user: call_1=seen",
        "attempt 2.1",
        "2.1 says Rain.",
        "assistant: Rain.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    let asked: Vec<_> = model.requests().last().map(history_lines).unwrap();
    assert_eq!(
        asked,
        [
            "user: Weather?",
            "assistant: Let me see. call_1=look",
            "user: call_1=seen"
        ]
    );
}

fn history_lines(request: &steadfast_core::ModelRequest) -> Vec<String> {
    request.history().iter().map(|m| message_line(m)).collect()
}

#[tokio::test(start_paused = true)]
async fn awaited_streamed_and_spawned_prompts_are_the_same_run() {
    let script = || {
        [
            Reply::throttled(),
            Reply::text("half").then_cut(),
            look(),
            Reply::text("Rain.").after(secs(1)),
        ]
    };
    let traces: Arc<Mutex<Vec<Value>>> = Arc::default();
    let agent = || {
        let traces = Arc::clone(&traces);
        builder(&ScriptedModel::new(script()))
            .observe(move |event: &AgentEvent| {
                let mut event = serde_json::to_value(event).unwrap();
                event["run"] = Value::Null;
                traces.lock().unwrap().push(event);
            })
            .build()
            .unwrap()
    };

    agent().prompt("Weather?").await.unwrap();
    let awaited = std::mem::take(&mut *traces.lock().unwrap());
    let streamed_outcome = told(agent().prompt("Weather?")).await.outcome;
    let streamed = std::mem::take(&mut *traces.lock().unwrap());
    agent().prompt("Weather?").spawn().await.unwrap();
    let spawned = std::mem::take(&mut *traces.lock().unwrap());

    assert_eq!(streamed_outcome.unwrap().attempts(), 4);
    assert_eq!(awaited, streamed);
    assert_eq!(awaited, spawned);
}

/// Strands 62.
#[tokio::test(start_paused = true)]
async fn stop_reasons_of_the_model_are_results() {
    for stop in [
        StopReason::StopSequence,
        StopReason::MaxTokens,
        StopReason::Refusal,
        StopReason::ContentFiltered,
        StopReason::GuardrailIntervened,
    ] {
        let answer = [ModelDelta::Text("So far".into()), ModelDelta::Stop(stop)];
        let agent = builder(&ScriptedModel::new([Reply::deltas(answer)]))
            .build()
            .unwrap();

        let result = told(agent.prompt("Go on.")).await.outcome.unwrap();

        assert_eq!((result.stop_reason(), result.text()), (stop, "So far"));
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_is_shown_as_text_and_ends_as_refusal() {
    let answer = [
        ModelDelta::Refusal("I cannot.".into()),
        ModelDelta::Stop(StopReason::EndTurn),
    ];
    let agent = builder(&ScriptedModel::new([Reply::deltas(answer)]))
        .build()
        .unwrap();

    let told = told(agent.prompt("Do it.")).await;

    assert!(told.trace().contains(&"1.1 says I cannot.".to_owned()));
    assert_eq!(told.outcome.unwrap().stop_reason(), StopReason::Refusal);
}

/// Strands 71.
#[tokio::test(start_paused = true)]
async fn limits_end_with_results_after_the_tools_of_the_turn() {
    let cost = Usage::new(40, 10);
    let endless = || ScriptedModel::always(look().with_usage(cost));
    let check = async |builder: AgentBuilder, stop, turns| {
        let told = told(builder.build().unwrap().prompt("Go.")).await;
        let trace = told.trace();
        let result = told.outcome.unwrap();
        assert_eq!((result.stop_reason(), result.turns()), (stop, turns));
        assert_eq!(trace[trace.len() - 2], "user: call_1=seen");
    };

    check(builder(&endless()), StopReason::LimitTurns, 50).await;
    check(builder(&endless()).max_turns(2), StopReason::LimitTurns, 2).await;
    check(
        builder(&endless()).max_total_tokens(101),
        StopReason::LimitTokens,
        3,
    )
    .await;
    check(
        builder(&endless()).max_total_tokens(100),
        StopReason::LimitTokens,
        2,
    )
    .await;
    // Turns come before tokens.
    check(
        builder(&endless()).max_total_tokens(50).max_turns(1),
        StopReason::LimitTurns,
        1,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_turn_with_an_unknown_tool_ends_cleanly() {
    // Design section 7.
    let model = ScriptedModel::new([Reply::tool_call("nobody", json!({}))]);
    let agent = builder(&model).max_turns(1).build().unwrap();

    let told = told(agent.prompt("Go.")).await;

    assert!(told.trace().contains(&"call_1 failed".to_owned()));
    assert_eq!(told.outcome.unwrap().stop_reason(), StopReason::LimitTurns);
}

#[tokio::test(start_paused = true)]
async fn model_is_asked_with_system_tools_and_settings() {
    // AT-18.
    let model = ScriptedModel::new([Reply::text("a"), Reply::text("b")]);
    let agent = builder(&model)
        .name("assistant")
        .system("Be brief.")
        .settings(ModelSettings::new().temperature(0.5).max_tokens(10))
        .build()
        .unwrap();

    let answer = agent.prompt("One").await.unwrap();
    let own = ModelSettings::new().tool_choice(ToolChoice::Required);
    agent.prompt("Two").settings(own.clone()).await.unwrap();

    let requests = model.requests();
    assert_eq!((agent.name(), answer.text()), ("assistant", "a"));
    assert_eq!(requests[0].system(), Some("Be brief."));
    assert_eq!(requests[0].tools()[0].name, "look");
    assert_eq!(requests[0].settings().max_tokens, Some(10));
    assert_eq!(requests[1].settings(), &own);
}

#[tokio::test(start_paused = true)]
async fn wrong_settings_of_a_prompt_end_the_run_naming_the_field() {
    let model = ScriptedModel::new([Reply::text("never")]);
    let agent = builder(&model).build().unwrap();
    let wrong = ModelSettings::new().temperature(f64::NAN);

    let error = told(agent.prompt("Go.").settings(wrong))
        .await
        .outcome
        .unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Config);
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().starts_with("`temperature`"), "{source}");
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn hook_may_rewrite_the_prompt() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = builder(&model)
        .on(|event: &mut BeforeInvocationEvent| {
            event.messages = vec![Message::user("context"), Message::user("Umbrella?")];
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let asked = model.requests();
    assert_eq!(
        history_lines(&asked[0]),
        ["user: context", "user: Umbrella?"]
    );
}

#[tokio::test(start_paused = true)]
async fn hook_may_answer_the_prompt_without_the_model() {
    let model = ScriptedModel::new([]);
    let agent = builder(&model)
        .on(|event: &mut BeforeInvocationEvent| event.cancel = Some("Not today.".into()))
        .build()
        .unwrap();

    let told = told(agent.prompt("Umbrella?")).await;

    let expected = [
        "run",
        "user: Umbrella?",
        "1.0 says Not today.",
        "assistant: Not today.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(model.calls(), 0);
}

/// Strands 46: a retry repeats the whole attempt.
#[tokio::test(start_paused = true)]
async fn hook_may_answer_in_place_of_a_model_call() {
    let model = ScriptedModel::new([]);
    let agent = builder(&model)
        .on(|event: &mut BeforeModelCallEvent| {
            event.cancel = Some(format!("Answer {}.", event.attempt()));
        })
        .on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() < 2)
        .build()
        .unwrap();

    let told = told(agent.prompt("Umbrella?")).await;

    let expected = [
        "run",
        "user: Umbrella?",
        "attempt 1.1",
        "1.1 says Answer 1.",
        "1.1 discarded RetriedByHook",
        "attempt 1.2",
        "1.2 says Answer 2.",
        "assistant: Answer 2.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(model.calls(), 0);
}

/// Goes on with `More?` as long as fewer than `prompts` were answered.
fn go_on(model: &ScriptedModel) -> AgentBuilder {
    builder(model).on(|event: &mut AfterInvocationEvent| event.resume = Some("More?".into()))
}

#[tokio::test(start_paused = true)]
async fn hook_may_go_on_with_another_prompt_in_the_same_run() {
    let model = ScriptedModel::new([Reply::text("One."), Reply::text("Two.")]);
    let agent = go_on(&model).max_turns(2).build().unwrap();

    let told = told(agent.prompt("Count.")).await;

    let expected = [
        "run",
        "user: Count.",
        "attempt 1.1",
        "1.1 says One.",
        "assistant: One.",
        "user: More?",
        "attempt 2.1",
        "2.1 says Two.",
        "assistant: Two.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    let result = told.outcome.unwrap();
    assert_eq!(
        (result.text(), result.turns(), result.attempts()),
        ("Two.", 2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn failed_run_does_not_go_on_with_another_prompt() {
    let model = ScriptedModel::new([Reply::fail(ModelErrorKind::Auth), Reply::text("never")]);

    let outcome = told(go_on(&model).build().unwrap().prompt("Count."))
        .await
        .outcome;

    let kind = outcome.unwrap_err().kind();
    assert_eq!(kind, RunErrorKind::Model(ModelErrorKind::Auth));
    assert_eq!(model.calls(), 1);
}

/// Strands 60: one force stop, which `told` checks, and the same error.
#[tokio::test(start_paused = true)]
async fn failure_ends_a_run_the_same_way_in_every_turn() {
    for turns in 0..4 {
        let overflow =
            ModelError::new(ModelErrorKind::ContextOverflow, "too long").with_status(400);
        let looks = (0..turns).map(|_| look());
        let model = ScriptedModel::new(looks.chain([Reply::error(overflow.clone())]));
        let agent = builder(&model).build().unwrap();

        let told = told(agent.prompt("Go.")).await;

        assert_eq!(told.trace().last().unwrap(), "force_stop context_overflow");
        let error = told.outcome.unwrap_err();
        assert_eq!(
            error.kind(),
            RunErrorKind::Model(ModelErrorKind::ContextOverflow)
        );
        assert_eq!(error.model_error(), Some(&overflow));
        assert_eq!(error.to_string(), overflow.to_string());
    }
}

/// Strands 71.
#[tokio::test(start_paused = true)]
async fn retries_are_no_turns() {
    let throttled = || [Reply::throttled(), Reply::throttled()];
    let replies = throttled().into_iter().chain([look()]);
    let replies = replies.chain(throttled()).chain([look(), look()]);
    let model = ScriptedModel::new(replies);
    let agent = builder(&model).max_turns(2).build().unwrap();

    let result = told(agent.prompt("Go.")).await.outcome.unwrap();

    assert_eq!(result.stop_reason(), StopReason::LimitTurns);
    assert_eq!((result.turns(), result.attempts()), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn thousand_tool_turns_are_one_run() {
    let replies = (0..1_000).map(|_| look()).chain([Reply::text("Rain.")]);
    let agent = builder(&ScriptedModel::new(replies))
        .max_turns(1_001)
        .build()
        .unwrap();

    let answer = agent.prompt("Weather?").await.unwrap();

    assert_eq!((answer.text(), answer.turns()), ("Rain.", 1_001));
    assert_eq!(answer.messages().len(), 2_002);
}

/// Strands 63.
#[tokio::test(start_paused = true)]
async fn dropped_prompt_leaves_the_agent_usable() {
    let model = ScriptedModel::new([Reply::text("half").then_hang(), Reply::text("Yes.")]);
    let agent = builder(&model).build().unwrap();
    let mut abandoned = agent.prompt("One?").stream();
    for _ in 0..4 {
        abandoned.next().await.unwrap();
    }
    drop(abandoned);

    let answer = agent.prompt("Two?").await.unwrap();

    assert_eq!(answer.text(), "Yes.");
}

#[tokio::test(start_paused = true)]
async fn slow_viewer_sees_every_event_of_a_fast_model() {
    let words = (0..500).map(|n| ModelDelta::Text(format!("{n} ")));
    let answer = words.chain([ModelDelta::Stop(StopReason::EndTurn)]);
    let agent = builder(&ScriptedModel::new([Reply::deltas(answer)]))
        .build()
        .unwrap();
    let mut events = agent.prompt("Count.").stream();

    let mut text = String::new();
    while let Some(event) = events.next().await {
        tokio::time::sleep(secs(200)).await;
        if let AgentEvent::TextDelta(delta) = event {
            text += delta.text();
        }
    }

    assert_eq!(text, events.result().await.unwrap().text());
}

#[tokio::test(start_paused = true)]
async fn hundred_runs_of_one_agent_do_not_meet() {
    let agent = builder(&ScriptedModel::always(Reply::text("Yes.").after(secs(3))))
        .build()
        .unwrap();

    let runs: Vec<_> = (0..100)
        .map(|n| agent.prompt(format!("{n}")).spawn())
        .collect();
    for run in runs {
        let answer = run.await.unwrap();
        assert_eq!(
            (answer.text(), answer.turns(), answer.duration()),
            ("Yes.", 1, secs(3))
        );
    }
}
