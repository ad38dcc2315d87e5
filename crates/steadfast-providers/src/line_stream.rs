//! Framing of newline-delimited JSON, as bytes arrive: an event is a line. It decodes no JSON.

use bytes::Bytes;
use memchr::memchr;

use crate::{
    framing::{EventTooLong, Form, Framing, Left, is_json},
    lines::Lines,
};

/// Cuts bytes into lines. Blank ones are passed over.
#[derive(Debug, Default)]
pub(crate) struct LineStream {
    lines: Lines,
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

    fn push(&mut self, bytes: Bytes) {
        self.lines.push(bytes);
    }

    fn next_event(&mut self, longest: usize) -> Result<Option<&[u8]>, EventTooLong> {
        while let Some((line, _)) = self.lines.next(|rest| memchr(b'\n', rest)) {
            let text = self.lines.get(&line);
            if text.len() > longest {
                return Err(EventTooLong);
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some(self.lines.get(&line).trim_ascii()));
            }
        }
        self.lines.release();
        if self.lines.begun() > longest {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.lines.take_rest()
    }

    /// The last line needs no end. Cut off, it is not JSON.
    fn end(&mut self) -> Left {
        let rest = self.lines.take_rest();
        if is_json(&rest) {
            Left::Event(rest)
        } else {
            Left::Other(rest)
        }
    }

    fn is_in(body: &[u8]) -> bool {
        let body = body.trim_ascii();
        let end = memchr(b'\n', body).unwrap_or(body.len());
        let (first, rest) = body.split_at(end);
        !rest.is_empty() && is_json(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::testing::{LONGEST, check_cuts, push_all};

    /// The last line is what is left.
    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut stream = LineStream::default();
        let mut lines = push_all(&mut stream, chunks);
        lines.push(String::from_utf8_lossy(&stream.take_rest()).into_owned());
        lines
    }

    fn check(text: &str, expected: &[&str]) {
        check_cuts(text, expected, lines);
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
        let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
        stream.push(Bytes::from_static(b"{"));
        assert_eq!(stream.next_event(LONGEST), Ok(None));
        let refused = (0..20).find(|_| {
            stream.push(chunk.clone());
            stream.next_event(LONGEST).is_err()
        });

        assert_eq!(refused, Some(7), "with the eighth mebibyte");
    }

    #[test]
    fn long_line_is_refused_if_it_comes_in_one_piece() {
        let mut stream = LineStream::default();
        let mut line = vec![b'x'; LONGEST + 1];
        line.push(b'\n');
        stream.push(line.into());

        assert_eq!(stream.next_event(LONGEST), Err(EventTooLong));
    }

    #[test]
    fn blank_lines_for_ever_keep_the_memory_flat() {
        let mut stream = LineStream::default();
        for _ in 0..10_000 {
            stream.push(Bytes::from_static(b"\r\n\n\r"));
            assert_eq!(stream.next_event(LONGEST), Ok(None));
        }

        assert!(stream.lines.held() < 1_000);
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
        for (rest, is_event) in [
            (r#" {"done":true}"#, true),
            (r#"{"done":tr"#, false),
            ("", false),
        ] {
            let mut stream = LineStream::default();
            stream.push(rest.into());
            assert_eq!(stream.next_event(LONGEST), Ok(None));
            let rest = rest.as_bytes().to_vec();
            let left = if is_event {
                Left::Event(rest)
            } else {
                Left::Other(rest)
            };
            assert_eq!(stream.end(), left);
        }
    }
}
