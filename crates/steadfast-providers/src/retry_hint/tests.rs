use http::{HeaderName, HeaderValue};

use super::*;

const NOW: &str = "Sun, 22 Nov 2026 00:00:00 GMT";

fn head(headers: HeaderMap) -> Head {
    Head {
        headers,
        ..Head::of_status(429)
    }
}

fn check_headers(headers: &[(&'static str, &'static str)], expected: Option<f64>) {
    let mut map = HeaderMap::new();
    map.insert("date", HeaderValue::from_static(NOW));
    for (name, value) in headers {
        map.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let hint = retry_after(&head(map), None, "").map(|hint| hint.delay.as_nanos());
    assert_eq!(hint, nanos(expected), "{headers:?}");
}

/// What is expected, to the nanosecond.
fn nanos(seconds: Option<f64>) -> Option<u128> {
    seconds.map(|seconds| Duration::from_secs_f64(seconds).as_nanos())
}

fn check_body(body: &str, expected: Option<f64>) {
    let value: Value = serde_json::from_str(body).unwrap();
    let hint =
        retry_after(&head(HeaderMap::new()), Some(&value), "").map(|hint| hint.delay.as_nanos());
    assert_eq!(hint, nanos(expected), "{body}");
}

fn check_sentence(message: &str, expected: Option<f64>) {
    let hint =
        retry_after(&head(HeaderMap::new()), None, message).map(|hint| hint.delay.as_nanos());
    assert_eq!(hint, nanos(expected), "{message}");
}

#[test]
fn headers_are_read_in_order_of_exactness() {
    check_headers(
        &[("retry-after-ms", "2500"), ("retry-after", "9")],
        Some(2.5),
    );
    check_headers(&[("x-amz-retry-after", "750")], Some(0.75));
    check_headers(&[("retry-after", "30")], Some(30.0));
    check_headers(&[("retry-after", "0.25")], Some(0.25));
    check_headers(
        &[("retry-after", "Sun, 22 Nov 2026 00:01:30 GMT")],
        Some(90.0),
    );
}

#[test]
fn values_that_say_nothing_are_ignored() {
    for value in [
        "0",
        "-1",
        "later",
        "NaN",
        "inf",
        "",
        "Sat, 21 Nov 2026 12:00:00 GMT",
    ] {
        check_headers(&[("retry-after", value)], None);
    }
}

#[test]
fn only_an_exhausted_dimension_counts() {
    let reset = ("x-ratelimit-reset-requests", "1m2.5s");
    check_headers(
        &[("x-ratelimit-remaining-requests", "0"), reset],
        Some(62.5),
    );
    check_headers(&[("x-ratelimit-remaining-requests", "3"), reset], None);
    check_headers(&[("x-ratelimit-remaining-requests", "-1"), reset], None);
    check_headers(
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "17ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1h2m3s"),
        ],
        Some(3_723.0),
    );
    check_headers(
        &[
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-22T00:00:45Z"),
        ],
        Some(45.0),
    );
}

#[test]
fn documented_sentences_are_read() {
    check_sentence(
        "Limit 10, Used 10. Please try again in 1m2.5s. More at …",
        Some(62.5),
    );
    check_sentence("Please try again in 28ms.", Some(0.028));
    check_sentence("Please retry after 60 seconds.", Some(60.0));
    check_sentence("Please retry after 1 second", Some(1.0));
    check_sentence("Please retry after 1.5 minutes.", Some(90.0));
    check_sentence("Please retry after 3 fortnights.", None);
    check_sentence("Please retry in 59.95s.", Some(59.95));
    check_sentence("Please try again in a while.", None);
    check_sentence("Please wait before trying again.", None);
}

#[test]
fn retry_info_is_read_from_the_details() {
    let body = serde_json::json!([{"error": {"details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    ]}}]);
    let hint = retry_after(&head(HeaderMap::new()), Some(&body), "").unwrap();
    assert_eq!(hint.delay, Duration::from_millis(34_500));
    assert_eq!(hint.from, "`RetryInfo` in the body");
}

#[test]
fn hint_says_where_it_was_found() {
    let found_in = |headers: &[(&'static str, &'static str)], message: &str| {
        let mut map = HeaderMap::new();
        map.insert("date", HeaderValue::from_static(NOW));
        for (name, value) in headers {
            map.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        retry_after(&head(map), None, message).map(|hint| hint.from)
    };
    for (headers, message, from) in [
        (
            &[("retry-after-ms", "5"), ("retry-after", "9")][..],
            "try again in 1s",
            "header `retry-after-ms`",
        ),
        (&[("retry-after", "9")], "", "header `retry-after`"),
        (
            &[("x-amz-retry-after", "9")],
            "",
            "header `x-amz-retry-after`",
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            "",
            "header `x-ratelimit-reset-tokens`",
        ),
        (
            &[],
            "Please try again in 41.724s. Visit …",
            "the sentence `try again in 41.724s`",
        ),
        (
            &[],
            "Please retry after 60 seconds.",
            "the sentence `retry after 60 seconds`",
        ),
    ] {
        assert_eq!(found_in(headers, message).as_deref(), Some(from));
    }
}

#[test]
fn server_may_say_whether_to_retry() {
    let mut map = HeaderMap::new();
    assert_eq!(should_retry(&map), None);
    map.insert("x-should-retry", HeaderValue::from_static("false"));
    assert_eq!(should_retry(&map), Some(false));
}

#[test]
fn aws_counts_in_whole_milliseconds() {
    for (value, expected) in [
        ("1500", Some(1_500)),
        ("0", Some(0)),
        ("-5", None),
        ("soon", None),
        ("1500.5", None),
    ] {
        let mut map = HeaderMap::new();
        map.insert("x-amz-retry-after", HeaderValue::from_static(value));
        let hint = aws_retry_after(&map).map(|hint| hint.as_millis());
        assert_eq!(hint, expected, "{value}");
    }
    assert_eq!(aws_retry_after(&HeaderMap::new()), None);
}

/// The vectors that are shared with other implementations, counted from `NOW`.
#[test]
fn shared_header_vectors_are_read_exactly() {
    check_headers(&[("retry-after-ms", "1500")], Some(1.5));
    check_headers(
        &[("retry-after-ms", "1500.5"), ("retry-after", "9")],
        Some(1.5005),
    );
    check_headers(&[("retry-after", "20")], Some(20.0));
    check_headers(&[("retry-after", "0.5")], Some(0.5));
    check_headers(&[("retry-after", "0")], None);
    check_headers(&[("retry-after", "-3")], None);
    check_headers(&[("retry-after", "soon")], None);
    check_headers(&[("retry-after", "nan")], None);
    check_headers(
        &[("retry-after", "Sun, 22 Nov 2026 00:00:30 GMT")],
        Some(30.0),
    );
    check_headers(&[("retry-after", "Sat, 21 Nov 2026 23:59:00 GMT")], None);
    check_headers(&[("x-amz-retry-after", "1500")], Some(1.5));
    check_headers(
        &[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-11-22T00:00:12Z"),
        ],
        Some(12.0),
    );
    check_headers(
        &[
            ("anthropic-ratelimit-requests-remaining", "7"),
            ("anthropic-ratelimit-requests-reset", "2026-11-22T00:00:12Z"),
        ],
        None,
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
        ],
        Some(1.0),
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        Some(360.0),
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2m59.56s"),
        ],
        Some(179.56),
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "17ms"),
        ],
        Some(0.017),
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1h2m3s"),
        ],
        Some(3723.0),
    );
    check_headers(
        &[
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-reset-requests", "0"),
        ],
        None,
    );
}

