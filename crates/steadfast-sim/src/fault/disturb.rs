//! What each fault does to an answer: a change of its draft, made before anything is sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::{Fault, Moment, StreamError};
use crate::dialect::{Caller, Dialect, Failure};
use crate::reply::{Chunk, Draft, Framing, Part};
use crate::sent_body::Ending;

/// How often a silent server reminds the client that it is there; much faster than real ones.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(50);

/// How much is added to the first content by `huge-line`.
const HUGE: usize = 10 * 1024 * 1024;

const HTML: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n\
                    <body><h1>502 Bad Gateway</h1><p>steadfast-sim, as a proxy</p></body></html>\n";

/// Changes an answer as the fault says, in the words of the caller's vendor.
pub(crate) fn disturb(fault: &Fault, mut draft: Draft, caller: &Caller<'_>) -> Draft {
    let dialect = caller.dialect();
    match *fault {
        Fault::Ok => draft,
        Fault::Status { status, hint } => caller.refuse(&Failure::Status { status, hint }),
        Fault::Quota => caller.refuse(&Failure::Quota),
        Fault::Reset(moment) => end_at(draft, moment, Ending::Reset),
        Fault::Hang(moment) => end_at(draft, moment, Ending::Hang),
        Fault::Cut(moment) => end_at(draft, moment, Ending::Cut),
        Fault::NoEnd(moment) => {
            let length = offset(&draft, moment);
            truncate(&mut draft.chunks, length);
            declare_actual_length(draft)
        }
        Fault::Error(_, error) if !draft.is_stream() => caller.refuse(&Failure::Stream(error)),
        Fault::Error(moment, error) => {
            interrupt(draft, moment, dialect.stream_error(error, caller), dialect)
        }
        Fault::Empty => {
            draft.chunks.clear();
            declare_actual_length(draft)
        }
        Fault::Html => Draft::whole(StatusCode::OK, "text/html; charset=utf-8", HTML.into()),
        Fault::Malformed => break_json(draft, dialect.malformed_event()),
        Fault::GarbageUtf8 => {
            let garbage = *b"caf\xC3\x28 \xFF";
            insert_into_content(draft, dialect, &garbage)
        }
        Fault::HugeLine => insert_into_content(draft, dialect, &vec![b'x'; HUGE]),
        Fault::Error200 => {
            let mut error = caller.refuse(&Failure::Stream(StreamError::Server));
            error.status = StatusCode::OK;
            error
        }
        Fault::KeepAlive => {
            // What is not a stream has neither comments nor pings; DeepSeek sends blank lines there.
            let reminder: &[u8] = if draft.is_stream() {
                dialect.keep_alive()
            } else {
                b"\n"
            };
            draft.chunks.clear();
            draft.framing = Framing::Stream;
            draft.ending = Ending::Repeat(Bytes::from_static(reminder), KEEP_ALIVE_INTERVAL);
            draft
        }
    }
}

fn end_at(mut draft: Draft, moment: Moment, ending: Ending) -> Draft {
    if moment == Moment::Request {
        return Draft::silent(ending);
    }
    let length = offset(&draft, moment);
    truncate(&mut draft.chunks, length);
    draft.ending = ending;
    draft
}

/// Ends a stream with an error.
fn interrupt(mut draft: Draft, moment: Moment, error: Bytes, dialect: &dyn Dialect) -> Draft {
    let length = offset(&draft, moment);
    truncate(&mut draft.chunks, length);
    let mut bytes = BytesMut::new();
    if draft
        .chunks
        .last()
        .is_some_and(|chunk| !chunk.bytes.ends_with(b"\n"))
    {
        // Half a line and the error would otherwise be one line.
        bytes.extend_from_slice(dialect.event_break());
    }
    bytes.extend_from_slice(&error);
    draft.chunks.push(Chunk {
        part: Part::Unmarked,
        bytes: bytes.freeze(),
    });
    draft
}

