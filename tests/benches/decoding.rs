//! Decoding each wire's stream beside serde_json alone, and beside `eventsource-stream` with
//! serde_json, over the same 64 MB in the same random pieces, in one run.
//!
//! ```text
//! cargo bench --bench decoding                     # times, as ratios to serde_json alone
//! cargo bench --bench decoding -- --instructions   # instructions, counted by callgrind
//! ```
//!
//! Ours is all that a provider does behind the HTTP client: framing, decoding, and deltas that own
//! their text. Times are CPU times, medians of interleaved rounds. Instructions are the difference of two runs
//! of different length, over a shorter stream.

#[path = "decoding/floor.rs"]
mod floor;
#[path = "decoding/traffic.rs"]
mod traffic;
#[path = "decoding/words.rs"]
mod words;

use std::{env, hint::black_box, process::Command, time::Duration};

use cpu_time::ProcessTime;
use eventsource_stream::Eventsource as _;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Response, header};
use steadfast::{ModelDelta, Wire};
use tokio::runtime::Runtime;

use floor::{Parse, parse};
use traffic::Traffic;

const MEGABYTE: usize = 1024 * 1024;
const BATCHES: usize = 11;

/// How much of a stream is decoded in a round: in time, and under callgrind, which is slow.
const TIMED: usize = 64 * MEGABYTE;
const COUNTED: usize = 4 * MEGABYTE;

/// A wire, and how its vendor calls the form of a stream.
struct Case {
    name: &'static str,
    wire: Wire,
    media_type: &'static str,
    parse: Parse,
}

const EVENTS: &str = "text/event-stream";

const CASES: [Case; 6] = [
    Case {
        name: "openai-chat",
        wire: Wire::OpenAiChat,
        media_type: EVENTS,
        parse: |json| parse::<floor::Chat<'_>>(json),
    },
    Case {
        name: "openai-responses",
        wire: Wire::OpenAiResponses,
        media_type: EVENTS,
        parse: |json| parse::<floor::Responses<'_>>(json),
    },
    Case {
        name: "anthropic",
        wire: Wire::Anthropic,
        media_type: EVENTS,
        parse: |json| parse::<floor::Messages<'_>>(json),
    },
    Case {
        name: "gemini",
        wire: Wire::Gemini,
        media_type: EVENTS,
        parse: |json| parse::<floor::Gemini<'_>>(json),
    },
    Case {
        name: "ollama",
        wire: Wire::Ollama,
        media_type: "application/x-ndjson",
        parse: |json| parse::<floor::Ollama<'_>>(json),
    },
    Case {
        name: "bedrock",
        wire: Wire::Bedrock,
        media_type: "application/vnd.amazon.eventstream",
        parse: |json| parse::<floor::Converse<'_>>(json),
    },
];

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The wire, as in a call.
    Ours,
    /// serde_json alone.
    Floor,
    /// `eventsource-stream`, then serde_json.
    EventSource,
    /// The HTTP client's body alone, which stands before ours.
    Body,
}

const READERS: [Reader; 4] = [
    Reader::Ours,
    Reader::Floor,
    Reader::EventSource,
    Reader::Body,
];

impl Reader {
    /// Returns whether it can read a stream of this case.
    fn reads(self, case: &Case) -> bool {
        self != Self::EventSource || case.media_type == EVENTS
    }

    fn read(self, case: &Case, traffic: &Traffic, runtime: &Runtime) {
        let pieces = stream::iter(traffic.chunks.clone()).map(Ok);
        match self {
            Self::Ours => runtime.block_on(async {
                let answer = Response::builder().header(header::CONTENT_TYPE, case.media_type);
                let answer = answer.body(pieces).expect("an answer");
                let mut deltas = case.wire.stream(answer).await.expect("an answer");
                let mut told = 0;
                while let Some(delta) = deltas.next().await {
                    match black_box(delta.expect("a delta")) {
                        ModelDelta::Text(text) => told += text.len(),
                        ModelDelta::ToolUseInput { json, .. } => told += json.len(),
                        _ => {}
                    }
                }
                assert_eq!(told, traffic.told, "all that is told arrives");
            }),
            Self::Floor => {
                for place in &traffic.payloads {
                    (case.parse)(&traffic.body[place.clone()]).expect("JSON");
                }
            }
            Self::EventSource => runtime.block_on(async {
                let pieces = pieces.map(|piece: Result<_, std::io::Error>| piece);
                let mut events = pieces.eventsource();
                while let Some(event) = events.next().await {
                    let event = event.expect("an event");
                    if event.data != "[DONE]" {
                        (case.parse)(event.data.as_bytes()).expect("JSON");
                    }
                }
            }),
            Self::Body => runtime.block_on(drain(pieces)),
        }
    }
}

