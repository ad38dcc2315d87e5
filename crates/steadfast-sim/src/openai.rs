//! The OpenAI chat-completions wire: answers as bytes, errors as bodies, and its headers.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`.

mod error_body;
mod request_check;
mod stream;
mod unary;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{Content, Usage};
use crate::pieces::mix;
use crate::rate_limit::Bucket;
use crate::reply::Draft;
use crate::{Answer, ChatRequest};

pub(crate) use error_body::{ErrorBody, hint_headers};
pub(crate) use request_check::{Wanted, check};

const FINGERPRINT: &str = "fp_steadfast_sim";

/// The models that `GET …/models` lists; others are answered all the same.
const MODELS: [&str; 2] = ["steadfast-sim", "steadfast-sim-mini"];

/// Turns an answer into the bytes that the request asked for.
pub(crate) fn draft(answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
    let envelope = Envelope::new(request, number);
    if request.is_stream() {
        stream::draft(answer, request, &envelope)
    } else {
        unary::draft(answer, request, &envelope)
    }
}

/// Lists the models.
pub(crate) fn models() -> Draft {
    let models = MODELS.map(
        |id| json!({"id": id, "object": "model", "created": unix_time(), "owned_by": "steadfast"}),
    );
    let body = json!({"object": "list", "data": models});
    Draft::whole(
        http::StatusCode::OK,
        "application/json",
        body.to_string().into(),
    )
}

/// Returns the headers that OpenAI puts on everything that it answers.
pub(crate) fn headers(number: u64, took: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(
        &mut headers,
        "x-request-id",
        &identifier("req_", number, 32),
    );
    let millis = took.as_millis().max(1).to_string();
    insert(&mut headers, "openai-processing-ms", &millis);
    insert(&mut headers, "openai-version", "2020-10-01");
    headers
}

/// Returns the headers that say how much of the rate limit is left.
pub(crate) fn rate_limit_headers(bucket: &Bucket) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let limit = bucket.limit().requests_per_minute().to_string();
    insert(&mut headers, "x-ratelimit-limit-requests", &limit);
    let remaining = bucket.remaining().to_string();
    insert(&mut headers, "x-ratelimit-remaining-requests", &remaining);
    let reset = go_duration(bucket.until_full());
    insert(&mut headers, RESET_HEADER, &reset);
    headers
}

/// Names the header that tells when the rate limit is back to full.
pub(crate) const RESET_HEADER: &str = "x-ratelimit-reset-requests";

/// Makes one line of a stream.
pub(crate) fn data_line(json: &[u8]) -> Bytes {
    [b"data: ".as_slice(), json, b"\n\n"].concat().into()
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What all chunks of one answer have in common.
#[derive(Debug)]
struct Envelope {
    number: u64,
    id: String,
    created: u64,
    model: String,
}

impl Envelope {
    fn new(request: &ChatRequest, number: u64) -> Self {
        Self {
            number,
            id: identifier("chatcmpl-", number, 29),
            created: unix_time(),
            model: request.model().to_owned(),
        }
    }

    /// Returns the identifier of one tool call of the answer.
    fn call_id(&self, index: usize) -> String {
        identifier("call_", mix(self.number).wrapping_add(index as u64), 24)
    }
}

/// Spells a number as one of the vendor's identifiers; the same number gives the same one.
fn identifier(prefix: &str, number: u64, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = number;
    let letters = (0..length).map(|_| {
        state = mix(state);
        let letter = ALPHABET.get((state % 62) as usize);
        char::from(letter.copied().unwrap_or(b'A'))
    });
    prefix.chars().chain(letters).collect()
}

fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Everything that is sent has string keys, so this cannot fail; if it did, the client would
    // see an empty body, which is a fault that it has to live with anyway.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Returns the tokens of an answer: those that it names, or a guess of four bytes each.
fn usage(answer: &Answer, request: &ChatRequest) -> Value {
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    let mut reasoning = 0;
    let mut output = 0;
    for content in &answer.contents {
        match content {
            Content::Reasoning(text) => reasoning += tokens(text.len()),
            Content::Text(text) | Content::Refusal(text) => output += tokens(text.len()),
            Content::ToolCall { name, arguments } => output += tokens(name.len() + arguments.len()),
        }
    }
    let asked = |field: &str| {
        request
            .body()
            .get(field)
            .map_or(0, |asked| asked.to_string().len())
    };
    let guess = Usage {
        input_tokens: tokens(asked("messages") + asked("tools")),
        output_tokens: reasoning + output,
    };
    let usage = answer.usage.unwrap_or(guess);
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning.min(usage.output_tokens),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Writes a duration as Go does (`28ms`, `1.234s`, `14m54s`), in milliseconds, rounded up.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, fraction) = (millis / 1000 % 60, millis % 1000);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    text.push_str(&seconds.to_string());
    if fraction > 0 {
        text.push_str(format!(".{fraction:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let cases = [
            (0.0, "0s"),
            (0.0171, "18ms"),
            (0.3, "300ms"),
            (1.0, "1s"),
            (1.234, "1.234s"),
            (59.56, "59.56s"),
            (179.56, "2m59.56s"),
            (360.0, "6m0s"),
            (894.0, "14m54s"),
            (3600.0, "1h0m0s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(go_duration(Duration::from_secs_f64(seconds)), expected);
        }
    }

    #[test]
    fn identifiers_differ_but_repeat_for_a_number() {
        assert_eq!(identifier("req_", 1, 32), identifier("req_", 1, 32));
        assert_ne!(identifier("req_", 1, 32), identifier("req_", 2, 32));
        assert_eq!(identifier("chatcmpl-", 3, 29).len(), "chatcmpl-".len() + 29);
    }
}
