use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use steadfast_core::{ModelErrorKind as Kind, Usage};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{answer, delta_stream::DeltaStream};

fn head() -> Head {
    Head::of_status(200)
}

/// Decodes events up to the first failure; whether the answer was complete behind them.
fn decode(events: &[Value]) -> (Vec<ModelDelta>, Result<bool, Kind>) {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(head());
    for event in events {
        if let Err(error) = decoder.take_event(event.to_string().as_bytes(), &mut deltas) {
            return (without_start(deltas.into_waiting()), Err(error.kind()));
        }
    }
    let complete = deltas.is_complete();
    (without_start(deltas.into_waiting()), Ok(complete))
}

fn without_start(deltas: impl IntoIterator<Item = ModelDelta>) -> Vec<ModelDelta> {
    let said = |delta: &ModelDelta| !matches!(delta, ModelDelta::Started { .. });
    deltas.into_iter().filter(said).collect()
}

/// Checks an answer that ends well: its parts, each in an event of its own.
fn check(parts: &[Value], expected: &[ModelDelta]) {
    let mut events: Vec<Value> = parts.iter().map(|part| said(json!([part]))).collect();
    events.push(finished("STOP"));
    let (mut deltas, complete) = decode(&events);
    assert_eq!(complete, Ok(true), "{parts:?}");
    assert_eq!(deltas.pop(), Some(END));
    assert_eq!(deltas, expected, "{parts:?}");
}

