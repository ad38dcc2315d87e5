mod calls;

use std::collections::VecDeque;

use steadfast_core::{ModelErrorKind as Kind, Usage};

use super::*;
use crate::{answer, http_client::Head};

fn head() -> Head {
    Head::of_status(200)
}

fn decode_whole(body: &[u8]) -> Result<VecDeque<ModelDelta>, ModelError> {
    answer::decode_whole(head(), body, StreamDecoder::default())
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

/// Checks a message that comes whole, as the one event of a stream and as a body.
fn check_message(message: Value, expected: &[ModelDelta]) {
    let mut body = json!({"choices": [{"message": message}]});
    check(std::slice::from_ref(&body), expected);
    body["choices"][0]["finish_reason"] = "stop".into();
    let whole = decode_whole(body.to_string().as_bytes()).unwrap();
    let said = whole.into_iter().skip(1).take(expected.len());
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

fn event(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn calls(calls: Value) -> Value {
    event(json!({ "tool_calls": calls }))
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": reason}]})
}

fn text(text: &str) -> ModelDelta {
    ModelDelta::Text(text.into())
}

fn reasoning(text: &str) -> ModelDelta {
    ModelDelta::Reasoning(text.into())
}

fn start(index: usize, id: &str, name: &str) -> ModelDelta {
    ModelDelta::ToolUseStart {
        index,
        id: id.into(),
        name: name.into(),
    }
}

fn input(index: usize, json: &str) -> ModelDelta {
    ModelDelta::ToolUseInput {
        index,
        json: json.into(),
    }
}

fn opaque(own: Value) -> ModelDelta {
    ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: own }))
}

const END: ModelDelta = ModelDelta::Stop(StopReason::EndTurn);

#[test]
fn content_may_be_a_list_of_parts() {
    let parts = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": true},
        {"type": "text", "text": "x"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": 7},
        3,
        {"type": "thinking", "thinking": "ok"}
    ]);
    let expected = [reasoning("Hm"), text("x"), reasoning("ok")];
    check(&[event(json!({"content": parts}))], &expected);
    check_message(json!({"content": parts}), &expected);
    check(&[event(json!({"content": []}))], &[]);
    check(&[event(json!({"content": null}))], &[]);
    check(&[event(json!({"content": {"odd": 1}}))], &[]);
    check(
        &[event(json!({"content": "a\nb \u{e9}"}))],
        &[text("a\nb é")],
    );
}

#[test]
fn text_without_escapes_is_borrowed_from_the_event() {
    let event = r#"{"choices":[{"delta":{"content":"plain"}}]}"#;
    let mut chunk = Chunk::default();

    read_shape(&mut chunk, event.as_bytes()).unwrap();

    let choice = chunk.choices.as_mut().and_then(|few| few.iter_mut().next());
    let delta = choice.and_then(|choice| choice.delta.take());
    assert!(matches!(
        delta.and_then(|delta| delta.content),
        Some(Content::Text(Cow::Borrowed("plain")))
    ));
}

#[test]
fn thoughts_in_thoughts_without_end_are_passed_over() {
    let open = r#"[{"type":"thinking","thinking":"#.repeat(100_000);
    let close = "}]".repeat(100_000);
    let deep = format!(r#"{{"choices":[{{"delta":{{"content":{open}"x"{close}}}}}]}}"#);
    let flat = event(json!({"content": "y"}));

    check(&[Value::String(deep), flat], &[text("y")]);
}

#[test]
fn finish_reasons_are_read_in_any_case_and_behind_any_prefix() {
    for (words, expected) in [
        (
            &[
                "stop",
                "STOP",
                "FinishReason.STOP",
                "end_turn",
                "eos",
                "eos_token",
                "news",
            ][..],
            Ok(StopReason::EndTurn),
        ),
        (
            &[
                "length",
                "model_length",
                "max_tokens",
                "MAX_TOKENS",
                "max_output_tokens",
            ],
            Ok(StopReason::MaxTokens),
        ),
        (
            &["tool_calls", "function_call", "tool_use"],
            Ok(StopReason::ToolUse),
        ),
        (
            &[
                "content_filter",
                "sensitive",
                "SAFETY",
                "FinishReason.SAFETY",
                "PROHIBITED_CONTENT",
                "BLOCKLIST",
                "content_filter: RECITATION",
                "SPII",
            ],
            Ok(StopReason::ContentFiltered),
        ),
        (
            &[
                "error",
                "abort",
                "network_error",
                "MALFORMED_FUNCTION_CALL",
                "function_call_filter: MALFORMED_FUNCTION_CALL",
            ],
            Err(Kind::Server),
        ),
        (&["insufficient_system_resource"], Err(Kind::Overloaded)),
        (
            &["model_context_window_exceeded"],
            Err(Kind::ContextOverflow),
        ),
    ] {
        for word in words {
            let (deltas, failure) = decode(&[event(json!({"content": "x"})), finish(word)]);
            let stop = match deltas.last() {
                Some(ModelDelta::Stop(stop)) => Some(*stop),
                _ => None,
            };
            assert_eq!((stop, failure), (expected.ok(), expected.err()), "{word}");
        }
    }
}

#[test]
fn unknown_reason_does_not_run_a_call_that_may_be_cut() {
    let call = |arguments: &str| {
        let call =
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}});
        event(json!({ "tool_calls": [call] }))
    };
    for (arguments, reason, failure) in [
        ("", "news", Some(Kind::Server)),
        ("{}", "news", None),
        ("", "tool_calls", None),
        ("", "max_output_tokens", None),
    ] {
        let told = decode(&[call(arguments), finish(reason)]);
        assert_eq!(told.1, failure, "{arguments:?} {reason}");
    }
}

