//! Recorded exchanges of every wire, replayed over HTTP in pieces cut at random places.
//!
//! Our own fixtures always; beside them, the folder that `STEADFAST_RECORDINGS` names, if it is set.
//! What is expected is read from the recording by the plainest means.

#[path = "recordings/anthropic.rs"]
mod anthropic;
#[cfg(feature = "bedrock")]
#[path = "recordings/bedrock.rs"]
mod bedrock;
#[path = "recordings/chat.rs"]
mod chat;
#[path = "recordings/gemini.rs"]
mod gemini;
#[path = "recordings/ollama.rs"]
mod ollama;
#[path = "recordings/responses.rs"]
mod responses;
#[path = "recordings/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};

use serde_json::Value;
use steadfast_core::{
    Agent, AgentEvent, ContentBlock, Message, NoopRetryStrategy, Role, RunErrorKind,
};
use steadfast_sim::{Cassette, RecordedExchange, Simulator};
use wire::{Expected, RecordedWire, TestResult};

/// How many ways of cutting each recording are tried.
const SEEDS: u64 = 12;

#[tokio::test]
async fn recorded_chat_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&chat::CHAT).await
}

#[tokio::test]
async fn recorded_anthropic_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&anthropic::ANTHROPIC).await
}

#[cfg(feature = "bedrock")]
#[tokio::test]
async fn recorded_bedrock_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&bedrock::STREAMED).await?;
    check_wire(&bedrock::WHOLE).await
}

#[tokio::test]
async fn recorded_responses_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&responses::RESPONSES).await
}

#[tokio::test]
async fn recorded_gemini_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&gemini::GEMINI).await
}

#[tokio::test]
async fn recorded_ollama_answers_decode_whatever_the_chunk_boundaries() -> TestResult {
    check_wire(&ollama::OLLAMA).await
}

async fn check_wire(wire: &RecordedWire) -> TestResult {
    for file in recordings(wire)? {
        for seed in 0..SEEDS {
            check_file(wire, &file, seed).await?;
        }
    }
    Ok(())
}

