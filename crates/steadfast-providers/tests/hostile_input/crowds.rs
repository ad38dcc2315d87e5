//! What is small to send and large to keep.

use std::{fmt::Write as _, time::Instant};

use bytes::Bytes;
use serde_json::json;
use steadfast_core::ModelErrorKind as Kind;
use steadfast_providers::Wire;

use crate::{Answer, MIB, TEXT_WIRES, WIRES, around, end, event, filled, fuzz};

/// What an answer of a million values, or of a thousand calls, may take.
const CROWD: usize = 256 * MIB;

#[test]
fn crowd_in_one_event_is_refused() {
    for wire in TEXT_WIRES {
        for (before, filling) in [
            ("{\"choices\":[", "{},"),
            ("{\"candidates\":[", "{},"),
            ("{\"type\":\"invented\",\"delta\":[", "{\"\":0},"),
            ("{\"message\":{\"tool_calls\":[", "{},"),
            ("{\"a\":[", "[],"),
            ("{\"candidates\":[{\"content\":{\"parts\":[", "{\"\":0},"),
        ] {
            let before = match wire {
                Wire::Ollama => before.to_owned(),
                _ => format!("data: {before}"),
            };
            // The last event may lack its end.
            for end in ["1]}\n\n", "1]}"] {
                let body = around(&before, filled(filling, 7 * MIB), end);

                let told = (Kind::Protocol, "the answer holds more values at once");
                Answer::streamed(wire).check(body, told, 32 * MIB);
            }
        }
    }
}

#[test]
fn crowd_in_one_body_is_refused() {
    for wire in WIRES {
        for (before, filling) in [
            ("{\"choices\":[", "{},"),
            ("{\"a\":[", "{\"\":0},"),
            ("{\"content\":[", "0,"),
        ] {
            let body = around(before, filled(filling, 60 * MIB), "1]}");

            let told = (Kind::Protocol, "the answer holds more values at once");
            Answer::whole(wire).check(body, told, CROWD);
        }
    }
}

#[test]
fn as_many_values_as_are_accepted_take_bounded_memory() {
    for wire in WIRES {
        for (before, filling, most) in [
            ("{\"choices\":[", "{},", 262_000),
            ("{\"candidates\":[", "{},", 262_000),
            ("{\"message\":{\"tool_calls\":[", "{},", 262_000),
            (
                "{\"choices\":[{\"message\":{\"tool_calls\":[",
                "{},",
                262_000,
            ),
            ("{\"a\":[", "{\"\":0},", 174_000),
            ("{\"content\":[", "{\"type\":\"text\"},", 174_000),
            (
                "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[",
                "{\"text\":\"\"},",
                174_000,
            ),
        ] {
            let closed = before.chars().rev().filter_map(|c| match c {
                '{' => Some('}'),
                '[' => Some(']'),
                _ => None,
            });
            let body = format!(
                "{before}{}{{}}{}",
                filling.repeat(most),
                closed.collect::<String>()
            );

            let begun = Instant::now();
            let (answer, took) = Answer::whole(wire).response(std::iter::once(Bytes::from(body)));

            let told = answer.err().map(|error| error.to_string());
            assert!(
                took <= CROWD,
                "{wire:?} {before}: {} MiB, {told:?}",
                took / MIB
            );
            assert!(
                begun.elapsed().as_secs() < 20,
                "{wire:?} {before}: {:?}",
                begun.elapsed()
            );
        }
    }
}

/// The beginning of a call of an index.
fn begun(wire: Wire, index: u64) -> String {
    let json = match wire {
        Wire::Anthropic => json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "tool_use", "id": format!("c{index}"), "name": "f"}}),
        Wire::Gemini => json!({"candidates": [{"content": {"parts": [
            {"functionCall": {"id": format!("c{index}"), "name": "f"}}]}}]}),
        Wire::Ollama => json!({"message": {"tool_calls": [
            {"id": format!("c{index}"), "function": {"index": index, "name": "f"}}]}}),
        Wire::OpenAiChat => json!({"choices": [{"delta": {"tool_calls": [
            {"index": index, "id": format!("c{index}"), "function": {"name": "f"}}]}}]}),
        _ => json!({"type": "response.output_item.added", "output_index": index,
            "item": {"type": "function_call", "call_id": format!("c{index}"), "name": "f"}}),
    };
    event(wire, &json.to_string())
}

