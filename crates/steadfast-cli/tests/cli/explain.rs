//! `steadfast explain`: what an answer means, said by the program that would have met it.

mod refusals;

use serde_json::{Value, json};

use crate::process::{Finished, TestResult, finish, finish_with_input, steadfast};

const SECRET: &str = "sk-ant-secret0123456789abcdef";

/// Every object has these fields, in this order.
const FIELDS: [&str; 12] = [
    "kind",
    "retried",
    "delay_ms",
    "decided_by",
    "terminal",
    "why",
    "retry_after_ms",
    "status",
    "code",
    "message",
    "request_id",
    "stop_reason",
];

/// What is asked, and the fields that are expected of the explanation.
type Case<'a> = (&'a str, &'a [&'a str], &'a str, Value);

/// Explains a body from standard input, without a key and without a network.
fn explain(provider: &str, arguments: &[&str], body: &str) -> TestResult<Finished> {
    let asked = ["explain", "--provider", provider, "--body", "-"];
    finish_with_input(
        &mut steadfast(&[&asked, arguments].concat()),
        body.as_bytes(),
    )
}

/// Reads the explanation: one line on standard output and nothing else, exit status 0.
fn explanation(explained: &Finished) -> TestResult<Value> {
    assert_eq!(explained.status, Some(0), "{}", explained.stderr);
    assert!(explained.stderr.is_empty(), "{}", explained.stderr);
    assert_eq!(explained.stdout.lines().count(), 1, "{}", explained.stdout);
    Ok(serde_json::from_str(&explained.stdout)?)
}

fn check(cases: &[Case<'_>]) -> TestResult {
    for (provider, arguments, body, expected) in cases {
        let explained = explain(provider, arguments, body)?;
        let explanation = explanation(&explained)?;

        let fields = expected.as_object().ok_or("no object")?;
        for (field, value) in fields {
            assert_eq!(
                explanation.get(field),
                Some(value),
                "{field} of {provider} {arguments:?} {body}: {explanation}"
            );
        }
    }
    Ok(())
}

#[test]
fn geminis_answers_are_classified_by_their_details() -> TestResult {
    let quota = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"","details":[{"violations":[{"quotaId":"RequestsPerDay"}]},{"retryDelay":"26s"}]}}"#;
    let key = r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"","details":[{"reason":"API_KEY_INVALID"}]}}]"#;
    let cut = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\r\n\r\n";
    check(&[
        (
            "gemini",
            &["--status", "429"],
            quota,
            json!({"kind": "quota_exhausted", "retried": false, "terminal": true,
                   "retry_after_ms": 26000}),
        ),
        (
            "gemini",
            &["--status", "400"],
            key,
            json!({"kind": "auth", "retried": false, "why": "error reason `API_KEY_INVALID`"}),
        ),
        (
            "gemini",
            &["--stream"],
            cut,
            json!({"kind": "truncated", "retried": true}),
        ),
    ])
}

#[test]
fn statuses_alone_are_classified_for_every_wire() -> TestResult {
    let hinted = ["--status", "529", "--header", "retry-after: 7"];
    for provider in [
        "openai",
        "anthropic",
        "openai-responses",
        "gemini",
        "ollama",
    ] {
        check(&[
            (
                provider,
                &hinted,
                "",
                json!({"kind": "overloaded", "retried": true, "delay_ms": 7000, "terminal": false,
                       "decided_by": "hint", "retry_after_ms": 7000, "status": 529,
                       "why": "status 529, wait from header `retry-after`"}),
            ),
            (
                provider,
                &["--status", "429"],
                "",
                json!({"kind": "throttled", "retried": true, "delay_ms": 4000, "terminal": false,
                       "decided_by": "backoff", "retry_after_ms": null, "why": "status 429"}),
            ),
            (
                provider,
                &["--status", "401"],
                "",
                json!({"kind": "auth", "retried": false, "delay_ms": null, "terminal": true,
                       "decided_by": null, "status": 401}),
            ),
            (
                provider,
                &["--status", "502"],
                "<html>Bad gateway</html>",
                json!({"kind": "server", "retried": true, "message": "the body is not JSON (24 bytes)"}),
            ),
            (provider, &["--status", "100"], "", json!({"status": 100})),
            (
                provider,
                &["--status", "200", "--header", "Content-Type: text/html"],
                "<html></html>",
                json!({"kind": "truncated", "retried": true,
                       "why": "a web page came instead of an answer"}),
            ),
        ])?;
    }
    Ok(())
}

