//! The OpenAI chat-completions wire: its answers, its errors, its headers, its requests.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`.

mod error_body;
pub(crate) mod form_check;
mod history_check;
mod request;
mod stream;
mod unary;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use serde_json::{Value, json};

use crate::conversation::{Item, OfferedTool, ToolChoice};
use crate::dialect::{Caller, Dialect, Failure, ResetTime, Wanted, has_bearer};
use crate::fault::StreamError;
use crate::headers::{LimitHeaders, insert};
use crate::identifier::identifier;
use crate::pieces::mix;
use crate::rate_limit::Bucket;
use crate::reply::Draft;
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest};

pub(crate) use self::error_body::ErrorBody;

const FINGERPRINT: &str = "fp_steadfast_sim";

/// The models that `GET …/models` lists; others are answered all the same.
const MODELS: [&str; 2] = ["steadfast-sim", "steadfast-sim-mini"];

const CHAT_PATH: &str = "/chat/completions";
const MODELS_PATH: &str = "/models";

const LARGEST_BODY: usize = 64 * 1024 * 1024;

const LIMIT_HEADERS: LimitHeaders = LimitHeaders {
    limit: "x-ratelimit-limit-requests",
    remaining: "x-ratelimit-remaining-requests",
    reset: "x-ratelimit-reset-requests",
    reset_in: go_duration,
};

/// OpenAI chat completions.
#[derive(Debug)]
pub(crate) struct Chat;

impl Dialect for Chat {
    fn base_path(&self) -> &'static str {
        "/v1"
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        Wanted::by_end(path, CHAT_PATH, MODELS_PATH)
    }

    /// Compatible servers have other words around the version, and other versions: `/openai/v1`,
    /// `/api/paas/v4`, `/v1beta/openai`.
    fn has_wrong_base(&self, path: &str) -> bool {
        let mut paths = [CHAT_PATH, MODELS_PATH].into_iter();
        let base = paths.find_map(|end| path.strip_suffix(end));
        base.is_none_or(|base| !has_version(base) || base.ends_with(CHAT_PATH))
    }

    fn has_own_headers(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("openai-organization") || headers.contains_key("openai-project")
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        // Azure's clients send it by itself.
        let key = headers.get("api-key").and_then(|key| key.to_str().ok());
        key.is_some_and(|key| !key.trim().is_empty()) || has_bearer(headers)
    }

    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    fn check(
        &self,
        _: &HeaderMap,
        request: &ChatRequest,
        _: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let model = request.model();
        let (status, error) = if model.is_empty() {
            let error = ErrorBody::invalid("The request names no model.");
            (StatusCode::BAD_REQUEST, error)
        } else if request.messages().is_empty() {
            let error = ErrorBody::invalid("The request has no messages.");
            (StatusCode::BAD_REQUEST, error)
        } else if model.starts_with("nonexistent") {
            (StatusCode::NOT_FOUND, ErrorBody::model_not_found(model))
        } else if let Err(error) = form_check::tools(request.body())
            .and_then(|()| history_check::check(request.messages()))
        {
            (StatusCode::BAD_REQUEST, error)
        } else {
            return Ok(());
        };
        Err(Box::new(error.into_draft(status)))
    }

    fn models(&self) -> Draft {
        let models = MODELS.map(|id| {
            json!({"id": id, "object": "model", "created": unix_time(), "owned_by": "steadfast"})
        });
        let body = json!({"object": "list", "data": models});
        Draft::json(StatusCode::OK, &body)
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        let envelope = Envelope::new(request, number);
        if request.is_stream() {
            stream::draft(answer, request, &envelope)
        } else {
            unary::draft(answer, request, &envelope)
        }
    }

    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft {
        let (status, error) = match failure {
            Failure::NothingHere { method, path } => {
                let error = ErrorBody::invalid(format!("There is nothing at {method} {path}."));
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongBase { method, path } => {
                let error = ErrorBody::invalid(format!(
                    "There is nothing at {method} {path}. The base URL of a client of OpenAI's is \
                     this server's address with `/v1` behind it, and no more."
                ));
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongMethod {
                method,
                path,
                allowed,
            } => {
                let error = ErrorBody::invalid(format!("{path} takes {allowed}, not {method}."));
                (StatusCode::METHOD_NOT_ALLOWED, error)
            }
            Failure::NoKey => (StatusCode::UNAUTHORIZED, ErrorBody::no_key()),
            Failure::NotJson => {
                let error = ErrorBody::invalid("The body of the request is not JSON.");
                (StatusCode::BAD_REQUEST, error)
            }
            Failure::TooLarge => {
                let message = format!("The request body is larger than {} MB.", LARGEST_BODY >> 20);
                let error = ErrorBody::invalid_with("request_too_large", message);
                (StatusCode::PAYLOAD_TOO_LARGE, error)
            }
            Failure::Status { status, hint } => {
                (*status, ErrorBody::for_status(*status, caller, *hint))
            }
            Failure::Quota => (StatusCode::TOO_MANY_REQUESTS, ErrorBody::quota()),
            Failure::Stream(error) => {
                let status = match error {
                    StreamError::Server => StatusCode::INTERNAL_SERVER_ERROR,
                    StreamError::RateLimit => StatusCode::TOO_MANY_REQUESTS,
                    StreamError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, ErrorBody::in_stream(*error))
            }
            Failure::Unrecorded { message } => {
                let error = ErrorBody::invalid_with("cassette_exhausted", *message);
                (StatusCode::NOT_FOUND, error)
            }
        };
        error.into_draft(status)
    }

    fn stream_error(&self, error: StreamError, _: &Caller<'_>) -> Bytes {
        data_line(&ErrorBody::in_stream(error).to_json())
    }

    fn malformed_event(&self) -> &'static [u8] {
        b"data: {\"choices\":[{\"delta\":{\"content\":\"\n\n"
    }

    /// Comments, as OpenRouter and other compatible servers send them; OpenAI itself is silent.
    fn keep_alive(&self) -> &'static [u8] {
        b": keep-alive\n\n"
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[
            r#""content":""#,
            r#""reasoning_content":""#,
            r#""refusal":""#,
            r#""arguments":""#,
            r#""text":""#,
        ]
    }

    fn headers(&self, number: u64, took: Duration) -> HeaderMap {
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

/// Says whether just one segment of a path is a version, such as `v1` or `v1beta`: two come of a base
/// URL to which a client has added one.
pub(crate) fn has_version(path: &str) -> bool {
    let is_version = |segment: &&str| {
        let number = segment.strip_prefix('v').unwrap_or_default();
        number.starts_with(|first: char| first.is_ascii_digit())
    };
    path.split('/').filter(is_version).count() == 1
}

/// Makes one line of a stream.
fn data_line(json: &[u8]) -> Bytes {
    [b"data: ".as_slice(), json, b"\n\n"].concat().into()
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
            id: identifier("chatcmpl-", !number, 29),
            created: unix_time(),
            model: request.model().to_owned(),
        }
    }

    /// Returns the identifier of one tool call of the answer.
    fn call_id(&self, index: usize) -> String {
        identifier("call_", mix(self.number).wrapping_add(index as u64), 24)
    }
}

pub(crate) fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Returns why an answer ended, in OpenAI's words; words that nobody knows stay.
fn finish_reason(answer: &Answer) -> &str {
    match answer.finish_reason() {
        "end_turn" | "stop_sequence" => "stop",
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "refusal" => "content_filter",
        reason => reason,
    }
}

fn usage(answer: &Answer, request: &ChatRequest) -> Value {
    let tokens = Tokens::of(answer, request);
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
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
}
