//! A cassette that is being played: which exchange answers which request.

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;

use super::{Cassette, RecordedExchange};
use crate::dialect::{Caller, Failure};
use crate::reply::{Chunk, Draft, Framing, Part};
use crate::sent_body::Ending;

/// A cassette together with what has been used of it.
#[derive(Debug)]
pub(crate) struct Player {
    cassette: Cassette,
    used: Vec<bool>,
}

impl Player {
    pub(crate) fn new(cassette: Cassette) -> Self {
        Self {
            used: vec![false; cassette.exchanges.len()],
            cassette,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.cassette.seed
    }

    /// Finds the exchange that answers a request.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<usize> {
        let path = decoded(path);
        let tail = tail(&path);
        let unused = |matches: &dyn Fn(&str) -> bool| {
            let exchanges = self.cassette.exchanges.iter().zip(&self.used);
            exchanges.enumerate().find_map(|(index, (exchange, used))| {
                let found =
                    !used && exchange.method == *method && matches(&decoded(&exchange.path));
                found.then_some(index)
            })
        };
        unused(&|recorded| recorded == path).or_else(|| {
            tail.and_then(|tail| unused(&|recorded| self::tail(recorded) == Some(tail)))
        })
    }

    /// Returns the recorded answer.
    pub(crate) fn draft(&self, index: usize) -> Option<Draft> {
        self.cassette.exchanges.get(index).map(draft)
    }

    /// Marks an exchange as used.
    pub(crate) fn use_up(&mut self, index: usize) {
        if let Some(used) = self.used.get_mut(index) {
            *used = true;
        }
    }

    /// Says that there is no answer.
    pub(crate) fn nothing_left(&self, method: &Method, path: &str, caller: &Caller<'_>) -> Draft {
        let used = self.used.iter().filter(|used| **used).count();
        let message = format!(
            "The cassette `{}` has no unused exchange for {method} {path} ({used} of {} used).",
            self.cassette.name,
            self.used.len(),
        );
        caller.refuse(&Failure::Unrecorded { message: &message })
    }
}

fn draft(exchange: &RecordedExchange) -> Draft {
    let content_type = exchange.headers.get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_lines = content_type.contains("ndjson");
    let is_stream = is_lines
        || ["event-stream", "eventstream"]
            .iter()
            .any(|kind| content_type.contains(kind));
    Draft {
        status: exchange.status,
        headers: exchange.headers.clone(),
        framing: if is_stream {
            Framing::Stream
        } else {
            Framing::Whole(exchange.body.len())
        },
        chunks: if is_lines {
            lines(&exchange.body)
        } else {
            chunks(&exchange.body, is_stream)
        },
        ending: Ending::Finish,
        silent: false,
    }
}

/// Cuts a stream after its blank lines, so that faults strike between two of its messages.
fn chunks(body: &Bytes, is_stream: bool) -> Vec<Chunk> {
    let mut ends = Vec::new();
    let mut line_is_empty = true;
    for (index, byte) in body.iter().enumerate() {
        match byte {
            b'\n' if is_stream && line_is_empty => ends.push(index + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    ends.push(body.len());
    let mut start = 0;
    let mut chunks = Vec::new();
    for end in ends {
        if end > start {
            chunks.push(Chunk {
                part: Part::Unmarked,
                bytes: body.slice(start..end),
            });
        }
        start = end;
    }
    chunks
}

/// Cuts a stream of lines after each of them.
fn lines(body: &Bytes) -> Vec<Chunk> {
    let mut rest = body.clone();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let bytes = rest.split_to(end.map_or(rest.len(), |end| end + 1));
        let part = Part::Unmarked;
        chunks.push(Chunk { part, bytes });
    }
    chunks
}

/// Returns the last two segments of a path.
fn tail(path: &str) -> Option<&str> {
    let (before, _) = path.rsplit_once('/')?;
    let start = before.rfind('/')?;
    path.get(start..)
}

/// Undoes percent encoding: vendors disagree whether a colon in a path needs it.
pub(crate) fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *first == b'%');
        let pair = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn player(paths: &[&str]) -> Player {
        let exchange = |path: &&str| RecordedExchange {
            method: Method::POST,
            path: (*path).to_owned(),
            request_body: String::new(),
            status: StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: Bytes::new(),
        };
        Player::new(Cassette {
            name: "test".to_owned(),
            exchanges: paths.iter().map(exchange).collect(),
            seed: 0,
        })
    }

    #[test]
    fn same_path_is_preferred_to_the_same_tail() {
        let mut player = player(&["/api/v1/chat/completions", "/v1/chat/completions"]);
        let find = |player: &Player| player.find(&Method::POST, "/v1/chat/completions");

        assert_eq!(find(&player), Some(1));
        player.use_up(1);
        assert_eq!(find(&player), Some(0));
        player.use_up(0);
        assert_eq!(find(&player), None);
    }

    #[test]
    fn method_and_tail_must_match() {
        let player = player(&["/v1/chat/completions", "/model/a%3A0/converse", "/x"]);
        let cases = [
            (Method::POST, "/openai/v2/chat/completions", Some(0)),
            (Method::GET, "/v1/chat/completions", None),
            (Method::POST, "/v1/completions", None),
            (Method::POST, "/model/a:0/converse", Some(1)),
            (Method::POST, "/x", Some(2)),
            (Method::POST, "/y/x", None),
            (Method::POST, "", None),
        ];
        for (method, path, expected) in cases {
            assert_eq!(player.find(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn percent_signs_without_digits_stay() {
        for (path, expected) in [("/a%3ab", "/a:b"), ("/100%", "/100%"), ("/%zz%4", "/%zz%4")] {
            assert_eq!(decoded(path), expected);
        }
    }

    #[test]
    fn streams_are_cut_after_blank_lines() {
        let body = Bytes::from_static(b"data: 1\n\ndata: 2\r\n\r\ndata: 3");

        let lengths: Vec<_> = chunks(&body, true)
            .iter()
            .map(|chunk| chunk.bytes.len())
            .collect();

        assert_eq!(lengths, [9, 11, 7]);
        assert_eq!(lines(&body).len(), 5);
        assert_eq!(chunks(&body, false).len(), 1);
    }
}
