//! What is too long, or has no end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use steadfast_core::{ModelErrorKind as Kind, StopReason};
use steadfast_providers::Wire;
use tokio::time::timeout;

use crate::{Answer, MIB, TEXT_WIRES, WIRES, around, end, event, filled, fuzz, word};

/// What takes seconds here would take hours if it were quadratic.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream holds one event of 8 MiB, in a buffer that grows by doubling.
const STREAM: usize = 26 * MIB;

/// An event of Gemini's may hold an image, and has 64 MiB.
fn stream_of(wire: Wire) -> usize {
    if wire == Wire::Gemini { WHOLE } else { STREAM }
}

/// A body of 64 MiB, in a buffer that grows by doubling.
const WHOLE: usize = 194 * MIB;

#[test]
fn hundred_megabytes_without_a_newline_are_refused() {
    for wire in TEXT_WIRES {
        for before in ["data: ", ": ", "x", "data: 1\ndata: ", "data: 1\n: "] {
            let body = around(before, filled("x", 100 * MIB), "\n\n");

            let told = (
                Kind::Protocol,
                "an event of the stream is longer than is accepted",
            );
            if wire == Wire::Ollama && before.contains('\n') {
                let told = (Kind::Protocol, "is not the JSON");
                Answer::streamed(wire).check(body, told, STREAM);
            } else {
                Answer::streamed(wire).check(body, told, stream_of(wire));
            }
        }
    }
}

#[test]
fn event_of_endless_lines_is_refused() {
    for wire in TEXT_WIRES.into_iter().filter(|wire| *wire != Wire::Ollama) {
        // More of them than the longest event has room for.
        let lines = match wire {
            Wire::Gemini => [
                format!("data: {}\n", "x".repeat(1_000)),
                format!("data: {}\n", "x".repeat(50)),
            ],
            _ => ["data: x\n".to_owned(), "data\n".to_owned()],
        };
        for line in &lines {
            let (answer, took) = Answer::streamed(wire).response(filled(line, 100 * MIB));

            let error = answer.err();
            let kind = error.as_ref().map(steadfast_core::ModelError::kind);
            assert_eq!(kind, Some(Kind::Protocol), "{wire:?} {line:?}: {error:?}");
            assert!(
                took <= 2 * stream_of(wire),
                "{wire:?} took {} MiB",
                took / MIB
            );
        }
    }
}

#[test]
fn hundred_megabytes_of_json_under_the_name_of_a_stream_are_refused() {
    for wire in TEXT_WIRES {
        let body = around("[\n\"", filled("x", 100 * MIB), "\"]");

        let told = (
            Kind::Protocol,
            "the body is JSON, and longer than is accepted",
        );
        Answer::streamed(wire).check(body, told, STREAM);
    }
}

#[test]
fn hundred_megabytes_of_whole_json_are_refused() {
    for wire in WIRES {
        let body = around("{\"a\":\"", filled("x", 100 * MIB), "\"}");

        let told = (Kind::Protocol, "the body is longer than 67108864 bytes");
        Answer::whole(wire).check(body, told, WHOLE);
    }
}

#[test]
fn hundred_megabytes_of_an_error_are_read_as_far_as_they_matter() {
    for wire in WIRES {
        for before in ["{\"error\":{\"message\":\"", "<html>", ""] {
            let body = around(before, filled("x", 100 * MIB), "\"}}");

            let told = (Kind::Overloaded, "the body is not JSON (1048576 bytes)");
            Answer::refused(wire, 503).check(body, told, 4 * MIB);
        }
    }
}

