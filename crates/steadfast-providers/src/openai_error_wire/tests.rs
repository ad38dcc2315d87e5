use serde_json::json;
use steadfast_core::ModelError;

use super::*;
use crate::{answer::AnswerDecoder, http_client::Head, openai_chat::StreamDecoder};

fn classify(head: &Head, body: &[u8]) -> ModelError {
    StreamDecoder::classify(head, body)
}

/// A key without any mark of one, as Mistral and Azure make them.
const HEX_KEY: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

fn head(status: u16) -> Head {
    Head {
        secrets: crate::secrets::Secrets::new([HEX_KEY]),
        ..Head::of_status(status)
    }
}

fn check(status: u16, body: Value, expected: Kind) {
    let error = classify(&head(status), body.to_string().as_bytes());
    assert_eq!(error.kind(), expected, "{status} {body}");
    assert_eq!(error.status(), Some(status));
}

fn openai(code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
}

#[test]
fn openai_codes_decide_before_the_status() {
    check(
        429,
        openai("rate_limit_exceeded", "Rate limit reached"),
        Kind::Throttled,
    );
    check(429, openai("slow_down", ""), Kind::Throttled);
    for code in [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "usage_not_included",
    ] {
        check(429, openai(code, ""), Kind::QuotaExhausted);
    }
    check(503, openai("server_is_overloaded", ""), Kind::Overloaded);
    check(
        400,
        openai("context_length_exceeded", ""),
        Kind::ContextOverflow,
    );
    check(400, openai("invalid_prompt", ""), Kind::ContentFiltered);
    check(
        400,
        openai("content_policy_violation", ""),
        Kind::ContentFiltered,
    );
    check(404, openai("model_not_found", ""), Kind::NotFound);
    check(401, openai("invalid_api_key", ""), Kind::Auth);
    check(
        400,
        openai("decimal_above_max_value", ""),
        Kind::InvalidRequest,
    );
    let quota = json!({"error": {"message": "", "type": "insufficient_quota", "code": null}});
    check(429, quota, Kind::QuotaExhausted);
    let server =
        json!({"error": {"message": "", "type": "server_error", "param": null, "code": null}});
    check(500, server, Kind::Server);
}

#[test]
fn request_that_never_fits_is_not_a_throttle() {
    let message =
        "Request too large for gpt-x on tokens per min (TPM): Limit 12000, Requested 15318.";
    check(429, openai("rate_limit_exceeded", message), Kind::TooLarge);
    check(413, openai("rate_limit_exceeded", message), Kind::TooLarge);
}

#[test]
fn compatible_servers_are_told_apart() {
    let azure = json!({"error": {"message": "", "type": null, "param": "prompt", "code": "content_filter",
        "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    check(400, azure, Kind::ContentFiltered);
    let mistral = json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"});
    check(429, mistral, Kind::Throttled);
    check(
        429,
        json!({"message": "Requests rate limit exceeded"}),
        Kind::Throttled,
    );
    check(
        429,
        json!({"message": "Service tier capacity exceeded for this model."}),
        Kind::Overloaded,
    );
    let model = json!({"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"});
    check(400, model, Kind::NotFound);
    let loading =
        json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}});
    check(503, loading, Kind::Overloaded);
    let overflow = json!({"error": {"code": 400, "message": "", "type": "exceed_context_size_error", "n_ctx": 8192}});
    check(400, overflow, Kind::ContextOverflow);
    let unsupported = json!({"error": {"code": 501, "message": "", "type": "not_supported_error"}});
    check(501, unsupported, Kind::Unsupported);
    let permanent = json!({"error": {"code": 500, "message": "error: cannot make GET request", "type": "server_error"}});
    check(500, permanent, Kind::InvalidRequest);
    let passing =
        json!({"error": {"code": 500, "message": "out of slots", "type": "server_error"}});
    check(500, passing, Kind::Server);
    let vllm = json!({"object": "error", "message": "This model's maximum context length is 4096 tokens. However, x",
        "type": "BadRequestError", "code": 400});
    check(400, vllm, Kind::ContextOverflow);
    check(
        498,
        json!({"error": {"message": "", "type": "", "code": "capacity_exceeded"}}),
        Kind::Overloaded,
    );
    check(
        429,
        json!({"error": {"code": "1113", "message": ""}}),
        Kind::QuotaExhausted,
    );
    check(
        429,
        json!({"error": {"code": "1308", "message": ""}}),
        Kind::QuotaExhausted,
    );
    check(
        429,
        json!({"error": {"code": "1302", "message": ""}}),
        Kind::Throttled,
    );
    check(
        402,
        json!({"error": {"code": 402, "message": ""}}),
        Kind::QuotaExhausted,
    );
    let budget = json!({"error": {"code": 402, "message": "", "metadata": {"limit_source": "openrouter_in_flight_budget"}}});
    check(402, budget, Kind::Throttled);
    let flagged = json!({"error": {"code": 403, "message": "", "metadata": {"reasons": ["x"]}}});
    check(403, flagged, Kind::ContentFiltered);
    check(
        429,
        json!([{"error": {"code": 429, "message": "", "status": "RESOURCE_EXHAUSTED"}}]),
        Kind::Throttled,
    );
}

