//! Input that no provider sends and anything between may: too long, too much, too deep, wrong. Each
//! meets one clear error of the right kind, in bounded memory, which is measured here.
//!
//! The bounds: a stream holds one event, of at most 8 MiB; a whole body has at most 64 MiB; and an
//! event or body that holds more than a million values is not read.

mod connection;
mod crowds;
mod depth;
mod frames;
#[expect(unreachable_pub, reason = "it is a library of its own too")]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;
mod lengths;
mod seeds;

use std::io;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use http::header::CONTENT_TYPE;
use steadfast_core::{ModelError, ModelErrorKind, ModelResponse, ModelStream};
use steadfast_providers::Wire;

const MIB: usize = 1024 * 1024;

const WIRES: [Wire; 6] = [
    Wire::Anthropic,
    Wire::Bedrock,
    Wire::Gemini,
    Wire::Ollama,
    Wire::OpenAiChat,
    Wire::OpenAiResponses,
];

/// The wires whose streams are text.
const TEXT_WIRES: [Wire; 5] = [
    Wire::Anthropic,
    Wire::Gemini,
    Wire::Ollama,
    Wire::OpenAiChat,
    Wire::OpenAiResponses,
];

/// The name under which a wire's streams come.
const fn stream_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Bedrock => "application/vnd.amazon.eventstream",
        Wire::Ollama => "application/x-ndjson",
        _ => "text/event-stream",
    }
}

/// Writes an event of a wire of text.
fn event(wire: Wire, json: &str) -> String {
    match wire {
        Wire::Ollama => format!("{json}\n"),
        _ => format!("data: {json}\n\n"),
    }
}

/// An answer in pieces that are made as they are asked for.
struct Answer {
    wire: Wire,
    status: u16,
    content_type: &'static str,
}

impl Answer {
    const fn streamed(wire: Wire) -> Self {
        Self {
            wire,
            status: 200,
            content_type: stream_type(wire),
        }
    }

    const fn whole(wire: Wire) -> Self {
        Self {
            content_type: "application/json",
            ..Self::streamed(wire)
        }
    }

    const fn refused(wire: Wire, status: u16) -> Self {
        Self {
            status,
            ..Self::whole(wire)
        }
    }

    async fn open<P>(&self, pieces: P) -> Result<ModelStream, ModelError>
    where
        P: Iterator<Item = Bytes> + Send + 'static,
    {
        let body: BoxStream<'static, io::Result<Bytes>> = stream::iter(pieces.map(Ok)).boxed();
        let mut answer = http::Response::new(body);
        *answer.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        let value = http::HeaderValue::from_static(self.content_type);
        answer.headers_mut().insert(CONTENT_TYPE, value);
        self.wire.stream(answer).await
    }

    /// Reads it to its end, and returns what it came to and what that took at most.
    fn response<P>(&self, pieces: P) -> (Result<ModelResponse, ModelError>, usize)
    where
        P: Iterator<Item = Bytes> + Send + 'static,
    {
        measured(async { self.open(pieces).await?.response().await })
    }

    /// Takes the deltas one by one and keeps none: how many there were, and how it ended.
    fn deltas<P>(&self, pieces: P) -> ((usize, Option<ModelError>), usize)
    where
        P: Iterator<Item = Bytes> + Send + 'static,
    {
        measured(async {
            let mut deltas = match self.open(pieces).await {
                Ok(deltas) => deltas,
                Err(error) => return (0, Some(error)),
            };
            let mut count = 0;
            while let Some(delta) = deltas.next().await {
                match delta {
                    Ok(_) => count += 1,
                    Err(error) => return (count, Some(error)),
                }
            }
            (count, None)
        })
    }

    /// Checks what a hostile answer meets: the kind of its error, a part of its sentence, and how
    /// much memory it took at most.
    fn check<P>(&self, pieces: P, expected: (ModelErrorKind, &str), most: usize)
    where
        P: Iterator<Item = Bytes> + Send + 'static,
    {
        let (answer, took) = self.response(pieces);
        let wire = self.wire;
        let error = answer.err();
        let told = error.as_ref().map(|error| (error.kind(), error.message()));
        assert!(
            told.is_some_and(|(kind, message)| kind == expected.0 && message.contains(expected.1)),
            "{wire:?}: {error:?}"
        );
        let status = error.and_then(|error| error.status());
        assert_eq!(status, Some(self.status), "{wire:?}");
        assert!(took <= most, "{wire:?} took {} MiB", took / MIB);
    }
}

/// Runs a future on this thread, with its time paused, and measures the most that it held.
fn measured<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let mut output = None;
    let info: AllocationInfo =
        measure(|| output = runtime.ok().map(|runtime| runtime.block_on(future)));
    let most = usize::try_from(info.bytes_max).unwrap_or(usize::MAX);
    (output.unwrap_or_else(|| std::process::abort()), most)
}

/// So many bytes of a filling, in pieces of 64 KiB that share their memory.
fn filled(filling: &str, bytes: usize) -> impl Iterator<Item = Bytes> + Send + use<> {
    let piece = Bytes::from(filling.repeat((64 * 1024_usize).div_ceil(filling.len())));
    let count = bytes.div_ceil(piece.len());
    std::iter::repeat_n(piece, count)
}

/// A text before and behind other pieces.
fn around(
    before: &str,
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
    behind: &str,
) -> impl Iterator<Item = Bytes> + Send + 'static {
    let (before, behind) = (
        Bytes::from(before.to_owned()),
        Bytes::from(behind.to_owned()),
    );
    std::iter::once(before)
        .chain(pieces)
        .chain(std::iter::once(behind))
}

/// An event that says one word, on each wire of text.
const fn word(wire: Wire) -> &'static str {
    match wire {
        Wire::Anthropic => {
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#
        }
        Wire::Gemini => r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#,
        Wire::Ollama => r#"{"message":{"content":"x"},"done":false}"#,
        Wire::OpenAiChat => r#"{"choices":[{"delta":{"content":"x"}}]}"#,
        _ => r#"{"type":"response.output_text.delta","delta":"x"}"#,
    }
}

/// The events that end an answer, on each wire of text.
fn end(wire: Wire) -> String {
    let events: &[&str] = match wire {
        Wire::Anthropic => &[
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        Wire::Gemini => &[r#"{"candidates":[{"finishReason":"STOP"}]}"#],
        Wire::Ollama => &[r#"{"message":{"content":""},"done":true,"done_reason":"stop"}"#],
        Wire::OpenAiChat => &[
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
        _ => &[r#"{"type":"response.completed","response":{"status":"completed"}}"#],
    };
    events.iter().map(|json| event(wire, json)).collect()
}

#[test]
fn measure_sees_what_is_held() {
    let ((), held) = measured(async { drop(vec![0_u8; 3 * MIB]) });

    assert!((3 * MIB..4 * MIB).contains(&held), "{held}");
}
