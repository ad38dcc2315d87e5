//! An answer under a status of success, on one wire. The input is the body, so that any real one is a
//! seed; its last bytes say under which name it comes, where it is cut and where it breaks.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use steadfast_core::{
    Agent, Message, Model, ModelDelta, ModelError, ModelRequest, ModelResponse, ModelStream,
    StopReason, Tool, ToolContext, ToolError, ToolOutput, ToolSpec, async_trait,
};
use steadfast_providers::Wire;

use super::{check_error, event, paused};

/// How many levels a message stands below the top of what is stored of a run, and some to spare.
const LEVELS: usize = 16;

/// Checks one answer.
pub fn answer(wire: Wire, input: &[u8]) {
    let Some((body, [form, end, seed @ ..])) = input.split_last_chunk::<6>() else {
        return;
    };
    let form = Form::new(wire, *form);
    let body = form.body(body);
    let seed = u32::from_le_bytes(*seed);
    paused(async {
        let whole = form.read(vec![Ok(body.clone())]).await;
        let cut = form.read(pieces(&body, seed).map(Ok).collect()).await;
        assert_eq!(cut, whole, "cut by {seed}");

        let break_at = body.len() * usize::from(*end) / 255;
        let broken = form.read(vec![
            Ok(body.slice(..break_at)),
            Err(io::ErrorKind::Other.into()),
        ]);
        broken.await.check_broken(&whole);

        whole.check(wire, &body).await;
    });
}

/// How an answer comes.
struct Form {
    wire: Wire,
    content_type: Option<&'static str>,
    /// Whether the body is a text of events, which are written in AWS's form first.
    sealed: bool,
}

impl Form {
    fn new(wire: Wire, number: u8) -> Self {
        let stream = match wire {
            Wire::Bedrock => "application/vnd.amazon.eventstream",
            Wire::Ollama => "application/x-ndjson",
            _ => "text/event-stream",
        };
        Self {
            wire,
            content_type: [None, Some(stream), Some("application/json")]
                .get(usize::from(number % 4))
                .copied()
                .unwrap_or(None),
            sealed: wire == Wire::Bedrock && number & 4 != 0,
        }
    }

    fn body(&self, text: &[u8]) -> Bytes {
        if !self.sealed {
            return Bytes::copy_from_slice(text);
        }
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let events = lines.map(|line| {
            let brace = line.iter().position(|byte| *byte == b'{');
            let (name, payload) = line.split_at(brace.unwrap_or(line.len()));
            event(String::from_utf8_lossy(name).trim(), payload)
        });
        events.flatten().collect()
    }

    async fn read(&self, pieces: Vec<io::Result<Bytes>>) -> Outcome {
        let mut answer = http::Response::new(stream::iter(pieces));
        if let Some(content_type) = self.content_type {
            let value = http::HeaderValue::from_static(content_type);
            answer.headers_mut().insert(CONTENT_TYPE, value);
        }
        let mut outcome = Outcome::default();
        match self.wire.stream(answer).await {
            Ok(mut deltas) => {
                while let Some(delta) = deltas.next().await {
                    match delta {
                        Ok(delta) => outcome.deltas.push(delta),
                        Err(error) => outcome.error = Some(error),
                    }
                }
            }
            Err(error) => outcome.error = Some(error),
        }
        outcome
    }
}

/// Cuts a body into pieces that follow from a seed.
fn pieces(body: &Bytes, seed: u32) -> impl Iterator<Item = Bytes> {
    let mut random = u64::from(seed) | 1;
    let longest = 1 << (seed % 8);
    let mut rest = body.clone();
    std::iter::from_fn(move || {
        // Marsaglia's xorshift.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let length = 1 + usize::try_from(random % longest).unwrap_or_default();
        (!rest.is_empty()).then(|| rest.split_to(length.min(rest.len())))
    })
}

/// What an answer was decoded to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    deltas: Vec<ModelDelta>,
    error: Option<ModelError>,
}

impl Outcome {
    fn stream(&self) -> ModelStream {
        let deltas = self.deltas.clone().into_iter().map(Ok);
        ModelStream::new(stream::iter(deltas.chain(self.error.clone().map(Err))))
    }