#[test]
fn million_events_are_read_in_flat_memory_and_linear_time() {
    for wire in TEXT_WIRES {
        let piece = Bytes::from(event(wire, word(wire)).repeat(1_000));
        let body = around("", std::iter::repeat_n(piece, 1_000), &end(wire));

        let begun = Instant::now();
        let ((count, error), took) = Answer::streamed(wire).deltas(body);

        assert_eq!((count >= 1_000_000, error), (true, None), "{wire:?}");
        assert!(took <= 2 * MIB, "{wire:?} took {took} bytes");
        assert!(
            begun.elapsed() < PATIENCE,
            "{wire:?}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn million_events_of_two_lines_in_one_body_take_linear_time() {
    for wire in TEXT_WIRES.into_iter().filter(|wire| *wire != Wire::Ollama) {
        // Something between calls a stream JSON: it is read whole, and then cut into events.
        let twofold = format!("data: \ndata: {}\n\n", word(wire));
        let body = around("", filled(&twofold, 20 * MIB), &end(wire));

        let begun = Instant::now();
        let ((_, error), _) = Answer::whole(wire).deltas(body);

        assert!(
            begun.elapsed() < PATIENCE,
            "{wire:?}: {:?}",
            begun.elapsed()
        );
        // Where a filling was cut off, an event is not JSON.
        assert!(error.is_none_or(|error| error.kind() == Kind::Protocol));
    }
}

#[test]
fn million_empty_lines_and_comments_are_passed_over() {
    for wire in TEXT_WIRES {
        let fillings: &[&str] = match wire {
            Wire::Ollama => &["\n", "\r\n", " \n"],
            _ => &[
                "\n",
                "\r\n",
                "\r",
                ":\n",
                ": keep-alive\n\n",
                "event: ping\n\n",
            ],
        };
        for filling in fillings {
            let said = event(wire, word(wire));
            let body = around(
                "",
                filled(filling, 1_000_000 * filling.len()),
                &format!("\n\n{said}{}", end(wire)),
            );

            let (answer, took) = Answer::streamed(wire).response(body);

            let answer = answer.map(|answer| (answer.text().into_owned(), answer.stop_reason));
            assert_eq!(
                answer,
                Ok(("x".to_owned(), StopReason::EndTurn)),
                "{wire:?} {filling:?}"
            );
            assert!(took <= MIB, "{wire:?} took {took} bytes");
        }
    }
}

#[test]
fn answer_without_an_end_is_refused() {
    for wire in TEXT_WIRES {
        let long = event(
            wire,
            &word(wire).replace("\"x\"", &format!("\"{}\"", "x".repeat(MIB))),
        );
        let body = std::iter::repeat(Bytes::from(long));

        let (answer, took) = Answer::streamed(wire).response(body);

        let error = answer.err();
        let told = error
            .as_ref()
            .map(|error| (error.kind(), error.message().to_owned()));
        let expected = "the answer is longer than 67108864 bytes".to_owned();
        assert_eq!(told, Some((Kind::Protocol, expected)), "{wire:?}");
        assert!(took <= 2 * WHOLE, "{wire:?} took {} MiB", took / MIB);
    }
}

#[test]
fn blocks_that_never_end_are_refused() {
    let long = "x".repeat(MIB);
    let anthropic =
        |json: serde_json::Value| Bytes::from(event(Wire::Anthropic, &json.to_string()));
    let begun = |block: serde_json::Value| {
        anthropic(json!({"type": "content_block_start", "index": 0, "content_block": block}))
    };
    let piece = |delta: serde_json::Value| {
        anthropic(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    };
    let chat = |delta: serde_json::Value| {
        let chunk = json!({"choices": [{"delta": delta}]});
        Bytes::from(event(Wire::OpenAiChat, &chunk.to_string()))
    };
    let bedrock = |delta: serde_json::Value| {
        let event = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": delta}});
        Bytes::from(fuzz::event(
            "contentBlockDelta",
            event.to_string().as_bytes(),
        ))
    };
    for (wire, first, endless) in [
        (
            Wire::OpenAiChat,
            Bytes::new(),
            chat(
                json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": long}]}),
            ),
        ),
        (
            Wire::OpenAiChat,
            Bytes::new(),
            chat(json!({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": long}}]})),
        ),
        (
            Wire::Anthropic,
            begun(json!({"type": "thinking", "thinking": ""})),
            piece(json!({"type": "signature_delta", "signature": long})),
        ),
        (
            Wire::Anthropic,
            begun(json!({"type": "server_tool_use", "id": "a", "name": "web_search"})),
            piece(json!({"type": "input_json_delta", "partial_json": long})),
        ),
        (
            Wire::Anthropic,
            begun(json!({"type": "invented", "text": ""})),
            piece(json!({"type": "invented_delta", "text": long})),
        ),
        (
            Wire::Bedrock,
            Bytes::new(),
            bedrock(json!({"signature": long})),
        ),
    ] {
        let body = std::iter::once(first).chain(std::iter::repeat(endless));

        let told = (Kind::Protocol, "the blocks that have not ended are longer");
        Answer::streamed(wire).check(body, told, 2 * WHOLE);
    }
}

#[test]
fn what_follows_a_complete_answer_costs_nothing() {
    for wire in TEXT_WIRES {
        let complete = format!("{}{}", event(wire, word(wire)), end(wire));
        let body = around(&complete, filled("x", 100 * MIB), "");

        let (answer, took) = Answer::streamed(wire).response(body);

        assert_eq!(
            answer.map(|answer| answer.text().into_owned()),
            Ok("x".to_owned()),
            "{wire:?}"
        );
        assert!(took <= STREAM, "{wire:?} took {} MiB", took / MIB);
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alives_for_ever_do_not_hold_a_complete_answer() {
    for wire in TEXT_WIRES {
        let complete = format!("{}{}", event(wire, word(wire)), end(wire));
        let alive = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok(Bytes::from_static(b"\n\n")), ()))
        });
        let body = stream::once(async { Ok(Bytes::from(complete)) }).chain(alive);

        let answer = wire
            .stream(http::Response::new(body.boxed()))
            .await
            .unwrap();
        let answer = timeout(Duration::from_secs(2), answer.response()).await;

        let said = answer.map(|answer| answer.map(|answer| answer.text().into_owned()));
        assert_eq!(said, Ok(Ok("x".to_owned())), "{wire:?}");
    }
}
