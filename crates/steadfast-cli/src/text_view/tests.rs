//! What a person reads, event by event. Events come in their stored form, as a program reads them.

use serde_json::{Value, json};

use super::*;
use crate::output::Device::{self, DumbTerminal, File, LiveTerminal};

/// Shows events and returns what standard output and standard error got.
fn check(device: Device, events: &[Value]) -> (String, String) {
    let mut output = Output::in_memory(device, File);
    let mut view = TextView::default();
    for event in events {
        let mut event = event.clone();
        for (field, value) in [
            ("run", json!("0".repeat(32))),
            ("turn", json!(1)),
            ("at_ms", json!(1500.0)),
        ] {
            event.as_object_mut().unwrap().entry(field).or_insert(value);
        }
        let event: AgentEvent = serde_json::from_value(event).unwrap();
        view.show(&event, &mut output).unwrap();
    }
    (
        output.data.written().to_owned(),
        output.status.written().to_owned(),
    )
}

fn started(attempt: u32) -> Value {
    json!({"type": "attempt_started", "attempt": attempt})
}

fn said(attempt: u32, text: &str) -> Value {
    json!({"type": "text_delta", "attempt": attempt, "text": text})
}

fn discarded(attempt: u32, reason: &str) -> Value {
    json!({"type": "attempt_discarded", "attempt": attempt, "reason": reason, "error": null})
}

fn answered(attempt: u32, text: &str) -> [Value; 2] {
    let message = json!({"role": "assistant", "content": [{"type": "text", "text": text}],
                         "stop_reason": "end_turn"});
    [
        json!({"type": "message", "attempt": attempt, "message": message}),
        json!({"type": "result", "attempt": attempt, "stop_reason": "end_turn", "text": text,
               "usage": {"input_tokens": 1, "output_tokens": 2}, "attempts": attempt, "turns": 1,
               "duration_ms": 2000.0, "waited_ms": 0.0}),
    ]
}

#[test]
fn answer_is_shown_once_wherever_it_goes() {
    let events = [
        &[started(1), said(1, "Yes"), said(1, ".")][..],
        &answered(1, "Yes."),
    ]
    .concat();

    for device in [LiveTerminal, DumbTerminal, File] {
        let (data, status) = check(device, &events);

        assert_eq!(data, "Yes.\n");
        assert_eq!(status, "✓ done: 1 turn, 1 attempt, 3 tokens, 2.0s\n");
    }
}

#[test]
fn answer_cannot_steer_any_terminal() {
    let cases = [
        (LiveTerminal, "\u{FFFD}[2J\u{FFFD}31m\n"),
        (DumbTerminal, "\u{FFFD}[2J\u{FFFD}31m\n"),
        // What a file gets is what the model said.
        (File, "\u{1b}[2J\u{9b}31m\r\n"),
    ];
    let said_so = "\u{1b}[2J\u{9b}31m\r\n";
    let events = [&[started(1), said(1, said_so)][..], &answered(1, said_so)].concat();
    for (device, expected) in cases {
        let (data, _) = check(device, &events);

        assert_eq!(data, expected, "{device:?}");
    }
}

#[test]
fn answer_that_a_hook_refuses_is_taken_back_and_tried_again_at_once() {
    let events = [
        &[
            started(1),
            said(1, "No"),
            discarded(1, "retried_by_hook"),
            started(2),
            said(2, "Yes"),
        ][..],
        &answered(2, "Yes"),
    ]
    .concat();

    let (data, status) = check(LiveTerminal, &events);

    assert_eq!(data, "No\r\u{1b}[JYes\n");
    let expected = "↶ attempt 1: taken back “No”\n\
                    ✗ attempt 1: a hook wants another answer, trying again at once\n\
                    ✓ done";
    assert!(status.starts_with(expected), "{status}");
    assert_eq!(check(File, &events).0, "Yes\n");
}

#[test]
fn text_stays_when_nothing_replaces_it() {
    for reason in ["cancelled", "deadline", "hook_error"] {
        let (data, status) = check(
            LiveTerminal,
            &[started(1), said(1, "half"), discarded(1, reason)],
        );

        assert_eq!(data, "half\n");
        assert_eq!(status, "↶ attempt 1: the text above is taken back\n");
    }
}

#[test]
fn failed_tools_say_what_the_model_is_told() {
    let tool = |event: Value| {
        let mut event = event;
        event["id"] = json!("c1");
        event["name"] = json!("look\u{1b}up");
        event["input"] = json!({});
        event
    };
    let result = json!({"type": "tool_result", "id": "c1", "name": "lookup", "is_error": true,
                        "content": [{"type": "text", "text": "no\nsuch tool"}]});
    let events = [
        tool(json!({"type": "tool_started", "attempt": 1})),
        tool(json!({"type": "tool_finished", "attempt": 1, "ok": false, "duration_ms": 2.0})),
        json!({"type": "message", "attempt": 1, "message": {"role": "user", "content": [result]}}),
    ];

    let (_, status) = check(LiveTerminal, &events);

    let expected = "→ look\u{FFFD}up \n✗ look\u{FFFD}up failed, 2ms\n\
                    · the model is told of lookup: no such tool\n";
    assert_eq!(status, expected);
}

#[test]
fn thinking_is_mentioned_once_an_attempt() {
    let thought = json!({"type": "reasoning_delta", "attempt": 1, "text": "hm"});
    let events = [
        started(1),
        thought.clone(),
        thought.clone(),
        said(1, "Yes"),
        thought,
    ];

    let (data, status) = check(LiveTerminal, &events);

    assert_eq!((data.as_str(), status.as_str()), ("Yes", "· thinking\n"));
}

#[test]
fn force_stop_says_where_and_when() {
    let error =
        json!({"kind": "auth", "status": 401, "code": null, "message": "", "retry_after_ms": null});
    let events = [
        discarded(1, "model_error"),
        json!({"type": "force_stop", "attempt": 1, "error": error}),
    ];

    let (data, status) = check(LiveTerminal, &events);

    assert_eq!(
        (data.as_str(), status.as_str()),
        ("", "■ force stop in turn 1, attempt 1, after 1.5s\n")
    );
}
