//! How answers end: in a stream, whole, and with an error.

use super::*;

#[test]
fn every_stop_reason_is_read() {
    for (reason, expected) in [
        ("end_turn", Ok(StopReason::EndTurn)),
        ("stop_sequence", Ok(StopReason::StopSequence)),
        ("max_tokens", Ok(StopReason::MaxTokens)),
        ("tool_use", Ok(StopReason::ToolUse)),
        ("pause_turn", Ok(StopReason::PauseTurn)),
        ("refusal", Ok(StopReason::Refusal)),
        ("model_context_window_exceeded", Err(Kind::ContextOverflow)),
        ("invented", Ok(StopReason::EndTurn)),
        ("error", Err(Kind::Server)),
    ] {
        let (deltas, ended) = decode(&[text("x"), stopped(reason), end()]);
        match expected {
            Ok(stop) => assert_eq!(deltas.last(), Some(&ModelDelta::Stop(stop)), "{reason}"),
            Err(kind) => assert_eq!(ended, Err(kind), "{reason}"),
        }
    }
    for events in [&[stopped("invented"), end()][..], &[end()]] {
        assert_eq!(decode(events).1, Err(Kind::Server), "{events:?}");
    }
}

#[test]
fn empty_stop_reason_takes_nothing_back() {
    let (deltas, _) = decode(&[text("x"), stopped("max_tokens"), stopped(""), end()]);
    assert_eq!(
        deltas.last(),
        Some(&ModelDelta::Stop(StopReason::MaxTokens))
    );
}

#[test]
fn stop_reason_is_no_end_marker() {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    for event in [text("x"), stopped("end_turn")] {
        let data = event.to_string();
        assert!(!decoder.take_event(data.as_bytes(), &mut deltas).unwrap());
    }
    assert!(!deltas.is_complete());
    let waiting = std::iter::from_fn(|| deltas.pop());
    assert_eq!(without_start(waiting), [said("x")]);

    let ended = decoder.take_event(end().to_string().as_bytes(), &mut deltas);
    assert!(ended.unwrap() && deltas.is_complete());
    assert_eq!(without_start(deltas.into_waiting()), [END]);
}

#[test]
fn errors_in_mid_stream_follow_what_was_said() {
    let error = |kind: &str| json!({"type": "error", "error": {"details": null, "type": kind, "message": "x"}});
    for (event, kind) in [
        (error("overloaded_error"), Kind::Overloaded),
        (error("api_error"), Kind::Server),
        (error("rate_limit_error"), Kind::Throttled),
        (error("timeout_error"), Kind::Timeout),
        (error("invalid_request_error"), Kind::InvalidRequest),
        (error("invented_error"), Kind::Server),
        (
            json!({"error": {"code": 429, "message": "x"}}),
            Kind::Throttled,
        ),
        (
            json!({"type": "odd", "error": {"message": "x"}}),
            Kind::Server,
        ),
        (
            json!({"type": "error", "error": {"type": "api_error", "code": 429, "message": "x"}}),
            Kind::Throttled,
        ),
        (
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                "error": {"type": "overloaded_error", "message": "x"}}),
            Kind::Overloaded,
        ),
        (json!({"detail": "x"}), Kind::Server),
        (json!({"type": 7}), Kind::Protocol),
    ] {
        let (deltas, ended) = decode(&[text("x"), event.clone()]);
        assert_eq!((deltas, ended), (vec![said("x")], Err(kind)), "{event}");
    }
}

#[test]
fn whole_answer_says_the_same_as_a_stream() {
    let whole = json!({"type": "message", "role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "x", "citations": null},
        tool_use("a", json!({"x": 1})),
        tool_use("b", json!({})),
        {"type": "server_tool_use", "id": "s", "input": {"q": 1}}
    ], "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2}});
    let deltas = answer::decode_whole(
        head(),
        whole.to_string().as_bytes(),
        StreamDecoder::default(),
    );
    assert_eq!(
        without_start(deltas.unwrap()),
        [
            ModelDelta::Reasoning("Hm".into()),
            signed("s"),
            said("x"),
            call(2, "a"),
            arguments(2, "{\"x\":1}"),
            call(3, "b"),
            ModelDelta::Opaque(
                json!({"anthropic": {"type": "server_tool_use", "id": "s", "input": {"q": 1}}})
            ),
            ModelDelta::Usage(Usage::new(1, 2)),
            ModelDelta::Stop(StopReason::ToolUse),
        ]
    );
}

#[test]
fn whole_body_that_is_no_answer_is_an_error() {
    for (body, kind) in [
        ("", Kind::Truncated),
        (" \n", Kind::Truncated),
        ("{}", Kind::Protocol),
        ("[1]", Kind::Protocol),
        ("{oops", Kind::Protocol),
        ("{\"content\": [{\"type\": 7}]}", Kind::Protocol),
        (
            "{\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}",
            Kind::Overloaded,
        ),
        ("{\"detail\": \"x\"}", Kind::Server),
    ] {
        let error =
            answer::decode_whole(head(), body.as_bytes(), StreamDecoder::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
    }
}
