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
fn ends_that_are_not_the_models_own_say_so_with_their_names() {
    let not_done = "before the model was done";
    for (reason, mark, said) in [
        ("end_turn", '✓', "done".to_owned()),
        ("stop_sequence", '✓', "done".to_owned()),
        ("refusal", '■', "the model declined".to_owned()),
        (
            "max_tokens",
            '■',
            format!("cut off at the output limit {not_done} (max_tokens)"),
        ),
        (
            "content_filtered",
            '■',
            format!("stopped by the provider's content filter {not_done} (content_filtered)"),
        ),
        (
            "guardrail_intervened",
            '■',
            format!("stopped by a guardrail {not_done} (guardrail_intervened)"),
        ),
        (
            "limit_turns",
            '■',
            format!("stopped at the limit of turns {not_done} (limit_turns)"),
        ),
        (
            "limit_tokens",
            '■',
            format!("stopped at the limit of tokens {not_done} (limit_tokens)"),
        ),
        (
            "interrupt",
            '■',
            format!("stopped to wait for a person {not_done} (interrupt)"),
        ),
        (
            "cancelled",
            '■',
            format!("cancelled {not_done} (cancelled)"),
        ),
    ] {
        let [_, mut result] = answered(1, "Half");
        result["stop_reason"] = json!(reason);

        for device in [LiveTerminal, DumbTerminal, File] {
            let (_, status) = check(device, &[result.clone()]);

            assert_eq!(
                status,
                format!("{mark} {said}: 1 turn, 1 attempt, 3 tokens, 2.0s\n")
            );
        }
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
                    ✗ attempt 1: a hook wants another answer, trying again\n\
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

#[test]
fn another_model_is_named() {
    let switched =
        json!({"type": "model_switched", "attempt": 2, "from": "openai:a", "to": "openai:b"});

    let (_, status) = check(LiveTerminal, &[started(2), switched]);

    assert_eq!(status, "· asking openai:b instead of openai:a\n");
}

#[test]
fn wait_of_a_pacer_is_no_failure() {
    let wait = json!({"type": "event_loop_throttle", "attempt": 1, "delay_ms": 3000,
                      "max_attempts": null, "error": null, "decided_by": "pacer"});
    let events = [&[started(1), wait, said(1, "Yes")][..], &answered(1, "Yes")].concat();

    let (data, status) = check(LiveTerminal, &events);

    assert_eq!(data, "Yes\n");
    let expected = "· attempt 1: calls the model in 3.0s (a shared pacer)\n✓ done";
    assert!(status.starts_with(expected), "{status}");
}

#[test]
fn waits_end_in_a_line_that_says_how_long_they_were() {
    let wait = |error: Value, decided_by: &str| {
        let event = json!({"type": "event_loop_throttle", "run": "0".repeat(32), "turn": 1,
                           "attempt": 1, "at_ms": 0, "delay_ms": 3000, "max_attempts": null,
                           "error": error, "decided_by": decided_by});
        serde_json::from_value::<EventLoopThrottleEvent>(event).unwrap()
    };
    let throttled = json!({"kind": "throttled", "status": 429, "code": null, "message": "",
                           "retry_after_ms": null});
    let began = Instant::now();
    let after = |seconds| began + Duration::from_secs(seconds);
    for (event, in_a_second, cut_short, whole) in [
        (
            wait(Value::Null, "pacer"),
            "· attempt 1: calls the model in 2.0s (3.0s by a shared pacer)",
            "· attempt 1: waited 1.0s of 3.0s before the call (a shared pacer)",
            "· attempt 1: waited 3.0s before the call (a shared pacer)",
        ),
        (
            wait(Value::Null, "hook"),
            "✗ attempt 1: a hook wants another answer, next try in 2.0s (3.0s by a hook)",
            "✗ attempt 1: a hook wants another answer, waited 1.0s of 3.0s (a hook)",
            "✗ attempt 1: a hook wants another answer, waited 3.0s (a hook)",
        ),
        (
            wait(throttled, "backoff"),
            "✗ attempt 1: throttled (429), next try in 2.0s (3.0s by backoff)",
            "✗ attempt 1: throttled (429), waited 1.0s of 3.0s (backoff)",
            "✗ attempt 1: throttled (429), waited 3.0s (backoff)",
        ),
    ] {
        let waiting = Waiting::new(&event, began);

        let said = |line: StyledLine| line.render(false, None);
        assert_eq!(said(waiting.countdown(after(1))), in_a_second);
        assert_eq!(said(waiting.end(after(1), Duration::ZERO)), cut_short);
        assert_eq!(said(waiting.end(after(3), Duration::ZERO)), whole);
        // Seen late, it was no shorter.
        let three_seconds = Duration::from_secs(3);
        assert_eq!(said(waiting.end(after(1), three_seconds)), whole);
    }
}

#[test]
fn countdown_ends_with_the_wait_also_if_the_model_is_silent() {
    let wait = json!({"type": "event_loop_throttle", "run": "0".repeat(32), "turn": 1, "attempt": 1,
                      "at_ms": 0, "delay_ms": 0, "max_attempts": null, "error": null,
                      "decided_by": "pacer"});
    let wait: AgentEvent = serde_json::from_value(wait).unwrap();
    let mut output = Output::in_memory(LiveTerminal, LiveTerminal);
    let mut view = TextView::default();
    view.show(&wait, &mut output).unwrap();

    view.tick(&mut output).unwrap();

    assert!(!view.is_ticking());
    let last = output.status.written().rsplit('\r').next().unwrap();
    let expected = "\u{1b}[K· attempt 1: waited 0ms before the call (a shared pacer)\n";
    assert_eq!(last, expected);
}

#[test]
fn paused_answer_is_on_the_way_and_foreign_blocks_are_passed_over() {
    let block = json!({"type": "opaque", "data": {"anthropic": {"type": "server_tool_use"}}});
    let message = json!({"role": "assistant", "stop_reason": "pause_turn",
                         "content": [{"type": "text", "text": "Searching."}, block]});
    let events = [
        &[
            started(1),
            said(1, "Searching."),
            json!({"type": "message", "attempt": 1, "message": message}),
            started(1),
            said(1, "Found."),
        ][..],
        &answered(1, "Found."),
    ]
    .concat();

    for (device, expected_data, expected_status) in [
        (LiveTerminal, "Searching.\nFound.\n", "✓ done"),
        (File, "Found.\n", "Searching.\n✓ done"),
    ] {
        let (data, status) = check(device, &events);

        assert_eq!(data, expected_data);
        assert!(status.starts_with(expected_status), "{status}");
    }
}

#[test]
fn run_that_is_dropped_is_told_to_observers_and_not_shown() {
    let (data, status) = check(
        File,
        &[started(1), json!({"type": "run_dropped", "attempt": 1})],
    );

    assert_eq!((data.as_str(), status.as_str()), ("", ""));
}