fn said(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn finished(reason: &str) -> Value {
    json!({"candidates": [{"finishReason": reason, "index": 0}]})
}

fn text(text: &str) -> ModelDelta {
    ModelDelta::Text(text.into())
}

fn thought(text: &str) -> ModelDelta {
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

const END: ModelDelta = ModelDelta::Stop(StopReason::EndTurn);

#[test]
fn signatures_stay_with_the_part_they_came_with() {
    check(
        &[
            json!({"text": "a"}),
            json!({"text": "bé", "thoughtSignature": "s"}),
            json!({"text": "c"}),
            json!({"text": "", "thoughtSignature": "t"}),
        ],
        &[
            text("a"),
            text("bé"),
            own(json!({"signs": 3, "thoughtSignature": "s"})),
            text("c"),
            own(json!({"text": "", "thoughtSignature": "t"})),
        ],
    );
    check(
        &[json!({"functionCall": {"name": "f"}, "thoughtSignature": "s"})],
        &[
            start(0, "unnumbered_0", "f"),
            own(json!({"signs": "call", "thoughtSignature": "s"})),
        ],
    );
}

#[test]
fn thoughts_are_marked_as_this_wires_with_their_signature() {
    check(
        &[
            json!({"text": "a", "thought": true}),
            json!({"text": "b", "thought": true}),
            json!({"text": "c", "thought": true, "thoughtSignature": "s"}),
            json!({"text": "d", "thought": true}),
            json!({"text": "e"}),
        ],
        &[
            thought("a"),
            thought("b"),
            opaque(json!({})),
            thought("c"),
            opaque(json!({"thoughtSignature": "s"})),
            thought("d"),
            opaque(json!({})),
            text("e"),
        ],
    );
}

#[test]
fn calls_come_whole_and_get_an_identity_if_they_have_none() {
    check(
        &[
            json!({"functionCall": {"id": "c7", "name": "a", "args": {"city": "Tromsø ☔"}}}),
            json!({"functionCall": {"name": "b", "args": {}}}),
            json!({"functionCall": {"id": "", "name": "c", "args": null}}),
        ],
        &[
            start(0, "c7", "a"),
            input(0, "{\"city\":\"Tromsø ☔\"}"),
            start(1, "unnumbered_1", "b"),
            input(1, "{}"),
            start(2, "unnumbered_2", "c"),
        ],
    );
}

#[test]
fn identities_that_are_made_up_are_the_answers_own() {
    let mut event = said(json!([{"functionCall": {"name": "a"}}, {"functionCall": {"name": "b"}}]));
    event["responseId"] = json!("r1");
    let (deltas, _) = decode(&[event]);

    let expected = [
        start(0, "unnumbered_r1_0", "a"),
        start(1, "unnumbered_r1_1", "b"),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn parts_that_are_not_known_are_kept_whole() {
    let code = json!({"executableCode": {"code": "1"}, "thoughtSignature": "s"});
    let empty = json!({"thoughtSignature": "t"});
    let expected = [text("a"), own(code.clone()), own(empty.clone()), text("b")];
    check(
        &[
            json!({"text": "a"}),
            code,
            empty,
            json!({}),
            json!({"text": "b"}),
        ],
        &expected,
    );
}

#[test]
fn answer_goes_on_behind_a_reason_to_stop() {
    let (deltas, complete) = decode(&[
        said(json!([{"text": "a"}])),
        finished("STOP"),
        said(json!([{"text": "b"}])),
        finished("MAX_TOKENS"),
    ]);

    let expected = [
        text("a"),
        END,
        text("b"),
        ModelDelta::Stop(StopReason::MaxTokens),
    ];
    assert_eq!(complete, Ok(true));
    assert_eq!(deltas, expected);
}

#[test]
fn reasons_to_stop_are_told_apart() {
    for (reason, expected) in [
        ("MAX_TOKENS", Ok(StopReason::MaxTokens)),
        ("SAFETY", Ok(StopReason::ContentFiltered)),
        ("RECITATION", Ok(StopReason::ContentFiltered)),
        ("BLOCKLIST", Ok(StopReason::ContentFiltered)),
        ("PROHIBITED_CONTENT", Ok(StopReason::ContentFiltered)),
        ("SPII", Ok(StopReason::ContentFiltered)),
        ("MODEL_ARMOR", Ok(StopReason::GuardrailIntervened)),
        ("MALFORMED_FUNCTION_CALL", Err(Kind::Server)),
        ("MALFORMED_RESPONSE", Err(Kind::Server)),
        ("UNEXPECTED_TOOL_CALL", Err(Kind::Server)),
        ("MISSING_THOUGHT_SIGNATURE", Err(Kind::InvalidRequest)),
        // An answer that says nothing is none, unless its reason says why.
        ("STOP", Err(Kind::Server)),
        ("OTHER", Err(Kind::Server)),
        ("MADE_UP", Err(Kind::Server)),
    ] {
        let (deltas, complete) = decode(&[finished(reason)]);
        let told = complete.map(|_| deltas.last().cloned());
        let expected = expected.map(|stop| Some(ModelDelta::Stop(stop)));
        assert_eq!(told, expected, "{reason}");
    }
    // What broke off is not passed off as whole; what nobody knows mostly is.
    for (reason, complete) in [
        ("OTHER", false),
        ("TOO_MANY_TOOL_CALLS", false),
        ("MADE_UP", true),
    ] {
        let (deltas, _) = decode(&[said(json!([{"text": "a"}])), finished(reason)]);
        assert_eq!(deltas.last() == Some(&END), complete, "{reason}");
    }
}

#[test]
fn call_that_comes_in_pieces_is_refused() {
    for piece in [
        json!({"name": "f", "partialArgs": [{"jsonPath": "$.city", "stringValue": "Os"}], "willContinue": true}),
        json!({"name": "f", "willContinue": true}),
    ] {
        let (deltas, complete) = decode(&[said(json!([{ "functionCall": piece }]))]);
        assert_eq!(complete, Err(Kind::Unsupported), "{piece}");
        assert_eq!(deltas, [], "{piece}");
    }
}

#[test]
fn blocked_prompt_is_an_error_with_its_reason() {
    let event = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}});
    let mut decoder = StreamDecoder::default();

    let error = decoder
        .take_event(event.to_string().as_bytes(), &mut AnswerDeltas::new(head()))
        .unwrap_err();

    assert_eq!(error.kind(), Kind::ContentFiltered);
    assert_eq!(error.why(), Some("block reason `SAFETY`"));
}

#[test]
fn usage_may_come_behind_the_end_and_keeps_what_was_counted() {
    let usage = |counts: Value| json!({ "usageMetadata": counts });
    let (deltas, _) = decode(&[
        usage(json!({"promptTokenCount": 10, "cachedContentTokenCount": 4})),
        said(json!([{"text": "a"}])),
        finished("STOP"),
        usage(
            json!({"candidatesTokenCount": 3, "thoughtsTokenCount": 2, "toolUsePromptTokenCount": 5}),
        ),
    ]);

    let mut expected = Usage::new(15, 5);
    expected.cache_read_tokens = 4;
    expected.reasoning_tokens = 2;
    assert_eq!(deltas.last(), Some(&ModelDelta::Usage(expected)));
}

#[test]
fn errors_in_mid_stream_are_classified_in_any_form() {
    let error = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": ""}});
    for event in [
        error.clone(),
        json!([error]),
        json!({"error": {"code": 429, "message": ""}}),
    ] {
        let (deltas, complete) = decode(&[said(json!([{"text": "a"}])), event]);
        assert_eq!(deltas, [text("a")]);
        assert_eq!(complete, Err(Kind::Throttled));
    }
}

#[test]
fn error_behind_a_complete_answer_is_none() {
    let error = json!({"error": {"code": 503, "status": "UNAVAILABLE"}});
    let text = said(json!([{"text": "a"}]));
    let code = said(json!([{"executableCode": {"code": "1"}}]));
    for (before, expected) in [
        (vec![text.clone(), finished("STOP")], Ok(true)),
        // The result of the code is still to come, and so is what the model makes of it.
        (vec![code.clone(), finished("STOP")], Err(Kind::Overloaded)),
        (
            vec![code, finished("STOP"), text, finished("STOP")],
            Ok(true),
        ),
    ] {
        let events = [before, vec![error.clone()]].concat();

        assert_eq!(decode(&events).1, expected, "{events:?}");
    }
}

#[test]
fn what_is_not_of_this_wire_passes() {
    let ping = json!({"type": "ping"});
    let (deltas, complete) = decode(&[ping, json!({}), said(json!([{"text": "a"}]))]);

    assert_eq!(complete, Ok(false));
    assert_eq!(deltas, [text("a")]);
}

/// A body of one chunk that never ends.
struct Stalled(Option<Bytes>);

impl Stream for Stalled {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.0.take();
        chunk.map_or(Poll::Pending, |chunk| Poll::Ready(Some(Ok(chunk))))
    }
}

