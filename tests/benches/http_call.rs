//! One call over loopback, 20 chunks, beside reqwest and serde used by hand: CPU time of the client.
//!
//! ```text
//! cargo bench --bench http_call
//! ```
//!
//! The server is another process, so that its time is not counted.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cpu_time::ProcessTime;
use futures_util::StreamExt as _;
use serde::Deserialize;
use steadfast::{Agent, Message, Model as _, ModelRequest, OpenAiChat};
use steadfast_sim::{Answer, Simulator};
use tokio::runtime::Runtime;

const CALLS: u32 = 60;
const BATCHES: usize = 21;
const ANSWER: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
                      sixteen seventeen eighteen nineteen twenty";

fn main() {
    if env::args().any(|argument| argument == "--serve") {
        return serve();
    }
    let mut server = start_server();
    let base_url = read_address(&mut server);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let model = OpenAiChat::builder("bench")
        .base_url(&base_url)
        .api_key("none")
        .build()
        .expect("a model");
    let agent = Agent::builder()
        .model(model.clone())
        .build()
        .expect("an agent");
    let client = reqwest::Client::new();
    for concurrent in [1, 64] {
        let (mut hand, mut provider, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            hand.push(cpu(&runtime, concurrent, || by_hand(&client, &base_url)));
            provider.push(cpu(&runtime, concurrent, || through_provider(&model)));
            whole.push(cpu(&runtime, concurrent, || through_agent(&agent)));
        }
        let (hand, provider, whole) = (median(hand), median(provider), median(whole));
        let ratio = |time: Duration| time.as_secs_f64() / hand.as_secs_f64();
        println!(
            "{concurrent} at once: by hand {hand:.1?}, provider {:.2}x, agent {:.2}x",
            ratio(provider),
            ratio(whole)
        );
    }
    let _ = server.kill();
    let _ = server.wait();
}

/// CPU time of one call, of a batch with so many at once.
fn cpu<F: Future<Output = usize>>(
    runtime: &Runtime,
    concurrent: usize,
    call: impl Fn() -> F,
) -> Duration {
    let began = ProcessTime::now();
    runtime.block_on(async {
        let calls =
            futures_util::stream::iter((0..CALLS).map(|_| call())).buffer_unordered(concurrent);
        let lengths: Vec<usize> = calls.collect().await;
        assert!(
            lengths.iter().all(|length| *length == ANSWER.len()),
            "{lengths:?}"
        );
    });
    began.elapsed() / CALLS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The same call as a person writes it who needs only the text.
async fn by_hand(client: &reqwest::Client, base_url: &str) -> usize {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        delta: Delta,
    }
    #[derive(Deserialize)]
    struct Delta {
        content: Option<String>,
    }
    let body = serde_json::json!({
        "model": "bench", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Count."}],
    });
    let response = client
        .post(format!("{base_url}/chat/completions"))
        .header("content-type", "application/json")
        .bearer_auth("none")
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    let mut stream = response.bytes_stream();
    let (mut buffer, mut text) = (Vec::new(), String::new());
    while let Some(chunk) = stream.next().await {
        buffer.extend_from_slice(&chunk.expect("a chunk"));
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = buffer.drain(..end + 2).collect();
            let Some(data) = event
                .strip_prefix(b"data: ")
                .map(|data| &data[..data.len() - 2])
            else {
                continue;
            };
            if data == b"[DONE]" {
                continue;
            }
            let chunk: Chunk = serde_json::from_slice(data).expect("a chunk");
            for choice in chunk.choices {
                text.push_str(choice.delta.content.as_deref().unwrap_or_default());
            }
        }
    }
    text.len()
}

async fn through_provider(model: &OpenAiChat) -> usize {
    let request = ModelRequest::new([Message::user("Count.")]);
    let mut stream = model.stream(request).await.expect("an answer");
    let mut text = String::new();
    while let Some(delta) = stream.next().await {
        if let steadfast::ModelDelta::Text(piece) = delta.expect("a delta") {
            text.push_str(&piece);
        }
    }
    text.len()
}

async fn through_agent(agent: &Agent) -> usize {
    agent
        .prompt("Count.")
        .await
        .expect("an answer")
        .text()
        .len()
}

fn serve() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let simulator = Simulator::builder()
            .answer(|_| Answer::text(ANSWER))
            .keep_requests(0)
            .start()
            .await;
        println!("{}", simulator.as_ref().expect("a simulator").base_url());
        // Until the parent closes our input, also if it dies.
        let wait = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        let _ = wait.await;
    });
}

fn start_server() -> Child {
    Command::new(env::current_exe().expect("this program"))
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a server")
}

fn read_address(server: &mut Child) -> String {
    let mut line = String::new();
    let output = server.stdout.take().expect("its output");
    BufReader::new(output)
        .read_line(&mut line)
        .expect("its address");
    line.trim().to_owned()
}
