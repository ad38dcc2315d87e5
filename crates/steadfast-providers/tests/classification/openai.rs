//! What OpenAI itself answers on both of its wires.

use steadfast_core::{ModelErrorKind as Kind, millis, secs};
use steadfast_providers::Wire::OpenAiResponses;

use crate::{Answered, Row, TestResult, check, openai, responses};

pub(crate) fn chat_rows() -> Vec<Row> {
    [of_both_wires(), in_chat_streams()].concat()
}

fn in_chat_streams() -> Vec<Row> {
    vec![
        (openai(200, "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"code\":null}}\n\n").streamed(), Kind::Server, None, "error type `server_error`"),
        (openai(200, "data: {\"error\":{\"message\":\"try again in 1.2s\",\"code\":\"rate_limit_exceeded\"}}\n\n").streamed(), Kind::Throttled, Some(millis(1_200)), "error code `rate_limit_exceeded`"),
        (openai(200, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n").streamed(), Kind::Truncated, None, "end marker"),
    ]
}

/// What is the same on both wires.
fn of_both_wires() -> Vec<Row> {
    vec![
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

        (openai(400, r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error"}}"#), Kind::ContextOverflow, None, "the sentence `exceeds the context window`"),
    ]
}

#[tokio::test]
async fn openai_rows_are_classified_with_their_evidence() -> TestResult {
    check(&chat_rows()).await
}

#[tokio::test]
async fn openai_rows_hold_for_the_responses_wire() -> TestResult {
    let on_responses = |(answered, kind, hint, why): Row| {
        let wire = OpenAiResponses;
        (Answered { wire, ..answered }, kind, hint, why)
    };
    check(
        &of_both_wires()
            .into_iter()
            .map(on_responses)
            .collect::<Vec<_>>(),
    )
    .await
}

pub(crate) fn responses_rows() -> Vec<Row> {
    vec![
        (responses(200, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":7,\"code\":\"rate_limit_exceeded\",\"message\":\"Rate limit reached .. try again in 1.2s\",\"param\":null}\n\n").streamed(), Kind::Throttled, Some(millis(1_200)), "error code `rate_limit_exceeded`, wait from the sentence"),
        // What OpenAI sends in fact, against its own reference.
        (responses(200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 6.57s.\",\"param\":null},\"sequence_number\":2}\n\n").streamed(), Kind::Throttled, Some(millis(6_570)), "error code `rate_limit_exceeded`"),
        (responses(200, "data: {\"type\":\"error\",\"error\":{\"type\":\"too_many_requests\",\"code\":\"too_many_requests\",\"message\":\"Too Many Requests\"}}\n\n").streamed(), Kind::Throttled, None, "error code `too_many_requests`"),
        (responses(200, "data: {\"type\":\"error\",\"code\":\"insufficient_quota\",\"message\":\"\"}\n\n").streamed(), Kind::QuotaExhausted, None, "`insufficient_quota`"),
        (responses(200, "data: {\"type\":\"error\",\"code\":null,\"message\":\"Something went wrong\"}\n\n").streamed(), Kind::Server, None, "an error without a known code"),
        (responses(200, "data: {\"error\":{\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"message\":\"\"}}\n\ndata: [DONE]\n\n").streamed(), Kind::Overloaded, None, "`server_is_overloaded`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"..\"}}}\n\n").streamed(), Kind::Server, None, "error code `server_error`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"try again in 28ms\"}}}\n\n").streamed(), Kind::Throttled, Some(millis(28)), "error code `rate_limit_exceeded`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"\"}}}\n\ndata: [DONE]\n\n").streamed(), Kind::ContentFiltered, None, "error code `invalid_prompt`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"\"}}}\n\n").streamed(), Kind::ContextOverflow, None, "`context_length_exceeded`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"vector_store_timeout\",\"message\":\"\"}}}\n\n").streamed(), Kind::Timeout, None, "`vector_store_timeout`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"failed_to_download_image\",\"message\":\"\"}}}\n\n").streamed(), Kind::InvalidRequest, None, "`failed_to_download_image`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"image_content_policy_violation\",\"message\":\"\"}}}\n\n").streamed(), Kind::ContentFiltered, None, "`image_content_policy_violation`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"bio_policy\",\"message\":\"\"}}}\n\n").streamed(), Kind::ContentFiltered, None, "`bio_policy`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"data_residency_mismatch\",\"message\":\"\"}}}\n\n").streamed(), Kind::InvalidRequest, None, "`data_residency_mismatch`"),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":null}}\n\n").streamed(), Kind::Server, None, "an error without a known code"),
        (responses(200, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\ndata: [DONE]\n\n").streamed(), Kind::Truncated, None, "end marker"),
        // Azure
        (
            responses(429, r#"{"error":{"code":"429","message":"…"}}"#)
                .with(&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "0")]),
            Kind::Throttled,
            None,
            "status 429",
        ),
        (responses(200, "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"content_filter\",\"message\":\"\"}}}\n\n").streamed(), Kind::ContentFiltered, None, "error code `content_filter`"),
        (responses(200, "{\"id\":\"resp_1\",\"status\":\"failed\",\"output\":[],\"error\":{\"code\":\"server_error\",\"message\":\"..\"}}"), Kind::Server, None, "error code `server_error`"),
        (responses(200, "{\"id\":\"resp_1\",\"status\":\"queued\",\"output\":[],\"error\":null}"), Kind::Unsupported, None, "status `queued`"),
    ]
}

#[tokio::test]
async fn responses_that_fail_in_mid_stream_are_told_by_their_code() -> TestResult {
    check(&responses_rows()).await
}