/// Takes the pieces of a body, as the HTTP client hands them out.
async fn drain(pieces: impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static) {
    let body = reqwest::Body::wrap_stream(pieces);
    let response = reqwest::Response::from(Response::new(body));
    let mut pieces = Box::pin(response.bytes_stream());
    while let Some(piece) = pieces.next().await {
        black_box(piece.expect("a piece"));
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value_after = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(place + 1)
    };
    if let (Some(case), Some(reader)) = (value_after("--case"), value_after("--reader")) {
        let rounds = value_after("--rounds").and_then(|rounds| rounds.parse().ok());
        return run_alone(case, reader, rounds.unwrap_or(1));
    }
    let only = value_after("--only");
    let cases = CASES
        .iter()
        .filter(|case| only.is_none_or(|only| only == case.name));
    let counted = arguments
        .iter()
        .any(|argument| argument == "--instructions");
    println!(
        "{:<18} {:>9} {:>14} {:>20} {:>12} {:>8}",
        "wire",
        if counted { "per event" } else { "ours" },
        "to serde_json",
        "eventsource-stream",
        "body alone",
        "events"
    );
    for case in cases {
        let costs = if counted {
            count_instructions(case)
        } else {
            measure_times(case)
        };
        let [ours, floor, event_source, body] = costs.cost;
        let of_floor = |cost: f64| match cost {
            0.0 => "–".to_owned(),
            cost => format!("{:.2}x", cost / floor),
        };
        println!(
            "{:<18} {:>9} {:>14} {:>20} {:>12} {:>8}",
            case.name,
            (costs.show)(ours),
            of_floor(ours),
            of_floor(event_source),
            of_floor(body),
            costs.events,
        );
    }
}

/// What each reader's round costs, in the order of `READERS`; nothing where it cannot read.
struct Costs {
    cost: [f64; 4],
    show: fn(f64) -> String,
    events: usize,
}

fn find(name: &str) -> &'static Case {
    CASES
        .iter()
        .find(|case| case.name == name)
        .unwrap_or_else(|| panic!("no wire `{name}`"))
}

fn new_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn run_alone(case: &str, reader: &str, rounds: u32) {
    let case = find(case);
    let reader = READERS
        .into_iter()
        .find(|known| format!("{known:?}") == reader)
        .unwrap_or_else(|| panic!("no reader `{reader}`"));
    let (traffic, runtime) = (Traffic::of(case.name, COUNTED), new_runtime());
    for _ in 0..rounds {
        reader.read(case, &traffic, &runtime);
    }
}

fn measure_times(case: &Case) -> Costs {
    let (traffic, runtime) = (Traffic::of(case.name, TIMED), new_runtime());
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..BATCHES {
        for (reader, times) in READERS.into_iter().zip(&mut times) {
            if reader.reads(case) {
                let began = ProcessTime::now();
                reader.read(case, &traffic, &runtime);
                times.push(began.elapsed());
            }
        }
    }
    Costs {
        cost: times.map(|times| median(times).as_secs_f64()),
        show: |seconds| format!("{:.0} ms", seconds * 1_000.0),
        events: traffic.payloads.len(),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Instructions of one round, for each event of the stream.
fn count_instructions(case: &Case) -> Costs {
    let events = Traffic::of(case.name, COUNTED).payloads.len();
    let cost = READERS.map(|reader| match reader.reads(case) {
        true => {
            (instructions(case, reader, 3) - instructions(case, reader, 1)) / 2.0 / events as f64
        }
        false => 0.0,
    });
    Costs {
        cost,
        show: |count| format!("{count:.0}"),
        events,
    }
}

fn instructions(case: &Case, reader: Reader, rounds: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap_or_default())
        .args(["--case", case.name, "--reader", &format!("{reader:?}")])
        .args(["--rounds", &rounds.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("valgrind cannot be started: {error}"));
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report.lines().find(|line| line.contains("Collected :"));
    let count = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    count.unwrap_or_else(|| panic!("callgrind says nothing of instructions: {report}"))
}
