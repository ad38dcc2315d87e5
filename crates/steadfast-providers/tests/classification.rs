//! The whole table of what OpenAI, Anthropic, Gemini and those who speak their wires answer when they do not
//! answer: kind, server's hint and evidence, through the same path that a call takes.

#[path = "classification/anthropic.rs"]
mod anthropic;
#[cfg(feature = "bedrock")]
#[path = "classification/bedrock.rs"]
mod bedrock;
#[cfg(feature = "bedrock")]
#[path = "classification/bedrock_stream.rs"]
mod bedrock_stream;
#[path = "classification/compatible.rs"]
mod compatible;
#[path = "classification/gemini.rs"]
mod gemini;
#[path = "classification/ollama.rs"]
mod ollama;
#[path = "classification/openai.rs"]
mod openai;
#[cfg(feature = "bedrock")]
#[path = "classification/page.rs"]
mod page;

use std::time::Duration;

use http::Response;
use steadfast_core::{ModelError, ModelErrorKind as Kind, StopReason};
use steadfast_providers::Wire::{self, Anthropic, Gemini, Ollama, OpenAiChat, OpenAiResponses};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What comes back for a call.
#[derive(Debug, Clone, Copy)]
struct Answered {
    wire: Wire,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

/// What is expected of it: a kind, how long the server asks to wait, and a part of the evidence.
type Row = (Answered, Kind, Option<Duration>, &'static str);

const STREAM: &[(&str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];

const fn openai(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: OpenAiChat,
        status,
        headers: &[],
        body,
    }
}

const fn anthropic(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: Anthropic,
        ..openai(status, body)
    }
}

const fn responses(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: OpenAiResponses,
        ..openai(status, body)
    }
}

const fn gemini(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: Gemini,
        ..openai(status, body)
    }
}

const fn ollama(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: Ollama,
        ..openai(status, body)
    }
}

impl Answered {
    const fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// The same answer in mid-stream, after the status said that all is well.
    const fn streamed(self) -> Self {
        Self {
            status: 200,
            headers: STREAM,
            ..self
        }
    }

    async fn read(self) -> TestResult<Result<StopReason, ModelError>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(*name, *value);
        }
        let response = response.body(self.body.into())?;
        Ok(self
            .wire
            .read(response)
            .await
            .map(|answer| answer.stop_reason))
    }
}

