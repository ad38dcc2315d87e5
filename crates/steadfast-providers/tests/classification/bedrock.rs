//! What Amazon Bedrock answers.

use std::time::Duration;

use http::Response;
use steadfast_core::{ModelErrorKind as Kind, StopReason, secs};
use steadfast_providers::Wire::Bedrock;

use crate::{Answered, Row, TestResult, check};

const fn bedrock(status: u16, body: &'static str) -> Answered {
    Answered {
        wire: Bedrock,
        status,
        headers: &[],
        body,
    }
}

/// An answer of the service: its code in the header, its sentence in the body.
macro_rules! refused {
    ($status:literal, $code:literal, $message:literal $(, $name:literal: $value:literal)*) => {
        bedrock($status, concat!("{\"message\":\"", $message, "\"}")).with(&[
            ("content-type", "application/json"),
            ("x-amzn-errortype", concat!($code, ":http://internal.amazon.com/coral/com.amazon.bedrock/")),
            ("x-amzn-requestid", "req-1"),
            $(($name, $value)),*
        ])
    };
}

#[tokio::test]
async fn bedrock_rows_are_classified_with_their_evidence() -> TestResult {
    let rows: &[Row] = &[
        (
            refused!(
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again."
            ),
            Kind::Throttled,
            None,
            "error code `ThrottlingException`",
        ),
        (
            refused!(429, "ThrottlingException", "Too many tokens, please wait before trying again.", "x-amz-retry-after": "1500"),
            Kind::Throttled,
            Some(Duration::from_millis(1_500)),
            "wait from header `x-amz-retry-after`",
        ),
        // By its code, whatever the status.
        (
            refused!(400, "ThrottlingException", "Rate exceeded"),
            Kind::Throttled,
            None,
            "error code `ThrottlingException`",
        ),
        (
            refused!(503, "SlowDown", ""),
            Kind::Throttled,
            None,
            "error code `SlowDown`",
        ),
        (
            refused!(400, "ProvisionedThroughputExceededException", ""),
            Kind::Throttled,
            None,
            "error code",
        ),
        (
            refused!(
                429,
                "ThrottlingException",
                "Too many tokens per day, please wait before trying again."
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `per day`",
        ),
        (
            refused!(
                400,
                "ServiceQuotaExceededException",
                "Your request exceeds the service quota for your account."
            ),
            Kind::QuotaExhausted,
            None,
            "error code `ServiceQuotaExceededException`",
        ),
        (
            refused!(
                429,
                "ModelNotReadyException",
                "The model is not ready for inference."
            ),
            Kind::Server,
            None,
            "error code `ModelNotReadyException`",
        ),
        (
            refused!(
                408,
                "ModelTimeoutException",
                "Model processing time exceeded."
            ),
            Kind::Timeout,
            None,
            "error code `ModelTimeoutException`",
        ),
        (
            refused!(424, "ModelErrorException", "The model failed."),
            Kind::Server,
            None,
            "error code `ModelErrorException`",
        ),
        (
            refused!(424, "ModelStreamErrorException", "Retry your request."),
            Kind::Server,
            None,
            "error code `ModelStreamErrorException`",
        ),
        (
            refused!(503, "ServiceUnavailableException", "Bedrock is unable to process your request.", "retry-after": "7"),
            Kind::Overloaded,
            Some(secs(7)),
            "error code `ServiceUnavailableException`, wait from header `retry-after`",
        ),
        (
            refused!(
                500,
                "InternalServerException",
                "An internal server error occurred."
            ),
            Kind::Server,
            None,
            "error code `InternalServerException`",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "Input is too long for requested model."
            ),
            Kind::ContextOverflow,
            None,
            "Input is too long",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "The model returned the following errors: input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000"
            ),
            Kind::ContextOverflow,
            None,
            "exceed context limit",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum"
            ),
            Kind::ContextOverflow,
            None,
            "prompt is too long",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "too many total text bytes: 4000000 > 3500000"
            ),
            Kind::ContextOverflow,
            None,
            "too many total text bytes",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "Input Tokens Exceeded: Number of input tokens exceed model maximum."
            ),
            Kind::ContextOverflow,
            None,
            "exceed model maximum",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "The model returned the following errors: This model's maximum context length is 4096 tokens."
            ),
            Kind::ContextOverflow,
            None,
            "maximum context length",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "The text field in the ContentBlock object at messages.0.content.0 is blank."
            ),
            Kind::InvalidRequest,
            None,
            "error code `ValidationException`",
        ),
        (
            refused!(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID."
            ),
            Kind::Auth,
            None,
            "error code `AccessDeniedException`",
        ),
        (
            refused!(
                403,
                "ExpiredTokenException",
                "The security token included in the request is expired"
            ),
            Kind::Auth,
            None,
            "error code `ExpiredTokenException`",
        ),
        (
            refused!(
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid."
            ),
            Kind::Auth,
            None,
            "error code `UnrecognizedClientException`",
        ),
        (
            refused!(400, "ExpiredToken", ""),
            Kind::Auth,
            None,
            "error code `ExpiredToken`",
        ),
        (
            refused!(
                404,
                "ResourceNotFoundException",
                "This model version has reached the end of its life."
            ),
            Kind::NotFound,
            None,
            "error code `ResourceNotFoundException`",
        ),
        // The code in the body, with a namespace; a capital in `Message`, as gateways before it write.
        (
            bedrock(
                429,
                r#"{"__type":"com.amazon.coral.service#ThrottlingException","Message":"Rate exceeded"}"#,
            ),
            Kind::Throttled,
            None,
            "error code `ThrottlingException`",
        ),
        (
            bedrock(403, r#"{"Message":"User is not authorized"}"#),
            Kind::Auth,
            None,
            "status 403",
        ),
        // No code that is known: the status speaks.
        (
            refused!(429, "InventedException", ""),
            Kind::Throttled,
            None,
            "status 429",
        ),
        (
            refused!(409, "InventedException", ""),
            Kind::Server,
            None,
            "status 409",
        ),
        (
            bedrock(502, "<html>Bad gateway</html>"),
            Kind::Server,
            None,
            "status 502",
        ),
        (bedrock(503, ""), Kind::Overloaded, None, "status 503"),
        (bedrock(529, ""), Kind::Overloaded, None, "status 529"),
        (bedrock(501, ""), Kind::Unsupported, None, "status 501"),
        (bedrock(413, ""), Kind::TooLarge, None, "status 413"),
        (bedrock(301, ""), Kind::NotFound, None, "status 301"),
        (
            bedrock(400, "").with(&[("x-amzn-errortype", "ThrottlingException")]),
            Kind::Throttled,
            None,
            "error code `ThrottlingException`",
        ),
        // A wait is no help where the request itself is wrong.
        (
            refused!(400, "ValidationException", "no", "x-amz-retry-after": "1500"),
            Kind::InvalidRequest,
            None,
            "error code",
        ),
        // A status of success, and no answer.
        (
            bedrock(200, "").with(JSON),
            Kind::Truncated,
            None,
            "the body is empty",
        ),
        (
            bedrock(200, r#"{"message":"x","__type":"ThrottlingException"}"#).with(JSON),
            Kind::Throttled,
            None,
            "error code `ThrottlingException`",
        ),
        (
            bedrock(200, "{}").with(JSON),
            Kind::Protocol,
            None,
            "no message",
        ),
        (
            bedrock(200, "{oops").with(JSON),
            Kind::Protocol,
            None,
            "not what was expected",
        ),
        (
            bedrock(200, "<html></html>").with(&[("content-type", "text/html")]),
            Kind::Truncated,
            None,
            "a web page",
        ),
        (bedrock(200, ""), Kind::Truncated, None, "end marker"),
    ];
    check(rows).await?;
    let error = rows[0].0.read().await?.err().ok_or("no error")?;
    assert_eq!(error.request_id(), Some("req-1"));
    assert_eq!(error.code(), Some("ThrottlingException"));
    Ok(())
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

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
