mod ends;

use steadfast_core::{ModelErrorKind as Kind, StopReason, Usage};

use super::*;
use crate::{answer, http_client::Head};

fn head() -> Head {
    Head::of_status(200)
}

/// Decodes events up to the first failure; whether the last of them ended the answer.
fn decode(events: &[Value]) -> (Vec<ModelDelta>, Result<bool, Kind>) {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    let mut ended = Ok(false);
    for event in events {
        ended = decoder
            .take_event(event.to_string().as_bytes(), &mut deltas)
            .map_err(|error| error.kind());
        if ended != Ok(false) {
            break;
        }
    }
    (without_start(deltas.into_waiting()), ended)
}

fn without_start(deltas: impl IntoIterator<Item = ModelDelta>) -> Vec<ModelDelta> {
    let said = |delta: &ModelDelta| !matches!(delta, ModelDelta::Started { .. });
    deltas.into_iter().filter(said).collect()
}

/// Checks an answer that ends in `end_turn`: its blocks as a stream.
fn check(events: &[Value], expected: &[ModelDelta]) {
    let mut all = events.to_vec();
    all.extend([stopped("end_turn"), end()]);
    let (mut deltas, ended) = decode(&all);
    assert_eq!(ended, Ok(true), "{events:?}");
    assert_eq!(deltas.pop(), Some(END));
    assert_eq!(deltas, expected, "{events:?}");
}

fn start(index: usize, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: usize, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn input(index: usize, json: &str) -> Value {
    delta(
        index,
        json!({"type": "input_json_delta", "partial_json": json}),
    )
}

fn stop(index: usize) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn stopped(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason}})
}

fn end() -> Value {
    json!({"type": "message_stop"})
}

fn text(text: &str) -> Value {
    delta(0, json!({"type": "text_delta", "text": text}))
}

fn said(text: &str) -> ModelDelta {
    ModelDelta::Text(text.into())
}

fn call(index: usize, id: &str) -> ModelDelta {
    ModelDelta::ToolUseStart {
        index,
        id: id.into(),
        name: "f".into(),
    }
}

fn arguments(index: usize, json: &str) -> ModelDelta {
    ModelDelta::ToolUseInput {
        index,
        json: json.into(),
    }
}

fn tool_use(id: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": input})
}

fn signed(signature: &str) -> ModelDelta {
    ModelDelta::ReasoningOpaque(json!({"anthropic": {"signature": signature}}))
}

const END: ModelDelta = ModelDelta::Stop(StopReason::EndTurn);

#[test]
fn text_without_escapes_is_borrowed_from_the_event() {
    let json = r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"plain"}}"#;
    let mut event = Event::default();

    read_shape(&mut event, json.as_bytes()).unwrap();

    let Some(Text(text)) = event.delta.unwrap().text else {
        panic!("no text");
    };
    assert!(matches!(text, Cow::Borrowed("plain")));
}

#[test]
fn calls_are_told_with_and_without_pieces() {
    check(
        &[
            start(0, tool_use("a", json!({}))),
            input(0, ""),
            input(0, "{\"x\":"),
            input(0, "1}"),
            stop(0),
            start(1, tool_use("b", json!({}))),
            stop(1),
            start(2, tool_use("c", json!({"whole": 1}))),
            stop(2),
        ],
        &[
            call(0, "a"),
            arguments(0, "{\"x\":"),
            arguments(0, "1}"),
            call(1, "b"),
            call(2, "c"),
            arguments(2, "{\"whole\":1}"),
        ],
    );
}

#[test]
fn calls_may_be_interleaved_and_never_ended() {
    check(
        &[
            start(0, tool_use("a", json!({"form": 1}))),
            start(1, tool_use("b", json!({"whole": 1}))),
            input(0, "{}"),
        ],
        &[
            call(0, "a"),
            call(1, "b"),
            arguments(0, "{}"),
            arguments(1, "{\"whole\":1}"),
        ],
    );
}

