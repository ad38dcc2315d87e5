//! What is nested deeper than any program reads.

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_core::{ModelErrorKind as Kind, Run};
use steadfast_providers::Wire;

use crate::{Answer, MIB, TEXT_WIRES, WIRES, end, event, fuzz, measured};

const LEVELS: usize = 100_000;

/// What a text of a hundred thousand levels may take.
const SOME: usize = 8 * MIB;

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn objects(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

fn once(text: String) -> impl Iterator<Item = Bytes> + Send {
    std::iter::once(Bytes::from(text))
}

#[test]
fn deep_event_is_refused_or_passed_over() {
    for wire in TEXT_WIRES {
        for deep in [nested(LEVELS), objects(LEVELS)] {
            let told = (Kind::Protocol, "is not the JSON that was expected");
            let known = match wire {
                Wire::Gemini => format!("{{\"candidates\":[{{\"finishReason\":{deep}}}]}}"),
                Wire::Ollama => format!("{{\"done\":true,\"done_reason\":{deep}}}"),
                Wire::OpenAiChat => format!("{{\"choices\":[{{\"finish_reason\":{deep}}}]}}"),
                Wire::Anthropic => {
                    format!(
                        "{{\"type\":\"content_block_start\",\"content_block\":{{\"type\":{deep}}}}}"
                    )
                }
                _ => format!(
                    "{{\"type\":\"response.output_item.added\",\"item\":{{\"type\":{deep}}}}}"
                ),
            };
            Answer::streamed(wire).check(once(event(wire, &known)), told, SOME);

            // A field that nobody knows may hold anything.
            let unknown = match wire {
                Wire::Gemini => format!("{{\"candidates\":[],\"a\":{deep}}}"),
                Wire::Ollama => format!("{{\"done\":false,\"a\":{deep}}}"),
                Wire::OpenAiChat => format!("{{\"choices\":[],\"a\":{deep}}}"),
                _ => format!("{{\"type\":\"ping\",\"a\":{deep}}}"),
            };
            let told = (Kind::Truncated, "the stream ended without its end marker");
            let unended = format!("{}\n", event(wire, &unknown));
            Answer::streamed(wire).check(once(unended), told, SOME);
        }
    }
}

#[test]
fn deep_body_is_refused() {
    for wire in WIRES {
        for deep in [nested(LEVELS), objects(LEVELS)] {
            let (answer, took) = Answer::whole(wire).response(once(deep));

            let error = answer.err();
            let kind = error.as_ref().map(steadfast_core::ModelError::kind);
            // As serde reads lists for objects, some are answers that say nothing.
            let refused = matches!(kind, Some(Kind::Protocol | Kind::Truncated));
            assert!(refused, "{wire:?}: {error:?}");
            assert!(took <= SOME, "{wire:?} took {took} bytes");
        }
    }
}

#[test]
fn deep_error_is_an_error_of_its_status() {
    for wire in WIRES {
        for body in [
            nested(LEVELS),
            objects(LEVELS),
            format!("{{\"error\":{}}}", nested(LEVELS)),
        ] {
            let told = (Kind::Throttled, "the body is not JSON");
            Answer::refused(wire, 429).check(once(body), told, SOME);
        }
    }
}

#[test]
fn thoughts_within_thoughts_are_not_followed() {
    let thought = r#"[{"type":"thinking","thinking":"#;
    let deep = format!("{}\"x\"{}", thought.repeat(LEVELS), "}]".repeat(LEVELS));
    let said = event(
        Wire::OpenAiChat,
        &format!("{{\"choices\":[{{\"delta\":{{\"content\":{deep}}}}}]}}"),
    );

    let body = once(format!("{said}{}", end(Wire::OpenAiChat)));
    let ((_, error), took) = Answer::streamed(Wire::OpenAiChat).deltas(body);

    assert_eq!(error, None);
    assert!(took <= 4 * SOME, "{took} bytes");
}

/// A call with these arguments, which are JSON.
fn call(wire: Wire, arguments: &str) -> String {
    let text = json!(arguments);
    match wire {
        Wire::Anthropic => [
            event(wire, r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f"}}"#),
            event(wire, &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}).to_string()),
            event(wire, r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#),
            event(wire, r#"{"type":"message_stop"}"#),
        ]
        .concat(),
        Wire::Gemini => event(
            wire,
            &format!(r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{arguments}}}}}]}},"finishReason":"STOP"}}]}}"#),
        ),
        Wire::Ollama => event(
            wire,
            &format!(r#"{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]}},"done":true,"done_reason":"stop"}}"#),
        ),
        Wire::OpenAiChat => event(
            wire,
            &format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":0,"id":"a","function":{{"name":"f","arguments":{text}}}}}]}},"finish_reason":"tool_calls"}}]}}"#),
        ),
        _ => event(
            wire,
            &format!(r#"{{"type":"response.completed","response":{{"status":"completed","output":[{{"type":"function_call","call_id":"a","name":"f","arguments":{text}}}]}}}}"#),
        ),
    }
}

