use steadfast_core::{ModelErrorKind as Kind, StopReason, Usage};

use super::*;
use crate::{answer, http_client::Head};

fn head() -> Head {
    Head::of_status(200)
}

fn decode_whole(body: &Value) -> Result<Vec<ModelDelta>, ModelError> {
    let deltas = answer::decode_whole(
        head(),
        body.to_string().as_bytes(),
        StreamDecoder::default(),
    )?;
    Ok(deltas.into_iter().skip(1).collect())
}

/// Decodes events, each an event's data, up to the first failure.
fn decode(events: &[Value]) -> (Vec<ModelDelta>, Option<Kind>) {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    let failure = events.iter().find_map(|event| {
        let data = match event {
            Value::String(raw) => raw.clone(),
            event => event.to_string(),
        };
        decoder.take_event(data.as_bytes(), &mut deltas).err()
    });
    let deltas = deltas
        .into_waiting()
        .into_iter()
        .filter(|delta| !matches!(delta, ModelDelta::Started { .. }))
        .collect();
    (deltas, failure.map(|error| error.kind()))
}

fn check(events: &[Value], expected: &[ModelDelta]) {
    assert_eq!(decode(events), (expected.to_vec(), None), "{events:?}");
}

/// Checks items that are said only at their end, only at the end of the answer, and in a body.
fn check_items(items: &Value, expected: &[ModelDelta]) {
    let list = items.as_array().unwrap();
    let mut events: Vec<Value> = (0_usize..)
        .zip(list)
        .map(|(index, item)| done(index, item.clone()))
        .collect();
    events.push(completed());
    let with_end = [expected, &[END]].concat();
    check(&events, &with_end);
    let body = json!({"status": "completed", "output": items, "error": null});
    check(
        &[json!({"type": "response.completed", "response": body})],
        &with_end,
    );
    assert_eq!(decode_whole(&body).unwrap(), with_end);
}

fn event(kind: &str, index: usize, delta: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "output_index": index, "delta": delta})
}

fn added(index: usize, item: Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn done(index: usize, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "error": null}})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "f",
        "arguments": arguments})
}

fn message(parts: Value) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "content": parts})
}

fn text(text: &str) -> ModelDelta {
    ModelDelta::Text(text.into())
}

fn reasoning(text: &str) -> ModelDelta {
    ModelDelta::Reasoning(text.into())
}

fn start(index: usize, id: &str) -> ModelDelta {
    ModelDelta::ToolUseStart {
        index,
        id: id.into(),
        name: "f".into(),
    }
}

fn input(index: usize, json: &str) -> ModelDelta {
    ModelDelta::ToolUseInput {
        index,
        json: json.into(),
    }
}

const END: ModelDelta = ModelDelta::Stop(StopReason::EndTurn);

#[test]
fn what_came_in_pieces_is_not_said_again() {
    check(
        &[
            added(0, message(json!([]))),
            event("output_text", 0, "It"),
            event("output_text", 0, " rains."),
            done(
                0,
                message(json!([{"type": "output_text", "text": "It rains."}])),
            ),
            added(1, message(json!([]))),
            event("refusal", 1, "No."),
            done(1, message(json!([{"type": "refusal", "refusal": "No."}]))),
            completed(),
        ],
        &[
            text("It"),
            text(" rains."),
            ModelDelta::Refusal("No.".into()),
            END,
        ],
    );
}

#[test]
fn beginnings_may_be_missing() {
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm"}]});
    check(
        &[
            event("reasoning_summary_text", 0, "Hm"),
            done(0, thought.clone()),
            event("output_text", 1, "x"),
            done(1, message(json!([{"type": "output_text", "text": "x"}]))),
            done(2, call("a", "{}")),
            completed(),
        ],
        &[
            reasoning("Hm"),
            ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: thought })),
            text("x"),
            start(2, "a"),
            input(2, "{}"),
            END,
        ],
    );
}

#[test]
fn empty_pieces_leave_all_to_the_end_of_their_item() {
    check(
        &[
            added(0, message(json!([]))),
            event("output_text", 0, ""),
            done(0, message(json!([{"type": "output_text", "text": "x"}]))),
            added(1, call("a", "")),
            event("function_call_arguments", 1, ""),
            done(1, call("a", "{}")),
            completed(),
        ],
        &[text("x"), start(1, "a"), input(1, "{}"), END],
    );
}

#[test]
fn interleaved_calls_keep_their_pieces() {
    check(
        &[
            added(1, call("a", "")),
            added(2, call("b", "")),
            event("function_call_arguments", 2, "{\"y\":"),
            event("function_call_arguments", 1, "{}"),
            event("function_call_arguments", 2, "2}"),
            done(1, call("a", "{}")),
            done(2, call("b", "{\"y\":2}")),
            completed(),
        ],
        &[
            start(1, "a"),
            start(2, "b"),
            input(2, "{\"y\":"),
            input(1, "{}"),
            input(2, "2}"),
            END,
        ],
    );
}

#[test]
fn pieces_without_a_place_go_to_their_item() {
    let piece = |id: Value, delta: &str| json!({"type": "response.function_call_arguments.delta", "item_id": id, "delta": delta});
    let begin = |item: Value| json!({"type": "response.output_item.added", "item": item});
    check(
        &[
            begin(call("a", "")),
            begin(call("b", "")),
            piece(json!("fc_a"), "1"),
            piece(json!("fc_b"), "2"),
            piece(Value::Null, "3"),
            completed(),
        ],
        &[
            start(0, "a"),
            start(1, "b"),
            input(0, "1"),
            input(1, "2"),
            input(1, "3"),
            END,
        ],
    );
}

