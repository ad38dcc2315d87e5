//! How the body of a streamed answer is cut into events. What an event says is the wire's.

use bytes::Bytes;
use serde::de::IgnoredAny;

/// An event is longer than is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTooLong;

/// What a body is, told from how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Events.
    Stream,
    /// One JSON value, whatever its name.
    Whole,
}

/// What is left of a body that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// An event.
    Event(Vec<u8>),
    /// No event. Some servers write an error so.
    Other(Vec<u8>),
}

/// Cuts bytes into events, as they arrive.
pub(crate) trait Framing: Default + Send + Unpin + 'static {
    /// Tells what a body is from its next bytes, until it is known.
    fn tell(&mut self, bytes: &[u8]) -> Option<Form>;

    /// Adds bytes, once all events of those before have been taken.
    fn push(&mut self, bytes: Bytes);

    /// Returns the data of the next complete event; none if more bytes are needed. One that is longer
    /// is refused, whether or not it is complete.
    fn next_event(&mut self, longest: usize) -> Result<Option<&[u8]>, EventTooLong>;

    /// Returns what has come of an event whose end has not, and forgets it.
    fn take_rest(&mut self) -> Vec<u8>;

    /// Returns what is left when the body ends.
    fn end(&mut self) -> Left;

    /// Returns whether a body that says it is JSON is a stream all the same, as some gateways send
    /// it.
    fn is_in(body: &[u8]) -> bool;
}

/// Returns whether a text is JSON, and whole.
pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The bound that most wires have.
    pub(crate) const LONGEST: usize = 8 * 1024 * 1024;

    /// Returns the events of a text that comes in these chunks.
    pub(crate) fn push_all<F: Framing>(framing: &mut F, chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Vec::new();
        for chunk in chunks {
            framing.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = framing.next_event(LONGEST).unwrap() {
                events.push(String::from_utf8_lossy(event).into_owned());
            }
        }
        events
    }

    /// Checks what a text comes to, cut at every two places, and byte by byte.
    pub(crate) fn check_cuts(text: &str, expected: &[&str], read: fn(&[&[u8]]) -> Vec<String>) {
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(&chunks), expected, "cut at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), expected);
    }
}
