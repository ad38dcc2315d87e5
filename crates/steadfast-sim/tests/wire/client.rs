//! The client of these tests: it reports what it saw, also when the connection broke.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use steadfast_sim::{Simulator, Wire};

/// How long the client waits until it calls a server silent that should not be.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same for a server that is silent on purpose, which is the only real waiting in these tests.
/// Longer than a busy machine takes to read what was sent before.
pub(crate) const IMPATIENCE: Duration = Duration::from_millis(300);

/// What Ollama's wire says while there is nothing to say.
pub(crate) const EMPTY_LINE: &str = concat!(
    r#"{"model":"steadfast-sim","message":{"role":"assistant","content":""},"#,
    r#""done":false}"#
);

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

/// What came back.
#[derive(Debug)]
pub(crate) struct Seen {
    /// 0 if no answer came.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    InOrder,
    Cut,
    Reset,
    Silent,
}

impl Seen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `data` lines of a stream, all of one in lines, or the payloads of its frames; those that
    /// are not JSON are strings.
    pub(crate) fn data(&self) -> Vec<Value> {
        let mark = match self.header("content-type") {
            "application/vnd.amazon.eventstream" => return frames(&self.bytes),
            "application/x-ndjson" => "",
            _ => "data: ",
        };
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix(mark))
            .filter(|data| !data.is_empty())
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
            .collect()
    }

    /// All that the deltas of a stream said in one field.
    pub(crate) fn said(&self, field: &str) -> String {
        let deltas = self.data();
        let deltas = deltas
            .iter()
            .filter_map(|chunk| chunk.pointer("/choices/0/delta"));
        deltas
            .filter_map(|delta| delta.get(field)?.as_str())
            .collect()
    }

    /// All strings at one place of a stream's data.
    pub(crate) fn all(&self, pointer: &str) -> String {
        let data = self.data();
        let strings = data
            .iter()
            .filter_map(|data| data.pointer(pointer)?.as_str());
        strings.collect()
    }

    /// All deltas of one kind of event, in OpenAI's responses.
    fn deltas(&self, kind: &str) -> String {
        let data = self.data();
        let is_meant = |data: &&Value| data.get("type") == Some(&json!(kind));
        let deltas = data.iter().filter(is_meant);
        deltas
            .filter_map(|data| data.get("delta")?.as_str())
            .collect()
    }

    /// The text of a streamed answer, in any wire.
    pub(crate) fn words(&self) -> String {
        self.said("content")
            + &self.all("/delta/text")
            + &self.deltas("response.output_text.delta")
            + &self.all("/candidates/0/content/parts/0/text")
            + &self.all("/message/content")
    }

    /// The arguments of the tool calls of a streamed answer, in any wire.
    pub(crate) fn arguments(&self) -> String {
        // Gemini's and Ollama's come whole.
        let data = self.data();
        let whole = data.iter().filter_map(|data| {
            data.pointer("/candidates/0/content/parts/0/functionCall/args")
                .or_else(|| data.pointer("/message/tool_calls/0/function/arguments"))
        });
        self.all("/choices/0/delta/tool_calls/0/function/arguments")
            + &self.all("/delta/partial_json")
            + &self.all("/delta/toolUse/input")
            + &self.deltas("response.function_call_arguments.delta")
            + &whole.map(Value::to_string).collect::<String>()
    }

    pub(crate) fn finish_reason(&self) -> Option<String> {
        let reason = self.all("/choices/0/finish_reason")
            + &self.all("/delta/stop_reason")
            + &self.all("/stopReason")
            + &self.all("/candidates/0/finishReason")
            + &self.all("/done_reason");
        let last = self.data().pop().unwrap_or_default();
        let response = last.get("response").unwrap_or(&Value::Null);
        let reason = reason + ended(response).unwrap_or_default();
        Some(reason).filter(|reason| !reason.is_empty())
    }

    /// Whether a stream came to its end, in any wire.
    pub(crate) fn is_done(&self) -> bool {
        let last = self.data().pop().unwrap_or_default();
        let ends = ["message_stop", "response.completed", "response.incomplete"];
        last == "[DONE]"
            || ends.iter().any(|end| last.get("type") == Some(&json!(end)))
            || last.get("metrics").is_some()
            || last.pointer("/candidates/0/finishReason").is_some()
            || last.get("done") == Some(&json!(true))
    }

    /// What kind of error it is: the type, or Gemini's status; and the code, which Anthropic lacks.
    pub(crate) fn error(&self) -> (Value, Value) {
        let body = match self.data().pop() {
            Some(data) => data,
            None => self.json(),
        };
        // A response that failed holds its error, of which it says no type.
        let body = body.get("response").unwrap_or(&body);
        let field = |pointer| body.pointer(pointer).cloned();
        let kind = field("/error/type").or_else(|| field("/error/status"));
        (
            kind.unwrap_or_default(),
            field("/error/code").unwrap_or_default(),
        )
    }
}

