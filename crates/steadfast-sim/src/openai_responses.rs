//! The OpenAI responses wire: its answers, its requests, and the errors in its streams.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`. What
//! OpenAI says on both of its wires, such as headers and errors, is said by `openai.rs`.

mod form_check;
mod input_check;
mod output;
mod request;
mod stream;
mod thought;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::conversation::{Item, OfferedTool, ToolChoice, list};
use crate::dialect::{Caller, Dialect, Failure, ResetTime, Wanted};
use crate::fault::StreamError;
use crate::openai::{Chat, ErrorBody, has_version};
use crate::rate_limit::Bucket;
use crate::reply::{Draft, to_json};
use crate::{Answer, ChatRequest};

use self::output::Response;

const PATH: &str = "/responses";

/// OpenAI responses.
#[derive(Debug)]
pub(crate) struct Responses;

impl Dialect for Responses {
    fn base_path(&self) -> &'static str {
        Chat.base_path()
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        path.ends_with(PATH).then_some(Wanted::Answer)
    }

    fn has_wrong_base(&self, path: &str) -> bool {
        let base = path.strip_suffix(PATH);
        base.is_none_or(|base| !has_version(base) || base.ends_with(PATH))
    }

    /// Nothing tells the two wires of one client apart but their paths.
    fn has_own_headers(&self, _: &HeaderMap) -> bool {
        false
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        Chat.has_key(headers)
    }

    fn largest_body(&self) -> usize {
        Chat.largest_body()
    }

    fn check(
        &self,
        _: &HeaderMap,
        request: &ChatRequest,
        _: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let (body, model) = (request.body(), request.model());
        let checked = form_check::check(body, model).and_then(|()| input_check::check(body));
        let (status, error) = match checked {
            Err(error) => (StatusCode::BAD_REQUEST, error),
            Ok(()) if model.starts_with("nonexistent") => {
                (StatusCode::NOT_FOUND, ErrorBody::model_not_found(model))
            }
            Ok(()) => return Ok(()),
        };
        Err(Box::new(error.into_draft(status)))
    }

    fn models(&self) -> Draft {
        Chat.models()
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        let response = Response::new(answer, request, number);
        if request.is_stream() {
            stream::draft(&response)
        } else {
            Draft::json(StatusCode::OK, &response.whole())
        }
    }

    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft {
        Chat.failure(failure, caller)
    }

    /// In one of the two forms in which it comes, so that both are met: as a response that failed, as a
    /// limit is told, or as an error, which the vendor's reference has without the object around it.
    fn stream_error(&self, error: StreamError, caller: &Caller<'_>) -> Bytes {
        let said = ErrorBody::in_stream(error);
        if error != StreamError::RateLimit {
            return event("error", &json!({"type": "error", "error": said}));
        }
        let name = "response.failed";
        let response = json!({
            "object": "response",
            "status": "failed",
            "model": caller.model,
            "error": said.of_response(),
            "output": [],
        });
        event(name, &json!({"type": name, "response": response}))
    }

    fn malformed_event(&self) -> &'static [u8] {
        b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
          \"delta\":\"\n\n"
    }

    fn keep_alive(&self) -> &'static [u8] {
        Chat.keep_alive()
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[
            r#""delta":""#,
            r#""text":""#,
            r#""refusal":""#,
            r#""arguments":""#,
        ]
    }

    fn headers(&self, number: u64, took: Duration) -> HeaderMap {
        Chat.headers(number, took)
    }

    fn limit_headers(&self, bucket: &Bucket, reset: ResetTime) -> HeaderMap {
        Chat.limit_headers(bucket, reset)
    }

    /// Items: a call and the words before it are two.
    fn messages<'a>(&self, body: &'a Value) -> &'a [Value] {
        list(body, "input")
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

/// Makes one event of a stream.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let head = format!("event: {name}\ndata: ");
    [head.as_bytes(), &to_json(data), b"\n\n"].concat().into()
}
