//! What OpenAI itself answers on the chat wire.

use steadfast_core::{ModelErrorKind as Kind, millis, secs};

use crate::{TestResult, check, openai};

#[tokio::test]
async fn openai_rows_are_classified_with_their_evidence() -> TestResult {
    check(&[
        (
            openai(429, r#"{"error":{"message":"Rate limit reached for gpt-5 on requests per min. Please try again in 28ms.","type":"requests","code":"rate_limit_exceeded"}}"#),
            Kind::Throttled,
            Some(millis(28)),
            "error code `rate_limit_exceeded`, wait from the sentence `try again in 28ms`",
        ),
        (
            openai(429, r#"{"error":{"message":"… Please try again in 14m54s.","type":"tokens","code":null}}"#),
            Kind::Throttled,
            Some(secs(894)),
            "error type `tokens`, wait from the sentence `try again in 14m54s`",
        ),
        (
            openai(429, r#"{"error":{"message":"Please try again in 41.724s.","code":"rate_limit_exceeded"}}"#)
                .with(&[("retry-after-ms", "1500"), ("retry-after", "2")]),
            Kind::Throttled,
            Some(millis(1_500)),
            "wait from header `retry-after-ms`",
        ),
        (
            openai(429, r#"{"error":{"message":"Please try again in 41.724s.","code":"rate_limit_exceeded"}}"#)
                .with(&[("retry-after", "2")]),
            Kind::Throttled,
            Some(secs(2)),
            "wait from header `retry-after`",
        ),
        (
            openai(429, r#"{"error":{"message":"","type":"requests","code":"rate_limit_exceeded"}}"#).with(&[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "2m59.56s"),
                ("x-ratelimit-remaining-tokens", "17"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ]),
            Kind::Throttled,
            Some(millis(179_560)),
            "wait from header `x-ratelimit-reset-requests`",
        ),
        (openai(429, r#"{"error":{"message":"","code":"slow_down"}}"#), Kind::Throttled, None, "error code `slow_down`"),
        (openai(503, r#"{"error":{"message":"","code":"server_is_overloaded"}}"#), Kind::Overloaded, None, "error code `server_is_overloaded`"),
        (openai(500, r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#), Kind::Server, None, "status 500"),
        (openai(502, ""), Kind::Server, None, "status 502"),
        (openai(504, "<html>"), Kind::Timeout, None, "status 504"),
        (openai(429, r#"{"error":{"message":"","code":"insufficient_quota"}}"#), Kind::QuotaExhausted, None, "error code `insufficient_quota`"),
        (openai(429, r#"{"error":{"message":"","type":"insufficient_quota","code":null}}"#), Kind::QuotaExhausted, None, "error type `insufficient_quota`"),
        (openai(429, r#"{"error":{"code":"billing_hard_limit_reached"}}"#), Kind::QuotaExhausted, None, "`billing_hard_limit_reached`"),
        (openai(429, r#"{"error":{"code":"credit_balance_exhausted"}}"#), Kind::QuotaExhausted, None, "`credit_balance_exhausted`"),
        (openai(429, r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#), Kind::QuotaExhausted, None, "`organization_spend_limit_exceeded`"),
        (openai(429, r#"{"error":{"code":"project_spend_limit_exceeded"}}"#), Kind::QuotaExhausted, None, "`project_spend_limit_exceeded`"),
        (openai(429, r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#), Kind::QuotaExhausted, None, "`organization_usage_limit_exceeded`"),
        (openai(429, r#"{"error":{"code":"usage_not_included"}}"#), Kind::QuotaExhausted, None, "`usage_not_included`"),
        (
            openai(429, r#"{"error":{"message":"Request too large for gpt-5 on tokens per min (TPM): Limit 12000, Requested 15318.","type":"tokens","code":"rate_limit_exceeded"}}"#),
            Kind::TooLarge,
            None,
            "the sentence `Request too large`",
        ),
        (
            openai(413, r#"{"error":{"message":"Request too large for gpt-5: Limit 12000, Requested 15318.","type":"tokens","code":"rate_limit_exceeded"}}"#),
            Kind::TooLarge,
            None,
            "the sentence `Request too large`",
        ),
        (openai(400, r#"{"error":{"message":"","code":"context_length_exceeded"}}"#), Kind::ContextOverflow, None, "error code `context_length_exceeded`"),
        (
            openai(400, r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error"}}"#),
            Kind::ContextOverflow,
            None,
            "the sentence `maximum context length`",
        ),
        (openai(400, r#"{"error":{"message":"","code":"content_policy_violation"}}"#), Kind::ContentFiltered, None, "`content_policy_violation`"),
        (openai(400, r#"{"error":{"message":"","code":"invalid_prompt"}}"#), Kind::ContentFiltered, None, "`invalid_prompt`"),
        (openai(401, r#"{"error":{"message":"","code":"invalid_api_key"}}"#), Kind::Auth, None, "`invalid_api_key`"),
        (openai(403, r#"{"error":{"message":"","code":"unsupported_country"}}"#), Kind::Auth, None, "status 403"),
        (openai(404, r#"{"error":{"message":"","code":"model_not_found"}}"#), Kind::NotFound, None, "`model_not_found`"),
        (openai(409, r#"{"error":{"message":""}}"#), Kind::Server, None, "status 409"),
        (openai(408, ""), Kind::Timeout, None, "status 408"),
        (openai(200, "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"code\":null}}\n\n").streamed(), Kind::Server, None, "error type `server_error`"),
        (openai(200, "data: {\"error\":{\"message\":\"try again in 1.2s\",\"code\":\"rate_limit_exceeded\"}}\n\n").streamed(), Kind::Throttled, Some(millis(1_200)), "error code `rate_limit_exceeded`"),
        (openai(200, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n").streamed(), Kind::Truncated, None, "end marker"),
    ])
    .await
}