#[test]
fn thinking_is_closed_by_its_signature() {
    let thought = |text: &str| delta(0, json!({"type": "thinking_delta", "thinking": text}));
    let signature = |text: &str| delta(0, json!({"type": "signature_delta", "signature": text}));
    let thinking = |text: &str| json!({"type": "thinking", "thinking": text, "signature": ""});
    check(
        &[
            start(0, thinking("")),
            thought("Hm"),
            thought("."),
            signature("ab"),
            signature("cd"),
            stop(0),
            start(0, thinking("")),
            signature("ef"),
            stop(0),
            start(1, json!({"type": "redacted_thinking", "data": "sealed"})),
            stop(1),
        ],
        &[
            ModelDelta::Reasoning("Hm".into()),
            ModelDelta::Reasoning(".".into()),
            signed("abcd"),
            signed("ef"),
            ModelDelta::ReasoningOpaque(json!({"anthropic": {"data": "sealed"}})),
        ],
    );
}

#[test]
fn thinking_that_never_ends_ends_where_another_block_begins() {
    let thinking = json!({"type": "thinking", "thinking": "Hm", "signature": "ab"});
    for (block, told) in [
        (json!({"type": "text", "text": "x"}), said("x")),
        (
            json!({"type": "redacted_thinking", "data": "sealed"}),
            ModelDelta::ReasoningOpaque(json!({"anthropic": {"data": "sealed"}})),
        ),
    ] {
        check(
            &[
                start(0, thinking.clone()),
                start(1, block),
                start(2, json!({"type": "text", "text": "y"})),
            ],
            &[
                ModelDelta::Reasoning("Hm".into()),
                signed("ab"),
                told,
                said("y"),
            ],
        );
    }
}

#[test]
fn empty_identity_is_none() {
    check(&[start(3, tool_use("", json!({})))], &[call(3, "call_3")]);
}

#[test]
fn own_blocks_are_kept_whole() {
    let own = |block: Value| ModelDelta::Opaque(json!({ "anthropic": block }));
    let server_call =
        |input: Value| json!({"type": "server_tool_use", "id": "s", "name": "f", "input": input});
    let summary = |text: &str| delta(3, json!({"type": "compaction_delta", "content": text}));
    check(
        &[
            start(0, server_call(json!({}))),
            input(0, "{\"q\":"),
            input(0, "1}"),
            stop(0),
            start(
                1,
                json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [1]}),
            ),
            stop(1),
            start(2, server_call(json!({}))),
            input(2, "{\"q\": cut"),
            stop(2),
            start(3, json!({"type": "compaction", "content": null})),
            summary("So "),
            summary("far."),
            stop(3),
        ],
        &[
            own(server_call(json!({"q": 1}))),
            own(json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [1]})),
            own(server_call(json!({"input": "{\"q\": cut"}))),
            own(json!({"type": "compaction", "content": "So far."})),
        ],
    );
}

#[test]
fn what_is_not_known_is_passed_over() {
    check(
        &[
            json!({"type": "ping"}),
            json!({"type": "invented", "delta": {"x": 1}}),
            json!({"odd": 1}),
            start(0, json!({"type": "text", "text": "", "citations": []})),
            delta(0, json!({"type": "citations_delta", "citation": {"x": 1}})),
            delta(0, json!({"type": "invented_delta", "x": 1})),
            delta(0, json!({"x": 1})),
            text("a\n\u{e9}"),
            stop(0),
            stop(7),
        ],
        &[said("a\né")],
    );
}

#[test]
fn what_is_not_known_may_have_any_shape() {
    let block = json!({"type": "invented", "data": {"x": 1}, "id": 7, "input": [1]});
    let mut grown = block.clone();
    grown["text"] = json!({"y": 2});
    check(
        &[
            json!({"type": "invented", "index": "a", "delta": 1, "message": "m", "usage": []}),
            start(0, block),
            delta(0, json!({"type": "invented_delta", "text": {"y": 2}})),
            stop(0),
            delta(9, json!({"type": "invented_delta", "text": {"y": 2}})),
        ],
        &[ModelDelta::Opaque(json!({ "anthropic": grown }))],
    );
    for broken in [
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": 7}}),
        json!({"type": "content_block_start", "content_block": {"type": "text", "text": 7}}),
        json!({"delta": 7}),
    ] {
        assert_eq!(
            decode(std::slice::from_ref(&broken)).1,
            Err(Kind::Protocol),
            "{broken}"
        );
    }
}