/// Takes a binary stream apart. An exception is read as an error of its type.
#[expect(
    clippy::indexing_slicing,
    reason = "a frame of another form is to fail the test"
)]
fn frames(mut stream: &[u8]) -> Vec<Value> {
    let number = |bytes: &[u8]| {
        let add = |number: usize, byte: &u8| (number << 8) | usize::from(*byte);
        bytes.iter().fold(0, add)
    };
    let mut data = Vec::new();
    while let Some((lengths, _)) = stream.split_at_checked(12) {
        let (length, headers) = (number(&lengths[..4]), number(&lengths[4..8]));
        let Some((frame, rest)) = stream.split_at_checked(length) else {
            break;
        };
        stream = rest;
        let (headers, payload) = frame[12..length - 4].split_at(headers);
        let payload: Value = serde_json::from_slice(payload)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(payload)));
        let headers = String::from_utf8_lossy(headers);
        data.push(match headers.split_once(":exception-type\u{7}") {
            Some((_, value)) => {
                let kind: String = value
                    .chars()
                    .skip(2)
                    .take_while(|c| c.is_alphabetic())
                    .collect();
                json!({"error": {"type": kind, "message": payload["message"]}})
            }
            None => payload,
        });
    }
    data
}

/// How an answer of OpenAI's responses ended: why it is not complete, or that it is.
pub(crate) fn ended(response: &Value) -> Option<&str> {
    let reason = response.pointer("/incomplete_details/reason");
    let status = response
        .get("status")
        .filter(|status| *status != "in_progress");
    reason.or(status)?.as_str()
}

/// A request without tools.
pub(crate) fn prompt(text: &str) -> Value {
    json!({"model": "gpt-test", "messages": [{"role": "user", "content": text}]})
}

/// The same in any wire.
pub(crate) fn prompt_on(wire: Wire, text: &str) -> Value {
    match wire {
        Wire::Anthropic => with(prompt(text), "max_tokens", json!(1000)),
        Wire::Bedrock => {
            json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
        }
        Wire::OpenAiResponses => json!({"model": "gpt-test", "input": text}),
        Wire::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        Wire::Ollama => with(prompt(text), "stream", json!(false)),
        _ => prompt(text),
    }
}

/// The same, streamed.
pub(crate) fn streamed(body: Value) -> Value {
    with(body, "stream", json!(true))
}

/// The same with one more field.
pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.insert(field.to_owned(), value);
    }
    body
}

/// A request that offers a tool.
pub(crate) fn weather_on(wire: Wire) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    });
    let tool = match wire {
        Wire::Anthropic => json!({"name": "get_weather", "input_schema": schema}),
        Wire::Bedrock => {
            json!({"toolSpec": {"name": "get_weather", "inputSchema": {"json": schema}}})
        }
        Wire::OpenAiResponses => {
            json!({"type": "function", "name": "get_weather", "parameters": schema})
        }
        Wire::Gemini => {
            let function = json!({"name": "get_weather", "parametersJsonSchema": schema});
            json!({ "functionDeclarations": [function] })
        }
        _ => json!({
            "type": "function",
            "function": {"name": "get_weather", "parameters": schema},
        }),
    };
    let question = prompt_on(wire, "Should I take an umbrella to Oslo?");
    match wire {
        Wire::Bedrock => with(question, "toolConfig", json!({"tools": [tool]})),
        _ => with(question, "tools", json!([tool])),
    }
}

pub(crate) async fn ask(sim: &Simulator, body: &Value) -> Seen {
    ask_on(Wire::OpenAiChat, sim, body).await
}