#[tokio::test]
async fn hint_of_aws_is_kept_apart_from_others() -> TestResult {
    let refused = openai(429, r#"{"error":{"message":"slow down"}}"#);
    for (answered, hint, hint_of_aws) in [
        (
            refused.with(&[("x-amz-retry-after", "1500")]),
            Some(1_500),
            Some(1_500),
        ),
        (
            refused.with(&[("x-amz-retry-after", "1500.5")]),
            Some(1_500),
            None,
        ),
        (refused.with(&[("retry-after", "7")]), Some(7_000), None),
    ] {
        let error = answered.read().await?.err().ok_or(answered.body)?;

        let millis = |hint: Duration| hint.as_millis();
        assert_eq!(error.retry_after().map(millis), hint);
        assert_eq!(error.aws_retry_after().map(millis), hint_of_aws);
    }
    Ok(())
}

async fn check(rows: &[Row]) -> TestResult {
    for (answered, kind, hint, why) in rows {
        let error = answered.read().await?.err().ok_or(answered.body)?;
        assert_eq!(error.kind(), *kind, "{answered:?}");
        assert_eq!(error.retry_after(), *hint, "{answered:?}");
        // Where no vendor said anything, the sentence is our own, and the evidence.
        let evidence = error.why().unwrap_or_else(|| error.message());
        assert!(evidence.contains(why), "{answered:?}: {evidence}");
        assert_eq!(error.status(), Some(answered.status), "{answered:?}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_of_any_server_hold_for_every_wire() -> TestResult {
    for answered in [openai, anthropic, responses, gemini, ollama] {
        check(&[
            (answered(425, ""), Kind::Server, None, "status 425"),
            (answered(408, ""), Kind::Timeout, None, "status 408"),
            (answered(501, ""), Kind::Unsupported, None, "status 501"),
            (answered(505, ""), Kind::Unsupported, None, "status 505"),
            (answered(301, ""), Kind::NotFound, None, "status 301"),
            // A limit that happens to be used up is not what is wrong.
            (
                answered(400, "").with(&[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "7s"),
                ]),
                Kind::InvalidRequest,
                None,
                "status 400",
            ),
            (
                answered(200, "").streamed(),
                Kind::Truncated,
                None,
                "end marker",
            ),
            (
                answered(200, "").with(&[("content-type", "application/json")]),
                Kind::Truncated,
                None,
                "the body is empty",
            ),
            (
                answered(200, "<html></html>").with(&[("content-type", "text/html")]),
                Kind::Truncated,
                None,
                "a web page",
            ),
            (
                answered(200, "data: {oops\n\n").streamed(),
                Kind::Protocol,
                None,
                "not the JSON",
            ),
        ])
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn servers_word_on_retrying_overrides_what_may_change() -> TestResult {
    const NO: &[(&str, &str)] = &[("x-should-retry", "false")];
    const YES: &[(&str, &str)] = &[("x-should-retry", "true")];
    for (answered, transient, why) in [
        (
            anthropic(
                529,
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
            )
            .with(NO),
            false,
            "error type `overloaded_error`, header `x-should-retry: false`",
        ),
        (
            anthropic(400, "").with(YES),
            true,
            "status 400, header `x-should-retry: true`",
        ),
        (
            openai(409, "").with(NO),
            false,
            "status 409, header `x-should-retry: false`",
        ),
        // OpenAI asks to retry even where the money is used up.
        (
            openai(429, r#"{"error":{"code":"insufficient_quota"}}"#).with(YES),
            false,
            "error code `insufficient_quota`",
        ),
        (anthropic(402, "").with(YES), false, "status 402"),
    ] {
        let error = answered.read().await?.err().ok_or("an answer")?;
        assert_eq!(error.is_transient(), transient, "{answered:?}");
        assert_eq!(error.why(), Some(why), "{answered:?}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_told_by_their_stop_reason() -> TestResult {
    for (answered, stop) in [
        (
            openai(
                200,
                r#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}]}"#,
            ),
            StopReason::MaxTokens,
        ),
        (
            openai(
                200,
                "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"content_filter\"}]}\n\n",
            ),
            StopReason::ContentFiltered,
        ),
        (
            responses(
                200,
                r#"{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}"#,
            ),
            StopReason::ContentFiltered,
        ),
        (
            responses(
                200,
                "data: {\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}}\n\n",
            ),
            StopReason::MaxTokens,
        ),
        (
            anthropic(
                200,
                r#"{"type":"message","content":[{"type":"text","text":"No."}],"stop_reason":"refusal"}"#,
            ),
            StopReason::Refusal,
        ),
        (
            anthropic(
                200,
                "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"pause_turn\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
            ),
            StopReason::PauseTurn,
        ),
        (
            gemini(
                200,
                r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"SAFETY"}]}"#,
            ),
            StopReason::ContentFiltered,
        ),
        (
            gemini(
                200,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"MAX_TOKENS"}]}"#,
            ),
            StopReason::MaxTokens,
        ),
    ] {
        assert_eq!(answered.read().await?.ok(), Some(stop), "{answered:?}");
    }
    Ok(())
}

#[tokio::test]
async fn identity_of_a_request_is_found_in_header_and_body() -> TestResult {
    let body = r#"{"type":"error","error":{"type":"api_error"},"request_id":"req_body"}"#;
    for (answered, expected) in [
        (
            anthropic(500, body).with(&[("request-id", "req_header")]),
            "req_header",
        ),
        (anthropic(500, body), "req_body"),
        (
            openai(500, "").with(&[("x-request-id", "req_header")]),
            "req_header",
        ),
    ] {
        let error = answered.read().await?.err().ok_or("an answer")?;
        assert_eq!(error.request_id(), Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn redirection_names_the_address_without_its_query() -> TestResult {
    for answered in [openai(302, ""), anthropic(302, "<html>")] {
        let moved = answered.with(&[("location", "https://h/v2?key=topsecret")]);
        let error = moved
            .read()
            .await?
            .err()
            .ok_or("a redirection is an error")?;
        let message = error.message();
        assert!(
            message.contains("the address redirects to `https://h/v2`"),
            "{message}"
        );
        assert!(!format!("{error:?}").contains("topsecret"));
    }
    Ok(())
}

#[tokio::test]
async fn redirection_names_no_address_that_is_none_or_holds_a_password() -> TestResult {
    const ADDRESSES: [&[(&str, &str)]; 4] = [
        &[],
        &[("location", "")],
        &[("location", "?key=topsecret")],
        &[("location", "https://me:topsecret@h/v2")],
    ];
    for headers in ADDRESSES {
        let error = openai(302, "").with(headers).read().await?.err();

        let message = error
            .ok_or("a redirection is an error")?
            .message()
            .to_owned();
        assert_eq!(message, "the address redirects: is the base URL another?");
    }
    Ok(())
}

#[tokio::test]
async fn codes_of_compatible_servers_hold_for_every_wire() -> TestResult {
    for answered in [openai, anthropic, responses, gemini] {
        check(&[
            // Z.ai
            (answered(429, r#"{"error":{"type":"rate_limit_error","code":"1113","message":""}}"#), Kind::QuotaExhausted, None, "error code `1113`"),
            (answered(429, r#"{"error":{"type":"1113","message":""}}"#), Kind::QuotaExhausted, None, "error type `1113`"),
            (answered(429, r#"{"error":{"code":"1302","message":""}}"#), Kind::Throttled, None, "error code `1302`"),
            // Moonshot
            (answered(429, r#"{"error":{"type":"exceeded_current_quota_error","message":""}}"#), Kind::QuotaExhausted, None, "`exceeded_current_quota_error`"),
            // llama.cpp
            (answered(400, r#"{"error":{"code":400,"type":"exceed_context_size_error","message":""}}"#), Kind::ContextOverflow, None, "`exceed_context_size_error`"),
            // vLLM
            (answered(400, r#"{"error":{"type":"BadRequestError","message":"This model's maximum context length is 4096 tokens."}}"#), Kind::ContextOverflow, None, "the sentence `maximum context length`"),
        ])
        .await?;
    }
    Ok(())
}

const OPENAI_STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const MARKED: &str = "\u{feff}data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\
    \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const MARKED_WHOLE: &str =
    "\u{feff}{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}";

#[tokio::test]
async fn answers_are_read_under_the_wrong_name_and_behind_a_mark() -> TestResult {
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    for (headers, body) in [
        (JSON, OPENAI_STREAM),
        (JSON, MARKED),
        (JSON, MARKED_WHOLE),
        (STREAM, MARKED),
        (STREAM, MARKED_WHOLE),
    ] {
        let answered = openai(200, body).with(headers);
        assert_eq!(
            answered.read().await?.ok(),
            Some(StopReason::EndTurn),
            "{answered:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn packed_answer_is_named_for_what_it_is() -> TestResult {
    const PACKED: &[(&str, &str)] = &[
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
    ];
    let answered = openai(200, "\u{1f}packed").with(PACKED);
    let error = answered.read().await?.err().ok_or("nobody can read this")?;
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("`gzip`"), "{error}");
    Ok(())
}
