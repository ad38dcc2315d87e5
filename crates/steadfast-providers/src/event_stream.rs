//! Framing of server-sent events, as bytes arrive: WHATWG HTML, section 9.2.6. It decodes no JSON.

use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::{
    framing::{EventTooLong, Form, Framing, MAX_EVENT_BYTES},
    lines::{Line, Lines},
};

/// Cuts bytes into events and hands out the data of each. Comments and other fields are passed
/// over. An event of one line, which is every event of the providers, is not copied unless a chunk
/// ends in it.
#[derive(Debug, Default)]
pub(crate) struct EventStream {
    lines: Lines,
    /// Whether a line may end with a carriage return in the bytes at hand. Mostly none does, and the
    /// ends of lines are found faster.
    returns: bool,
    /// Whether a line feed that comes next belongs to the carriage return before it.
    after_return: bool,
    data: Data,
    /// The data that is `Data::Joined`.
    joined: Vec<u8>,
}

/// The data of the event in the making.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, still in its chunk.
    Line(Range<usize>),
    /// Several lines, or one that is in no chunk any more.
    Joined,
}

impl Framing for EventStream {
    /// No line of an event stream begins with a bracket.
    fn tell(&mut self, bytes: &[u8]) -> Option<Form> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
        Some(match first {
            b'{' | b'[' => Form::Whole,
            _ => Form::Stream,
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.returns = memchr(b'\r', &bytes).is_some();
        self.lines.push(bytes);
    }

    fn next_event(&mut self) -> Result<Option<&[u8]>, EventTooLong> {
        while let Some(line) = self.next_line() {
            if !self.lines.get(&line).is_empty() {
                self.take_field(&line);
                continue;
            }
            match std::mem::take(&mut self.data) {
                Data::None => {}
                Data::Line(place) => return Ok(Some(self.lines.within(place))),
                Data::Joined => return Ok(Some(&self.joined)),
            }
        }
        self.keep();
        self.lines.release();
        let begun = match self.data {
            Data::Joined => self.joined.len(),
            _ => 0,
        };
        if begun + self.lines.begun() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.lines.take_rest()
    }

    /// An event whose end has not come is dropped.
    fn ends_with(_: &[u8]) -> bool {
        false
    }

    fn is_in(body: &[u8]) -> bool {
        let body = body.trim_ascii_start();
        [&b"data:"[..], b"event:", b"id:", b"retry:", b":"]
            .iter()
            .any(|field| body.starts_with(field))
    }
}

impl EventStream {
    fn next_line(&mut self) -> Option<Line> {
        let first = self.lines.peek()?;
        if std::mem::take(&mut self.after_return) && first == b'\n' {
            self.lines.skip();
        }
        let returns = self.returns;
        let (line, end) = self.lines.next(|rest| match rest.first() {
            // Every other line is blank.
            Some(b'\n') => Some(0),
            _ if returns => memchr2(b'\n', b'\r', rest),
            _ => memchr(b'\n', rest),
        })?;
        self.after_return = end == b'\r';
        Some(line)
    }

    fn take_field(&mut self, line: &Line) {
        let text = self.lines.get(line);
        let Some(value) = text
            .strip_prefix(b"data")
            .filter(|rest| matches!(rest.first(), None | Some(b':')))
        else {
            return;
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if let (Data::None, Line::Whole(place)) = (&self.data, line) {
            self.data = Data::Line(place.end - value.len()..place.end);
            return;
        }
        match std::mem::replace(&mut self.data, Data::Joined) {
            Data::None => self.joined.clear(),
            Data::Line(first) => {
                self.joined.clear();
                self.joined.extend_from_slice(self.lines.within(first));
                self.joined.push(b'\n');
            }
            Data::Joined => self.joined.push(b'\n'),
        }
        self.joined.extend_from_slice(value);
    }

    /// Keeps what of an event lies in a chunk that goes.
    fn keep(&mut self) {
        if let Data::Line(place) = &self.data {
            self.joined.clear();
            self.joined
                .extend_from_slice(self.lines.within(place.clone()));
            self.data = Data::Joined;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, EventTooLong> {
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for chunk in chunks {
            stream.push(Bytes::copy_from_slice(chunk));
            while let Some(data) = stream.next_event()? {
                events.push(String::from_utf8_lossy(data).into_owned());
            }
        }
        Ok(events)
    }

    /// Checks one text cut at every place, at every two places, and byte by byte.
    fn check(text: &str, expected: &[&str]) {
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    events(&chunks).unwrap(),
                    expected,
                    "cut at {first} and {second}"
                );
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(events(&single).unwrap(), expected);
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data: a\r\n\r\ndata:b\r\n\r\n", &["a", "b"]);
        check("data: a\r\rdata: b\r\r", &["a", "b"]);
        check(
            ": hi\n\nid: 1\nevent: x\ndata: é\ndata:  two\n\n: bye\n",
            &["é\n two"],
        );
        check(
            "data: 1\ndata: 2\ndata: 3\n\ndata: 4\n\n",
            &["1\n2\n3", "4"],
        );
        check("data\n\ndatabase: x\n\n\n\n", &[""]);
        check("data: cut off", &[]);
    }

    #[test]
    fn endless_lines_are_refused_with_bounded_memory() {
        let mut stream = EventStream::default();
        let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
        stream.push(Bytes::from_static(b"data: "));
        assert_eq!(stream.next_event(), Ok(None));
        let refused = (0..20).find(|_| {
            stream.push(chunk.clone());
            stream.next_event().is_err()
        });

        assert_eq!(refused, Some(7), "with the eighth mebibyte");
    }

    #[test]
    fn comments_for_ever_keep_the_memory_flat() {
        let mut stream = EventStream::default();
        for _ in 0..10_000 {
            stream.push(Bytes::from_static(b": keep-alive\n\n: keep"));
            assert_eq!(stream.next_event(), Ok(None));
        }
        assert!(stream.lines.held() < 1_000);
    }
}
