//! With what arguments a tool runs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use steadfast_core::{
    Agent, FunctionTool, ModelDelta, StopReason, ToolError,
    testing::{Reply, ScriptedModel},
};

/// Calls a tool that takes any value: how often it ran, and what the model read in its place.
async fn call(arguments: &str) -> Option<(usize, String)> {
    let model = ScriptedModel::new([
        Reply::deltas([
            ModelDelta::ToolUseStart {
                index: 0,
                id: "call_1".into(),
                name: "any".into(),
            },
            ModelDelta::ToolUseInput {
                index: 0,
                json: arguments.into(),
            },
            ModelDelta::Stop(StopReason::ToolUse),
        ]),
        Reply::text("Done."),
    ]);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let any = FunctionTool::new("any", "", move |input: Value| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, ToolError>(input) }
    });
    let agent = Agent::builder()
        .model(model.clone())
        .tool(any)
        .build()
        .ok()?;
    agent.prompt("Go.").await.ok()?;
    let requests = model.requests();
    let results = requests.last()?.history().last()?.clone();
    let read = serde_json::to_value(&*results).ok()?;
    let read = read.pointer("/content/0/content/0/text")?.as_str()?;
    Some((runs.load(Ordering::Relaxed), read.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_no_object_run_no_tool() {
    // The tool would take the text of a broken call for what the model meant.
    let expected = "the arguments do not fit: they are not a JSON object".to_owned();
    for arguments in ["{\"city\": Oslo", "[1]", "\"Oslo\"", "7", "true", "}"] {
        let called = call(arguments).await;

        assert_eq!(called, Some((0, expected.clone())), "{arguments}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_arguments_are_an_empty_object() {
    for arguments in ["", " ", "null", "{}"] {
        let called = call(arguments).await;

        assert_eq!(called, Some((1, json!({}).to_string())), "{arguments}");
    }
}
