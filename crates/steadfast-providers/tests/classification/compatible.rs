//! What servers that are compatible with OpenAI answer.

use steadfast_core::{ModelErrorKind as Kind, millis, secs};

use crate::{Row, TestResult, check, openai};

/// The rows of each server.
pub(crate) fn rows() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Azure", azure()),
        ("Groq", groq()),
        ("Mistral", mistral()),
        ("OpenRouter", openrouter()),
        ("xAI", xai()),
        ("llama.cpp", llama_cpp()),
        ("LM Studio", lm_studio()),
        ("vLLM", vllm()),
        ("Z.ai and Moonshot", zai_and_moonshot()),
    ]
}

fn azure() -> Vec<Row> {
    vec![
        (
            openai(
                429,
                r#"{"error":{"code":"429","message":"Requests have exceeded call rate limit. Please retry after 60 seconds."}}"#,
            ),
            Kind::Throttled,
            Some(secs(60)),
            "status 429, wait from the sentence `retry after 60 seconds`",
        ),
        (
            openai(429, r#"{"error":{"code":"429","message":"…"}}"#).with(&[
                ("x-ratelimit-remaining-requests", "-1"),
                ("x-ratelimit-reset-requests", "0"),
            ]),
            Kind::Throttled,
            None,
            "status 429",
        ),
        (
            openai(
                400,
                r#"{"error":{"code":"content_filter","message":"","status":400}}"#,
            ),
            Kind::ContentFiltered,
            None,
            "error code `content_filter`",
        ),
        (
            openai(
                400,
                r#"{"error":{"code":null,"message":"","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ),
            Kind::ContentFiltered,
            None,
            "inner error code `ResponsibleAIPolicyViolation`",
        ),
    ]
}