#[test]
fn deep_arguments_are_kept_as_text() {
    let deep = objects(LEVELS);
    for wire in TEXT_WIRES {
        let (answer, took) = Answer::streamed(wire).response(once(call(wire, &deep)));

        let inputs = answer.map(|answer| {
            let calls = answer.message.tool_uses();
            calls.map(|call| call.input.clone()).collect::<Vec<_>>()
        });
        assert_eq!(inputs, Ok(vec![Value::String(deep.clone())]), "{wire:?}");
        assert!(took <= SOME, "{wire:?} took {took} bytes");
    }
}

#[test]
fn deep_arguments_of_bedrock_are_kept_as_text() {
    let deep = json!(objects(LEVELS));
    let events = [
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "a", "name": "f"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": deep}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "tool_use"})),
    ];
    let body = events
        .map(|(name, payload)| Bytes::from(fuzz::event(name, payload.to_string().as_bytes())));

    let (answer, took) = Answer::streamed(Wire::Bedrock).response(body.into_iter());

    let input = answer.map(|answer| {
        answer
            .message
            .tool_uses()
            .next()
            .map(|call| call.input.clone())
    });
    assert_eq!(input, Ok(Some(deep)));
    assert!(took <= SOME, "{took} bytes");
}

#[test]
fn arguments_are_stored_as_deep_as_they_are_kept() {
    for levels in [1, 63, 64, 65, 100, 126, 127, 128, 129] {
        for wire in TEXT_WIRES {
            let body = once(call(wire, &objects(levels)));
            let (answer, _) = Answer::streamed(wire).response(body);

            let Ok(answer) = answer else {
                panic!("{wire:?}: {answer:?}");
            };
            let stored = serde_json::to_string(&answer.message).unwrap();
            // Within a run it stands below its phases and histories.
            let within = format!("{}{stored}{}", "[".repeat(16), "]".repeat(16));
            assert!(
                serde_json::from_str::<Value>(&within).is_ok(),
                "{wire:?}: {levels}"
            );
            let is_kept = answer
                .message
                .tool_uses()
                .all(|call| call.input.is_object());
            assert_eq!(is_kept, levels <= 64, "{wire:?}: {levels}");
        }
    }
}

#[test]
fn deep_run_is_refused() {
    for deep in [
        nested(LEVELS),
        objects(LEVELS),
        format!("{{\"schema\":1,\"phase\":{}}}", objects(LEVELS)),
        format!(
            "{{\"phase\":{}",
            r#"{"End":{"ending":{"Finished":"cancelled"},"unfinished":"#.repeat(LEVELS)
        ),
        format!(
            "{{\"history\":{{\"tail\":[{{\"role\":\"user\",\"content\":{}",
            r#"[{"type":"tool_result","content":"#.repeat(LEVELS)
        ),
    ] {
        let (refused, took) = measured(async { serde_json::from_str::<Run>(&deep).err() });

        let told = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(!told.is_empty(), "{told}");
        assert!(took <= SOME, "{took} bytes");
    }
}