/// Puts a line that is not JSON after the first content, or halves what is not a stream.
fn break_json(mut draft: Draft, line: &'static [u8]) -> Draft {
    let length = offset(&draft, Moment::Text);
    if !draft.is_stream() {
        truncate(&mut draft.chunks, length);
        return declare_actual_length(draft);
    }
    let rest = split_off(&mut draft.chunks, length);
    draft.chunks.push(Chunk {
        part: Part::Unmarked,
        bytes: Bytes::from_static(line),
    });
    draft.chunks.extend(rest);
    draft
}

fn insert_into_content(mut draft: Draft, dialect: &dyn Dialect, addition: &[u8]) -> Draft {
    let keys = dialect.content_keys();
    let is_stream = draft.is_stream();
    let content = draft
        .chunks
        .iter()
        .position(|chunk| chunk.part != Part::Frame && content_start(keys, &chunk.bytes).is_some());
    let Some(chunk) = draft.chunks.get_mut(content.unwrap_or(0)) else {
        return draft;
    };
    let start = content_start(keys, &chunk.bytes).unwrap_or(chunk.bytes.len() / 2);
    let mut bytes = BytesMut::from(chunk.bytes.get(..start).unwrap_or_default());
    bytes.extend_from_slice(addition);
    bytes.extend_from_slice(chunk.bytes.get(start..).unwrap_or_default());
    chunk.bytes = match bytes.freeze() {
        event if is_stream => dialect.resealed(event),
        body => body,
    };
    declare_actual_length(draft)
}

fn content_start(keys: &[&str], bytes: &[u8]) -> Option<usize> {
    keys.iter().find_map(|key| {
        let mut windows = bytes.windows(key.len());
        let found = windows.position(|window| window == key.as_bytes())?;
        Some(found + key.len())
    })
}

fn declare_actual_length(mut draft: Draft) -> Draft {
    if !draft.is_stream() {
        draft.framing = Framing::Whole(draft.body_length());
    }
    draft
}

/// Returns how many bytes of the body come before the moment.
fn offset(draft: &Draft, moment: Moment) -> usize {
    let chunks = &draft.chunks;
    let after = |index: usize| -> usize {
        chunks
            .iter()
            .take(index + 1)
            .map(|chunk| chunk.bytes.len())
            .sum()
    };
    let last = |part: Part| chunks.iter().rposition(|chunk| chunk.part == part);
    let first = |parts: &[Part]| chunks.iter().position(|chunk| parts.contains(&chunk.part));
    let first_content =
        || first(&[Part::Reasoning, Part::Text, Part::ToolCall]).or_else(|| first(&[Part::Frame]));
    let found = match moment {
        Moment::Request | Moment::Start => return 0,
        Moment::Bytes(count) => return count.min(draft.body_length()),
        Moment::Text => first(&[Part::Text]).or_else(first_content),
        Moment::Tool => last(Part::ToolCall).or_else(first_content),
        Moment::End => chunks.iter().rposition(|chunk| is_content(chunk.part)),
    };
    found.map_or_else(|| middle(draft), after)
}

fn is_content(part: Part) -> bool {
    match part {
        Part::Frame | Part::Reasoning | Part::Text | Part::ToolCall => true,
        Part::End | Part::Unmarked => false,
    }
}

/// Returns the middle of a body of which nothing is known, between two chunks if there are two.
fn middle(draft: &Draft) -> usize {
    match draft.chunks.as_slice() {
        [] => 0,
        [only] => only.bytes.len() / 2,
        chunks => chunks
            .iter()
            .take(chunks.len() / 2)
            .map(|chunk| chunk.bytes.len())
            .sum(),
    }
}

fn truncate(chunks: &mut Vec<Chunk>, length: usize) {
    drop(split_off(chunks, length));
}

