//! The wire of Amazon Bedrock, Converse and ConverseStream: its answers, its errors, its requests.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`. It
//! takes every signature.

mod block;
mod error_body;
mod frame;
mod history_check;
mod request;
mod request_check;
mod stream;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use crate::answer_block::blocks;
use crate::cassette::decoded;
use crate::conversation::{Item, OfferedTool, ToolChoice};
use crate::dialect::{Caller, Dialect, Failure, SaidByPath, Wanted, has_bearer};
use crate::fault::StreamError;
use crate::headers::insert;
use crate::pieces::mix;
use crate::reply::Draft;
use crate::tokens::Tokens;
use crate::{Answer, ChatRequest};

use self::block::{is_thinking_enabled, stop_reason};
use self::error_body::ErrorBody;

/// The largest body that is read: the vendor's limit for images and documents together.
const LARGEST_BODY: usize = 25 * 1024 * 1024;

/// How the header begins by which AWS clients sign.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=";

/// An event whose checksums are wrong.
const MALFORMED: &[u8] = b"\0\0\0\x14\0\0\0\0\xDE\xAD\xBE\xEFtext\xDE\xAD\xBE\xEF";

/// An event of a type that no client knows, without content. The vendor has nothing of the kind.
const UNKNOWN_EVENT: &[u8] = include_bytes!("bedrock/unknown_event.bin");

/// Converse and ConverseStream.
#[derive(Debug)]
pub(crate) struct Converse;

impl Dialect for Converse {
    fn base_path(&self) -> &'static str {
        ""
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        self.said_by_path(path).map(|_| Wanted::Answer)
    }

    /// Gateways have words before the path, and a `/v1` is what other vendors' clients are given.
    fn has_wrong_base(&self, path: &str) -> bool {
        let base = path.rsplit_once("/model/");
        base.is_some_and(|(base, _)| base.ends_with("/v1"))
    }

    fn said_by_path(&self, path: &str) -> Option<SaidByPath> {
        let (rest, is_stream) = match path.strip_suffix("/converse-stream") {
            Some(rest) => (rest, true),
            None => (path.strip_suffix("/converse")?, false),
        };
        let (_, model) = rest.rsplit_once("/model/")?;
        Some(SaidByPath {
            model: decoded(model),
            is_stream,
        })
    }

    fn has_own_headers(&self, headers: &HeaderMap) -> bool {
        is_signed(headers) || headers.contains_key("amz-sdk-invocation-id")
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        is_signed(headers) || has_bearer(headers)
    }

    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    fn check(
        &self,
        _: &HeaderMap,
        request: &ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let checked = request_check::check(request.body());
        let message = match checked {
            Err(message) => message,
            Ok(()) if caller.model.starts_with("nonexistent") => {
                "The provided model identifier is invalid.".to_owned()
            }
            Ok(()) => return Ok(()),
        };
        let error = ErrorBody::invalid(message);
        Err(Box::new(error.into_draft(StatusCode::BAD_REQUEST)))
    }

    fn models(&self) -> Draft {
        // The vendor lists them at another address; no path leads here.
        Draft::json(StatusCode::OK, &json!({"modelSummaries": []}))
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        let tokens = Tokens::of(answer, request);
        let blocks = blocks(
            answer,
            is_thinking_enabled(request.body()),
            "tooluse_",
            number,
        );
        let stop = stop_reason(answer);
        if request.is_stream() {
            stream::draft(&blocks, stop, &tokens)
        } else {
            let content: Vec<_> = blocks.iter().map(block::whole).collect();
            let body = json!({
                "metrics": {"latencyMs": 1},
                "output": {"message": {"content": content, "role": "assistant"}},
                "stopReason": stop,
                "usage": block::usage(&tokens),
            });
            Draft::json(StatusCode::OK, &body)
        }
    }

    fn failure(&self, failure: &Failure<'_>, _: &Caller<'_>) -> Draft {
        let (status, error) = match failure {
            Failure::NothingHere { .. } => (
                StatusCode::NOT_FOUND,
                ErrorBody::new(
                    "UnknownOperationException",
                    "There is nothing at this path.",
                ),
            ),
            Failure::WrongBase { method, path } => (
                StatusCode::NOT_FOUND,
                ErrorBody::new(
                    "UnknownOperationException",
                    format!(
                        "There is nothing at {method} {path}: the endpoint URL of a client of \
                         Bedrock's is this server's address without a path."
                    ),
                ),
            ),
            Failure::WrongMethod { method, path, .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorBody::new(
                    "UnknownOperationException",
                    format!("{method} is not a method of {path}"),
                ),
            ),
            Failure::NoKey => (StatusCode::FORBIDDEN, ErrorBody::no_key()),
            Failure::NotJson => (
                StatusCode::BAD_REQUEST,
                ErrorBody::new("SerializationException", "The request body is not JSON."),
            ),
            Failure::TooLarge => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                (status, ErrorBody::for_status(status))
            }
            Failure::Status { status, .. } => (*status, ErrorBody::for_status(*status)),
            Failure::Quota => (StatusCode::TOO_MANY_REQUESTS, ErrorBody::quota()),
            Failure::Stream(error) => (status_of(*error), ErrorBody::for_status(status_of(*error))),
            Failure::Unrecorded { message } => (
                StatusCode::NOT_FOUND,
                ErrorBody::new("ResourceNotFoundException", *message),
            ),
        };
        error.into_draft(status)
    }

    fn stream_error(&self, error: StreamError, _: &Caller<'_>) -> Bytes {
        ErrorBody::for_status(status_of(error)).into_exception()
    }

    fn malformed_event(&self) -> &'static [u8] {
        MALFORMED
    }

    fn event_break(&self) -> &'static [u8] {
        // Events say how long they are.
        b""
    }

    fn resealed(&self, event: Bytes) -> Bytes {
        frame::resealed(&event)
    }

    fn keep_alive(&self) -> &'static [u8] {
        UNKNOWN_EVENT
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[r#""text":""#, r#""input":""#]
    }

    fn headers(&self, number: u64, _: Duration) -> HeaderMap {
        let mut headers = HeaderMap::new();
        insert(&mut headers, "x-amzn-requestid", &request_id(number));
        headers
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

fn is_signed(headers: &HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with(SIGNATURE))
}

/// Returns the status of an error that comes before there is a stream.
fn status_of(error: StreamError) -> StatusCode {
    match error {
        StreamError::Server => StatusCode::INTERNAL_SERVER_ERROR,
        StreamError::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        StreamError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Spells the number of a request as a UUID.
fn request_id(number: u64) -> String {
    let bits = format!("{:016x}{:016x}", mix(number), mix(!number));
    let part = |from: usize, to: usize| bits.get(from..to).unwrap_or_default().to_owned();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    parts.join("-")
}
