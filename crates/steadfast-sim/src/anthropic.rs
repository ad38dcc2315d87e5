//! The Anthropic messages wire: its answers, its errors, its headers, its requests.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`.

mod block;
mod error_body;
mod history_check;
mod message;
mod request;
mod request_check;
mod stream;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer_block::blocks;
use crate::conversation::{Item, OfferedTool, ToolChoice};
use crate::dialect::{Caller, Dialect, Failure, ResetTime, Wanted, has_bearer};
use crate::fault::StreamError;
use crate::headers::{LimitHeaders, insert};
use crate::identifier::identifier;
use crate::rate_limit::Bucket;
use crate::reply::{Draft, to_json};
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest};

use self::block::{Stop, is_thinking_enabled};
use self::error_body::ErrorBody;
use self::message::Message;

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The models that `GET …/models` lists; others are answered all the same.
const MODELS: [(&str, &str); 2] = [
    ("steadfast-sim", "Steadfast simulator"),
    ("steadfast-sim-mini", "Steadfast simulator mini"),
];

const VERSION_PATH: &str = "/v1";
const MESSAGES_PATH: &str = "/v1/messages";
const MODELS_PATH: &str = "/v1/models";

const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// The organisation whose key every key is.
const ORGANISATION: &str = "57ead7a5-7000-4000-8000-000000000000";

const LIMIT_HEADERS: LimitHeaders = LimitHeaders {
    limit: "anthropic-ratelimit-requests-limit",
    remaining: "anthropic-ratelimit-requests-remaining",
    reset: "anthropic-ratelimit-requests-reset",
    reset_in: |until_full| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let full = now.unwrap_or_default().saturating_add(until_full);
        // Rounded up, so that nobody comes back too early.
        let odd = u64::from(full.subsec_nanos() > 0);
        rfc_3339(full.as_secs().saturating_add(odd))
    },
};

/// Anthropic messages.
#[derive(Debug)]
pub(crate) struct Messages;