    /// A connection that breaks takes nothing back and adds nothing.
    fn check_broken(&self, whole: &Self) {
        // What it cost may come behind the end marker, and be lost.
        let said = |outcome: &Self| -> Vec<ModelDelta> {
            let usage = |delta: &ModelDelta| matches!(delta, ModelDelta::Usage(_));
            outcome
                .deltas
                .iter()
                .filter(|delta| !usage(delta))
                .cloned()
                .collect()
        };
        assert!(
            said(whole).starts_with(&said(self)),
            "{self:?} of {whole:?}"
        );
    }

    async fn check(&self, wire: Wire, body: &[u8]) {
        self.error.iter().for_each(check_error);
        match self.stream().response().await {
            Ok(response) => {
                assert!(says_its_end(wire, body), "no end marker: {response:?}");
                check_stored(&response.message);
                if response.message.tool_uses().next().is_some() {
                    check_tools(self.stream(), &response).await;
                }
            }
            Err(error) => check_error(&error),
        }
    }
}

/// Returns whether the word that ends a stream stands in a body, or may stand there. JSON that is whole
/// is its own end.
fn says_its_end(wire: Wire, body: &[u8]) -> bool {
    let words: &[&str] = match wire {
        Wire::Anthropic => &["message_stop"],
        Wire::Bedrock => &["messageStop"],
        Wire::Gemini => &["finishReason"],
        Wire::Ollama => &["done"],
        Wire::OpenAiChat => &["finish_reason"],
        Wire::OpenAiResponses => &["response.completed", "response.incomplete"],
        _ => &[],
    };
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return true;
    }
    let body = String::from_utf8_lossy(body);
    body.contains("\\u") || words.iter().any(|word| body.contains(word))
}

/// What is kept loads back equal, also deep within what is stored of a run.
fn check_stored(message: &Message) {
    let stored = serde_json::to_string(message).unwrap_or_default();
    let loaded = serde_json::from_str::<Message>(&stored).ok();
    assert_eq!(loaded.as_ref(), Some(message), "{stored}");
    let within = format!("{}{stored}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let loaded = serde_json::from_str::<Value>(&within);
    assert!(loaded.is_ok(), "{loaded:?}: {stored}");
}

/// No tool runs but for an answer that ends in calls, and none without an object of arguments.
async fn check_tools(answer: ModelStream, response: &ModelResponse) {
    let ran = Arc::new(AtomicBool::new(false));
    let ran_without_object = Arc::new(AtomicBool::new(false));
    let mut names: Vec<&str> = response
        .message
        .tool_uses()
        .map(|call| &*call.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let tools = names.into_iter().map(|name| Watched {
        name: name.to_owned(),
        ran: ran.clone(),
        ran_without_object: ran_without_object.clone(),
    });
    let model = Told(Mutex::new(Some(answer)));
    let builder = Agent::builder().model(model).max_turns(1);
    // Names that no tool may have are those of no tool.
    let Ok(agent) = tools
        .fold(builder, |builder, tool| builder.tool(tool))
        .build()
    else {
        return;
    };
    let result = agent.prompt("?").await;
    assert!(result.is_ok(), "{result:?}");
    let may_run = response.stop_reason == StopReason::ToolUse;
    assert!(may_run || !ran.load(Ordering::Relaxed), "{response:?}");
    assert!(!ran_without_object.load(Ordering::Relaxed), "{response:?}");
}

/// A model whose answer is known.
struct Told(Mutex<Option<ModelStream>>);

#[async_trait]
impl Model for Told {
    fn name(&self) -> &str {
        "told"
    }

    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(answer.unwrap_or_else(|| ModelStream::from_deltas([])))
    }
}

/// A tool that says whether it ran, and with what.
struct Watched {
    name: String,
    ran: Arc<AtomicBool>,
    ran_without_object: Arc<AtomicBool>,
}

#[async_trait]
impl Tool for Watched {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(&self.name, "", json!({"type": "object"}))
    }

    async fn call(&self, input: Value, _: &ToolContext) -> Result<ToolOutput, ToolError> {
        self.ran.store(true, Ordering::Relaxed);
        self.ran_without_object
            .fetch_or(!input.is_object(), Ordering::Relaxed);
        Ok(ToolOutput::text("done"))
    }
}