/// Says how long an answer is waited for behind these events; none where it never ends.
async fn waits_for_more(events: &[Value]) -> Option<Duration> {
    let body: String = events
        .iter()
        .map(|event| format!("data: {event}\r\n\r\n"))
        .collect();
    let body = Stalled(Some(Bytes::from(body)));
    let mut stream = DeltaStream::new(body, head(), StreamDecoder::default());
    let begun = Instant::now();
    let to_its_end = async {
        while let Some(delta) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
            delta.unwrap();
        }
    };
    let ended = timeout(Duration::from_secs(60), to_its_end).await;
    ended.ok().map(|()| begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_over_waits_a_second_for_the_rest() {
    let text = said(json!([{"text": "a"}]));
    let code = said(json!([{"executableCode": {"code": "1"}}]));
    let end = finished("STOP");
    for (events, expected) in [
        (
            vec![text.clone(), end.clone()],
            Some(Duration::from_secs(1)),
        ),
        // What a tool of the vendor's own finds out may take its time.
        (vec![code, end], None),
        (vec![text], None),
    ] {
        assert_eq!(waits_for_more(&events).await, expected, "{events:?}");
    }
}

#[test]
fn whole_answers_come_alone_or_as_a_list_of_chunks() {
    let whole = |body: &Value| {
        answer::decode_whole(
            head(),
            body.to_string().as_bytes(),
            StreamDecoder::default(),
        )
        .map(without_start)
        .map_err(|error| error.kind())
    };
    let mut alone = said(json!([{"text": "a"}]));
    alone["candidates"][0]["finishReason"] = json!("STOP");
    let list = json!([said(json!([{"text": "a"}])), finished("STOP")]);

    assert_eq!(whole(&alone), Ok(vec![text("a"), END]));
    assert_eq!(whole(&list), Ok(vec![text("a"), END]));
    for (body, kind) in [
        (json!({"candidates": []}), Kind::Truncated),
        (json!([said(json!([{"text": "a"}]))]), Kind::Truncated),
        (json!([]), Kind::Truncated),
        (json!({}), Kind::Protocol),
        (json!({"candidates": 3}), Kind::Protocol),
        (json!([{"error": {"code": 503}}]), Kind::Overloaded),
    ] {
        assert_eq!(whole(&body), Err(kind), "{body}");
    }
}
