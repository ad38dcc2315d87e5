//! An answer before it is sent: its head, its chunks, and how it ends.
//!
//! Wires and cassettes make drafts, faults disturb them, and `sent_body.rs` sends what is left.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;

use crate::pieces::Pieces;
use crate::sent_body::{Action, Ending};

/// An answer that faults can still disturb.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) ending: Ending,
    /// Nothing is answered at all, not even a status.
    pub(crate) silent: bool,
}

/// How the client is told where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Chunked encoding: server-sent data or lines, sent as they come.
    Stream,
    /// A `content-length` of so many bytes.
    Whole(usize),
}

/// A piece of a body together with what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) part: Part,
    pub(crate) bytes: Bytes,
}

/// Says what a chunk carries, so that faults find their moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What holds the content together: who speaks, where a block begins and ends, a ping.
    Frame,
    Reasoning,
    Text,
    /// A piece of a tool call, also its beginning and its end.
    ToolCall,
    /// Why the answer ended, what it cost, and that it did.
    End,
    /// Unknown: the whole of an answer that is not a stream, or a recording.
    Unmarked,
}

impl Draft {
    /// Makes an answer that is sent in one piece.
    pub(crate) fn whole(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            framing: Framing::Whole(body.len()),
            chunks: vec![Chunk {
                part: Part::Unmarked,
                bytes: body.into(),
            }],
            ending: Ending::Finish,
            silent: false,
        }
    }

    /// Makes an answer that is one JSON value.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self::whole(status, "application/json", to_json(body))
    }

    /// Makes an answer that is streamed as server-sent data.
    pub(crate) fn stream(chunks: Vec<Chunk>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        Self {
            status: StatusCode::OK,
            headers,
            framing: Framing::Stream,
            chunks,
            ending: Ending::Finish,
            silent: false,
        }
    }

    /// Makes an answer that is streamed as lines of JSON.
    pub(crate) fn lines(chunks: Vec<Chunk>) -> Self {
        let mut draft = Self::stream(chunks);
        let content_type = HeaderValue::from_static("application/x-ndjson");
        draft.headers.insert(CONTENT_TYPE, content_type);
        draft
    }

    /// Makes an answer that never comes: the request meets its ending at once.
    pub(crate) fn silent(ending: Ending) -> Self {
        let mut draft = Self::whole(StatusCode::OK, "text/plain", Vec::new());
        draft.ending = ending;
        draft.silent = true;
        draft
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.framing == Framing::Stream
    }

    pub(crate) fn body_length(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// Decides what is sent when.
    pub(crate) fn into_reply(mut self, pace: Pace) -> Reply {
        if let Framing::Whole(length) = self.framing {
            self.headers.insert(CONTENT_LENGTH, length.into());
        }
        let mut actions = Vec::new();
        for piece in pace.pieces(self.chunks) {
            if !actions.is_empty() && pace.is_piecemeal() {
                actions.extend([Action::Flush, Action::Pause(pace.delay)]);
            }
            actions.push(Action::Send(piece));
        }
        Reply {
            head: (!self.silent).then_some((self.status, self.headers)),
            actions,
            ending: self.ending,
        }
    }
}

/// Writes a value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Everything that is sent has string keys, so this cannot fail; if it did, the client would
    // see an empty body, which is a fault that it has to live with anyway.
    serde_json::to_vec(value).unwrap_or_default()
}

/// How the pieces of a body follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A pause between them.
    pub(crate) delay: Duration,
    /// A seed, if the body is to be cut anew at pseudo-random places.
    pub(crate) recut: Option<u64>,
}

impl Pace {
    fn pieces(self, chunks: Vec<Chunk>) -> Vec<Bytes> {
        let chunks = chunks.into_iter().map(|chunk| chunk.bytes);
        let Some(seed) = self.recut else {
            return chunks.collect();
        };
        let body = chunks.fold(BytesMut::new(), |mut body, chunk| {
            body.extend_from_slice(&chunk);
            body
        });
        Pieces::new(body.freeze(), seed).collect()
    }

    /// Says whether pieces are written one by one, or as many at once as there are.
    fn is_piecemeal(self) -> bool {
        !self.delay.is_zero() || self.recut.is_some()
    }
}

/// What the connection does with a request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status and headers; without them the request meets its ending at once.
    pub(crate) head: Option<(StatusCode, HeaderMap)>,
    pub(crate) actions: Vec<Action>,
    pub(crate) ending: Ending,
}