#[test]
fn unknown_reason_ends_only_an_answer_that_says_something() {
    assert_eq!(decode(&[finish("news")]), (vec![], Some(Kind::Server)));
    let thought = decode(&[event(json!({"reasoning": "Hm"})), finish("OTHER")]);
    assert_eq!(thought.1, Some(Kind::Server));
    assert_eq!(decode(&[finish("stop")]), (vec![END], None));
}

#[test]
fn empty_reason_is_no_end() {
    let piece = |content: &str, reason: &str| json!({"choices": [{"delta": {"content": content}, "finish_reason": reason}]});
    check(
        &[piece("a", ""), piece("b", ""), piece("c", "length")],
        &[
            text("a"),
            text("b"),
            text("c"),
            ModelDelta::Stop(StopReason::MaxTokens),
        ],
    );
}

#[test]
fn stop_text_beside_the_reason_is_a_stop_sequence() {
    for (reason, stop_reason, expected) in [
        ("stop", json!("END"), StopReason::StopSequence),
        ("stop", json!(151_645), StopReason::EndTurn),
        ("stop", json!(null), StopReason::EndTurn),
        ("length", json!("END"), StopReason::MaxTokens),
    ] {
        let end = json!({"choices": [{"delta": {}, "finish_reason": reason, "stop_reason": stop_reason}]});
        check(&[end], &[ModelDelta::Stop(expected)]);
    }
}

#[test]
fn delta_wins_over_the_message_beside_it() {
    let both = json!({"choices": [{"delta": {"content": "b"}, "message": {"content": "ab"}}]});
    check(&[both], &[text("b")]);
    let null = json!({"choices": [{"delta": {"content": "b"}, "message": null}]});
    check(&[null], &[text("b")]);
}

#[test]
fn refusals_and_both_names_of_reasoning_are_read() {
    check(
        &[
            event(json!({"reasoning_content": "a", "content": ""})),
            event(json!({"reasoning_content": "b", "reasoning": "b"})),
            event(json!({"refusal": "No."})),
            finish("stop"),
        ],
        &[
            reasoning("a"),
            reasoning("b"),
            ModelDelta::Refusal("No.".into()),
            opaque(json!({"text_in": "reasoning_content"})),
            END,
        ],
    );
    check(
        &[event(json!({"reasoning": "a"})), finish("stop")],
        &[reasoning("a"), opaque(json!({"text_in": "reasoning"})), END],
    );
}

#[test]
fn reasoning_names_the_host_that_it_goes_back_to() {
    let mut decoder = StreamDecoder::of("api.deepseek.com");
    let mut deltas = AnswerDeltas::new(head());
    for event in [event(json!({"reasoning_content": "a"})), finish("stop")] {
        let event = event.to_string();
        decoder.take_event(event.as_bytes(), &mut deltas).unwrap();
    }

    let own = opaque(json!({"text_in": "reasoning_content", "host": "api.deepseek.com"}));
    assert!(deltas.into_waiting().contains(&own));
}

#[test]
fn pieces_of_reasoning_details_are_joined() {
    let detail = |detail: Value| event(json!({ "reasoning_details": [detail] }));
    check(
        &[
            detail(json!({"type": "reasoning.text", "index": 0, "text": "a"})),
            detail(json!({"type": "reasoning.text", "index": 0, "text": "b", "signature": null})),
            detail(json!({"type": "reasoning.text", "index": 0, "signature": "s"})),
            detail(json!({"type": "reasoning.encrypted", "index": 1, "data": "d"})),
            finish("stop"),
        ],
        &[
            opaque(json!({"reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "ab", "signature": "s"},
                {"type": "reasoning.encrypted", "index": 1, "data": "d"}
            ]})),
            END,
        ],
    );
}

