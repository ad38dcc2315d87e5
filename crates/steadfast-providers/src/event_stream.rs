//! Framing of server-sent events, as bytes arrive: WHATWG HTML, section 9.2.6. It decodes no JSON.

use std::ops::Range;

use memchr::memchr2;

use crate::framing::{EventTooLong, Form, Framing, MAX_EVENT_BYTES};

/// Cuts bytes into events and hands out the data of each. Comments and other fields are passed
/// over. An event of one line, which is every event of the providers, is not copied.
#[derive(Debug, Default)]
pub(crate) struct EventStream {
    buffer: Vec<u8>,
    /// Where the next line begins.
    line: usize,
    /// How far the current line was searched for its end.
    searched: usize,
    /// Whether a line feed that comes next belongs to the carriage return before it.
    after_return: bool,
    data: Data,
    /// The latest event of several lines, which is handed out from here.
    joined: Vec<u8>,
}

/// The data of the event in the making.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, still in the buffer.
    Line(Range<usize>),
    /// Several lines, joined.
    Joined(Vec<u8>),
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

    fn push(&mut self, bytes: &[u8]) {
        let keep = match &self.data {
            Data::Line(range) => range.start,
            _ => self.line,
        };
        self.buffer.drain(..keep);
        self.line -= keep;
        self.searched -= keep;
        if let Data::Line(range) = &mut self.data {
            *range = range.start - keep..range.end - keep;
        }
        self.buffer.extend_from_slice(bytes);
        self.joined = Vec::new();
    }

    fn next_event(&mut self) -> Result<Option<&[u8]>, EventTooLong> {
        while let Some(line) = self.next_line() {
            if !line.is_empty() {
                self.take_field(line);
                continue;
            }
            match std::mem::take(&mut self.data) {
                Data::None => {}
                Data::Line(range) => return Ok(self.buffer.get(range)),
                Data::Joined(joined) => {
                    self.joined = joined;
                    return Ok(Some(&self.joined));
                }
            }
        }
        let joined = match &self.data {
            Data::Joined(joined) => joined.len(),
            _ => 0,
        };
        let start = match &self.data {
            Data::Line(range) => range.start,
            _ => self.line,
        };
        if self.buffer.len() - start + joined > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(self).buffer
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
    fn next_line(&mut self) -> Option<Range<usize>> {
        if self.after_return && self.buffer.get(self.line) == Some(&b'\n') {
            self.line += 1;
            self.searched = self.searched.max(self.line);
        }
        let unsearched = self.buffer.get(self.searched..)?;
        if !unsearched.is_empty() {
            self.after_return = false;
        }
        let Some(found) = memchr2(b'\n', b'\r', unsearched) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let line = self.line..end;
        self.after_return = self.buffer.get(end) == Some(&b'\r');
        self.line = end + 1;
        self.searched = self.line;
        Some(line)
    }

    fn take_field(&mut self, line: Range<usize>) {
        let Some(text) = self.buffer.get(line.clone()) else {
            return;
        };
        let Some(value) = text
            .strip_prefix(b"data")
            .filter(|rest| matches!(rest.first(), None | Some(b':')))
        else {
            return;
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let range = line.end - value.len()..line.end;
        self.data = match std::mem::take(&mut self.data) {
            Data::None => Data::Line(range),
            Data::Line(first) => {
                let mut joined = self.buffer.get(first).unwrap_or_default().to_vec();
                joined.push(b'\n');
                joined.extend_from_slice(value);
                Data::Joined(joined)
            }
            Data::Joined(mut joined) => {
                joined.push(b'\n');
                joined.extend_from_slice(value);
                Data::Joined(joined)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, EventTooLong> {
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for chunk in chunks {
            stream.push(chunk);
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
        let chunk = vec![b'x'; 1024 * 1024];
        stream.push(b"data: ");
        let refused = (0..20).find(|_| {
            stream.push(&chunk);
            stream.next_event().is_err()
        });

        assert_eq!(refused, Some(7), "with the eighth mebibyte");
    }

    #[test]
    fn comments_for_ever_keep_the_memory_flat() {
        let mut stream = EventStream::default();
        for _ in 0..10_000 {
            stream.push(b": keep-alive\n\n");
            assert_eq!(stream.next_event(), Ok(None));
        }
        assert!(stream.buffer.capacity() < 1_000);
    }
}