impl Dialect for Messages {
    fn base_path(&self) -> &'static str {
        ""
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        Wanted::by_end(path, MESSAGES_PATH, MODELS_PATH)
    }

    /// Compatible servers have words before the version: `/anthropic`, `/api/coding`.
    fn has_wrong_base(&self, path: &str) -> bool {
        let mut paths = [MESSAGES_PATH, MODELS_PATH].into_iter();
        let base = paths.find_map(|end| path.strip_suffix(end));
        base.is_none_or(|base| base.ends_with(VERSION_PATH) || base.ends_with(MESSAGES_PATH))
    }

    fn has_own_headers(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(VERSION) || headers.contains_key(KEY)
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let key = headers.get(KEY).and_then(|key| key.to_str().ok());
        key.is_some_and(|key| !key.trim().is_empty()) || has_bearer(headers)
    }

    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    fn check(
        &self,
        headers: &HeaderMap,
        request: &ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let version = headers
            .get(VERSION)
            .map(|value| value.to_str().unwrap_or_default());
        let checked = request_check::check(version, request.body());
        let (status, error) = match checked {
            Err(message) => (StatusCode::BAD_REQUEST, ErrorBody::invalid(message)),
            Ok(()) if caller.model.starts_with("nonexistent") => (
                StatusCode::NOT_FOUND,
                ErrorBody::model_not_found(caller.model),
            ),
            Ok(()) => return Ok(()),
        };
        Err(Box::new(error.into_draft(status, caller.number)))
    }

    fn models(&self) -> Draft {
        let models = MODELS.map(|(id, name)| {
            let created = "2026-01-01T00:00:00Z";
            json!({"type": "model", "id": id, "display_name": name, "created_at": created})
        });
        let [(first, _), .., (last, _)] = MODELS;
        let body = json!({
            "data": models,
            "has_more": false,
            "first_id": first,
            "last_id": last,
        });
        Draft::json(StatusCode::OK, &body)
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        let tokens = Tokens::of(answer, request);
        let blocks = blocks(
            answer,
            is_thinking_enabled(request.body()),
            "toolu_01",
            number,
        );
        let stop = Stop::of(answer, request);
        let model = request.model();
        if request.is_stream() {
            let message = Message::begun(model, number, &tokens);
            stream::draft(message, &blocks, stop, &tokens)
        } else {
            Message::whole(model, number, &tokens, &blocks, stop).into_draft()
        }
    }

    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft {
        let (status, error) = match failure {
            Failure::NothingHere { method, path } => {
                let message = format!("There is nothing at {method} {path}");
                let error = ErrorBody::new("not_found_error", message);
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongBase { method, path } => {
                let message = format!(
                    "There is nothing at {method} {path}: the base URL of a client of Anthropic's \
                     is this server's address without `/v1`, which the client adds"
                );
                let error = ErrorBody::new("not_found_error", message);
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongMethod {
                method,
                path,
                allowed,
            } => {
                let error = ErrorBody::invalid(format!("{path} takes {allowed}, not {method}"));
                (StatusCode::METHOD_NOT_ALLOWED, error)
            }
            Failure::NoKey => (StatusCode::UNAUTHORIZED, ErrorBody::no_key()),
            Failure::NotJson => {
                let error = ErrorBody::invalid("The request body is not valid JSON");
                (StatusCode::BAD_REQUEST, error)
            }
            Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ErrorBody::too_large()),
            Failure::Status { status, .. } => (*status, ErrorBody::for_status(*status, caller)),
            Failure::Quota => (StatusCode::TOO_MANY_REQUESTS, ErrorBody::quota()),
            Failure::Stream(error) => (status_of(*error), ErrorBody::in_stream(*error)),
            Failure::Unrecorded { message } => {
                let error = ErrorBody::new("not_found_error", *message);
                (StatusCode::NOT_FOUND, error)
            }
        };
        error.into_draft(status, caller.number)
    }

    fn stream_error(&self, error: StreamError, caller: &Caller<'_>) -> Bytes {
        ErrorBody::in_stream(error).to_event(caller.number)
    }

    fn malformed_event(&self) -> &'static [u8] {
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
          \"delta\":{\"type\":\"text_delta\",\"text\":\"\n\n"
    }

    fn keep_alive(&self) -> &'static [u8] {
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[r#""text":""#, r#""thinking":""#, r#""partial_json":""#]
    }

    fn headers(&self, number: u64, _: Duration) -> HeaderMap {
        let mut headers = HeaderMap::new();
        insert(&mut headers, "request-id", &request_id(number));
        insert(&mut headers, "anthropic-organization-id", ORGANISATION);
        headers
    }

    fn limit_headers(&self, bucket: &Bucket, reset: ResetTime) -> HeaderMap {
        LIMIT_HEADERS.of(bucket, reset)
    }

    fn conversation(&self, body: &Value) -> Vec<Item> {
        request::conversation(body)
    }

    fn system(&self, body: &Value) -> String {
        request::system(body)
    }

    fn tools<'a>(&self, body: &'a Value) -> Vec<OfferedTool<'a>> {
        request::tools(body)
    }

    fn tool_choice<'a>(&self, body: &'a Value) -> ToolChoice<'a> {
        request::tool_choice(body)
    }
}

/// Returns the status of an error that comes before there is a stream.
fn status_of(error: StreamError) -> StatusCode {
    match error {
        StreamError::Server => StatusCode::INTERNAL_SERVER_ERROR,
        StreamError::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        // A number that has no name in HTTP.
        StreamError::Overloaded => {
            StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Makes one event of a stream.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let head = format!("event: {name}\ndata: ");
    [head.as_bytes(), &to_json(data), b"\n\n"].concat().into()
}

fn request_id(number: u64) -> String {
    identifier("req_01", number, 22)
}

/// Writes a time, in seconds since 1970, as `2026-11-22T05:28:00Z`; one beyond the calendar as its
/// end.
fn rfc_3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_325_280, "2026-11-22T05:28:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(rfc_3339(seconds), expected);
        }
    }
}