#[test]
fn half_a_character_does_not_lose_the_text() {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    let event = br#"{"choices":[{"delta":{"content":"a\ud83d"}}]}"#;
    decoder.take_event(event, &mut deltas).unwrap();
    assert_eq!(
        deltas.into_waiting().back(),
        Some(&ModelDelta::Text("a\u{fffd}".into()))
    );
}

#[test]
fn usage_that_cannot_be_read_is_none() {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    let event = br#"{"choices":[],"usage":{"prompt_tokens":"10","completion_tokens":-1}}"#;
    decoder.take_event(event, &mut deltas).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| deltas.pop()).collect();
    assert_eq!(waiting.last(), Some(&ModelDelta::Usage(Usage::new(10, 0))));

    let event = br#"{"choices":[],"usage":"much"}"#;
    assert!(!decoder.take_event(event, &mut deltas).unwrap());
}

#[test]
fn usage_is_read_in_every_dialect() {
    let usage = |input, output, cached, reasoning| {
        let mut usage = Usage::new(input, output);
        usage.cache_read_tokens = cached;
        usage.reasoning_tokens = reasoning;
        usage
    };
    for (wire, expected) in [
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}),
            usage(10, 5, 4, 2),
        ),
        // DeepSeek.
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 6}),
            usage(10, 5, 6, 0),
        ),
        // xAI: reasoning is in the total only.
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7}}),
            usage(10, 12, 0, 7),
        ),
        (
            json!({"prompt_tokens": 10, "total_tokens": 10}),
            usage(10, 0, 0, 0),
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3}),
            usage(10, 5, 0, 0),
        ),
    ] {
        let event = json!({"choices": [], "usage": wire});
        check(&[event], &[ModelDelta::Usage(expected)]);
    }
}

#[test]
fn answer_that_comes_whole_is_decoded_like_a_stream() {
    let body = json!({"choices": [{"message": {"content": "Hi", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let deltas = decode_whole(body.to_string().as_bytes()).unwrap();
    assert_eq!(
        deltas.into_iter().collect::<Vec<_>>(),
        [
            ModelDelta::Started { request_id: None },
            text("Hi"),
            start(0, "a", "f"),
            input(0, "{}"),
            ModelDelta::Stop(StopReason::ToolUse),
            ModelDelta::Usage(Usage::new(1, 2)),
        ]
    );
}

#[test]
fn errors_under_success_never_pass() {
    for (data, in_stream, whole) in [
        (
            r#"{"object":"error","message":"x","type":"rate_limited"}"#,
            Some(Kind::Throttled),
            Kind::Throttled,
        ),
        (
            r#"[{"error":{"code":429,"message":"x"}}]"#,
            Some(Kind::Throttled),
            Kind::Throttled,
        ),
        (
            r#"{"error":"x","code":"insufficient_quota"}"#,
            Some(Kind::QuotaExhausted),
            Kind::QuotaExhausted,
        ),
        (
            r#"{"choices":"x","error":{"code":429}}"#,
            Some(Kind::Throttled),
            Kind::Throttled,
        ),
        (
            r#"{"choices":[{"delta":{}}],"x_groq":{"error":"stopped early"}}"#,
            Some(Kind::Server),
            Kind::Server,
        ),
        (r#"{"choices":"x"}"#, Some(Kind::Protocol), Kind::Protocol),
        (r#"{"type":"ping"}"#, None, Kind::Protocol),
        ("[]", None, Kind::Protocol),
        ("1", Some(Kind::Protocol), Kind::Protocol),
        ("oops", Some(Kind::Protocol), Kind::Protocol),
        (r#"{"choices":[]}"#, None, Kind::Protocol),
        ("", Some(Kind::Protocol), Kind::Truncated),
    ] {
        assert_eq!(decode(&[json!(data)]), (vec![], in_stream), "{data}");
        let error = decode_whole(data.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), whole, "{data}");
    }
    for (field, value) in [
        ("error", json!(null)),
        ("x_groq", json!({"id": "req_1", "error": null})),
    ] {
        let empty = json!({field: value, "choices": [{"delta": {"content": "x"}}]});
        check(&[empty], &[text("x")]);
    }
}

#[test]
fn malformed_event_after_the_end_changes_nothing() {
    check(&[finish("stop"), json!("{\"usage\": oops")], &[END]);
}
