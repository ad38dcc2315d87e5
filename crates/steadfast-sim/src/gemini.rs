//! Gemini's wire: its answers, its errors, its requests.
//!
//! It decides nothing: which answer or error a request gets is the business of `reception.rs`. A
//! stream is always one of events, whether or not `alt=sse` asks for that.

mod error_body;
mod history_check;
mod request;
mod request_check;
mod response;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use crate::conversation::{Item, OfferedTool, ToolChoice, list};
use crate::dialect::{Caller, Dialect, Failure, SaidByPath, Wanted};
use crate::fault::{RetryHint, StreamError};
use crate::headers::insert;
use crate::reply::Draft;
use crate::{Answer, ChatRequest};

use self::error_body::ErrorBody;

const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

const WHOLE: &str = ":generateContent";
const STREAM: &str = ":streamGenerateContent";
const MODELS_PATH: &str = "/models";

/// The models that `GET …/models` lists; others are answered all the same.
const MODELS: [(&str, &str); 2] = [
    ("models/steadfast-sim", "Steadfast simulator"),
    ("models/steadfast-sim-mini", "Steadfast simulator mini"),
];

const LARGEST_BODY: usize = 20 * 1024 * 1024;

/// What the vendor takes in place of a signature, where a call came by another provider.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Gemini's `generateContent` and its stream.
#[derive(Debug)]
pub(crate) struct GenerateContent;

impl Dialect for GenerateContent {
    fn base_path(&self) -> &'static str {
        ""
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        if called(path).is_some() {
            Some(Wanted::Answer)
        } else if path.ends_with(MODELS_PATH) {
            Some(Wanted::Models)
        } else {
            None
        }
    }

    fn has_wrong_base(&self, path: &str) -> bool {
        let base = called(path).map(|call| call.base);
        let base = base
            .or_else(|| path.strip_suffix(MODELS_PATH))
            .unwrap_or_default();
        let mut segments = base.rsplit('/');
        let is_version = |segment: Option<&str>| {
            segment.is_some_and(|segment| matches!(segment, "v1" | "v1alpha" | "v1beta"))
        };
        !is_version(segments.next()) || is_version(segments.next())
    }

    fn said_by_path(&self, path: &str) -> Option<SaidByPath> {
        called(path).map(|call| SaidByPath {
            model: call.model.to_owned(),
            is_stream: call.is_stream,
        })
    }

    fn has_own_headers(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(KEY) || headers.contains_key("x-goog-api-client")
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let key = headers.get(KEY).and_then(|key| key.to_str().ok());
        key.is_some_and(|key| !key.trim().is_empty())
    }

    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    fn messages<'a>(&self, body: &'a Value) -> &'a [Value] {
        list(body, "contents")
    }

    fn check(
        &self,
        _: &HeaderMap,
        request: &ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<(), Box<Draft>> {
        let error = match request_check::check(request.body(), caller.model) {
            Err(message) => ErrorBody::invalid(message),
            Ok(()) if caller.model.starts_with("nonexistent") => {
                ErrorBody::model_not_found(caller.model)
            }
            Ok(()) => return Ok(()),
        };
        Err(Box::new(error.into_draft()))
    }

    fn models(&self) -> Draft {
        let models = MODELS.map(|(name, title)| {
            let methods = ["generateContent", "streamGenerateContent"];
            json!({
                "name": name,
                "version": "1",
                "displayName": title,
                "supportedGenerationMethods": methods,
            })
        });
        Draft::json(StatusCode::OK, &json!({ "models": models }))
    }

    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft {
        response::draft(answer, request, number)
    }

    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft {
        let error = match failure {
            Failure::NothingHere { method, path } => {
                ErrorBody::not_found(format!("There is nothing at {method} {path}"))
            }
            Failure::WrongBase { method, path } => ErrorBody::not_found(format!(
                "There is nothing at {method} {path}: the base URL of a client of Gemini's is this \
                 server's address without `/v1beta`, which the client adds"
            )),
            Failure::WrongMethod {
                method,
                path,
                allowed,
            } => {
                let message = format!("{path} takes {allowed}, not {method}");
                ErrorBody::of(StatusCode::METHOD_NOT_ALLOWED, message)
            }
            Failure::NoKey => ErrorBody::no_key(),
            Failure::NotJson => ErrorBody::invalid("Invalid JSON payload received."),
            Failure::TooLarge => ErrorBody::invalid(format!(
                "Request payload size exceeds the limit: {LARGEST_BODY} bytes."
            )),
            Failure::Status { status, hint } => ErrorBody::for_status(*status, *hint, caller),
            Failure::Quota => ErrorBody::quota(),
            Failure::Stream(error) => ErrorBody::in_stream(*error),
            Failure::Unrecorded { message } => ErrorBody::not_found(*message),
        };
        error.into_draft()
    }

    fn stream_error(&self, error: StreamError, _: &Caller<'_>) -> Bytes {
        ErrorBody::in_stream(error).to_event()
    }

    fn malformed_event(&self) -> &'static [u8] {
        b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\r\n\r\n"
    }

    fn keep_alive(&self) -> &'static [u8] {
        b": keep-alive\n\n"
    }

    fn content_keys(&self) -> &'static [&'static str] {
        &[r#""text":""#, r#""args":{""#]
    }

    fn headers(&self, _: u64, took: Duration) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let timing = format!("gfet4t7; dur={}", took.as_millis());
        insert(&mut headers, "server-timing", &timing);
        headers
    }

    /// The vendor says it in the body.
    fn hint_headers(&self, _: RetryHint) -> HeaderMap {
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

    fn tool_choice<'a>(&self, body: &'a Value) -> ToolChoice<'a> {
        request::tool_choice(body)
    }
}

