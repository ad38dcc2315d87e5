//! The code of `docs/guides/testing-your-agent.md`.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use steadfast::{
    Agent, AgentEvent, ConfigError, FunctionTool, Model, ModelErrorKind, OpenAiChat, RunErrorKind,
    ToolError, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use steadfast_sim::Simulator;
use tokio::time::Instant;

/// The agent under test. It takes its model, so that a test can bring its own.
fn assistant(model: impl Model) -> Result<Agent, ConfigError> {
    let get_weather = FunctionTool::new("get_weather", "", |_: Value| async {
        Ok::<_, ToolError>("6 °C, light rain")
    });
    Agent::builder().model(model).tool(get_weather).build()
}

#[tokio::test]
async fn weather_is_looked_up_before_the_answer() {
    let model = ScriptedModel::new([
        Reply::tool_call("get_weather", json!({"city": "Oslo"})),
        Reply::text("Take one."),
    ]);
    let agent = assistant(model.clone()).unwrap();

    let answer = agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(answer.text(), "Take one.");
    // What the model was asked the second time ends with the tool's result.
    let asked = &model.requests()[1];
    let last = serde_json::to_value(asked.history().last()).unwrap();
    assert_eq!(last["content"][0]["content"][0]["text"], "6 °C, light rain");
}

#[tokio::test(start_paused = true)]
async fn throttled_call_is_made_again_after_four_seconds() {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&waits);
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::text("half an ans").then_fail(ModelErrorKind::Network),
        Reply::text("An answer."),
    ]);
    let agent = Agent::builder()
        .model(model)
        .observe(move |event: &AgentEvent| {
            if let AgentEvent::EventLoopThrottle(event) = event {
                told.lock().unwrap().push(event.delay());
            }
        })
        .build()
        .unwrap();
    let began = Instant::now();

    let answer = agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(answer.text(), "An answer.");
    assert_eq!(*waits.lock().unwrap(), [secs(4), secs(8)]);
    assert_eq!(began.elapsed(), secs(12)); // virtual seconds: the test takes none
}

#[tokio::test]
async fn quota_error_over_http_ends_the_run_at_once() {
    let simulator = Simulator::builder()
        .faults("429:quota".parse().unwrap())
        .start()
        .await
        .unwrap();
    let model = OpenAiChat::builder("any")
        .base_url(simulator.base_url())
        .api_key("any")
        .build()
        .unwrap();

    let error = assistant(model).unwrap().prompt("?").await.unwrap_err();

    let quota = RunErrorKind::Model(ModelErrorKind::QuotaExhausted);
    assert_eq!(error.kind(), quota);
    assert_eq!(simulator.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_goes_on_after_its_process_died_anywhere() {
    let script = || {
        ScriptedModel::new([
            Reply::tool_call("get_weather", json!({"city": "Oslo"})),
            Reply::throttled(),
            Reply::text("Take one."),
        ])
    };

    for records in 1.. {
        let model = script();
        let agent = assistant(model.clone()).unwrap();
        let journal = Journal::new();
        let dying = JournalRuntime::new(&journal).stop_after(records);
        let first = agent.prompt("Umbrella?").on_runtime(&dying).await;

        let next = JournalRuntime::new(&journal);
        let answer = agent.prompt("Umbrella?").on_runtime(&next).await.unwrap();

        assert_eq!(answer.text(), "Take one.");
        assert_eq!(model.calls(), 3, "no call was made twice");
        if first.is_ok() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wait_goes_on_in_the_next_process() {
    let model = ScriptedModel::new([Reply::throttled(), Reply::text("Take one.")]);
    let agent = assistant(model).unwrap();
    let journal = Journal::new();
    let dying = JournalRuntime::new(&journal).stop_after(3); // before a wait of four seconds
    let first = agent.prompt("Umbrella?").on_runtime(&dying).await;
    assert!(first.is_err());

    tokio::time::sleep(secs(3)).await; // no process runs
    let began = Instant::now();
    let next = JournalRuntime::new(&journal);
    let answer = agent.prompt("Umbrella?").on_runtime(&next).await.unwrap();

    assert_eq!(answer.text(), "Take one.");
    assert_eq!(began.elapsed(), secs(1)); // what was left
}
