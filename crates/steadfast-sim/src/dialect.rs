//! What one vendor says and understands: the seam between a wire and everything that is the same
//! for all of them.
//!
//! A dialect decides nothing: which answer or error a request gets is the business of
//! `reception.rs` and of the faults. It also keeps no state.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;

use crate::conversation::{Item, OfferedTool, ToolChoice, list};
use crate::fault::{RetryHint, StreamError};
use crate::rate_limit::Bucket;
use crate::reply::Draft;
use crate::{Answer, ChatRequest, Wire};

/// One vendor's wire.
pub(crate) trait Dialect: Sync {
    /// Returns what the vendor's own client takes as base URL, after the address of the server.
    fn base_path(&self) -> &'static str;

    /// Returns what a path asks for, if the vendor has it.
    fn wanted(&self, path: &str) -> Option<Wanted>;

    /// Says whether a path that the vendor has comes of a wrong base URL: there the vendor answers
    /// that it has nothing.
    fn has_wrong_base(&self, path: &str) -> bool;

    /// Returns what the path says of a request, with vendors whose bodies do not say it.
    fn said_by_path(&self, _path: &str) -> Option<SaidByPath> {
        None
    }

    /// Says whether a request has headers that only this vendor's clients send.
    fn has_own_headers(&self, headers: &HeaderMap) -> bool;

    /// Says whether a request has a key; any will do.
    fn has_key(&self, headers: &HeaderMap) -> bool;

    /// Returns the largest body that is read, in bytes.
    fn largest_body(&self) -> usize;

    /// Says whether a request wants its answer as a stream.
    fn is_stream(&self, body: &Value) -> bool {
        body.get("stream") == Some(&Value::Bool(true))
    }

    /// Refuses what the vendor refuses before it looks at limits. The body is JSON.
    fn check(
        &self,
        headers: &HeaderMap,
        request: &ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<(), Box<Draft>>;

    /// Lists the models.
    fn models(&self) -> Draft;

    /// Turns an answer into the bytes that the request asked for.
    fn answer(&self, answer: &Answer, request: &ChatRequest, number: u64) -> Draft;

    /// Says what is wrong, with the vendor's status and body.
    fn failure(&self, failure: &Failure<'_>, caller: &Caller<'_>) -> Draft;

    /// Says what is wrong inside a stream.
    fn stream_error(&self, error: StreamError, caller: &Caller<'_>) -> Bytes;

    /// Returns an event of a stream whose data is not JSON.
    fn malformed_event(&self) -> &'static [u8];

    /// Returns what must stand between half an event and the next one.
    fn event_break(&self) -> &'static [u8] {
        b"\n\n"
    }

    /// Makes an event valid again whose content was changed.
    fn resealed(&self, event: Bytes) -> Bytes {
        event
    }

    /// Returns what the vendor sends in a stream so that it does not look dead.
    fn keep_alive(&self) -> &'static [u8];

    /// Returns what a text is called where it is the content of a chunk, up to its first
    /// character; the first one that is found is the place for bytes that do not belong there.
    fn content_keys(&self) -> &'static [&'static str];

    /// Returns the headers that the vendor puts on everything that it answers.
    fn headers(&self, number: u64, took: Duration) -> HeaderMap;

    /// Returns the headers that say how much of the rate limit is left. Half of the vendors tell nobody.
    fn limit_headers(&self, _bucket: &Bucket, _reset: ResetTime) -> HeaderMap {
        HeaderMap::new()
    }

    /// Returns what the vendor calls the messages of a request, oldest first.
    fn messages<'a>(&self, body: &'a Value) -> &'a [Value] {
        list(body, "messages")
    }

    /// Returns the headers that tell the client when to come back.
    fn hint_headers(&self, hint: RetryHint) -> HeaderMap {
        hint.headers()
    }

    /// Reads the conversation of a request, oldest first.
    fn conversation(&self, body: &Value) -> Vec<Item>;

    /// Reads the instructions that are not part of the conversation.
    fn system(&self, body: &Value) -> String;

    /// Reads the tools that a request offers.
    fn tools<'a>(&self, body: &'a Value) -> Vec<OfferedTool<'a>>;

    /// Reads which of them are to be called.
    fn tool_choice<'a>(&self, body: &'a Value) -> ToolChoice<'a>;
}

/// What a path says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaidByPath {
    pub(crate) model: String,
    pub(crate) is_stream: bool,
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Answer,
    Models,
}

impl Wanted {
    /// Tells it by how a path ends.
    pub(crate) fn by_end(path: &str, answer: &str, models: &str) -> Option<Self> {
        if path.ends_with(answer) {
            Some(Self::Answer)
        } else {
            path.ends_with(models).then_some(Self::Models)
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Answer => Method::POST,
            Self::Models => Method::GET,
        }
    }
}

/// Says whether the headers of a limit may tell when it is back to full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetTime {
    Told,
    Hidden,
}

/// What is wrong with a request, or with the provider.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure<'a> {
    /// The vendor has nothing at this path.
    NothingHere {
        method: &'a Method,
        path: &'a str,
    },
    /// The same, because the client's base URL is not the vendor's.
    WrongBase {
        method: &'a Method,
        path: &'a str,
    },
    /// The path takes another method.
    WrongMethod {
        method: &'a Method,
        path: &'a str,
        allowed: &'a Method,
    },
    NoKey,
    NotJson,
    /// The body is longer than what the vendor reads.
    TooLarge,
    /// The vendor's error for a status: a fault, or the refusal of a rate limit.
    Status {
        status: StatusCode,
        hint: RetryHint,
    },
    /// A budget is used up; waiting does not help.
    Quota,
    /// An error of a stream, told by a status because the answer is none.
    Stream(StreamError),
    /// The cassette has no answer left.
    Unrecorded {
        message: &'a str,
    },
}

/// A request on its way to an answer: all that the vendor's words about it depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) wire: Wire,
    /// The number of the request, from which its identifiers are made.
    pub(crate) number: u64,
    pub(crate) model: &'a str,
    /// The rate limit that errors name.
    pub(crate) requests_per_minute: u64,
}

impl Caller<'_> {
    pub(crate) fn dialect(&self) -> &'static dyn Dialect {
        self.wire.dialect()
    }

    /// Makes the answer that says what is wrong.
    pub(crate) fn refuse(&self, failure: &Failure<'_>) -> Draft {
        let mut draft = self.dialect().failure(failure, self);
        match failure {
            Failure::Status { hint, .. } => {
                draft.headers.extend(self.dialect().hint_headers(*hint));
            }
            Failure::WrongMethod { allowed, .. } => {
                if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
                    draft.headers.insert(ALLOW, allowed);
                }
            }
            _ => {}
        }
        draft
    }
}

/// Says whether a request has the header `Authorization: Bearer KEY`.
pub(crate) fn has_bearer(headers: &HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let words = value.and_then(|value| value.split_once(' '));
    words.is_some_and(|(scheme, key)| {
        scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()
    })
}
