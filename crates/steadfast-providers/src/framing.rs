//! How the body of a streamed answer is cut into events. What an event says is the wire's.

use bytes::Bytes;

/// The longest event that is accepted, in bytes. The longest that providers of text send are some
/// hundred kilobytes.
pub(crate) const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

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

/// Cuts bytes into events, as they arrive.
pub(crate) trait Framing: Default + Send + Unpin + 'static {
    /// Tells what a body is from its next bytes, until it is known.
    fn tell(&mut self, bytes: &[u8]) -> Option<Form>;

    /// Adds bytes, once all events of those before have been taken.
    fn push(&mut self, bytes: Bytes);

    /// Returns the data of the next complete event; none if more bytes are needed.
    fn next_event(&mut self) -> Result<Option<&[u8]>, EventTooLong>;

    /// Returns what has come of an event whose end has not, and forgets it.
    fn take_rest(&mut self) -> Vec<u8>;

    /// Returns whether what is left when the body ends is an event too.
    fn ends_with(rest: &[u8]) -> bool;

    /// Returns whether a body that says it is JSON is a stream all the same, as some gateways send
    /// it.
    fn is_in(body: &[u8]) -> bool;
}