#[test]
fn items_may_be_said_only_at_their_end() {
    let thought = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "e",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]});
    let open = json!({"type": "reasoning", "id": "rs_2", "summary": [],
        "content": [{"type": "reasoning_text", "text": "c"}]});
    let search = json!({"type": "web_search_call", "id": "ws_1", "new": {"field": 1}});
    let said = message(json!([
        {"type": "output_text", "text": "It"},
        {"type": "of_tomorrow", "text": {"deep": 1}},
        {"type": "refusal", "refusal": "No."}
    ]));
    check_items(
        &json!([thought, open, search, said, call("a", "{}"), call("b", "")]),
        &[
            reasoning("a\n\nb"),
            ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: thought })),
            reasoning("c"),
            ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: open })),
            ModelDelta::Opaque(json!({ OPAQUE_KEY: search })),
            text("It"),
            ModelDelta::Refusal("No.".into()),
            start(4, "a"),
            input(4, "{}"),
            start(5, "b"),
        ],
    );
}

#[test]
fn arguments_may_be_an_object_and_identities_missing() {
    let bare = json!({"type": "function_call", "name": "f", "arguments": {"a": 1}});
    check_items(&json!([bare]), &[start(0, "call_0"), input(0, "{\"a\":1}")]);
}

#[test]
fn phase_stands_before_its_text() {
    let mut item = message(json!([{"type": "output_text", "text": "x"}]));
    item["phase"] = json!("commentary");
    let beside = ModelDelta::Opaque(json!({ OPAQUE_KEY: {"phase": "commentary"} }));
    check_items(&json!([item]), &[beside, text("x")]);
}

#[test]
fn parts_of_thoughts_stand_apart_and_come_once() {
    let thought = |kind: &str, part: usize, delta: &str| {
        json!({"type": format!("response.{kind}.delta"), "output_index": 0,
            "summary_index": part, "delta": delta})
    };
    let item = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    check(
        &[
            added(0, item.clone()),
            thought("reasoning_summary_text", 0, "a"),
            thought("reasoning_text", 0, "hidden"),
            thought("reasoning_summary_text", 0, "b"),
            thought("reasoning_summary_text", 1, "c"),
            done(0, item.clone()),
            completed(),
        ],
        &[
            reasoning("a"),
            reasoning("b"),
            reasoning("\n\n"),
            reasoning("c"),
            ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: item })),
            END,
        ],
    );
}

#[test]
fn unknown_events_pass_whatever_their_shape() {
    check(
        &[
            json!({"type": "response.of_tomorrow", "delta": {"deep": [1]}, "output_index": "x"}),
            json!({"type": "response.of_tomorrow", "delta": [1], "error": null}),
            json!({"type": "keepalive", "sequence_number": 3}),
            json!({"type": "response.output_text.annotation.added", "annotation": {}}),
            json!({"message": null}),
            event("output_text", 7, "x"),
            completed(),
        ],
        &[text("x"), END],
    );
}

#[test]
fn end_says_why_and_what_it_cost() {
    let end = |kind: &str, response: Value| json!({"type": format!("response.{kind}"), "response": response});
    let incomplete = |reason: Value| end("incomplete", json!({"incomplete_details": reason}));
    for (event, stop) in [
        (completed(), StopReason::EndTurn),
        (json!({"type": "response.completed"}), StopReason::EndTurn),
        (
            incomplete(json!({"reason": "max_output_tokens"})),
            StopReason::MaxTokens,
        ),
        (
            incomplete(json!({"reason": "content_filter"})),
            StopReason::ContentFiltered,
        ),
        (incomplete(json!({"reason": "new"})), StopReason::MaxTokens),
        (incomplete(Value::Null), StopReason::MaxTokens),
        (
            end("completed", json!({"status": "incomplete"})),
            StopReason::MaxTokens,
        ),
        (
            end("completed", json!({"status": "in_progress"})),
            StopReason::EndTurn,
        ),
    ] {
        check(&[event], &[ModelDelta::Stop(stop)]);
    }
    let usage = json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7.0, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 17});
    let mut expected = Usage::new(10, 7);
    expected.cache_read_tokens = 4;
    expected.cache_write_tokens = 2;
    expected.reasoning_tokens = 5;
    check(
        &[end("completed", json!({ "usage": usage }))],
        &[ModelDelta::Usage(expected), END],
    );
    let bare = json!({"input_tokens": 1, "output_tokens": 2, "output_tokens_details": null});
    check(
        &[end("completed", json!({ "usage": bare }))],
        &[ModelDelta::Usage(Usage::new(1, 2)), END],
    );
}

#[test]
fn broken_events_and_errors_fail() {
    for (event, kind) in [
        (json!("{oops"), Kind::Protocol),
        (
            json!({"type": "response.output_text.delta", "delta": 7}),
            Kind::Protocol,
        ),
        (added(0, json!({"no": "type"})), Kind::Protocol),
        (
            json!({"type": "response.completed", "response": {"error": {"code": "server_error"}}}),
            Kind::Server,
        ),
        (json!({"detail": "x"}), Kind::Server),
    ] {
        assert_eq!(decode(&[event]), (vec![], Some(kind)));
    }
    for body in [json!({}), json!({"id": "x"})] {
        assert_eq!(decode_whole(&body).unwrap_err().kind(), Kind::Protocol);
    }
}

#[test]
fn halves_of_characters_are_mended() {
    let broken = r#"{"type":"response.output_text.delta","delta":"a\ud83d"}"#;
    check(&[json!(broken)], &[text("a\u{fffd}")]);
}