#[test]
fn bodies_say_more_than_statuses() -> TestResult {
    let quota = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let context = r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
    let spent = r#"{"type":"error","error":{"type":"rate_limit_error","message":"","details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_011"}"#;
    let prompt = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
    check(&[
        (
            "openai",
            &["--status", "429", "--header", "x-request-id: req_7"],
            quota,
            json!({"kind": "quota_exhausted", "retried": false, "terminal": true, "delay_ms": null,
                   "code": "insufficient_quota", "message": "You exceeded your current quota.",
                   "request_id": "req_7", "why": "error code `insufficient_quota`"}),
        ),
        (
            "openai",
            &["--status", "400"],
            context,
            json!({"kind": "context_overflow", "terminal": true}),
        ),
        (
            "anthropic",
            &["--status", "429"],
            spent,
            json!({"kind": "quota_exhausted", "retried": false, "terminal": true,
                   "code": "enforced_spend_limit_reached", "message": null, "request_id": "req_011"}),
        ),
        (
            "anthropic",
            &["--status", "400"],
            prompt,
            json!({"kind": "context_overflow", "terminal": true,
                   "why": "the sentence `prompt is too long`"}),
        ),
    ])
}

#[test]
fn hints_are_found_in_every_form() -> TestResult {
    let date = ["--header", "date: Sun, 22 Nov 2026 00:00:00 GMT"];
    let cases: [(&str, &[&str], &str, Value); 7] = [
        (
            "anthropic",
            &["--header", "Retry-After: Sun, 22 Nov 2026 00:00:20 GMT"],
            "",
            json!([20_000, 20_000, "hint"]),
        ),
        (
            "openai",
            &[
                "--header",
                "retry-after-ms: 6500.5",
                "--header",
                "retry-after: 7",
            ],
            "",
            json!([6501, 6501, "hint"]),
        ),
        // The longer of hint and backoff counts.
        (
            "openai",
            &["--header", "retry-after-ms: 1500"],
            "",
            json!([1500, 4000, "backoff"]),
        ),
        (
            "openai",
            &[
                "--header",
                "x-ratelimit-remaining-tokens: 0",
                "--header",
                "x-ratelimit-reset-tokens: 1m2s",
            ],
            "",
            json!([62_000, 62_000, "hint"]),
        ),
        (
            "anthropic",
            &[
                "--header",
                "anthropic-ratelimit-tokens-remaining: 0",
                "--header",
                "anthropic-ratelimit-tokens-reset: 2026-11-22T00:00:45Z",
            ],
            "",
            json!([45_000, 45_000, "hint"]),
        ),
        (
            "openai",
            &[],
            r#"{"error":{"message":"Rate limit reached. Please try again in 9.5s.","code":"rate_limit_exceeded"}}"#,
            json!([9500, 9500, "hint"]),
        ),
        // Longer than the default strategy waits for anybody: later it may work.
        (
            "anthropic",
            &["--header", "retry-after: 601"],
            "",
            json!([601_000, null, null]),
        ),
    ];
    for (provider, headers, body, expected) in cases {
        let arguments = [&["--status", "429"], &date[..], headers].concat();
        let explained = explain(provider, &arguments, body)?;

        let said = explanation(&explained)?;

        let found = json!([said["retry_after_ms"], said["delay_ms"], said["decided_by"]]);
        assert_eq!(found, expected, "{provider} {headers:?} {body}");
        assert_eq!(said["retried"], !expected[1].is_null());
        assert_eq!(said["terminal"], false);
        let why = said["why"].as_str().unwrap_or_default();
        let gave_up =
            "; gave up since the server asks for a longer wait than `max_hint` allows (600s)";
        assert_eq!(why.ends_with(gave_up), expected[1].is_null(), "{why}");
    }
    Ok(())
}

#[test]
fn servers_word_on_retrying_counts() -> TestResult {
    let no = ["--status", "529", "--header", "x-should-retry: false"];
    let yes = ["--status", "400", "--header", "x-should-retry: true"];
    check(&[
        (
            "anthropic",
            &no,
            "",
            json!({"kind": "overloaded", "retried": false, "terminal": true,
                   "why": "status 529, header `x-should-retry: false`"}),
        ),
        (
            "openai",
            &yes,
            "",
            json!({"kind": "invalid_request", "retried": true, "terminal": false, "delay_ms": 4000}),
        ),
    ])
}

#[test]
fn streams_are_read_to_their_error() -> TestResult {
    let started = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
                   event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
                   event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
    let failed = "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}\n\ndata: [DONE]\n\n";
    let overloaded = format!("{started}{overloaded}");
    let failed = format!("{said}{failed}");
    let cut = json!({"kind": "truncated", "retried": true, "terminal": false, "status": 200,
                     "why": "the stream ended without its end marker"});
    check(&[
        (
            "anthropic",
            &["--stream"],
            &overloaded,
            json!({"kind": "overloaded", "retried": true, "delay_ms": 4000, "status": 200,
                   "code": "overloaded_error", "message": "Overloaded",
                   "why": "error type `overloaded_error`"}),
        ),
        // What comes behind an error does not make it an answer.
        (
            "openai",
            &["--stream"],
            &failed,
            json!({"kind": "server", "retried": true, "message": "The server had an error"}),
        ),
        ("anthropic", &["--stream"], started, cut.clone()),
        ("openai", &["--stream"], said, cut.clone()),
        ("openai", &["--stream"], "", cut.clone()),
        (
            "ollama",
            &["--stream"],
            "{\"message\":{\"content\":\"Hello\"},\"done\":false}\n{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
            json!({"kind": "overloaded", "retried": true, "status": 200}),
        ),
        (
            "ollama",
            &["--stream"],
            "{\"message\":{\"content\":\"Hello\"},\"done\":false}\n",
            cut.clone(),
        ),
        // The flag counts, whatever the headers say.
        (
            "openai",
            &["--stream", "--header", "content-type: text/html"],
            said,
            cut,
        ),
        // A body that says what it is needs no flag.
        (
            "anthropic",
            &[
                "--status",
                "200",
                "--header",
                "content-type: text/event-stream",
            ],
            &overloaded,
            json!({"kind": "overloaded"}),
        ),
    ])
}

