//! Amazon's binary events: lengths and checksums that do not hold.

use bytes::Bytes;
use serde_json::json;
use steadfast_core::{ModelError, ModelErrorKind as Kind, StopReason};
use steadfast_providers::Wire;

use crate::{Answer, MIB, fuzz};

const ANSWER: Answer = Answer::streamed(Wire::Bedrock);

fn text(said: &str) -> Vec<u8> {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": said}});
    fuzz::event("contentBlockDelta", delta.to_string().as_bytes())
}

fn end() -> Vec<u8> {
    fuzz::event("messageStop", br#"{"stopReason":"end_turn"}"#)
}

/// Writes an event anew whose prelude was changed, so that its checksums hold.
fn sealed(event: &[u8]) -> Vec<u8> {
    let (lengths, rest) = event.split_at(8);
    let (_, rest) = rest.split_at(4);
    let (inner, _) = rest.split_at(rest.len() - 4);
    let prelude = [lengths, &fuzz::checksum(lengths).to_be_bytes()].concat();
    let event = [&prelude, inner].concat();
    let sum = fuzz::checksum(&event).to_be_bytes();
    [event.as_slice(), &sum].concat()
}

/// Checks a broken event behind a sound one: what was said stands, and one error follows.
fn check(broken: Vec<u8>, told: (Kind, &str)) {
    let body = [text("sound"), broken, end()].concat();
    for size in [1, 7, body.len()] {
        let pieces: Vec<Bytes> = body.chunks(size).map(Bytes::copy_from_slice).collect();

        let ((count, error), took) = ANSWER.deltas(pieces.into_iter());

        // The answer began, and said one word.
        assert_eq!(count, 2, "{error:?}");
        let is_told =
            |error: &ModelError| error.kind() == told.0 && error.message().contains(told.1);
        assert!(error.as_ref().is_some_and(is_told), "{error:?}");
        assert!(took <= 4 * MIB, "{took} bytes");
    }
}

#[test]
fn wrong_checksum_is_refused() {
    let unreadable = (Kind::Protocol, "an event of the stream cannot be read");
    let mut prelude = text("x");
    prelude[8] ^= 1;
    check(prelude, unreadable);

    let mut message = text("x");
    let last = message.len() - 1;
    message[last] ^= 1;
    check(message, unreadable);

    let mut payload = text("x");
    payload[last - 8] ^= 1;
    check(payload, unreadable);
}

#[test]
fn length_that_no_event_has_is_refused_before_it_comes() {
    for length in [0, 15, 8 * 1024 * 1024 + 1, u32::MAX] {
        let mut event = text("x");
        event[..4].copy_from_slice(&length.to_be_bytes());
        let told = (
            Kind::Protocol,
            "an event of the stream has a length that is not accepted",
        );
        check(sealed(&event), told);
    }
}

#[test]
fn headers_longer_than_their_event_are_refused() {
    let event = text("x");
    let length = u32::try_from(event.len()).unwrap();
    for headers in [length - 15, length, u32::MAX] {
        let mut event = event.clone();
        event[4..8].copy_from_slice(&headers.to_be_bytes());
        check(
            sealed(&event),
            (Kind::Protocol, "an event of the stream cannot be read"),
        );
    }
}

#[test]
fn headers_that_end_elsewhere_are_refused() {
    let event = text("x");
    for shift in [-1_i32, 1, 9] {
        let mut event = event.clone();
        let headers = u32::from_be_bytes([event[4], event[5], event[6], event[7]]);
        event[4..8].copy_from_slice(&headers.saturating_add_signed(shift).to_be_bytes());
        check(
            sealed(&event),
            (Kind::Protocol, "an event of the stream cannot be read"),
        );
    }
}

#[test]
fn payload_that_is_no_json_is_refused() {
    for payload in ["{", "[1]", "nonsense", "{\"contentBlockIndex\":\"x\"}"] {
        let broken = fuzz::event("contentBlockDelta", payload.as_bytes());
        check(
            broken,
            (Kind::Protocol, "an event of the stream cannot be read"),
        );
    }
}

#[test]
fn deep_payload_is_refused() {
    let deep = "[".repeat(100_000);
    for payload in [
        deep.clone(),
        format!("{{\"delta\":{deep}"),
        format!("{{\"delta\":{{\"toolResult\":[{{\"json\":{deep}"),
        format!("{{\"a\":{deep}"),
    ] {
        let broken = fuzz::event("contentBlockDelta", payload.as_bytes());
        check(
            broken,
            (
                Kind::Protocol,
                "an event of the stream holds more than is accepted",
            ),
        );
    }
}

#[test]
fn stream_that_is_cut_anywhere_is_truncated() {
    let body = [text("a"), text("b"), end()].concat();
    let complete = body.len();
    for place in 0..complete {
        let piece = Bytes::copy_from_slice(&body[..place]);
        let (answer, _) = ANSWER.response(std::iter::once(piece));

        let kind = answer.err().map(|error| error.kind());
        assert_eq!(kind, Some(Kind::Truncated), "cut at {place}");
    }
    let (answer, _) = ANSWER.response(std::iter::once(Bytes::from(body)));
    assert_eq!(
        answer.map(|answer| answer.stop_reason),
        Ok(StopReason::EndTurn)
    );
}

#[test]
fn million_events_are_read_in_flat_memory() {
    let event = Bytes::from(text("x").repeat(1_000));
    let pieces = std::iter::repeat_n(event, 1_000).chain([Bytes::from(end())]);

    let ((count, error), took) = ANSWER.deltas(pieces);

    assert_eq!((count, error), (1_000_002, None));
    assert!(took <= 2 * MIB, "{took} bytes");
}

#[test]
fn event_of_eight_megabytes_is_read_however_small_its_pieces() {
    let long = text(&"x".repeat(7 * MIB));
    let pieces = [long, end()].concat();
    let pieces = Bytes::from(pieces);
    let cut = (0..pieces.len()).step_by(50).map({
        let pieces = pieces.clone();
        move |at| pieces.slice(at..(at + 50).min(pieces.len()))
    });
    let cut: Vec<Bytes> = cut.collect();

    let (answer, took) = ANSWER.response(cut.into_iter());

    assert_eq!(answer.map(|answer| answer.text().len()), Ok(7 * MIB));
    assert!(took <= 64 * MIB, "{} MiB", took / MIB);
}

#[test]
fn what_follows_the_end_marker_is_no_part_of_the_answer() {
    let cost = br#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1}}"#;
    let refused = fuzz::event("messageStop", br#"{"stopReason":"malformed_model_output"}"#);
    let body = [
        text("a"),
        end(),
        text("b"),
        refused,
        fuzz::event("metadata", cost),
    ]
    .concat();

    let (answer, _) = ANSWER.response(std::iter::once(Bytes::from(body)));

    let told = answer.map(|answer| (answer.text().into_owned(), answer.usage.total()));
    assert_eq!(told, Ok(("a".to_owned(), 7)));
}
