//! How streams of Amazon Bedrock end and break.

use http::Response;
use steadfast_core::{ModelErrorKind as Kind, StopReason};
use steadfast_providers::Wire::Bedrock;

use crate::TestResult;

/// Writes an event in the binary form: two lengths, a checksum, headers, payload, a checksum.
fn event(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or_default());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        let length = u16::try_from(value.len()).unwrap_or_default();
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let number = |length: usize| u32::try_from(length).unwrap_or_default().to_be_bytes();
    let mut event = number(head.len() + payload.len() + 16).to_vec();
    event.extend_from_slice(&number(head.len()));
    event.extend_from_slice(&checksum(&event).to_be_bytes());
    event.extend_from_slice(&head);
    event.extend_from_slice(payload.as_bytes());
    event.extend_from_slice(&checksum(&event).to_be_bytes());
    event
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ ((sum & 1) * 0xEDB8_8320)
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn told(kind: &str, payload: &str) -> Vec<u8> {
    event(
        &[(":message-type", "event"), (":event-type", kind)],
        payload,
    )
}

fn exception(kind: &str, payload: &str) -> Vec<u8> {
    event(
        &[(":message-type", "exception"), (":exception-type", kind)],
        payload,
    )
}

fn text() -> Vec<u8> {
    told(
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#,
    )
}

fn stop(reason: &str) -> Vec<u8> {
    told("messageStop", &format!(r#"{{"stopReason":"{reason}"}}"#))
}

async fn read(stream: Vec<u8>) -> TestResult<Result<StopReason, steadfast_core::ModelError>> {
    let answer = Response::builder()
        .header("content-type", "application/vnd.amazon.eventstream")
        .header("x-amzn-requestid", "req-1")
        .body(stream)?;
    let read = Bedrock.read(answer).await;
    Ok(read.map(|answer| answer.stop_reason))
}

#[tokio::test]
async fn exceptions_in_a_stream_are_classified_by_their_type() -> TestResult {
    let sorry = r#"{"message":"sorry"}"#;
    let overflow = r#"{"message":"Input is too long for requested model."}"#;
    for (exception, kind, why) in [
        (
            exception(
                "throttlingException",
                r#"{"message":"Too many tokens, please wait before trying again."}"#,
            ),
            Kind::Throttled,
            "error code `ThrottlingException`",
        ),
        (
            exception(
                "throttlingException",
                r#"{"message":"Too many tokens per day, please wait before trying again."}"#,
            ),
            Kind::QuotaExhausted,
            "per day",
        ),
        (
            exception(
                "modelStreamErrorException",
                r#"{"message":"x","originalStatusCode":424,"originalMessage":"y"}"#,
            ),
            Kind::Server,
            "error code `ModelStreamErrorException`",
        ),
        (
            exception(
                "modelStreamErrorException",
                r#"{"message":"x","originalStatusCode":400,"originalMessage":"prompt is too long: 9 tokens > 8 maximum"}"#,
            ),
            Kind::ContextOverflow,
            "prompt is too long",
        ),
        (
            exception("internalServerException", sorry),
            Kind::Server,
            "error code `InternalServerException`",
        ),
        (
            exception("serviceUnavailableException", sorry),
            Kind::Overloaded,
            "error code `ServiceUnavailableException`",
        ),
        (
            exception("validationException", sorry),
            Kind::InvalidRequest,
            "error code `ValidationException`",
        ),
        (
            exception("validationException", overflow),
            Kind::ContextOverflow,
            "Input is too long",
        ),
        (
            exception("modelTimeoutException", sorry),
            Kind::Timeout,
            "error code `ModelTimeoutException`",
        ),
        (
            exception("inventedException", sorry),
            Kind::Server,
            "an error without a known code",
        ),
        (
            exception("throttlingException", "not json"),
            Kind::Throttled,
            "error code `ThrottlingException`",
        ),
        (
            event(
                &[
                    (":message-type", "error"),
                    (":error-code", "InternalFailure"),
                    (":error-message", "sorry"),
                ],
                "",
            ),
            Kind::Server,
            "error code `InternalFailure`",
        ),
    ] {
        let error = read([text(), exception].concat()).await?.err().ok_or(why)?;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.why().unwrap_or_default().contains(why), "{error:?}");
        assert_eq!(
            (error.status(), error.request_id()),
            (Some(200), Some("req-1"))
        );
    }
    Ok(())
}

#[tokio::test]
async fn exception_keeps_what_the_model_itself_said() -> TestResult {
    let payload = r#"{"message":"The stream failed","originalMessage":"worker lost"}"#;
    let error = read(exception("modelStreamErrorException", payload)).await?;
    let error = error.err().ok_or("no error")?;
    assert_eq!(error.message(), "The stream failed: worker lost");
    Ok(())
}

#[tokio::test]
async fn stream_is_whole_only_with_its_message_stop() -> TestResult {
    let metadata = told(
        "metadata",
        r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#,
    );
    let whole = [text(), stop("end_turn"), metadata.clone()].concat();
    for end in 0..whole.len() {
        let answer = read(whole[..end].to_vec()).await?;
        let has_stop = end >= text().len() + stop("end_turn").len();
        match answer {
            Ok(stop) => assert!(has_stop && stop == StopReason::EndTurn, "{end}"),
            Err(error) => assert!(
                !has_stop && error.kind() == Kind::Truncated,
                "{end}: {error}"
            ),
        }
    }
    assert_eq!(read(whole).await?, Ok(StopReason::EndTurn));
    Ok(())
}

#[tokio::test]
async fn wrong_checksums_and_lengths_are_protocol_errors() -> TestResult {
    let mut wrong_sum = text();
    *wrong_sum.last_mut().ok_or("empty")? ^= 1;
    let mut wrong_head = text();
    wrong_head[8] ^= 1;
    let huge = [&u32::MAX.to_be_bytes()[..], &[0; 4_096]].concat();
    let no_json = told("messageStop", "{oops");
    for broken in [
        wrong_sum,
        wrong_head,
        huge,
        no_json,
        b"data: x\n\n".to_vec(),
    ] {
        let error = read([text(), broken].concat())
            .await?
            .err()
            .ok_or("no error")?;
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert_eq!(error.status(), Some(200));
    }
    Ok(())
}

#[tokio::test]
async fn every_stop_reason_of_bedrock_is_read() -> TestResult {
    for (reason, expected) in [
        ("end_turn", Ok(StopReason::EndTurn)),
        ("tool_use", Ok(StopReason::EndTurn)),
        ("max_tokens", Ok(StopReason::MaxTokens)),
        ("stop_sequence", Ok(StopReason::StopSequence)),
        ("guardrail_intervened", Ok(StopReason::GuardrailIntervened)),
        ("content_filtered", Ok(StopReason::ContentFiltered)),
        ("refusal", Ok(StopReason::Refusal)),
        ("invented", Ok(StopReason::EndTurn)),
        ("malformed_model_output", Err(Kind::Server)),
        ("malformed_tool_use", Err(Kind::Server)),
        ("model_context_window_exceeded", Err(Kind::ContextOverflow)),
    ] {
        let answer = read([text(), stop(reason)].concat()).await?;
        assert_eq!(answer.map_err(|error| error.kind()), expected, "{reason}");
    }
    // An empty answer must not pass for a success.
    let empty = read(stop("invented")).await?;
    assert_eq!(empty.map_err(|error| error.kind()), Err(Kind::Server));
    Ok(())
}