#[test]
fn status_speaks_where_nothing_else_does() {
    for (status, kind) in [
        (301, Kind::NotFound),
        (400, Kind::InvalidRequest),
        (401, Kind::Auth),
        (403, Kind::Auth),
        (404, Kind::NotFound),
        (408, Kind::Timeout),
        (409, Kind::Server),
        (413, Kind::TooLarge),
        (422, Kind::InvalidRequest),
        (429, Kind::Throttled),
        (500, Kind::Server),
        (501, Kind::Unsupported),
        (502, Kind::Server),
        (503, Kind::Overloaded),
        (504, Kind::Timeout),
        (529, Kind::Overloaded),
    ] {
        let page = classify(&head(status), b"<html>secret-page</html>");
        assert_eq!(page.kind(), kind, "{status}");
        assert!(!page.to_string().contains("secret-page"));
        assert_eq!(classify(&head(status), b"").kind(), kind, "{status}");
        assert_eq!(
            classify(&head(status), b"{\"detail\": \"x\"}").kind(),
            kind,
            "{status}"
        );
    }
}

fn in_stream(event: Value) -> ModelError {
    StreamDecoder::classify_if_error(&head(200), event.to_string().as_bytes()).unwrap()
}

#[test]
fn error_in_a_stream_is_classified_by_its_object() {
    for (error, kind) in [
        (
            json!({"message": "x", "type": "server_error", "code": null}),
            Kind::Server,
        ),
        (
            json!({"message": "x", "code": "rate_limit_exceeded"}),
            Kind::Throttled,
        ),
        (
            json!({"code": 502, "message": "Provider disconnected"}),
            Kind::Server,
        ),
        (json!({"code": 429, "message": "x"}), Kind::Throttled),
        (
            json!({"message": "x", "type": "invalid_request_error"}),
            Kind::InvalidRequest,
        ),
        (json!("Overloaded somehow"), Kind::Server),
        (json!({"code": "429", "message": "x"}), Kind::Throttled),
        (json!({"code": 1302, "message": "x"}), Kind::Throttled),
        (json!({"code": 1113, "message": "x"}), Kind::QuotaExhausted),
        (
            json!({"code": 502, "message": "x", "metadata": {"provider_name": "p"}}),
            Kind::Overloaded,
        ),
        (
            json!({"message": "This model's maximum context length is 8 tokens.", "type": "invalid_request_error"}),
            Kind::ContextOverflow,
        ),
    ] {
        let classified = in_stream(json!({ "error": error }));
        assert_eq!(classified.kind(), kind, "{error}");
        assert_eq!(classified.status(), Some(200));
    }
}

#[test]
fn hints_and_advice_join_the_error() {
    let mut head = head(429);
    head.headers
        .insert("x-should-retry", "true".parse().unwrap());
    head.headers
        .insert("x-request-id", "req_1".parse().unwrap());
    let throttled = classify(
        &head,
        openai("rate_limit_exceeded", "Please try again in 1.5s.")
            .to_string()
            .as_bytes(),
    );
    assert_eq!(throttled.retry_after().unwrap().as_secs_f64(), 1.5);
    assert_eq!(throttled.request_id(), Some("req_1"));

    let quota = classify(
        &head,
        openai("insufficient_quota", "").to_string().as_bytes(),
    );
    assert!(!quota.is_transient(), "no header makes money");

    head.headers
        .insert("x-should-retry", "false".parse().unwrap());
    let refused = classify(
        &head,
        openai("rate_limit_exceeded", "").to_string().as_bytes(),
    );
    assert!(!refused.is_transient());
}

#[test]
fn keys_in_a_vendors_sentence_are_masked() {
    let body = openai(
        "invalid_api_key",
        "Incorrect API key provided: sk-abcdef123456.",
    );
    let error = classify(&head(401), body.to_string().as_bytes());
    assert!(!error.to_string().contains("abcdef"), "{error}");
}

