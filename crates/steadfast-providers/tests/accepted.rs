//! Tools and settings that a wire takes in a form of its own only, sent through it: the simulator
//! refuses what the vendors refuse, and must refuse none. Histories have a file of their own.

use serde_json::json;
use steadfast_core::{Message, Model, ModelRequest, ToolSpec};
use steadfast_providers::{Ollama, OpenAiResponses};
use steadfast_sim::{Simulator, Wire};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn prompt() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

#[tokio::test]
async fn schemas_of_booleans_at_any_depth_are_taken_by_ollama() -> TestResult {
    let sim = Simulator::start().await?;
    let model = Ollama::builder("qwen-test").base_url(sim.url()).build()?;
    let schema = json!({
        "type": "object",
        "properties": {
            "any": true,
            "deep": {"type": "object", "properties": {"any": true, "none": false}},
            "one": {"anyOf": [{"type": "object", "properties": {"any": true}}, false]},
        },
    });
    let request = prompt().with_tools([ToolSpec::new("f", "", schema)]);

    let answer = model.stream(request).await?.response().await;

    assert!(answer.is_ok(), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn models_without_thoughts_are_asked_what_they_take() -> TestResult {
    let sim = Simulator::start().await?;
    for name in [
        "gpt-4o",
        "gpt-3.5-turbo",
        "chatgpt-4o-latest",
        "gpt-5-chat-latest",
        "gpt-5",
    ] {
        let model = OpenAiResponses::builder(name)
            .base_url(sim.base_url_for(Wire::OpenAiResponses))
            .api_key("sk-test")
            .build()?;

        let answer = model.stream(prompt()).await?.response().await;

        assert!(answer.is_ok(), "{name}: {answer:?}");
    }
    Ok(())
}
