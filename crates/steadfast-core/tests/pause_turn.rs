//! An answer that the provider paused: the loop goes on by itself, within its limits.

mod support;

use serde_json::json;
use steadfast_core::{
    Agent, AgentBuilder, ContentBlock, FunctionTool, ModelDelta, ModelErrorKind, Role,
    RunErrorKind, StopReason, ToolError, Usage,
    testing::{Reply, ScriptedModel},
};
use support::told;

fn paused(text: &str) -> Reply {
    Reply::deltas([
        ModelDelta::Text(text.into()),
        ModelDelta::Opaque(json!({"wire": {"call": 1}})),
        ModelDelta::Usage(Usage::new(10, 5)),
        ModelDelta::Stop(StopReason::PauseTurn),
    ])
}

fn builder(replies: impl IntoIterator<Item = Reply>) -> (AgentBuilder, ScriptedModel) {
    let model = ScriptedModel::new(replies);
    (Agent::builder().model(model.clone()), model)
}

#[tokio::test(start_paused = true)]
async fn paused_answer_goes_on_as_the_next_turn() {
    let (builder, model) = builder([paused("I search."), Reply::text("Blue.")]);
    let agent = builder.build().unwrap();

    let told = told(agent.prompt("Which colour?")).await;

    let result = told.outcome.unwrap();
    assert_eq!(result.text(), "I search.Blue.");
    assert_eq!(result.stop_reason(), StopReason::EndTurn);
    assert_eq!((result.turns(), result.attempts()), (2, 2));
    let asked = model.requests();
    let history: Vec<_> = asked[1].history().iter().collect();
    assert_eq!(history.len(), 2, "nothing is added after the pause");
    assert_eq!(history[1].role, Role::Assistant);
    assert_eq!(history[1].stop_reason, Some(StopReason::PauseTurn));
    let sealed = ContentBlock::Opaque {
        data: json!({"wire": {"call": 1}}),
    };
    assert_eq!(
        history[1].content,
        [ContentBlock::text("I search."), sealed]
    );
}

#[tokio::test(start_paused = true)]
async fn endless_pauses_end_at_the_limits() {
    let by_turns = builder([paused("a"), paused("b"), paused("c")])
        .0
        .max_turns(2);
    let by_tokens = builder([paused("a"), paused("b"), paused("c")])
        .0
        .max_total_tokens(30);

    for (builder, stop) in [
        (by_turns, StopReason::LimitTurns),
        (by_tokens, StopReason::LimitTokens),
    ] {
        let result = builder.build().unwrap().prompt("Go.").await.unwrap();
        assert_eq!(result.stop_reason(), stop);
        assert_eq!(result.turns(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_after_a_pause_keeps_the_paused_turn() {
    let (builder, _) = builder([paused("I search."), Reply::fail(ModelErrorKind::Auth)]);
    let agent = builder.build().unwrap();
    let mut conversation = agent.conversation();

    let error = conversation.prompt("Which colour?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Auth));
    let kept: Vec<_> = conversation
        .history()
        .iter()
        .map(|m| m.text().into_owned())
        .collect();
    assert_eq!(kept, ["Which colour?", "I search."]);
}

#[tokio::test(start_paused = true)]
async fn call_in_a_paused_answer_is_run() {
    let reply = Reply::deltas([
        ModelDelta::ToolUseStart {
            index: 0,
            id: "call_1".into(),
            name: "look".into(),
        },
        ModelDelta::Stop(StopReason::PauseTurn),
    ]);
    let (builder, _) = builder([reply, Reply::text("Done.")]);
    let look = FunctionTool::new("look", "", |_: serde_json::Value| async {
        Ok::<_, ToolError>("seen")
    });

    let told = told(builder.tool(look).build().unwrap().prompt("Go.")).await;

    let trace = told.trace();
    assert!(
        trace.contains(&"user: call_1=seen".to_owned()),
        "{trace:#?}"
    );
    assert_eq!(told.outcome.unwrap().text(), "Done.");
}