/// A call as its path says it.
struct Call<'a> {
    /// What stands before `/models`.
    base: &'a str,
    model: &'a str,
    is_stream: bool,
}

fn called(path: &str) -> Option<Call<'_>> {
    let stream = path.strip_suffix(STREAM);
    let (base, model) = stream
        .or_else(|| path.strip_suffix(WHOLE))?
        .rsplit_once('/')?;
    Some(Call {
        base: base.strip_suffix(MODELS_PATH)?,
        model: (!model.is_empty()).then_some(model)?,
        is_stream: stream.is_some(),
    })
}

/// Returns whether a model gives its calls identities and wants a signature on them: Gemini 3 does,
/// and what comes after it.
fn signs_calls(model: &str) -> bool {
    let version = model.strip_prefix("gemini-").unwrap_or_default();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    let major: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    major.is_some_and(|major| major >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_model_and_stream() {
        for (path, expected) in [
            (
                "/v1beta/models/m:generateContent",
                Some(("m".to_owned(), false)),
            ),
            (
                "/v1/models/gemini-2.5:streamGenerateContent",
                Some(("gemini-2.5".to_owned(), true)),
            ),
            ("/v1beta/models/:generateContent", None),
            ("/v1beta/m:generateContent", None),
            ("/v1beta/models/m:countTokens", None),
            ("/v1beta/models", None),
        ] {
            let said = GenerateContent.said_by_path(path);
            let said = said.map(|said| (said.model, said.is_stream));
            assert_eq!(said, expected, "{path}");
        }
    }

    #[test]
    fn base_urls_have_one_version_behind_them() {
        for (path, wrong) in [
            ("/v1beta/models/m:generateContent", false),
            ("/proxy/v1/models/m:generateContent", false),
            ("/v1beta/models", false),
            ("/models/m:generateContent", true),
            ("/v1beta/v1beta/models/m:generateContent", true),
            ("/v1beta/models/models/m:generateContent", true),
        ] {
            assert_eq!(GenerateContent.has_wrong_base(path), wrong, "{path}");
        }
    }
}
