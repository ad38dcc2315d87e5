//! What Gemini answers.

use steadfast_core::{ModelErrorKind as Kind, millis, secs};

use crate::{Row, STREAM, TestResult, check, gemini, openai};

pub(crate) fn rows() -> Vec<Row> {
    [limits(), errors(), in_streams()].concat()
}

fn limits() -> Vec<Row> {
    vec![
        (
            gemini(429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"26s"}]}}"#),
            Kind::QuotaExhausted,
            Some(secs(26)),
            "a quota of a day `GenerateRequestsPerDayPerProjectPerModel-FreeTier`, wait from `RetryInfo`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"DailyTokens"}]}]}}"#),
            Kind::QuotaExhausted,
            None,
            "a quota of a day `DailyTokens`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"You exceeded your current quota. * Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: gemini-3-pro","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]}}"#),
            Kind::QuotaExhausted,
            Some(secs(60)),
            "a quota with `limit: 0`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"Quota exceeded, limit: 05, limit: 0.5","status":"RESOURCE_EXHAUSTED"}}"#),
            Kind::Throttled,
            None,
            "error status `RESOURCE_EXHAUSTED`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"x","quotaValue":"0"}]}]}}"#),
            Kind::QuotaExhausted,
            None,
            "a quota with `limit: 0`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED"}]}}"#),
            Kind::QuotaExhausted,
            None,
            "error reason `QUOTA_EXHAUSTED`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"reason":"INSUFFICIENT_G1_CREDITS_BALANCE"}]}}"#),
            Kind::QuotaExhausted,
            None,
            "error reason `INSUFFICIENT_G1_CREDITS_BALANCE`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"reason":"RATE_LIMIT_EXCEEDED"},{"retryDelay":"34.074824224s"}]}}"#),
            Kind::Throttled,
            Some(std::time::Duration::from_nanos(34_074_824_224)),
            "error status `RESOURCE_EXHAUSTED`, wait from `RetryInfo` in the body",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"900ms"}]}}"#),
            Kind::Throttled,
            Some(millis(900)),
            "wait from `RetryInfo`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"… Please retry in 59.95s.","status":"RESOURCE_EXHAUSTED"}}"#),
            Kind::Throttled,
            Some(millis(59_950)),
            "wait from the sentence `retry in 59.95s`",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier"}]}]}}"#),
            Kind::Throttled,
            Some(secs(60)),
            "wait from a quota of a minute in the body",
        ),
        // A wait beyond minutes is that of a quota.
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"301s"}]}}"#),
            Kind::QuotaExhausted,
            Some(secs(301)),
            "a wait of more than 300 s",
        ),
        (
            gemini(429, r#"{"error":{"code":429,"message":"","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"300s"}]}}"#),
            Kind::Throttled,
            Some(secs(300)),
            "wait from `RetryInfo`",
        ),
        (gemini(429, "slow down"), Kind::Throttled, None, "status 429"),
        (
            gemini(429, r#"[{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}]"#)
                .with(&[("retry-after", "7")]),
            Kind::Throttled,
            Some(secs(7)),
            "error status `RESOURCE_EXHAUSTED`, wait from header `retry-after`",
        ),

        (gemini(429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."}}"#), Kind::QuotaExhausted, None, "the sentence `prepayment credits are depleted`"),
        (gemini(429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Your project has exceeded its monthly spending cap. Please go to AI Studio to manage it."}}"#), Kind::QuotaExhausted, None, "the sentence `exceeded its monthly spending cap`"),
        // Google's endpoint that is compatible with OpenAI's.
        (openai(429, r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Your prepayment credits are depleted."}}]"#), Kind::QuotaExhausted, None, "the sentence `prepayment credits are depleted`"),
    ]
}

#[tokio::test]
async fn gemini_quotas_and_limits_are_told_apart() -> TestResult {
    check(&limits()).await
}

fn errors() -> Vec<Row> {
    vec![
        (
            gemini(
                429,
                r#"{"error":{"code":429,"message":"No capacity available for model gemini-2.5-pro on the server","status":"RESOURCE_EXHAUSTED","details":[{"reason":"MODEL_CAPACITY_EXHAUSTED"}]}}"#,
            ),
            Kind::Overloaded,
            None,
            "error reason `MODEL_CAPACITY_EXHAUSTED`",
        ),
        (
            gemini(
                503,
                r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
            ),
            Kind::Overloaded,
            None,
            "the sentence `model is overloaded`",
        ),
        (
            gemini(
                429,
                r#"{"error":{"code":429,"message":"No capacity available for model gemini-2.5-pro on the server","status":"RESOURCE_EXHAUSTED"}}"#,
            ),
            Kind::Overloaded,
            None,
            "the sentence `No capacity available`",
        ),
        (
            gemini(
                503,
                r#"{"error":{"code":503,"message":"","status":"UNAVAILABLE"}}"#,
            ),
            Kind::Overloaded,
            None,
            "error status `UNAVAILABLE`",
        ),
        (
            gemini(
                500,
                r#"{"error":{"code":500,"message":"","status":"INTERNAL"}}"#,
            ),
            Kind::Server,
            None,
            "error status `INTERNAL`",
        ),
        (
            gemini(
                500,
                r#"{"error":{"code":500,"message":"","status":"UNKNOWN"}}"#,
            ),
            Kind::Server,
            None,
            "error status `UNKNOWN`",
        ),
        (
            gemini(
                409,
                r#"{"error":{"code":409,"message":"","status":"ABORTED"}}"#,
            ),
            Kind::Server,
            None,
            "error status `ABORTED`",
        ),
        (
            gemini(
                504,
                r#"{"error":{"code":504,"message":"","status":"DEADLINE_EXCEEDED"}}"#,
            ),
            Kind::Timeout,
            None,
            "error status `DEADLINE_EXCEEDED`",
        ),
        (
            gemini(
                499,
                r#"{"error":{"code":499,"message":"","status":"CANCELLED"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "error status `CANCELLED`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#,
            ),
            Kind::Auth,
            None,
            "error reason `API_KEY_INVALID`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}"#,
            ),
            Kind::Auth,
            None,
            "the sentence `API key expired`",
        ),
        (
            gemini(
                401,
                r#"{"error":{"code":401,"message":"","status":"UNAUTHENTICATED"}}"#,
            ),
            Kind::Auth,
            None,
            "error status `UNAUTHENTICATED`",
        ),
        (
            gemini(
                403,
                r#"{"error":{"code":403,"message":"","status":"PERMISSION_DENIED"}}"#,
            ),
            Kind::Auth,
            None,
            "error status `PERMISSION_DENIED`",
        ),
        (
            gemini(
                403,
                r#"{"error":{"code":403,"message":"","status":"PERMISSION_DENIED","details":[{"reason":"BILLING_DISABLED"}]}}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "error reason `BILLING_DISABLED`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.","status":"FAILED_PRECONDITION"}}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `billing`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `location is not supported`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"","status":"FAILED_PRECONDITION"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "error status `FAILED_PRECONDITION`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `input token count … exceeds the maximum`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"Request payload size exceeds the limit: 20971520 bytes.","status":"INVALID_ARGUMENT"}}"#,
            ),
            Kind::TooLarge,
            None,
            "the sentence `payload size exceeds the limit`",
        ),
        (
            gemini(
                400,
                r#"{"error":{"code":400,"message":"Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.","status":"INVALID_ARGUMENT"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "error status `INVALID_ARGUMENT`",
        ),
        (
            gemini(
                404,
                r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
            ),
            Kind::NotFound,
            None,
            "error status `NOT_FOUND`",
        ),
        (
            gemini(
                501,
                r#"{"error":{"code":501,"message":"","status":"UNIMPLEMENTED"}}"#,
            ),
            Kind::Unsupported,
            None,
            "error status `UNIMPLEMENTED`",
        ),
        // What stands between answers with a page.
        (
            gemini(502, "<html>Bad gateway</html>"),
            Kind::Server,
            None,
            "status 502",
        ),
        (
            gemini(413, "<html>too large</html>"),
            Kind::TooLarge,
            None,
            "status 413",
        ),
    ]
}

#[tokio::test]
async fn gemini_rows_are_classified_with_their_evidence() -> TestResult {
    check(&errors()).await
}

fn in_streams() -> Vec<Row> {
    vec![
        (
            gemini(200, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\r\n\r\ndata: {\"error\":{\"code\":429,\"message\":\"\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"retryDelay\":\"26s\"}]}}\r\n\r\n").streamed(),
            Kind::Throttled,
            Some(secs(26)),
            "error status `RESOURCE_EXHAUSTED`, wait from `RetryInfo` in the body",
        ),
        (
            gemini(200, "data: [{\"error\":{\"code\":503,\"message\":\"\",\"status\":\"UNAVAILABLE\"}}]\r\n\r\ndata: [DONE]\r\n\r\n").streamed(),
            Kind::Overloaded,
            None,
            "error status `UNAVAILABLE`",
        ),
        (gemini(200, "data: {\"error\":{\"code\":500,\"message\":\"\"}}\r\n\r\n").streamed(), Kind::Server, None, "error code `500`"),
        (gemini(200, "{\"error\":{\"code\":504,\"message\":\"\",\"status\":\"DEADLINE_EXCEEDED\"}}").streamed(), Kind::Timeout, None, "`DEADLINE_EXCEEDED`"),
        (
            gemini(200, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\r\n\r\n").streamed(),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (
            gemini(200, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\r\n\r\ndata: [DONE]\r\n\r\n").streamed(),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (
            gemini(200, "data: {\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}\r\n\r\n").streamed(),
            Kind::ContentFiltered,
            None,
            "block reason `PROHIBITED_CONTENT`",
        ),
        (
            gemini(200, "data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"finishMessage\":\"\"}]}\r\n\r\n").streamed(),
            Kind::Server,
            None,
            "finish reason `MALFORMED_FUNCTION_CALL`",
        ),
        (
            gemini(200, r#"{"candidates":[],"usageMetadata":{"promptTokenCount":1}}"#),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (
            gemini(200, r#"{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}"#),
            Kind::Server,
            None,
            "finish reason `STOP` without an answer",
        ),
        // An error that is no event, and an event under the status of its error.
        (gemini(200, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\r\n\r\n{\"error\":{\"code\":503,\"message\":\"x\",\"status\":\"UNAVAILABLE\"}}\r\n").streamed(), Kind::Overloaded, None, "error status `UNAVAILABLE`"),
        (gemini(429, "data: {\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProject\"}]}]}}\n\n").with(STREAM), Kind::QuotaExhausted, None, "a quota of a day `GenerateRequestsPerDayPerProject`"),
    ]
}

#[tokio::test]
async fn gemini_rows_hold_behind_a_status_of_success() -> TestResult {
    check(&in_streams()).await
}