pub(crate) async fn ask_on(wire: Wire, sim: &Simulator, body: &Value) -> Seen {
    ask_for([PATIENCE; 2], wire, sim, body).await
}

/// Waits so long for the head of an answer, and then for each piece of its body.
pub(crate) async fn ask_for(
    patience: [Duration; 2],
    wire: Wire,
    sim: &Simulator,
    body: &Value,
) -> Seen {
    match client() {
        // What Bedrock is asked for stands in the path.
        Ok(client) if wire == Wire::Bedrock && body["stream"] == true => {
            let url = format!("{}/model/amazon.test-v1%3A0/converse-stream", sim.url());
            see_for(patience, client.post(url).bearer_auth("key").json(body)).await
        }
        Ok(client) => see_for(patience, request_for(wire, &client, sim, body).json(body)).await,
        Err(error) => failed(&error),
    }
}

/// Waits for the answer to a request that hangs: for its head only if one will come.
pub(crate) async fn ask_in_vain(wire: Wire, fault: &str, sim: &Simulator, body: &Value) -> Seen {
    let head = if fault == "hang" {
        IMPATIENCE
    } else {
        PATIENCE
    };
    ask_for([head, IMPATIENCE], wire, sim, body).await
}

/// A request as the vendor's client sends it, without its body.
pub(crate) fn request_on(wire: Wire, client: &Client, sim: &Simulator) -> RequestBuilder {
    request_for(wire, client, sim, &Value::Null)
}

/// The same for a body: with Gemini the path says whether it wants a stream.
fn request_for(wire: Wire, client: &Client, sim: &Simulator, body: &Value) -> RequestBuilder {
    let base = sim.base_url_for(wire);
    match wire {
        Wire::Anthropic => client
            .post(format!("{base}/v1/messages"))
            .header("x-api-key", "key")
            .header("anthropic-version", "2023-06-01"),
        Wire::Bedrock => client
            .post(format!("{base}/model/amazon.test-v1%3A0/converse"))
            .bearer_auth("key"),
        Wire::OpenAiResponses => client.post(format!("{base}/responses")).bearer_auth("key"),
        Wire::Gemini => {
            let call = match body.get("stream") {
                Some(_) => "streamGenerateContent?alt=sse",
                None => "generateContent",
            };
            client
                .post(format!("{base}/v1beta/models/gpt-test:{call}"))
                .header("x-goog-api-key", "key")
        }
        Wire::Ollama => client.post(format!("{base}/api/chat")),
        _ => client
            .post(format!("{base}/chat/completions"))
            .bearer_auth("key"),
    }
}

/// Each request has a connection of its own, so that no fault hits the wrong one.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder().no_proxy().build()
}

pub(crate) async fn see(request: RequestBuilder) -> Seen {
    see_for([PATIENCE; 2], request).await
}

async fn see_for([for_head, for_piece]: [Duration; 2], request: RequestBuilder) -> Seen {
    let mut response = match tokio::time::timeout(for_head, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return failed(&error),
        Err(_) => return unanswered(End::Silent),
    };
    let mut seen = Seen {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        bytes: Vec::new(),
        end: End::InOrder,
    };
    seen.end = loop {
        match tokio::time::timeout(for_piece, response.chunk()).await {
            Ok(Ok(Some(chunk))) => seen.bytes.extend_from_slice(&chunk),
            Ok(Ok(None)) => break End::InOrder,
            Ok(Err(error)) => break broken(&error),
            Err(_) => break End::Silent,
        }
        // An endless answer is as good as none.
        let pings = "event: ping\ndata: {\"type\":\"ping\"}\n\n".repeat(2);
        let empty = format!("{EMPTY_LINE}\n").repeat(2);
        let endless = [": keep-alive\n\n: keep-alive\n\n", "\n\n", &pings, &empty];
        if endless
            .iter()
            .any(|start| seen.bytes.starts_with(start.as_bytes()))
        {
            break End::Silent;
        }
    };
    seen
}

fn failed(error: &reqwest::Error) -> Seen {
    unanswered(broken(error))
}

fn unanswered(end: End) -> Seen {
    Seen {
        status: 0,
        headers: HeaderMap::new(),
        bytes: Vec::new(),
        end,
    }
}

fn broken(error: &reqwest::Error) -> End {
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
            return End::Reset;
        }
        source = cause.source();
    }
    End::Cut
}
