use serde_json::json;
use steadfast_core::{
    ContentBlock, ModelErrorKind as Kind, ModelResponse, ModelStream, Reasoning, StopReason,
    ToolUse, Usage,
};

use super::*;

/// Decodes lines, as an answer of success.
async fn read(lines: &[&str]) -> Result<ModelResponse, ModelError> {
    let mut decoder = StreamDecoder::default();
    let mut deltas = AnswerDeltas::new(Head::of_status(200));
    for line in lines {
        if decoder.take_event(line.as_bytes(), &mut deltas)? {
            break;
        }
    }
    ModelStream::from_deltas(deltas.into_waiting())
        .response()
        .await
}

/// Checks what lines come to.
async fn check(lines: &[&str], content: &[ContentBlock], stop: StopReason) {
    let answer = read(lines).await.unwrap();
    assert_eq!(answer.message.content, content, "{lines:?}");
    assert_eq!(answer.stop_reason, stop, "{lines:?}");
}

fn thoughts(text: &str) -> ContentBlock {
    let own = json!({"ollama": {"text_in": "thinking"}});
    ContentBlock::Reasoning(Reasoning::new(text).with_opaque(own))
}

fn call(id: &str, name: &str, input: Value) -> ContentBlock {
    ContentBlock::ToolUse(ToolUse::new(id, name, input))
}

const DONE: &str =
    r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}"#;

#[tokio::test]
async fn thoughts_and_texts_keep_their_order() {
    check(
        &[
            r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"H"},"done":false}"#,
            r#"{"message":{"thinking":"m"}}"#,
            r#"{"message":{"content":"a"},"done":false}"#,
            r#"{"message":{"content":"b","thinking":null,"new":[1]},"logprobs":[{}]}"#,
            r#"{"message":{"thinking":"More."}}"#,
            DONE,
        ],
        &[thoughts("Hm"), ContentBlock::text("ab"), thoughts("More.")],
        StopReason::EndTurn,
    )
    .await;
}

#[tokio::test]
async fn calls_of_old_and_new_servers_are_told_apart() {
    check(
        &[
            r#"{"message":{"content":"I look.","tool_calls":[
                {"id":"call_a","function":{"index":0,"name":"f","arguments":{"stadt":"Zürich"}}},
                {"function":{"name":"f","arguments":{}}}]}}"#,
            r#"{"message":{"content":"","tool_calls":[{"function":{"name":"g","arguments":"{\"a\":1}"}}]}}"#,
            r#"{"message":{"tool_calls":[{"id":"","function":{"name":"g"}},{}]}}"#,
            DONE,
        ],
        &[
            ContentBlock::text("I look."),
            call("call_a", "f", json!({"stadt": "Zürich"})),
            call("call_1", "f", json!({})),
            call("call_2", "g", json!({"a": 1})),
            call("call_3", "g", json!({})),
            call("call_4", "", json!({})),
        ],
        StopReason::ToolUse,
    )
    .await;
}

#[tokio::test]
async fn words_at_the_end_say_why_it_came() {
    let text = r#"{"message":{"content":"x"}}"#;
    for (reason, stop) in [
        (r#""stop""#, StopReason::EndTurn),
        (r#""length""#, StopReason::MaxTokens),
        (r#""load""#, StopReason::EndTurn),
        (r#""""#, StopReason::EndTurn),
        ("null", StopReason::EndTurn),
        (r#""new word""#, StopReason::EndTurn),
    ] {
        let done = format!(r#"{{"done":true,"done_reason":{reason}}}"#);
        check(&[text, &done], &[ContentBlock::text("x")], stop).await;
    }
}

#[tokio::test]
async fn end_without_an_answer_is_an_error() {
    for (reason, kind) in [
        ("load", Kind::Server),
        ("unload", Kind::Server),
        ("", Kind::Server),
        ("new word", Kind::Server),
    ] {
        let done =
            format!(r#"{{"message":{{"content":""}},"done":true,"done_reason":"{reason}"}}"#);
        let error = read(&[&done]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reason}");
        assert_eq!(error.why().unwrap(), format!("done reason `{reason}`"));
    }
    check(&[DONE], &[], StopReason::EndTurn).await;
}

#[tokio::test]
async fn call_that_the_limit_cut_is_not_asked_for() {
    let answer = read(&[
        r#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}}"#,
        r#"{"done":true,"done_reason":"length"}"#,
    ])
    .await
    .unwrap();

    assert_eq!(answer.stop_reason, StopReason::MaxTokens);
}

#[tokio::test]
async fn counts_are_the_usage_in_any_form() {
    for (counts, usage) in [
        (
            r#""prompt_eval_count":26,"eval_count":259"#,
            Usage::new(26, 259),
        ),
        (r#""eval_count":259.0"#, Usage::new(0, 259)),
        (
            r#""prompt_eval_count":{},"eval_count":"x""#,
            Usage::default(),
        ),
        (r#""x":1"#, Usage::default()),
    ] {
        let done = format!(r#"{{"done":true,"done_reason":"stop",{counts}}}"#);
        assert_eq!(read(&[&done]).await.unwrap().usage, usage, "{counts}");
    }
}

#[tokio::test]
async fn lines_of_something_between_pass_unless_they_are_errors() {
    check(
        &[
            r#"{"status":"pulling manifest"}"#,
            r#"{"error":null,"message":{"content":"x"}}"#,
            DONE,
        ],
        &[ContentBlock::text("x")],
        StopReason::EndTurn,
    )
    .await;
    for (line, kind) in [
        (r#"{"message":"Too many requests"}"#, Kind::Server),
        (r#"{"detail":"Not Found"}"#, Kind::Server),
        (r#"{"error":"x"}"#, Kind::Server),
        (
            r#"{"error":"x","done":true,"message":{"content":"y"}}"#,
            Kind::Server,
        ),
        (r#"{"message":{"content":5}}"#, Kind::Protocol),
        (r#"{"message":{"content":"x"#, Kind::Protocol),
        ("\"x\"", Kind::Protocol),
    ] {
        assert_eq!(read(&[line]).await.unwrap_err().kind(), kind, "{line}");
    }
}

#[tokio::test]
async fn halves_of_characters_lose_no_line() {
    check(
        &[r#"{"message":{"content":"a\ud83db"}}"#, DONE],
        &[ContentBlock::text("a\u{fffd}b")],
        StopReason::EndTurn,
    )
    .await;
}

#[test]
fn whole_answer_that_says_nothing_is_no_answer() {
    for body in [r#"{"model":"m"}"#, r#"{"message":{"content":"x"}}"#] {
        let mut deltas = AnswerDeltas::new(Head::of_status(200));
        let error = StreamDecoder::default()
            .take_whole(body.as_bytes(), &mut deltas)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}");
    }
}
