//! Ollama's own wire: its answers, its errors, its requests.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`.

mod error_body;
mod form_check;
mod message;
mod request;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, USER_AGENT};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::conversation::{Item, OfferedTool, ToolChoice};
use crate::dialect::{Caller, Dialect, Failure, Wanted};
use crate::fault::StreamError;
use crate::reply::Draft;
use crate::{Answer, ChatRequest};

use self::error_body::ErrorBody;

/// The models that `GET …/api/tags` lists; others are answered all the same.
const MODELS: [&str; 2] = ["steadfast-sim:latest", "steadfast-sim-mini:latest"];

const CHAT_PATH: &str = "/api/chat";
const TAGS_PATH: &str = "/api/tags";

/// What a base URL may not end in.
const WRONG_BASES: [&str; 3] = ["/api", "/v1", CHAT_PATH];

const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// Ollama's own wire.
#[derive(Debug)]
pub(crate) struct Ollama;

impl Dialect for Ollama {
    fn base_path(&self) -> &'static str {
        ""
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        Wanted::by_end(path, CHAT_PATH, TAGS_PATH)
    }

    /// Servers that put Ollama behind a word of their own have it before the path: `/ollama`.
    fn has_wrong_base(&self, path: &str) -> bool {
        let mut paths = [CHAT_PATH, TAGS_PATH].into_iter();
        let base = paths.find_map(|end| path.strip_suffix(end));
        base.is_none_or(|base| WRONG_BASES.iter().any(|wrong| base.ends_with(wrong)))
    }

    fn has_own_headers(&self, headers: &HeaderMap) -> bool {
        let agent = headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        agent.is_some_and(|agent| agent.starts_with("ollama"))
    }

    /// Ollama asks for none.
    fn has_key(&self, _: &HeaderMap) -> bool {
        true
    }

    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    /// Answers are streamed unless the request says that it wants none.
    fn is_stream(&self, body: &Value) -> bool {
        body.get("stream") != Some(&Value::Bool(false))
    }

    fn check(
        &self,
        _: &HeaderMap,
        request: &ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let refuse = |status, error: ErrorBody| Err(Box::new(error.into_draft(status)));
        if let Err(problem) = form_check::check(request.body()) {
            return refuse(StatusCode::BAD_REQUEST, ErrorBody::new(problem));
        }
        if caller.model.is_empty() {
            let error = ErrorBody::new("model is required");
            return refuse(StatusCode::BAD_REQUEST, error);
        }
        if caller.model.starts_with("nonexistent") {
            let error = ErrorBody::model_not_found(caller.model);
            return refuse(StatusCode::NOT_FOUND, error);
        }
        Ok(())
    }

    fn models(&self) -> Draft {
        let models = MODELS.map(|name| {
            json!({
                "name": name,
                "model": name,
                "modified_at": "2026-01-01T00:00:00Z",
                "size": 0,
                "digest": "57ead7a5",
                "details": {"format": "gguf", "family": "steadfast", "parameter_size": "0B"},
            })
        });
        Draft::json(StatusCode::OK, &json!({"models": models}))
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        if request.messages().is_empty() {
            message::loaded(request)
        } else if request.is_stream() {
            message::stream(answer, request, number)
        } else {
            message::whole(answer, request, number)
        }
    }

    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft {
        let (status, error) = match failure {
            Failure::NothingHere { method, path } => {
                let error = ErrorBody::new(format!("there is nothing at {method} {path}"));
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongBase { method, path } => {
                let error = ErrorBody::new(format!(
                    "there is nothing at {method} {path}: the host of a client of Ollama's is this \
                     server's address without a path"
                ));
                (StatusCode::NOT_FOUND, error)
            }
            Failure::WrongMethod {
                method,
                path,
                allowed,
            } => {
                let error = ErrorBody::new(format!("{path} takes {allowed}, not {method}"));
                (StatusCode::METHOD_NOT_ALLOWED, error)
            }
            Failure::NoKey => (StatusCode::UNAUTHORIZED, ErrorBody::new("unauthorized")),
            Failure::NotJson => {
                let error = ErrorBody::new("invalid character in the body: it is not JSON");
                (StatusCode::BAD_REQUEST, error)
            }
            Failure::TooLarge => {
                let error = ErrorBody::new("request body too large");
                (StatusCode::PAYLOAD_TOO_LARGE, error)
            }
            Failure::Status { status, .. } => (*status, ErrorBody::for_status(*status, caller)),
            Failure::Quota => (StatusCode::TOO_MANY_REQUESTS, ErrorBody::quota()),
            Failure::Stream(error) => (status_of(*error), ErrorBody::in_stream(*error)),
            Failure::Unrecorded { message } => (StatusCode::NOT_FOUND, ErrorBody::new(*message)),
        };
        error.into_draft(status)
    }

    /// An error of ollama.com comes with its status, one of the user's own server without.
    fn stream_error(&self, error: StreamError, _: &Caller<'_>) -> Bytes {
        let body = ErrorBody::in_stream(error);
        match error {
            StreamError::Server => message::line(&body),
            StreamError::RateLimit | StreamError::Overloaded => {
                message::line(&body.with_status(status_of(error)))
            }
        }
    }

    fn malformed_event(&self) -> &'static [u8] {
        b"{\"model\":\"steadfast-sim\",\"message\":{\"role\":\"assistant\",\"content\":\"\n"
    }

    /// An empty piece of the answer: a blank line would be none of the wire.
    fn keep_alive(&self) -> &'static [u8] {
        b"{\"model\":\"steadfast-sim\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\
          \"done\":false}\n"
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[r#""content":""#]
    }

    fn headers(&self, _: u64, _: Duration) -> HeaderMap {
        HeaderMap::new()
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

    /// The wire knows none.
    fn tool_choice<'a>(&self, _: &'a Value) -> ToolChoice<'a> {
        ToolChoice::Any
    }
}

/// Returns the status of an error that comes before there is a stream.
fn status_of(error: StreamError) -> StatusCode {
    match error {
        StreamError::Server => StatusCode::INTERNAL_SERVER_ERROR,
        StreamError::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        StreamError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Returns the time, as `2026-11-22T05:28:00Z`.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.to_string()
}
