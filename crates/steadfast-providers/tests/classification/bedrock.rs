//! What Amazon Bedrock answers, before there is a stream.

use std::time::Duration;

use steadfast_core::{ModelErrorKind as Kind, secs};
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

pub(crate) fn rows() -> Vec<Row> {
    vec![
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
        // Nova, and Titan.
        (
            refused!(
                400,
                "ValidationException",
                "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again."
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `Input Tokens Exceeded`",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9279 "
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `Too many input tokens`",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "Malformed input request: expected maxLength: 50000, actual: 52611, please reformat your input and try again."
            ),
            Kind::ContextOverflow,
            None,
            "expected maxLength`",
        ),
        // Another field that is too long is no overflow.
        (
            refused!(
                400,
                "ValidationException",
                "Malformed input request: #/texts/41: expected maxLength: 2048, actual: 2049"
            ),
            Kind::InvalidRequest,
            None,
            "error code `ValidationException`",
        ),
        // What a code says stands before what a sentence happens to say.
        (
            refused!(
                403,
                "AccessDeniedException",
                "You have no access to models of this maximum context length."
            ),
            Kind::Auth,
            None,
            "error code `AccessDeniedException`",
        ),
        // What the model itself answered stands beside what the service says of it.
        (
            bedrock(
                424,
                r#"{"message":"The model failed.","originalStatusCode":400,"originalMessage":"Input is too long for requested model."}"#,
            )
            .with(MODEL_ERROR),
            Kind::ContextOverflow,
            None,
            "Input is too long",
        ),
        (
            bedrock(
                424,
                r#"{"message":"The model failed.","originalStatusCode":400,"originalMessage":"Model produced invalid sequence as part of ToolUse."}"#,
            )
            .with(MODEL_ERROR),
            Kind::Server,
            None,
            "error code `ModelErrorException`",
        ),
        (
            bedrock(
                424,
                r#"{"message":"The model failed.","originalStatusCode":429,"originalMessage":"busy"}"#,
            )
            .with(MODEL_ERROR),
            Kind::Throttled,
            None,
            "the model's own status `429`",
        ),
        (
            bedrock(
                424,
                r#"{"message":"The model failed.","originalStatusCode":500,"originalMessage":"busy"}"#,
            )
            .with(MODEL_ERROR),
            Kind::Server,
            None,
            "error code `ModelErrorException`",
        ),
        // A model that is not there by this name is a wrong request to this vendor.
        (
            refused!(400, "ValidationException", "The provided model identifier is invalid."),
            Kind::InvalidRequest,
            None,
            "error code `ValidationException`",
        ),
        (
            refused!(
                400,
                "ValidationException",
                "Invocation of model ID anthropic.claude-sonnet-4-5-20250929-v1:0 with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model."
            ),
            Kind::InvalidRequest,
            None,
            "error code `ValidationException`",
        ),
    ]
}

#[tokio::test]
async fn bedrock_rows_are_classified_with_their_evidence() -> TestResult {
    let rows = rows();
    check(&rows).await?;
    let error = rows[0].0.read().await?.err().ok_or("no error")?;
    assert_eq!(error.request_id(), Some("req-1"));
    assert_eq!(error.code(), Some("ThrottlingException"));
    Ok(())
}

const MODEL_ERROR: &[(&str, &str)] = &[("x-amzn-errortype", "ModelErrorException")];

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