#[test]
fn every_form_of_an_error_under_success_is_recognised() {
    for (event, kind) in [
        (
            json!({"object": "error", "message": "x", "type": "rate_limited"}),
            Some(Kind::Throttled),
        ),
        (
            json!([{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]),
            Some(Kind::Throttled),
        ),
        (json!({"detail": "x"}), Some(Kind::Server)),
        (
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            Some(Kind::Overloaded),
        ),
        (json!({"type": "ping"}), None),
        (json!({"error": null}), None),
        (json!([]), None),
        (json!(1), None),
    ] {
        let classified = StreamDecoder::classify_if_error(&head(200), event.to_string().as_bytes());
        assert_eq!(classified.map(|error| error.kind()), kind, "{event}");
    }
}

#[test]
fn googles_details_decide_what_a_status_leaves_open() {
    let error = |status: &str, message: &str, details: Value| json!([{"error": {"code": 0, "message": message, "status": status, "details": details}}]);
    let key =
        json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    check(
        400,
        error("INVALID_ARGUMENT", "API key not valid.", key),
        Kind::Auth,
    );
    let quota = |id: &str| json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]}]);
    for (id, kind) in [
        (
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            Kind::QuotaExhausted,
        ),
        ("DailyTokens", Kind::QuotaExhausted),
        (
            "GenerateRequestsPerMinutePerProjectPerModel",
            Kind::Throttled,
        ),
    ] {
        check(429, error("RESOURCE_EXHAUSTED", "", quota(id)), kind);
    }
    let message =
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
    check(
        400,
        error("INVALID_ARGUMENT", message, json!([])),
        Kind::ContextOverflow,
    );
    let wrong = "The input token count must be a number.";
    check(
        400,
        error("INVALID_ARGUMENT", wrong, json!([])),
        Kind::InvalidRequest,
    );
}

#[test]
fn sentences_are_asked_before_general_types() {
    let sglang = "The input (5000 tokens) is longer than the model's context length (4096 tokens).";
    check(
        400,
        json!({"object": "error", "message": sglang, "type": "BadRequestError", "code": 400}),
        Kind::ContextOverflow,
    );
    check(
        403,
        json!({"error": {"code": 403, "message": "x requires moderation"}}),
        Kind::ContentFiltered,
    );
    check(
        403,
        json!({"error": {"code": 403, "message": "x"}}),
        Kind::Auth,
    );
    check(
        502,
        json!({"error": {"code": 502, "message": "x"}}),
        Kind::Server,
    );
    let routed =
        json!({"error": {"code": 502, "message": "x", "metadata": {"provider_name": "p"}}});
    check(502, routed, Kind::Overloaded);
    check(
        429,
        json!({"error": {"code": 1113, "message": "x"}}),
        Kind::QuotaExhausted,
    );
}

#[test]
fn sentence_is_found_wherever_it_stands() {
    let list =
        json!([{"type": "missing", "loc": ["body", "messages", 0], "msg": "Field required"}]);
    for (body, message, code) in [
        (
            json!({"message": list}),
            "Field required at `body.messages.0`",
            None,
        ),
        (
            json!({"detail": list}),
            "Field required at `body.messages.0`",
            None,
        ),
        (
            json!({"object": "error", "message": {"detail": list}}),
            "Field required at `body.messages.0`",
            None,
        ),
        (json!({"detail": [{"msg": "x"}]}), "x", None),
        (
            json!({"code": "some_code", "error": "The model x does not exist"}),
            "The model x does not exist",
            Some("some_code"),
        ),
        (
            json!({"error": {"message": "y", "code": "429", "type": "t"}}),
            "y",
            Some("t"),
        ),
        (json!({"error": null, "message": "z"}), "z", None),
        (json!({"detail": []}), "", None),
    ] {
        let error = classify(&head(422), body.to_string().as_bytes());
        assert_eq!((error.message(), error.code()), (message, code), "{body}");
    }
}

#[test]
fn own_secrets_are_masked_whatever_their_shape() {
    let filler = "x".repeat(error_wire::MAX_MESSAGE_CHARS - 10);
    for body in [
        openai("invalid_api_key", &format!("Bad key {HEX_KEY}")),
        openai(HEX_KEY, "Bad key"),
        openai("x", &format!("{filler}{HEX_KEY}")),
        json!({"error": {"type": HEX_KEY}}),
        json!({"detail": [{"msg": HEX_KEY, "loc": [HEX_KEY]}]}),
    ] {
        let error = classify(&head(401), body.to_string().as_bytes());
        let shown = format!("{error} {error:?} {:?} {}", error.code(), error.message());
        assert!(!shown.contains(&HEX_KEY[..8]), "{shown}");
    }
}

#[test]
fn body_that_broke_off_leaves_the_head_to_speak() {
    let mut head = head(429);
    head.headers.insert("retry-after", "7".parse().unwrap());
    for body in [&b""[..], b"{\"error\": {\"mess"] {
        let error = classify(&head, body);
        assert_eq!(error.kind(), Kind::Throttled);
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
    }
}