fn groq() -> Vec<Row> {
    vec![
        (
            openai(429, r#"{"error":{"message":"… Please try again in 5.289s.","type":"tokens","code":"rate_limit_exceeded"}}"#)
                .with(&[("retry-after", "6")]),
            Kind::Throttled,
            Some(secs(6)),
            "wait from header `retry-after`",
        ),
        (openai(498, r#"{"error":{"message":"","code":"capacity_exceeded"}}"#), Kind::Overloaded, None, "`capacity_exceeded`"),
        (openai(498, ""), Kind::Overloaded, None, "status 498"),
        (openai(413, ""), Kind::TooLarge, None, "status 413"),
        (openai(422, r#"{"error":{"message":""}}"#), Kind::InvalidRequest, None, "status 422"),

        // A limit of a day that fills as time passes: Groq says when to come back.
        (openai(429, r#"{"error":{"message":"Rate limit reached for model `llama-3.3-70b-versatile` on tokens per day (TPD): Limit 100000, Used 99821, Requested 1500. Please try again in 19m1.824s.","type":"tokens","code":"rate_limit_exceeded"}}"#), Kind::Throttled, Some(millis(1_141_824)), "wait from the sentence `try again in 19m1.824s`"),
    ]
}

fn mistral() -> Vec<Row> {
    vec![
        (
            openai(
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}"#,
            ),
            Kind::Throttled,
            None,
            "error type `rate_limited`",
        ),
        (
            openai(429, r#"{"message":"Requests rate limit exceeded"}"#),
            Kind::Throttled,
            None,
            "status 429",
        ),
        (
            openai(
                429,
                r#"{"message":"Service tier capacity exceeded for this model."}"#,
            ),
            Kind::Overloaded,
            None,
            "the sentence `Service tier capacity exceeded`",
        ),
        (
            openai(
                400,
                r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt"}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `maximum context length`",
        ),
    ]
}

fn openrouter() -> Vec<Row> {
    vec![
        (openai(429, r#"{"error":{"code":429,"message":"","metadata":{}}}"#), Kind::Throttled, None, "status 429"),
        (openai(200, r#"{"error":{"code":429,"message":""}}"#).with(&[("content-type", "application/json")]), Kind::Throttled, None, "error code `429`"),
        // The gateway's status speaks before what it was told by a server behind it.
        (openai(401, r#"{"error":{"code":503,"message":""}}"#), Kind::Auth, None, "status 401"),
        (openai(402, r#"{"error":{"code":402,"message":""}}"#), Kind::QuotaExhausted, None, "status 402"),
        (openai(402, r#"{"error":{"code":402,"message":"","metadata":{"limit_source":"key"}}}"#), Kind::QuotaExhausted, None, "status 402"),
        (openai(403, r#"{"error":{"code":403,"message":"","metadata":{}}}"#), Kind::Auth, None, "status 403"),
        (openai(502, r#"{"error":{"code":502,"message":"","metadata":{}}}"#), Kind::Server, None, "status 502"),
        (
            openai(402, r#"{"error":{"code":402,"message":"","metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#)
                .with(&[("retry-after", "3")]),
            Kind::Throttled,
            Some(secs(3)),
            "`openrouter_in_flight_budget`",
        ),
        (openai(403, r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged"}}"#), Kind::ContentFiltered, None, "the sentence `requires moderation`"),
        (openai(403, r#"{"error":{"code":403,"message":"","metadata":{"reasons":["violence"]}}}"#), Kind::ContentFiltered, None, "`reasons`"),
        (openai(408, r#"{"error":{"code":408,"message":""}}"#), Kind::Timeout, None, "status 408"),
        (openai(502, r#"{"error":{"code":502,"message":"","metadata":{"provider_name":"p"}}}"#), Kind::Overloaded, None, "`provider_name`"),
        (openai(503, r#"{"error":{"code":503,"message":""}}"#), Kind::Overloaded, None, "status 503"),
        (
            openai(200, ": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\",\"error\":{\"code\":502,\"message\":\"Provider disconnected\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n")
                .streamed(),
            Kind::Server,
            None,
            "error code `502`",
        ),
        (openai(200, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n").streamed(), Kind::Server, None, "finish reason `error`"),

        (openai(429, r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"}}"#), Kind::QuotaExhausted, None, "the sentence `free-models-per-day`"),
        (openai(429, r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min."}}"#), Kind::Throttled, None, "429"),
    ]
}

fn xai() -> Vec<Row> {
    const SPENT: &str = r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your team 0123 has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits."}"#;
    vec![
        (
            openai(
                429,
                r#"{"code":"Some resource has been exhausted","error":"Too many requests for team 0123 and model grok-4."}"#,
            ),
            Kind::Throttled,
            None,
            "status 429",
        ),
        (
            openai(429, SPENT),
            Kind::QuotaExhausted,
            None,
            "the sentence `used all available credits`",
        ),
        (
            openai(403, SPENT),
            Kind::QuotaExhausted,
            None,
            "the sentence `used all available credits`",
        ),
        (
            openai(
                400,
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai."}"#,
            ),
            Kind::Auth,
            None,
            "the sentence `Incorrect API key provided`",
        ),
        (
            openai(
                400,
                r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 136973 tokens."}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `maximum prompt length is`",
        ),
        (
            openai(
                404,
                r#"{"code":"Some requested entity was not found","error":"The model grok-9 does not exist or your team does not have access to it."}"#,
            ),
            Kind::NotFound,
            None,
            "status 404",
        ),
        (
            openai(
                422,
                r#"{"code":"x","error":"Failed to deserialize the JSON body into the target type"}"#,
            ),
            Kind::InvalidRequest,
            None,
            "status 422",
        ),
        (
            openai(
                503,
                r#"{"code":"The service is currently unavailable","error":"The service is temporarily unavailable."}"#,
            ),
            Kind::Overloaded,
            None,
            "status 503",
        ),
    ]
}

fn lm_studio() -> Vec<Row> {
    vec![
        (openai(200, "event: error\ndata: {\"error\":{\"message\":\"The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a larger context length.\"}}\n\n").streamed(), Kind::ContextOverflow, None, "the sentence `to keep from the initial prompt is greater than the context length`"),
        (openai(400, r#"{"error":"Trying to keep the first 5213 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens."}"#), Kind::ContextOverflow, None, "the sentence `when context the overflows`"),
        (openai(404, r#"{"error":{"message":"Model \"x\" not found","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#), Kind::NotFound, None, "error code `model_not_found`"),
    ]
}

fn llama_cpp() -> Vec<Row> {
    vec![
        (
            openai(
                503,
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            ),
            Kind::Overloaded,
            None,
            "error type `unavailable_error`",
        ),
        (
            openai(
                400,
                r#"{"error":{"code":400,"message":"request (13392 tokens) exceeds the available context size (8192 tokens)","type":"exceed_context_size_error","n_prompt_tokens":13392,"n_ctx":8192}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "error type `exceed_context_size_error`",
        ),
        (
            openai(
                501,
                r#"{"error":{"code":501,"message":"","type":"not_supported_error"}}"#,
            ),
            Kind::Unsupported,
            None,
            "`not_supported_error`",
        ),
        (
            openai(
                401,
                r#"{"error":{"code":401,"message":"","type":"authentication_error"}}"#,
            ),
            Kind::Auth,
            None,
            "`authentication_error`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"failed to load image"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `failed to load image`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"failed to parse image"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `failed to parse image`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"Failed to decode image"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `failed to decode image`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"}}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `input is not supported`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"Jinja Exception: No user query found in messages."}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `jinja exception`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"Value is not callable: null at row 49, column 79"}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `value is not callable`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"Unable to generate parser for this template."}}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `unable to generate parser for this template`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"the request exceeds the available context size. try increasing the context size or enable context shift"}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeds the available context size`",
        ),
        (
            openai(
                500,
                r#"{"error":{"code":500,"type":"server_error","message":"slot is gone"}}"#,
            ),
            Kind::Server,
            None,
            "status 500",
        ),
    ]
}

fn vllm() -> Vec<Row> {
    vec![
        (
            openai(400, r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000","type":"BadRequestError","code":400}"#),
            Kind::ContextOverflow,
            None,
            "the sentence `maximum context length`",
        ),
        (
            openai(200, "data: {\"error\":{\"object\":\"error\",\"message\":\"engine died\",\"type\":\"InternalServerError\",\"code\":500}}\n\ndata: [DONE]\n\n").streamed(),
            Kind::Server,
            None,
            "error code `500`",
        ),
        (openai(200, "data: [DONE]\n\n").streamed(), Kind::Truncated, None, "end marker"),

        (openai(400, r#"{"object":"error","message":"The decoder prompt (length 2136) is longer than the maximum model length of 2048.","type":"BadRequestError","code":400}"#), Kind::ContextOverflow, None, "the sentence `is longer than the maximum model length`"),

        // A sentence that happens to name the context says nothing of a server that restarts.
        (openai(503, r#"{"error":{"message":"worker for model with maximum context length 8192 is restarting"}}"#), Kind::Overloaded, None, "status 503"),
        (openai(500, r#"{"error":{"type":"server_error","message":"Internal error at row 3 of shard"}}"#), Kind::Server, None, "status 500"),
    ]
}

fn zai_and_moonshot() -> Vec<Row> {
    vec![
        (
            openai(429, r#"{"error":{"code":"1113","message":""}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `1113`",
        ),
        (
            openai(429, r#"{"error":{"code":"1308","message":""}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `1308`",
        ),
        (
            openai(429, r#"{"error":{"code":"1321","message":""}}"#),
            Kind::QuotaExhausted,
            None,
            "error code `1321`",
        ),
        (
            openai(429, r#"{"error":{"code":"1302","message":""}}"#),
            Kind::Throttled,
            None,
            "error code `1302`",
        ),
        (
            openai(429, r#"{"error":{"code":"1305","message":""}}"#),
            Kind::Throttled,
            None,
            "error code `1305`",
        ),
        (
            openai(
                429,
                r#"{"error":{"message":"","type":"exceeded_current_quota_error"}}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "`exceeded_current_quota_error`",
        ),
        (
            openai(
                400,
                r#"{"error":{"code":"1261","message":"Prompt exceeds max length"}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "error code `1261`",
        ),
        (
            openai(
                400,
                r#"{"error":{"message":"tokens in request more than max tokens allowed"}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `tokens in request more than max tokens allowed`",
        ),
        (
            openai(
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Invalid request: Your request exceeded model token limit: 262144"}}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeded model token limit`",
        ),
        (
            openai(
                429,
                r#"{"error":{"code":"1304","message":"Daily call limit for this API reached"}}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "error code `1304`",
        ),
    ]
}

#[tokio::test]
async fn rows_of_compatible_servers_are_classified_with_their_evidence() -> TestResult {
    for (_, rows) in rows() {
        check(&rows).await?;
    }
    Ok(())
}