/// Keeps the first `length` bytes and returns the rest.
fn split_off(chunks: &mut Vec<Chunk>, length: usize) -> Vec<Chunk> {
    let mut kept = Vec::new();
    let mut rest = Vec::new();
    let mut room = length;
    for mut chunk in chunks.drain(..) {
        let taken = chunk.bytes.split_to(room.min(chunk.bytes.len()));
        room -= taken.len();
        if !taken.is_empty() {
            kept.push(Chunk {
                part: chunk.part,
                bytes: taken,
            });
        }
        if !chunk.bytes.is_empty() {
            rest.push(chunk);
        }
    }
    *chunks = kept;
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;

    const CALLER: Caller<'_> = Caller {
        wire: Wire::OpenAiChat,
        number: 1,
        model: "m",
        requests_per_minute: 60,
    };

    type Parts = [(Part, &'static str)];

    const PARTS: [(Part, &str); 7] = [
        (Part::Frame, "H."),
        (Part::Reasoning, "R."),
        (Part::Text, "T1."),
        (Part::Text, "T2."),
        (Part::ToolCall, "C1."),
        (Part::ToolCall, "C2."),
        (Part::End, "E."),
    ];

    fn stream(parts: &Parts) -> Draft {
        let chunks = parts.iter().map(|&(part, text)| Chunk {
            part,
            bytes: Bytes::from_static(text.as_bytes()),
        });
        Draft::stream(chunks.collect())
    }

    fn left_of(draft: Draft, fault: &str) -> String {
        let disturbed = disturb(&fault.parse().unwrap(), draft, &CALLER);
        let body: Vec<u8> = disturbed
            .chunks
            .iter()
            .flat_map(|chunk| chunk.bytes.clone())
            .collect();
        String::from_utf8_lossy(&body).into_owned()
    }

    #[test]
    fn moments_are_found_in_a_full_stream() {
        let cases = [
            ("cut@start", ""),
            ("cut@text", "H.R.T1."),
            ("cut@tool", "H.R.T1.T2.C1.C2."),
            ("cut@end", "H.R.T1.T2.C1.C2."),
            ("no-end", "H.R.T1.T2.C1.C2."),
            ("cut@0", ""),
            ("cut@6", "H.R.T1"),
            ("cut@999", "H.R.T1.T2.C1.C2.E."),
        ];
        for (fault, left) in cases {
            assert_eq!(left_of(stream(&PARTS), fault), left, "{fault}");
        }
    }

    #[test]
    fn missing_moments_move_to_the_first_content() {
        let cases: [(&Parts, &str, &str); 5] = [
            (
                &[
                    (Part::Frame, "H."),
                    (Part::ToolCall, "C."),
                    (Part::End, "E."),
                ],
                "cut@text",
                "H.C.",
            ),
            (
                &[(Part::Frame, "H."), (Part::Text, "T."), (Part::End, "E.")],
                "cut@tool",
                "H.T.",
            ),
            (
                &[
                    (Part::Frame, "H."),
                    (Part::Reasoning, "R."),
                    (Part::Text, "T."),
                ],
                "cut@tool",
                "H.R.",
            ),
            (&[(Part::Frame, "H."), (Part::End, "E.")], "cut@text", "H."),
            (
                &[(Part::Unmarked, "1."), (Part::Unmarked, "2.")],
                "cut@text",
                "1.",
            ),
        ];
        for (parts, fault, left) in cases {
            assert_eq!(left_of(stream(parts), fault), left, "{fault}");
        }
    }

    #[test]
    fn whole_answers_break_in_the_middle() {
        let draft = || Draft::whole(StatusCode::OK, "application/json", b"{\"a\":1}.".to_vec());

        for fault in ["cut@text", "cut@tool", "no-end", "malformed"] {
            assert_eq!(left_of(draft(), fault), "{\"a\"", "{fault}");
        }
    }

    #[test]
    fn only_a_cut_keeps_the_promised_length() {
        let framing = |fault: &str| {
            let draft = Draft::whole(StatusCode::OK, "application/json", vec![b'x'; 10]);
            disturb(&fault.parse().unwrap(), draft, &CALLER).framing
        };

        assert_eq!(framing("cut@text"), Framing::Whole(10));
        assert_eq!(framing("no-end"), Framing::Whole(5));
        assert_eq!(framing("empty"), Framing::Whole(0));
        assert_eq!(framing("garbage-utf8"), Framing::Whole(17));
    }

    #[test]
    fn faults_survive_an_answer_without_chunks() {
        for fault in [
            "malformed",
            "garbage-utf8",
            "huge-line",
            "error@text",
            "no-end",
            "cut@tool",
        ] {
            left_of(stream(&[]), fault);
        }
    }
}
