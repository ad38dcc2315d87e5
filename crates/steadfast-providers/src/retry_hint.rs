//! How long a server asks to wait, in every form that providers use. Whether to wait is not decided.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

use crate::{error_wire::google, http_client::Head, rate_limits::dimensions};

/// Units, in nanoseconds.
const SECOND: u128 = 1_000_000_000;
const MILLISECOND: u128 = 1_000_000;

/// The longest wait that is told: a year. Nobody waits for it, and what is longer is a broken clock.
const LONGEST_HINT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A server's word on how long to wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) delay: Duration,
    /// Where it was found.
    pub(crate) from: String,
}

impl Hint {
    fn of_header(name: &str, delay: Duration) -> Self {
        let from = format!("header `{name}`");
        Self { delay, from }
    }
}

/// Finds the server's word in headers and body, the most exact form first.
///
/// Zero, negative, past and unreadable values are no word at all.
///
/// Headers count from when they came. Of a stream that is long ago when it fails.
pub(crate) fn retry_after(head: &Head, body: Option<&Value>, message: &str) -> Option<Hint> {
    let elapsed = if head.status.is_success() {
        // In whole seconds, as servers count: who comes back too early is refused again.
        Duration::from_secs(head.came.elapsed().as_secs())
    } else {
        Duration::ZERO
    };
    let left = |hint: Hint| {
        let delay = positive(hint.delay.saturating_sub(elapsed))?;
        Some(Hint { delay, ..hint })
    };
    let headers = &head.headers;
    from_retry_headers(headers)
        .and_then(left)
        .or_else(|| of_error(error_in(body?)?, message))
        .or_else(|| from_sentence(message))
        .or_else(|| from_exhausted_dimension(headers).and_then(left))
        .or_else(|| from_minute_quota(error_in(body?)?))
}

/// Finds what an error object and its sentence say.
pub(crate) fn of_error(error: &Value, message: &str) -> Option<Hint> {
    from_retry_info(error).or_else(|| from_sentence(message))
}

/// Returns the error object of a body in Google's form; the body may be a list of one error.
fn error_in(body: &Value) -> Option<&Value> {
    body.get(0).unwrap_or(body).get("error")
}

/// AWS's own hint, as AWS's retry modes read it: a whole number of milliseconds, or nothing.
pub(crate) fn aws_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, "x-amz-retry-after")?;
    let delay = value.parse().ok().map(Duration::from_millis)?;
    Some(delay.min(LONGEST_HINT))
}

/// The server's word on whether to try again (`x-should-retry`, sent by OpenAI and Anthropic).
pub(crate) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn from_retry_headers(headers: &HeaderMap) -> Option<Hint> {
    let millis = |name| {
        let delay = amount(text(headers, name)?, MILLISECOND)?;
        Some(Hint::of_header(name, delay))
    };
    millis("retry-after-ms")
        .or_else(|| millis("x-amz-retry-after"))
        .or_else(|| {
            let value = text(headers, "retry-after")?;
            let delay = amount(value, SECOND).or_else(|| until(value, headers))?;
            Some(Hint::of_header("retry-after", delay))
        })
}

/// Reads a positive number of units of so many nanoseconds.
fn amount(value: &str, unit: u128) -> Option<Duration> {
    duration(decimal(value, unit)?)
}

fn duration(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    let rest = u32::try_from(nanos % SECOND).ok()?;
    positive(Duration::new(seconds, rest).min(LONGEST_HINT))
}

/// Reads a decimal number of units as whole nanoseconds. A part of one counts as one: who comes back
/// too early is refused again.
fn decimal(value: &str, unit: u128) -> Option<u128> {
    /// More digits than any clock has, and few enough that nothing overflows.
    const DIGITS: usize = 18;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let number = |text: &str| match text {
        "" => Some(0),
        text => text.parse::<u128>().ok(),
    };
    let (kept, beyond) = fraction.split_at(fraction.len().min(DIGITS));
    let scale = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let part = number(kept)?.checked_mul(unit)?;
    let beyond = u128::from(beyond.bytes().any(|byte| byte != b'0'));
    let part = (part + beyond).div_ceil(scale);
    number(whole)?.checked_mul(unit)?.checked_add(part)
}

fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Reads a point in time, as an HTTP date or in RFC 3339, and counts from the server's own clock
/// where it told it.
pub(crate) fn until(value: &str, headers: &HeaderMap) -> Option<Duration> {
    let point = point_in_time(value)?;
    let now = text(headers, "date")
        .and_then(point_in_time)
        .map_or_else(|| Timestamp::try_from(SystemTime::now()).ok(), Some)?;
    let delay = Duration::try_from(point.duration_since(now)).ok()?;
    positive(delay.min(LONGEST_HINT))
}

fn point_in_time(value: &str) -> Option<Timestamp> {
    let http_date = || {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(value)
            .ok()
    };
    // The forms that RFC 9110 has recipients read besides: RFC 850's, and asctime's.
    let older = || {
        ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
            .iter()
            .find_map(|form| DateTime::strptime(form, value).ok())?
            .to_zoned(TimeZone::UTC)
            .map(|time| time.timestamp())
            .ok()
    };
    value.parse().ok().or_else(http_date).or_else(older)
}

/// Google's `RetryInfo`, in the details of an error.
fn from_retry_info(error: &Value) -> Option<Hint> {
    let delay = google::details(error)
        .filter_map(|detail| detail.get("retryDelay")?.as_str())
        .find_map(units)?;
    let from = "`RetryInfo` in the body".to_owned();
    Some(Hint { delay, from })
}

/// Google's `QuotaFailure` of a quota of a minute: it is whole again after one.
fn from_minute_quota(error: &Value) -> Option<Hint> {
    let mut quotas = google::quotas(error);
    let is_of_minute = quotas.any(|quota| quota.contains("PerMinute"));
    let delay = is_of_minute.then_some(Duration::from_secs(60))?;
    let from = "a quota of a minute in the body".to_owned();
    Some(Hint { delay, from })
}

/// The documented sentences: OpenAI's and Groq's "Please try again in 1m2.5s.", Azure's "Please
/// retry after 60 seconds.", Google's "Please retry in 59.95s.".
fn from_sentence(message: &str) -> Option<Hint> {
    ["try again in ", "retry after ", "retry in "]
        .iter()
        .find_map(|phrase| {
            let (_, rest) = message.split_once(phrase)?;
            let mut words = rest.split_whitespace();
            let first = words.next()?.trim_end_matches(['.', ',', ';']);
            let (delay, said) = match units(first) {
                Some(delay) => (delay, first.to_owned()),
                None => {
                    let unit = words.next()?.trim_end_matches(['.', ',', ';']);
                    let nanos = match unit {
                        "second" | "seconds" => SECOND,
                        "minute" | "minutes" => 60 * SECOND,
                        _ => return None,
                    };
                    (amount(first, nanos)?, format!("{first} {unit}"))
                }
            };
            let from = format!("the sentence `{phrase}{said}`");
            Some(Hint { delay, from })
        })
}

/// The reset time of a limit of which nothing is left; the latest, if several are used up.
fn from_exhausted_dimension(headers: &HeaderMap) -> Option<Hint> {
    dimensions()
        .filter(|dimension| text(headers, dimension.remaining) == Some("0"))
        .filter_map(|dimension| {
            let value = text(headers, dimension.reset)?;
            let delay = units(value).or_else(|| until(value, headers))?;
            Some(Hint::of_header(dimension.reset, delay))
        })
        .max_by_key(|hint| hint.delay)
}

/// Reads a duration in Go's form, such as `1h2m3.5s` or `17ms`.
pub(crate) fn units(value: &str) -> Option<Duration> {
    let mut total: u128 = 0;
    let mut rest = value;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let unit = match unit {
            "h" => 3_600 * SECOND,
            "m" => 60 * SECOND,
            "s" => SECOND,
            "ms" => MILLISECOND,
            "us" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(decimal(number, unit)?)?;
        rest = next;
    }
    duration(total)
}

#[cfg(test)]
mod tests;