#[test]
fn highest_index_takes_no_memory() {
    for wire in TEXT_WIRES {
        for index in [u64::from(u32::MAX), u64::MAX] {
            let body = format!("{}{}", begun(wire, index), end(wire));
            let (answer, took) =
                Answer::streamed(wire).response(std::iter::once(Bytes::from(body)));

            let calls = answer.map(|answer| answer.message.tool_uses().count());
            assert_eq!(calls, Ok(1), "{wire:?} {index}");
            assert!(took <= MIB, "{wire:?} took {took} bytes");
        }
    }
}

#[test]
fn million_calls_are_refused() {
    for wire in TEXT_WIRES {
        let pieces = (0..1_000).map(move |thousand| {
            let mut piece = String::new();
            for index in 0..1_000 {
                let _ = write!(piece, "{}", begun(wire, thousand * 1_000 + index));
            }
            Bytes::from(piece)
        });

        let (answer, took) = Answer::streamed(wire).response(pieces);

        let error = answer.err();
        let kind = error.as_ref().map(steadfast_core::ModelError::kind);
        assert_eq!(kind, Some(Kind::Protocol), "{wire:?}");
        let message = error
            .map(|error| error.message().to_owned())
            .unwrap_or_default();
        assert!(message.contains("more than 1024"), "{wire:?}: {message}");
        assert!(took <= 4 * MIB, "{wire:?} took {took} bytes");
    }
}

#[test]
fn million_calls_of_bedrock_are_refused() {
    let pieces = (0..1_000_000).map(|index| {
        let start = json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": "a", "name": "f"}}});
        Bytes::from(fuzz::event("contentBlockStart", start.to_string().as_bytes()))
    });

    let (answer, took) = Answer::streamed(Wire::Bedrock).response(pieces);

    let error = answer.err();
    let kind = error.as_ref().map(steadfast_core::ModelError::kind);
    assert_eq!(kind, Some(Kind::Protocol));
    assert!(error.is_some_and(|error| error.message().contains("more than 1024 tool calls")));
    assert!(took <= 4 * MIB, "{took} bytes");
}

#[test]
fn long_words_of_a_vendor_are_cut() {
    let long = "a".repeat(900 * 1024);
    for wire in WIRES {
        for body in [
            json!({"error": {"code": long, "type": long, "message": long, "status": long}}),
            json!({"error": long, "code": long, "request_id": long}),
            json!({"message": long, "__type": long, "request_id": "x"}),
        ] {
            let piece = Bytes::from(body.to_string());
            let (answer, _) = Answer::refused(wire, 500).response(std::iter::once(piece));

            let error = answer.err();
            let stored = serde_json::to_string(&error).unwrap();
            assert!(stored.len() < 8 * 1024, "{wire:?}: {} bytes", stored.len());
        }
    }
}

#[test]
fn long_text_in_a_wrong_place_is_not_repeated() {
    for wire in WIRES {
        let long = "a".repeat(MIB);
        let wrong = match wire {
            Wire::Anthropic => json!({"type": "message_start", "message": long}),
            Wire::Bedrock => json!({"output": long}),
            Wire::Gemini => json!({"candidates": long}),
            Wire::Ollama => json!({"done": long}),
            Wire::OpenAiChat => json!({"choices": long}),
            _ => json!({"type": "error", "output": long}),
        };
        let whole = Bytes::from(wrong.to_string());
        let streamed = Bytes::from(match wire {
            Wire::Bedrock => format!("{wrong}"),
            _ => event(wire, &wrong.to_string()),
        });
        for (answer, piece) in [
            (Answer::whole(wire), whole),
            (Answer::streamed(wire), streamed),
        ] {
            let (answer, _) = answer.response(std::iter::once(piece));

            let error = answer.err();
            let below = error.as_ref().and_then(std::error::Error::source);
            let below = below.map(ToString::to_string).unwrap_or_default();
            assert!(error.is_some(), "{wire:?}");
            assert!(format!("{error:?}{below}").len() < 4 * 1024, "{wire:?}");
        }
    }
}