/// The files that hold at least one exchange of this wire.
fn recordings(wire: &RecordedWire) -> TestResult<Vec<PathBuf>> {
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
                && !exchanges(wire, &load(&path)?).is_empty()
            {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    Ok(files)
}

/// Reads a file. A model always asks for a stream, and with Gemini the path says that: what was asked
/// for whole is answered whole to it.
fn load(file: &Path) -> TestResult<Cassette> {
    const WHOLE: &str = ":generateContent";
    let text = std::fs::read_to_string(file)?;
    if !text.contains(WHOLE) {
        return Ok(Cassette::load(file)?);
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("asked-for-a-stream.yaml");
    std::fs::write(&copy, text.replace(WHOLE, ":streamGenerateContent"))?;
    Ok(Cassette::load(&copy)?)
}

fn exchanges(wire: &RecordedWire, cassette: &Cassette) -> Vec<RecordedExchange> {
    let all = cassette.exchanges().iter();
    // With another method it is no call, such as the handshake of a web socket.
    all.filter(|exchange| exchange.path().ends_with(wire.path) && exchange.method() == "POST")
        .cloned()
        .collect()
}

async fn check_file(wire: &RecordedWire, file: &Path, seed: u64) -> TestResult {
    let cassette = load(file)?.seed(seed);
    let exchanges = exchanges(wire, &cassette);
    let sim = Simulator::builder().cassette(cassette).start().await?;
    let mut answers = Vec::new();
    for (place, exchange) in exchanges.iter().enumerate() {
        let label = format!("{} [{place}] seed {seed}", file.display());
        let answer = check_exchange(wire, &sim, exchange, &answers, &label)
            .await
            .map_err(|error| format!("{label}: {error}"))?;
        answers.extend(answer);
        let sent = sim.requests().last().cloned().ok_or("no request")?;
        let recorded: Value = serde_json::from_str(exchange.request_body())?;
        assert_holds_fields(wire, &sent.body, &recorded, &label);
    }
    sim.stop().await;
    Ok(())
}

/// Sends a recorded request again and checks what comes of it. Returns the answer.
async fn check_exchange(
    wire: &RecordedWire,
    sim: &Simulator,
    exchange: &RecordedExchange,
    answers: &[Message],
    label: &str,
) -> TestResult<Option<Message>> {
    let recorded: Value = serde_json::from_str(exchange.request_body())?;
    let mut request = (wire.read_request)(&recorded)?;
    // What was answered goes back as it was decoded here, where this recording holds it.
    for message in &mut request.history {
        let calls = calls(message);
        let same = |answer: &&Message| !calls.is_empty() && are_same(&self::calls(answer), &calls);
        if let Some(answer) = answers.iter().find(same) {
            *message = answer.clone();
        }
    }
    let base = exchange.path().trim_end_matches(wire.path);
    let model = (wire.model)(request.model, format!("{}{base}", sim.url()))?;
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
        let kind = (wire.error_kind)(status, &String::from_utf8_lossy(exchange.body()));
        assert_eq!(error.kind(), RunErrorKind::Model(kind), "{label}");
        assert_eq!(
            error.model_error().and_then(|e| e.status()),
            Some(status),
            "{label}"
        );
        return Ok(None);
    }
    outcome?;
    let answer = answer.ok_or("no answer")?;
    let expected = (wire.read_answer)(exchange)?;
    assert_eq!(streamed, expected.text, "{label}");
    assert_eq!(said(&answer)?, expected, "{label}");
    Ok(Some(Message::clone(&answer)))
}

/// What a decoded answer says.
fn said(answer: &Message) -> TestResult<Expected> {
    let usage = answer.usage.ok_or("no usage")?;
    let reasoning = answer.content.iter().filter_map(|block| match block {
        ContentBlock::Reasoning(reasoning) => Some(reasoning.text.as_str()),
        _ => None,
    });
    let own_blocks = answer.content.iter().filter_map(|block| match block {
        ContentBlock::Opaque { data } => {
            let block = data.as_object()?.values().next()?;
            // Gemini's parts have no type: what they hold says it.
            let first = || data.get("gemini")?.as_object()?.keys().next().cloned();
            let kind = block.get("type").and_then(Value::as_str);
            kind.map(str::to_owned).or_else(first)
        }
        _ => None,
    });
    Ok(Expected {
        text: answer.text().into_owned(),
        reasoning: reasoning.collect(),
        calls: calls(answer),
        own_blocks: own_blocks.collect(),
        stop: answer.stop_reason.ok_or("no stop reason")?,
        usage: (usage.input_tokens, usage.output_tokens),
    })
}

/// Identity, name and arguments of a call.
type Call = (String, String, Value);

fn calls(message: &Message) -> Vec<Call> {
    message
        .tool_uses()
        .map(|call| (call.id.clone(), call.name.clone(), call.input.clone()))
        .collect()
}

/// Whether calls are the same; an identity that was made up says nothing.
fn are_same(ones: &[Call], others: &[Call]) -> bool {
    let told = |(id, name, input): &Call| {
        let id = (!id.starts_with("unnumbered_")).then(|| id.clone());
        (id, name.clone(), input.clone())
    };
    ones.iter().map(told).eq(others.iter().map(told))
}

/// Asserts that every field of the recorded request stands in ours with its value.
fn assert_holds_fields(wire: &RecordedWire, ours: &Value, recorded: &Value, label: &str) {
    let (mut ours, mut recorded) = (ours.clone(), recorded.clone());
    (wire.normalise)(&mut ours);
    (wire.normalise)(&mut recorded);
    for (field, value) in recorded.as_object().into_iter().flatten() {
        assert_eq!(ours.get(field), Some(value), "{label}: `{field}`");
    }
}
