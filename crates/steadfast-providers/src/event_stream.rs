//! Framing of server-sent events, as bytes arrive: WHATWG HTML, section 9.2.6. It decodes no JSON.

use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::{
    framing::{EventTooLong, Form, Framing, Left, is_json},
    lines::{Line, Lines},
};

/// The longest error that is kept of what stands between events, in bytes.
const LONGEST_STRAY: usize = 64 * 1024;

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
    /// Lines behind the last data that are no fields, from the first that begins as JSON does: Google's
    /// servers write an error so.
    stray: Vec<u8>,
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

    fn next_event(&mut self, longest: usize) -> Result<Option<&[u8]>, EventTooLong> {
        while let Some(line) = self.next_line() {
            if !self.lines.get(&line).is_empty() {
                self.take_field(&line);
                continue;
            }
            match std::mem::take(&mut self.data) {
                Data::None => {}
                Data::Line(place) if place.len() > longest => return Err(EventTooLong),
                Data::Line(place) => return Ok(Some(self.lines.within(place))),
                Data::Joined if self.joined.len() > longest => return Err(EventTooLong),
                Data::Joined => return Ok(Some(&self.joined)),
            }
        }
        self.keep();
        self.lines.release();
        let begun = match self.data {
            Data::Joined => self.joined.len(),
            _ => 0,
        };
        if begun + self.lines.begun() > longest {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.lines.take_rest()
    }

    /// The specification drops an event whose end has not come. Some servers forget the end of the
    /// last one: if what has come is JSON, nothing of it is missing.
    fn end(&mut self) -> Left {
        self.keep();
        // So that the last line ends, and what has come of an event.
        let mut last = self.lines.take_rest();
        last.extend_from_slice(b"\n\n");
        self.push(last.into());
        let begun = match self.next_event(usize::MAX) {
            Ok(Some(data)) => data.to_vec(),
            _ => Vec::new(),
        };
        let stray = std::mem::take(&mut self.stray);
        match stray.is_empty() {
            true if is_json(&begun) => Left::Event(begun),
            true => Left::Other(begun),
            false => Left::Other(stray),
        }
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
            let has_begun = !self.stray.is_empty() || matches!(text.first(), Some(b'{' | b'['));
            if has_begun && !Self::is_in(text) && self.stray.len() + text.len() < LONGEST_STRAY {
                self.stray.extend_from_slice(text);
                self.stray.push(b'\n');
            }
            return;
        };
        self.stray.clear();
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
    use crate::framing::testing::{LONGEST, check_cuts, push_all};

    fn check(text: &str, expected: &[&str]) {
        check_cuts(text, expected, |chunks| {
            push_all(&mut EventStream::default(), chunks)
        });
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
        assert_eq!(stream.next_event(LONGEST), Ok(None));
        let refused = (0..20).find(|_| {
            stream.push(chunk.clone());
            stream.next_event(LONGEST).is_err()
        });

        assert_eq!(refused, Some(7), "with the eighth mebibyte");
    }

    #[test]
    fn comments_for_ever_keep_the_memory_flat() {
        let mut stream = EventStream::default();
        for _ in 0..10_000 {
            stream.push(Bytes::from_static(b": keep-alive\n\n: keep"));
            assert_eq!(stream.next_event(LONGEST), Ok(None));
        }
        assert!(stream.lines.held() < 1_000);
    }

    /// Checks what is left of a text that ends, cut at every place.
    fn check_left(text: &str, expected: &str) {
        for cut in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            let mut stream = EventStream::default();
            for chunk in [first, second] {
                stream.push(Bytes::copy_from_slice(chunk));
                while stream.next_event(LONGEST).unwrap().is_some() {}
            }
            let expected = expected.as_bytes().to_vec();
            let left = stream.end();
            let (Left::Event(left) | Left::Other(left)) = left;
            assert_eq!(left, expected, "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn json_that_is_no_event_is_left() {
        check_left("data: a\n\n{\"error\":1}", "{\"error\":1}\n");
        check_left(
            "data: a\r\n\r\n[{\r\n  \"error\": 1\r\n}]\r\n\r\n",
            "[{\n  \"error\": 1\n}]\n",
        );
        check_left("{\"error\":1}\n\ndata: a\n\n", "");
        check_left(
            "data: a\n\nevent: error\ndata: {\"error\":1}",
            "{\"error\":1}",
        );
        check_left("data: a\n\nid: 1\n: bye\nnonsense\n", "");
        check_left("data: a\n\n", "");
    }

    #[test]
    fn last_event_needs_no_end_if_it_is_whole() {
        for (rest, is_event) in [
            ("data: {\"a\":1}", true),
            ("data: {\"a\":1}\n", true),
            ("data: {\"a\":", false),
            ("data: [DONE]", false),
            (": bye", false),
        ] {
            let mut stream = EventStream::default();
            stream.push(rest.into());
            assert_eq!(stream.next_event(LONGEST), Ok(None));
            assert_eq!(matches!(stream.end(), Left::Event(_)), is_event, "{rest}");
        }
    }

    #[test]
    fn endless_text_that_is_no_event_is_kept_in_part_only() {
        let mut stream = EventStream::default();
        for _ in 0..10_000 {
            stream.push(Bytes::from_static(
                b"{\"a\": \"a line that is no field\"}\n",
            ));
            assert_eq!(stream.next_event(LONGEST), Ok(None));
        }

        assert!(stream.stray.capacity() <= 2 * LONGEST_STRAY);
    }

    #[test]
    fn events_that_are_too_long_are_refused_however_they_are_cut() {
        let event = [b"data: ".as_slice(), &[b'x'; 101], b"\n\n"].concat();
        for size in [1, 50, 1_000] {
            let mut stream = EventStream::default();
            let mut refused = false;
            for chunk in event.chunks(size) {
                stream.push(Bytes::copy_from_slice(chunk));
                refused |= stream.next_event(100).is_err();
            }
            assert!(refused, "in pieces of {size}");
        }
    }
}
