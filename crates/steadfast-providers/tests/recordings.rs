//! Recorded exchanges of the chat wire, replayed over HTTP in pieces cut at random places.
//!
//! Our own fixtures always; beside them, the folder that `STEADFAST_RECORDINGS` names, if it is set.
//! What is expected is read from the recording by the plainest means: texts joined, arguments joined
//! by index, the last usage.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

#[path = "recordings/recorded_request.rs"]
mod recorded_request;

use std::path::{Path, PathBuf};

use recorded_request::{TestResult, assert_holds_fields, read_request};
use serde_json::{Value, json};
use steadfast_core::{
    Agent, AgentEvent, ContentBlock, Message, ModelErrorKind, NoopRetryStrategy, Role,
    RunErrorKind, StopReason,
};
use steadfast_providers::OpenAiChat;
use steadfast_sim::{Cassette, RecordedExchange, Simulator};

/// How many ways of cutting each recording are tried.
const SEEDS: u64 = 12;

#[tokio::test]
async fn recorded_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    for file in recordings()? {
        for seed in 0..SEEDS {
            check_file(&file, seed).await?;
        }
    }
    Ok(())
}

/// The files that hold at least one exchange of this wire.
fn recordings() -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    let mut folders = vec![PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures"
    ))];
    folders.extend(std::env::var_os("STEADFAST_RECORDINGS").map(PathBuf::from));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
                && Cassette::load(&path)?.exchanges().iter().any(is_chat)
            {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    Ok(files)
}

fn is_chat(exchange: &RecordedExchange) -> bool {
    exchange.path().ends_with("/chat/completions")
}

async fn check_file(file: &Path, seed: u64) -> TestResult {
    let cassette = Cassette::load(file)?.seed(seed);
    let exchanges: Vec<RecordedExchange> = cassette
        .exchanges()
        .iter()
        .filter(|e| is_chat(e))
        .cloned()
        .collect();
    let sim = Simulator::builder().cassette(cassette).start().await?;
    for (place, exchange) in exchanges.iter().enumerate() {
        let label = format!("{} [{place}] seed {seed}", file.display());
        check_exchange(&sim, exchange, &label)
            .await
            .map_err(|error| format!("{label}: {error}"))?;
        let sent = sim.requests().last().cloned().ok_or("no request")?;
        let recorded: Value = serde_json::from_str(exchange.request_body())?;
        assert_holds_fields(&sent.body, &recorded, &label);
    }
    sim.stop().await;
    Ok(())
}

async fn check_exchange(sim: &Simulator, exchange: &RecordedExchange, label: &str) -> TestResult {
    let recorded: Value = serde_json::from_str(exchange.request_body())?;
    let request = read_request(&recorded)?;
    let base = exchange.path().trim_end_matches("/chat/completions");
    let model = OpenAiChat::builder(request.model)
        .base_url(format!("{}{base}", sim.url()))
        .api_key("sk-test")
        .build()?;
    let mut builder = Agent::builder()
        .model(model)
        .settings(request.settings)
        .retry_strategy(NoopRetryStrategy)
        .max_turns(1);
    if let Some(system) = request.system {
        builder = builder.system(system);
    }
    let agent = builder.tools(request.tools).build()?;
    let mut conversation = agent.conversation().with_messages(request.history);
    let mut events = conversation.prompt(request.prompt).stream();
    let mut answer = None;
    let mut streamed = String::new();
    while let Some(event) = events.next().await {
        match event {
            AgentEvent::TextDelta(delta) => streamed.push_str(delta.text()),
            AgentEvent::Message(added) if added.message().role == Role::Assistant => {
                answer = Some(added.message().clone());
            }
            _ => {}
        }
    }
    let outcome = events.result().await;
    let status = exchange.status().as_u16();
    if status >= 400 {
        let error = outcome.err().ok_or("an error was expected")?;
        let kind = expected_kind(status, &String::from_utf8_lossy(exchange.body()));
        assert_eq!(error.kind(), RunErrorKind::Model(kind), "{label}");
        assert_eq!(
            error.model_error().and_then(|e| e.status()),
            Some(status),
            "{label}"
        );
        return Ok(());
    }
    outcome?;
    let answer = answer.ok_or("no answer")?;
    let expected = Expected::read(exchange)?;
    assert_eq!(answer.text(), expected.text, "{label}");
    assert_eq!(streamed, expected.text, "{label}");
    assert_eq!(calls(&answer), expected.calls, "{label}");
    assert_eq!(reasoning(&answer), expected.reasoning, "{label}");
    assert_eq!(answer.stop_reason, Some(expected.stop), "{label}");
    let usage = answer.usage.ok_or("no usage")?;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        expected.usage,
        "{label}"
    );
    Ok(())
}

