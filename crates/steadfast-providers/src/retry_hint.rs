//! How long a server asks to wait, in every form that providers use. Whether to wait is not decided.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

/// Finds the server's word in headers and body, the most exact form first.
///
/// Zero, negative, past and unreadable values are no word at all.
pub(crate) fn retry_after(
    headers: &HeaderMap,
    body: Option<&Value>,
    message: &str,
) -> Option<Duration> {
    from_retry_headers(headers)
        .or_else(|| body.and_then(from_retry_info))
        .or_else(|| from_sentence(message))
        .or_else(|| from_exhausted_dimension(headers))
}

/// The server's word on whether to try again (`x-should-retry`, sent by OpenAI and Anthropic).
pub(crate) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn from_retry_headers(headers: &HeaderMap) -> Option<Duration> {
    let millis = |name| text(headers, name).and_then(|value| seconds(value, 1e-3));
    millis("retry-after-ms")
        .or_else(|| millis("x-amz-retry-after"))
        .or_else(|| {
            let value = text(headers, "retry-after")?;
            seconds(value, 1.0).or_else(|| until(value, headers))
        })
}

/// Reads a positive number of units.
fn seconds(value: &str, unit: f64) -> Option<Duration> {
    let number: f64 = value.parse().ok()?;
    positive(Duration::try_from_secs_f64(number * unit).ok()?)
}

fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Reads a point in time, as an HTTP date or in RFC 3339, and counts from the server's own clock
/// where it told it.
fn until(value: &str, headers: &HeaderMap) -> Option<Duration> {
    let point = point_in_time(value)?;
    let now = text(headers, "date")
        .and_then(point_in_time)
        .map_or_else(|| Timestamp::try_from(SystemTime::now()).ok(), Some)?;
    positive(Duration::try_from(point.duration_since(now)).ok()?)
}

fn point_in_time(value: &str) -> Option<Timestamp> {
    let http_date = || {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(value)
            .ok()
    };
    value.parse().ok().or_else(http_date)
}

/// Google's `RetryInfo`, in the details of an error; the body may be a list of one error.
fn from_retry_info(body: &Value) -> Option<Duration> {
    let error = body.get(0).unwrap_or(body).get("error")?;
    let details = error.get("details")?.as_array()?;
    details
        .iter()
        .filter_map(|detail| detail.get("retryDelay")?.as_str())
        .find_map(units)
}

/// The documented sentences: OpenAI's and Groq's "Please try again in 1m2.5s.", Azure's "Please
/// retry after 60 seconds.", Google's "Please retry in 59.95s.".
fn from_sentence(message: &str) -> Option<Duration> {
    ["try again in ", "retry after ", "retry in "]
        .iter()
        .find_map(|phrase| {
            let (_, rest) = message.split_once(phrase)?;
            let mut words = rest.split_whitespace();
            let first = words.next()?.trim_end_matches(['.', ',', ';']);
            units(first).or_else(|| match words.next()?.trim_end_matches(['.', ',', ';']) {
                "second" | "seconds" => seconds(first, 1.0),
                "minute" | "minutes" => seconds(first, 60.0),
                _ => None,
            })
        })
}

/// The reset time of a limit of which nothing is left; the latest, if several are used up.
fn from_exhausted_dimension(headers: &HeaderMap) -> Option<Duration> {
    const DIMENSIONS: [(&str, &str); 6] = [
        (
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ),
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
        (
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ),
        (
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ),
        (
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ),
        (
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ),
    ];
    DIMENSIONS
        .iter()
        .filter(|(remaining, _)| text(headers, remaining) == Some("0"))
        .filter_map(|(_, reset)| {
            let value = text(headers, reset)?;
            units(value).or_else(|| until(value, headers))
        })
        .max()
}

/// Reads a duration in Go's form, such as `1h2m3.5s` or `17ms`.
fn units(value: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = value;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let factor = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    // To whole microseconds: sums of fractions carry noise in the last bits.
    positive(Duration::try_from_secs_f64((total * 1e6).round() / 1e6).ok()?)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const NOW: &str = "Sun, 22 Nov 2026 00:00:00 GMT";

    fn check_headers(headers: &[(&'static str, &'static str)], expected: Option<f64>) {
        let mut map = HeaderMap::new();
        map.insert("date", HeaderValue::from_static(NOW));
        for (name, value) in headers {
            map.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let hint = retry_after(&map, None, "").map(|hint| hint.as_secs_f64());
        assert_eq!(hint, expected, "{headers:?}");
    }

    fn check_sentence(message: &str, expected: Option<f64>) {
        let hint = retry_after(&HeaderMap::new(), None, message).map(|hint| hint.as_secs_f64());
        assert_eq!(hint, expected, "{message}");
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
        let hint = retry_after(&HeaderMap::new(), Some(&body), "");
        assert_eq!(hint, Some(Duration::from_millis(34_500)));
    }

    #[test]
    fn server_may_say_whether_to_retry() {
        let mut map = HeaderMap::new();
        assert_eq!(should_retry(&map), None);
        map.insert("x-should-retry", HeaderValue::from_static("false"));
        assert_eq!(should_retry(&map), Some(false));
    }
}