#[test]
fn usage_counts_cached_tokens_as_input() {
    let begun = json!({"type": "message_start", "message": {"usage": {"input_tokens": 5,
        "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}}});
    let ended = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 50, "input_tokens": null, "output_tokens_details": {"thinking_tokens": 30}}});
    let (deltas, _) = decode(&[begun, ended]);
    let mut first = Usage::new(125, 1);
    first.cache_read_tokens = 100;
    first.cache_write_tokens = 20;
    let mut last = first;
    last.output_tokens = 50;
    last.reasoning_tokens = 30;
    assert_eq!(deltas, [ModelDelta::Usage(first), ModelDelta::Usage(last)]);
}

#[test]
fn usage_that_cannot_be_read_is_none() {
    let begun = |usage: Value| json!({"type": "message_start", "message": {"usage": usage}});
    for (usage, expected) in [
        (json!({"input_tokens": 10.0}), Some(10)),
        (json!({"input_tokens": "10"}), Some(10)),
        (json!({"input_tokens": -1}), Some(0)),
        (json!({"input_tokens": 1e20}), Some(0)),
        (json!("x"), None),
    ] {
        let (deltas, ended) = decode(&[begun(usage.clone())]);
        let expected = expected.map(|input| ModelDelta::Usage(Usage::new(input, 0)));
        assert_eq!(
            (deltas.first(), ended),
            (expected.as_ref(), Ok(false)),
            "{usage}"
        );
    }
    let broken = json!({"type": "message_start", "message": 7});
    assert_eq!(decode(&[broken]).1, Err(Kind::Protocol));
}

#[test]
fn later_split_of_the_input_counts_as_a_whole() {
    let count = |usage: Value| json!({"type": "message_delta", "delta": {}, "usage": usage});
    let (deltas, _) = decode(&[
        count(json!({"input_tokens": 100})),
        count(json!({"input_tokens": 20, "cache_read_input_tokens": 80})),
        count(json!({"input_tokens": 0, "output_tokens": 5})),
    ]);
    let mut expected = Usage::new(100, 5);
    expected.cache_read_tokens = 80;
    assert_eq!(deltas.last(), Some(&ModelDelta::Usage(expected)));
}

#[test]
fn deltas_without_a_type_are_read_by_their_field() {
    check(
        &[
            start(0, json!({"type": "thinking"})),
            delta(0, json!({"thinking": "Hm"})),
            delta(0, json!({"signature": "ab"})),
            start(1, tool_use("a", json!({}))),
            delta(1, json!({"partial_json": "{}"})),
            stop(1),
            json!({"type": "content_block_delta", "index": null, "delta": {"text": "x"}}),
        ],
        &[
            ModelDelta::Reasoning("Hm".into()),
            signed("ab"),
            call(1, "a"),
            arguments(1, "{}"),
            said("x"),
        ],
    );
}

#[test]
fn half_a_character_does_not_lose_the_text() {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    let event = br#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a\ud83d"}}"#;
    decoder.take_event(event, &mut deltas).unwrap();
    assert_eq!(without_start(deltas.into_waiting()), [said("a\u{fffd}")]);
}

#[test]
fn later_counts_are_totals() {
    let begun = |input: u64| json!({"type": "message_start", "message": {"usage": {"input_tokens": input}}});
    let ended = |input: u64| json!({"type": "message_delta", "delta": {}, "usage": {"input_tokens": input, "output_tokens": 2}});
    for (before, after) in [(2_750, 12_229), (12_229, 0)] {
        let (deltas, _) = decode(&[begun(before), ended(after)]);
        assert_eq!(
            deltas.last(),
            Some(&ModelDelta::Usage(Usage::new(12_229, 2)))
        );
    }
}
