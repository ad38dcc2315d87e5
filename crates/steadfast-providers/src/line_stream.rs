//! Framing of newline-delimited JSON, as bytes arrive: an event is a line. It decodes no JSON.

use memchr::memchr;
use serde::de::IgnoredAny;

use crate::framing::{EventTooLong, Form, Framing, MAX_EVENT_BYTES};

/// Cuts bytes into lines. Blank ones are passed over; no line is copied.
#[derive(Debug, Default)]
pub(crate) struct LineStream {
    buffer: Vec<u8>,
    /// Where the next line begins.
    line: usize,
    /// How far it was searched for its end.
    searched: usize,
    /// Whether the first line has begun, with a brace.
    begun: bool,
}

impl Framing for LineStream {
    /// A line is an object. A list, and an object whose first line is its brace alone, are JSON that
    /// was sent whole.
    fn tell(&mut self, bytes: &[u8]) -> Option<Form> {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' if self.begun => return Some(Form::Whole),
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'[' if !self.begun => return Some(Form::Whole),
                b'{' if !self.begun => self.begun = true,
                _ => return Some(Form::Stream),
            }
        }
        None
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.line);
        self.searched -= self.line;
        self.line = 0;
        self.buffer.extend_from_slice(bytes);
    }

    fn next_event(&mut self) -> Result<Option<&[u8]>, EventTooLong> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr(b'\n', unsearched) else {
                self.searched = self.buffer.len();
                if self.buffer.len() - self.line > MAX_EVENT_BYTES {
                    return Err(EventTooLong);
                }
                return Ok(None);
            };
            let end = self.searched + found;
            let start = std::mem::replace(&mut self.line, end + 1);
            self.searched = self.line;
            if end - start > MAX_EVENT_BYTES {
                return Err(EventTooLong);
            }
            let line = start..end;
            let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
            if !self.buffer.get(line.clone()).is_none_or(is_blank) {
                return Ok(self.buffer.get(line).map(<[u8]>::trim_ascii));
            }
        }
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.buffer.drain(..self.line);
        (self.line, self.searched) = (0, 0);
        std::mem::take(&mut self.buffer)
    }

    /// The last line needs no end. Cut off, it is not JSON.
    fn ends_with(rest: &[u8]) -> bool {
        is_json(rest)
    }

    fn is_in(body: &[u8]) -> bool {
        let body = body.trim_ascii();
        let end = memchr(b'\n', body).unwrap_or(body.len());
        let (first, rest) = body.split_at(end);
        !rest.is_empty() && is_json(first)
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Result<Vec<String>, EventTooLong> {
        let mut stream = LineStream::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            stream.push(chunk);
            while let Some(line) = stream.next_event()? {
                lines.push(String::from_utf8_lossy(line).into_owned());
            }
        }
        lines.push(String::from_utf8_lossy(&stream.take_rest()).into_owned());
        Ok(lines)
    }

    /// Checks one text cut at every two places, and byte by byte. The last line is what is left.
    fn check(text: &str, expected: &[&str]) {
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    lines(&chunks).unwrap(),
                    expected,
                    "cut at {first} and {second}"
                );
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(&single).unwrap(), expected);
    }

    #[test]
    fn lines_are_the_same_wherever_the_bytes_are_cut() {
        check("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}", ""]);
        check(
            "{\"a\":1}\r\n\r\n {\"é\":2} \r\n",
            &["{\"a\":1}", "{\"é\":2}", ""],
        );
        check("\n\n{}\n\n{}", &["{}", "{}"]);
        check("cut off", &["cut off"]);
        check("", &[""]);
    }

    #[test]
    fn endless_line_is_refused_with_bounded_memory() {
        let mut stream = LineStream::default();
        let chunk = vec![b'x'; 1024 * 1024];
        stream.push(b"{");
        let refused = (0..20).find(|_| {
            stream.push(&chunk);
            stream.next_event().is_err()
        });

        assert_eq!(refused, Some(7), "with the eighth mebibyte");
    }

    #[test]
    fn long_line_is_refused_if_it_comes_in_one_piece() {
        let mut stream = LineStream::default();
        let mut line = vec![b'x'; MAX_EVENT_BYTES + 1];
        line.push(b'\n');
        stream.push(&line);

        assert_eq!(stream.next_event(), Err(EventTooLong));
    }

    #[test]
    fn blank_lines_for_ever_keep_the_memory_flat() {
        let mut stream = LineStream::default();
        for _ in 0..10_000 {
            stream.push(b"\r\n\n");
            assert_eq!(stream.next_event(), Ok(None));
        }

        assert!(stream.buffer.capacity() < 1_000);
    }

    #[test]
    fn body_tells_what_it_is_by_how_it_begins() {
        for (text, expected) in [
            ("{\"a\":1}\n", Some(Form::Stream)),
            ("\r\n { \"a\"", Some(Form::Stream)),
            ("nonsense", Some(Form::Stream)),
            ("{\n  \"a\": 1\n}", Some(Form::Whole)),
            ("{ \r\n", Some(Form::Whole)),
            ("\n[", Some(Form::Whole)),
            (" \n", None),
            ("{ ", None),
        ] {
            let mut single = LineStream::default();
            let told = text.bytes().find_map(|byte| single.tell(&[byte]));
            assert_eq!(told, expected, "{text:?}");
            assert_eq!(LineStream::default().tell(text.as_bytes()), expected);
        }
    }

    #[test]
    fn lines_are_told_from_one_value() {
        for (body, expected) in [
            ("{\"a\":1}\n{\"b\":2}", true),
            ("\r\n{}\r\n{\"b", true),
            ("{\"a\":1}\n", false),
            ("{\n\"a\":1}\n", false),
            ("", false),
        ] {
            assert_eq!(LineStream::is_in(body.as_bytes()), expected, "{body:?}");
        }
    }

    #[test]
    fn last_line_counts_unless_it_is_cut_off() {
        assert!(LineStream::ends_with(br#" {"done":true}"#));
        assert!(!LineStream::ends_with(br#"{"done":tr"#));
        assert!(!LineStream::ends_with(b""));
    }
}