#[test]
fn shared_body_vectors_are_read_exactly() {
    check_sentence(
        "Rate limit reached for gpt-5 in organization org-x on tokens per min (TPM): Limit 30000, Used 28000, Requested 4000. Please try again in 4s.",
        Some(4.0),
    );
    check_sentence(
        "... Please try again in 41.724s. Visit https://platform.openai.com/account/rate-limits",
        Some(41.724),
    );
    check_sentence("... Please try again in 28ms.", Some(0.028));
    check_sentence("... Please try again in 14m54.048s.", Some(894.048));
    check_sentence(
        "Requests to the ChatCompletions_Create Operation have exceeded call rate limit. Please retry after 60 seconds.",
        Some(60.0),
    );
    check_sentence(
        "You exceeded your current quota ... Please retry in 59.95s.",
        Some(59.95),
    );
    check_body(
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074824224s"}]}}"#,
        Some(34.074824224),
    );
    check_body(
        r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"900ms"}]}}"#,
        Some(0.9),
    );
    check_sentence(
        "Request too large for model in organization on tokens per minute (TPM): Limit 12000, Requested 15318, please reduce your message size and try again.",
        None,
    );
    check_sentence("Too many tokens, please wait before trying again.", None);
}

#[test]
fn parts_of_a_nanosecond_are_rounded_up() {
    let nanos = |value: &str, unit| amount(value, unit).map(|hint| hint.as_nanos());
    for (value, unit, expected) in [
        ("0.0000000001", SECOND, Some(1)),
        ("1.0000000000000000000000001", SECOND, Some(1_000_000_001)),
        ("1.", SECOND, Some(1_000_000_000)),
        (".5", MILLISECOND, Some(500_000)),
        (".", SECOND, None),
        ("1.0000000000000000000", SECOND, Some(1_000_000_000)),
        ("0.0000000000000000001", SECOND, Some(1)),
        ("1.2.3", SECOND, None),
        ("+2.5", SECOND, None),
        ("2.+5", SECOND, None),
        ("99999999999999999999999", SECOND, None),
        ("9999999999999999999999999999999999999999", SECOND, None),
        ("99999999999", SECOND, Some(LONGEST_HINT.as_nanos())),
    ] {
        assert_eq!(nanos(value, unit), expected, "{value}");
    }
    assert_eq!(
        units("34.074824224s"),
        Some(Duration::from_nanos(34_074_824_224))
    );
    assert_eq!(units("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
    assert_eq!(units("4ms5us6ns"), Some(Duration::from_nanos(4_005_006)));
}

#[tokio::test(start_paused = true)]
async fn headers_of_a_stream_count_from_when_they_came() {
    let mut headers = HeaderMap::new();
    headers.insert("date", HeaderValue::from_static(NOW));
    headers.insert(
        "x-ratelimit-remaining-tokens",
        HeaderValue::from_static("0"),
    );
    headers.insert(
        "x-ratelimit-reset-tokens",
        HeaderValue::from_static("1m30s"),
    );
    let head = Head {
        headers,
        ..Head::of_status(200)
    };
    let left = |message| retry_after(&head, None, message).map(|hint| hint.delay.as_secs());
    assert_eq!(left(""), Some(90));

    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(left(""), Some(30));
    assert_eq!(left("Please try again in 7s."), Some(7));

    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(left(""), None);
}

#[test]
fn dates_of_older_forms_are_read() {
    for date in ["Sunday, 22-Nov-26 00:00:30 GMT", "Sun Nov 22 00:00:30 2026"] {
        let mut map = HeaderMap::new();
        map.insert("date", HeaderValue::from_static(NOW));
        map.insert("retry-after", HeaderValue::from_static(date));
        let hint = retry_after(&head(map), None, "").map(|hint| hint.delay.as_secs());
        assert_eq!(hint, Some(30), "{date}");
    }
}
