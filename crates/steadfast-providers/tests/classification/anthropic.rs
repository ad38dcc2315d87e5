//! What Anthropic answers.

use steadfast_core::{ModelErrorKind as Kind, secs};

use crate::{Row, TestResult, anthropic, check};

const NOW: (&str, &str) = ("date", "Sun, 22 Nov 2026 00:00:00 GMT");

pub(crate) fn rows() -> Vec<Row> {
    vec![
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit."},"request_id":"req_1"}"#)
                .with(&[("retry-after", "7")]),
            Kind::Throttled,
            Some(secs(7)),
            "error type `rate_limit_error`, wait from header `retry-after`",
        ),
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":""}}"#).with(&[
                NOW,
                ("anthropic-ratelimit-requests-remaining", "12"),
                ("anthropic-ratelimit-requests-reset", "2026-11-22T00:09:00Z"),
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2026-11-22T00:00:45Z"),
                ("anthropic-ratelimit-output-tokens-remaining", "0"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T23:59:00Z"),
            ]),
            Kind::Throttled,
            Some(secs(45)),
            "wait from header `anthropic-ratelimit-tokens-reset`",
        ),
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":""}}"#).with(&[
                NOW,
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-22T00:00:12Z"),
            ]),
            Kind::Throttled,
            Some(secs(12)),
            "wait from header `anthropic-ratelimit-input-tokens-reset`",
        ),
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"","details":{"error_code":"ramp_limit_exceeded"}}}"#),
            Kind::Throttled,
            None,
            "error code `ramp_limit_exceeded`",
        ),
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"","details":{"error_code":"enforced_spend_limit_reached"}}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `enforced_spend_limit_reached`",
        ),
        (
            anthropic(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"","details":{"error_code":"contract_spend_limit_reached"}}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `contract_spend_limit_reached`",
        ),
        (anthropic(402, r#"{"type":"error","error":{"type":"billing_error","message":""}}"#), Kind::QuotaExhausted, None, "error type `billing_error`"),
        (
            anthropic(402, r#"{"type":"error","error":{"type":"invalid_request_error","message":"","details":{"error_code":"linked_account_suspended"}}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `linked_account_suspended`",
        ),
        (
            anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#),
            Kind::QuotaExhausted,
            None,
            "the sentence `credit balance is too low`",
        ),
        (
            anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"","details":{"error_code":"organization_on_hold"}}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `organization_on_hold`",
        ),
        (anthropic(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#), Kind::Overloaded, None, "error type `overloaded_error`"),
        (
            anthropic(529, r#"{"type":"error","error":{"type":"api_error","message":"","details":{"error_code":"compaction_unavailable"}}}"#),
            Kind::Overloaded,
            None,
            "error code `compaction_unavailable`",
        ),
        (anthropic(529, ""), Kind::Overloaded, None, "status 529"),
        (
            anthropic(503, r#"{"type":"error","error":{"type":"api_error","message":"","details":{"error_code":"cmek_key_unavailable"}}}"#),
            Kind::Server,
            None,
            "error code `cmek_key_unavailable`",
        ),
        (anthropic(500, r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#), Kind::Server, None, "status 500"),
        (anthropic(504, r#"{"type":"error","error":{"type":"timeout_error","message":""}}"#), Kind::Timeout, None, "error type `timeout_error`"),
        (anthropic(409, r#"{"type":"error","error":{"type":"conflict_error","message":""}}"#), Kind::Server, None, "error type `conflict_error`"),
        (
            anthropic(409, r#"{"type":"error","error":{"type":"invalid_request_error","message":"","details":{"error_code":"request_in_flight"}}}"#),
            Kind::Server,
            None,
            "error code `request_in_flight`",
        ),
        (
            anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#),
            Kind::ContextOverflow,
            None,
            "the sentence `prompt is too long`",
        ),
        (
            anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease input length or `max_tokens` and try again"}}"#),
            Kind::ContextOverflow,
            None,
            "exceed context limit",
        ),
        (
            anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#),
            Kind::ContentFiltered,
            None,
            "the sentence `blocked by content filtering`",
        ),
        (anthropic(413, r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#), Kind::TooLarge, None, "error type `request_too_large`"),
        (anthropic(401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#), Kind::Auth, None, "error type `authentication_error`"),
        (anthropic(403, r#"{"type":"error","error":{"type":"permission_error","message":""}}"#), Kind::Auth, None, "error type `permission_error`"),
        (anthropic(404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#), Kind::NotFound, None, "error type `not_found_error`"),
        (anthropic(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: Field required"}}"#), Kind::InvalidRequest, None, "status 400"),
        // After a status of success.
        (
            anthropic(200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"details\":null,\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n").streamed(),
            Kind::Overloaded,
            None,
            "error type `overloaded_error`",
        ),
        (anthropic(200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"\"}}\n\n").streamed(), Kind::Server, None, "error type `api_error`"),
        (anthropic(200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"\"}}\n\n").streamed(), Kind::Throttled, None, "error type `rate_limit_error`"),
        (
            anthropic(200, "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n").streamed(),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (
            anthropic(200, "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"model_context_window_exceeded\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n").streamed(),
            Kind::ContextOverflow,
            None,
            "stop reason `model_context_window_exceeded`",
        ),
        // What gateways send.
        (anthropic(429, "slow down"), Kind::Throttled, None, "status 429"),
        (anthropic(502, "<html>Bad gateway</html>"), Kind::Server, None, "status 502"),
        (anthropic(503, r#"{"detail":"no backend"}"#), Kind::Overloaded, None, "status 503"),
        (anthropic(403, r#"{"error":"no such team"}"#), Kind::Auth, None, "status 403"),
    ]
}

#[tokio::test]
async fn anthropic_rows_are_classified_with_their_evidence() -> TestResult {
    check(&rows()).await
}