/// The errors among the recordings, each known by what it says.
fn expected_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        400 if body.contains("exceed_context_size_error")
            || body.contains("maximum context length") =>
        {
            ModelErrorKind::ContextOverflow
        }
        400 if body.contains("invalid_model") => ModelErrorKind::NotFound,
        // llama.cpp's 500 for an image that it cannot fetch is permanent.
        400 | 500 => ModelErrorKind::InvalidRequest,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn calls(message: &Message) -> Vec<(String, String, Value)> {
    message
        .tool_uses()
        .map(|call| (call.id.clone(), call.name.clone(), call.input.clone()))
        .collect()
}

fn reasoning(message: &Message) -> String {
    let text = |block: &ContentBlock| match block {
        ContentBlock::Reasoning(reasoning) => reasoning.text.clone(),
        _ => String::new(),
    };
    message.content.iter().map(text).collect()
}

/// What a recording says, read independently of the code under test.
struct Expected {
    text: String,
    reasoning: String,
    calls: Vec<(String, String, Value)>,
    stop: StopReason,
    usage: (u64, u64),
}

impl Expected {
    fn read(exchange: &RecordedExchange) -> Result<Self, Box<dyn std::error::Error>> {
        let body = String::from_utf8(exchange.body().to_vec())?;
        let chunks: Vec<Value> = if body.starts_with('{') {
            vec![serde_json::from_str(&body)?]
        } else {
            body.lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .filter(|data| *data != "[DONE]")
                .map(serde_json::from_str)
                .collect::<Result<_, _>>()?
        };
        let mut expected = Self {
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            stop: StopReason::EndTurn,
            usage: (0, 0),
        };
        let mut arguments: Vec<String> = Vec::new();
        let mut finish = String::new();
        let mut refused = false;
        for chunk in &chunks {
            if let Some(usage) = chunk.get("usage").filter(|usage| !usage.is_null()) {
                let tokens = |field: &str| usage[field].as_u64().unwrap_or_default();
                expected.usage = (tokens("prompt_tokens"), tokens("completion_tokens"));
            }
            let Some(choice) = chunk.pointer("/choices/0") else {
                continue;
            };
            let delta = choice
                .get("delta")
                .or_else(|| choice.get("message"))
                .unwrap_or(&Value::Null);
            let text = |field: &str| delta[field].as_str().unwrap_or_default();
            expected.text.push_str(text("content"));
            expected.text.push_str(text("refusal"));
            refused |= !text("refusal").is_empty();
            expected.reasoning.push_str(text("reasoning_content"));
            expected.reasoning.push_str(text("reasoning"));
            for (place, call) in delta["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let index = call["index"]
                    .as_u64()
                    .map_or(place, |index| usize::try_from(index).unwrap_or_default());
                if index == expected.calls.len() {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    expected.calls.push((
                        text(&call["id"]),
                        text(&call["function"]["name"]),
                        Value::Null,
                    ));
                    arguments.push(String::new());
                }
                arguments[index]
                    .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                finish = reason.to_owned();
            }
        }
        for (call, arguments) in expected.calls.iter_mut().zip(arguments) {
            call.2 = match arguments.as_str() {
                "" => json!({}),
                text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            };
        }
        expected.stop = match finish.as_str() {
            "length" => StopReason::MaxTokens,
            "tool_calls" => StopReason::ToolUse,
            "stop" if refused => StopReason::Refusal,
            "stop" => StopReason::EndTurn,
            other => return Err(format!("finish reason `{other}`").into()),
        };
        Ok(expected)
    }
}
