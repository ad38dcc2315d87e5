//! A tool that panics has failed: the model is told, and the agent goes on.

use serde_json::{Value, json};
use steadfast_core::{
    Agent, FunctionTool, ToolError,
    testing::{Reply, ScriptedModel},
};

#[tokio::test]
async fn panicking_tool_is_a_failed_result() {
    let model = ScriptedModel::new([
        Reply::tool_call("explode", json!({})),
        Reply::text("It broke."),
    ]);
    let explode = FunctionTool::new("explode", "Panics.", |input: Value| async move {
        assert!(input.is_null(), "the tool's own bug");
        Ok::<_, ToolError>("never")
    });
    let agent = Agent::builder().model(model).tool(explode).build().unwrap();

    let answer = agent.prompt("Go.").await.unwrap();

    assert_eq!(answer.text(), "It broke.");
    let result = answer
        .messages()
        .get(2)
        .map(|message| format!("{message:?}"));
    assert!(result.is_some_and(|result| result.contains("failed unexpectedly")));
}