#[test]
fn complete_answers_have_no_kind() -> TestResult {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let message =
        r#"{"type":"message","content":[{"type":"text","text":"No."}],"stop_reason":"refusal"}"#;
    let complete = |stop_reason| {
        json!({"kind": null, "retried": false, "delay_ms": null, "terminal": false, "status": 200,
               "message": null, "why": "the answer is complete", "stop_reason": stop_reason})
    };
    check(&[
        ("openai", &["--stream"], stream, complete("end_turn")),
        (
            "anthropic",
            &["--status", "200"],
            message,
            complete("refusal"),
        ),
    ])
}

#[test]
fn explanation_is_one_line_with_all_fields_in_order() -> TestResult {
    let error = explain("openai", &["--status", "429"], "")?;
    let answer = explain(
        "openai",
        &["--status", "200"],
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}]}"#,
    )?;
    for explained in [error, answer] {
        explanation(&explained)?;

        let mut rest = explained.stdout.as_str();
        for field in FIELDS {
            let name = format!("\"{field}\":");
            (_, rest) = rest.split_once(&name).ok_or(name)?;
        }
    }
    Ok(())
}

#[test]
fn documents_show_what_is_printed() -> TestResult {
    for (page, provider, status) in [
        ("README.md", "anthropic", "529"),
        ("docs/concepts/retry.md", "openai", "429"),
    ] {
        let text = std::fs::read_to_string(format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR")))?;
        let (before, shown) = text.split_once("```json\n").ok_or("no JSON")?;
        let (shown, _) = shown.split_once("```").ok_or("no end")?;

        let hinted = ["--status", status, "--header", "retry-after: 7"];
        let explained = explain(provider, &hinted, "")?;

        assert!(before.contains(&format!("explain --provider {provider} --status {status} ")));
        assert_eq!(
            explanation(&explained)?,
            serde_json::from_str::<Value>(shown)?
        );
    }
    Ok(())
}

#[test]
fn secrets_are_masked_and_bodies_are_not_repeated() -> TestResult {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {SECRET}","code":"{SECRET}"}},"prompt":"my secret diary"}}"#
    );
    let key = format!("authorization: Bearer {SECRET}");
    let id = format!("x-request-id: {SECRET}");
    let headers = ["--header", &key, "--header", &id];
    for (provider, status) in [
        ("openai", "401"),
        ("anthropic", "401"),
        ("openai-responses", "401"),
        ("openai", "200"),
    ] {
        let arguments = [&["--status", status], &headers[..]].concat();
        let explained = explain(provider, &arguments, &body)?;

        let said = explanation(&explained)?;

        assert!(!explained.stdout.contains("secret"), "{said}");
        assert_eq!(said["message"], "Incorrect API key provided: ***");
        assert_eq!(
            (&said["code"], &said["request_id"]),
            (&json!("***"), &json!("***"))
        );
    }
    Ok(())
}

#[test]
fn bodies_come_from_files_and_the_order_of_flags_is_free() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("answer.json");
    std::fs::write(
        &file,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    )?;
    let path = file.to_str().ok_or("the path is not UTF-8")?;
    for arguments in [
        ["--provider", "anthropic", "--status", "529", "--body", path],
        ["--body", path, "--status", "529", "--provider", "anthropic"],
    ] {
        let explained = finish(&mut steadfast(&[&["explain"], &arguments[..]].concat()))?;

        let said = explanation(&explained)?;

        assert_eq!(said["why"], "error type `overloaded_error`");
    }
    Ok(())
}

#[test]
fn bodies_that_are_no_text_are_explained_too() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("answer");
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    std::fs::write(&file, noise)?;
    let path = file.to_str().ok_or("the path is not UTF-8")?;
    for (status, kind) in [("500", "server"), ("200", "truncated")] {
        let arguments = ["--provider", "openai", "--status", status, "--body", path];
        let explained = finish(&mut steadfast(&[&["explain"], &arguments[..]].concat()))?;

        assert_eq!(explanation(&explained)?["kind"], kind);
    }
    Ok(())
}
