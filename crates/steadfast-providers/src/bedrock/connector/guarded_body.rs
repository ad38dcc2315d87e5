//! A body on its way to the SDK, with limits that the SDK does not have. It decodes no event.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::{ModelError, ModelErrorKind};

use crate::{
    crowd::Crowd,
    http_client::{Head, connection_error},
};

/// The longest event that is accepted, in bytes, as on the other wires. The SDK waits for as much as
/// an event says it has, up to 4 GB.
const MAX_EVENT_BYTES: u32 = 8 * 1024 * 1024;

/// The shortest event: its own length, that of its headers, and two checksums.
const MIN_EVENT_BYTES: u32 = 16;

/// The length of a checksum.
const SUM_BYTES: usize = 4;

/// The longest body that is not a stream, in bytes.
const MAX_WHOLE_BYTES: u64 = 64 * 1024 * 1024;

/// A body whose events or whole length are checked as they pass.
pub(super) struct GuardedBody<B> {
    body: B,
    head: Head,
    guard: Guard,
    /// What is wrong behind the bytes that were passed on.
    failure: Option<ModelError>,
}

impl<B> GuardedBody<B> {
    pub(super) fn new(body: B, head: Head, is_stream: bool) -> Self {
        let guard = if is_stream {
            Guard::Events(Events::default())
        } else {
            Guard::Whole(0)
        };
        Self {
            body,
            head,
            guard,
            failure: None,
        }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes, Error = reqwest::Error> + Unpin,
{
    type Data = Bytes;
    type Error = ModelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ModelError>>> {
        let this = &mut *self;
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(this.head.locate(failure))));
        }
        let data = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            None => {
                let failure = this.guard.end().err();
                return Poll::Ready(failure.map(|failure| Err(this.head.locate(failure))));
            }
            Some(Err(error)) => {
                let error = this.head.locate(connection_error(error));
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            },
        };
        let passed = match this.guard.pass(&data) {
            Ok(()) => data,
            Err((sound, failure)) => {
                this.failure = Some(failure);
                data.slice(..sound)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(passed))))
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.guard.end().is_ok() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many bytes of a piece may be passed on, and what is wrong behind them.
type Broken = (usize, ModelError);

enum Guard {
    Events(Events),
    /// So many bytes have passed.
    Whole(u64),
}

impl Guard {
    fn end(&self) -> Result<(), ModelError> {
        match self {
            Self::Events(events) if events.is_within_one() => {
                let message = "the stream ended in the middle of an event";
                Err(ModelError::new(ModelErrorKind::Truncated, message))
            }
            _ => Ok(()),
        }
    }

    fn pass(&mut self, data: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Events(events) => events.pass(data),
            Self::Whole(passed) => {
                *passed += data.len() as u64;
                if *passed <= MAX_WHOLE_BYTES {
                    return Ok(());
                }
                let message = format!("the body is longer than {MAX_WHOLE_BYTES} bytes");
                Err((0, ModelError::new(ModelErrorKind::Protocol, message)))
            }
        }
    }
}

/// Where in its events a stream is.
#[derive(Default)]
struct Events {
    /// The first four bytes of an event: its length.
    length: u32,
    /// The next four: the length of its headers.
    headers: u32,
    /// How many of these eight have come.
    read: u8,
    /// How much is still to come of what stands before the payload, of the payload, and behind it.
    before: usize,
    payload: usize,
    behind: usize,
    /// What the payload holds so far.
    crowd: Crowd,
}

impl Events {
    const fn is_within_one(&self) -> bool {
        self.before + self.payload + self.behind > 0 || self.read > 0
    }

    fn pass(&mut self, piece: &[u8]) -> Result<(), Broken> {
        let broken =
            |sound, message| Err((sound, ModelError::new(ModelErrorKind::Protocol, message)));
        let mut data = piece;
        loop {
            let (_, rest) = split(data, &mut self.before);
            let (payload, rest) = split(rest, &mut self.payload);
            if self.crowd.is_too_much_with(payload) {
                // The event stays without its end, and nobody reads it.
                let sound = piece.len().saturating_sub(payload.len() + rest.len());
                return broken(sound, "an event of the stream holds more than is accepted");
            }
            let (_, rest) = split(rest, &mut self.behind);
            let Some((byte, rest)) = rest.split_first() else {
                return Ok(());
            };
            data = rest;
            let part = match self.read {
                0..4 => &mut self.length,
                _ => &mut self.headers,
            };
            *part = *part << 8 | u32::from(*byte);
            self.read += 1;
            if self.read == 4 && !(MIN_EVENT_BYTES..=MAX_EVENT_BYTES).contains(&self.length) {
                let sound = piece.len().saturating_sub(data.len() + 4);
                return broken(
                    sound,
                    "an event of the stream has a length that is not accepted",
                );
            }
            if self.read == 8 {
                // Headers that do not fit are for the SDK to refuse.
                let inner = self.length.saturating_sub(MIN_EVENT_BYTES) as usize;
                let headers = inner.min(self.headers as usize);
                *self = Self {
                    before: SUM_BYTES + headers,
                    payload: inner - headers,
                    behind: SUM_BYTES,
                    ..Self::default()
                };
            }
        }
    }
}

/// Takes off as much as is still to come.
fn split<'a>(data: &'a [u8], left: &mut usize) -> (&'a [u8], &'a [u8]) {
    let (taken, rest) = data.split_at(data.len().min(*left));
    *left -= taken.len();
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: u32) -> Vec<u8> {
        let mut event = length.to_be_bytes().to_vec();
        event.resize(length as usize, 0xFF);
        event
    }

    #[test]
    fn events_pass_however_they_are_cut() {
        let stream = [event(16), event(300), event(17)].concat();
        for size in 1..40 {
            let mut events = Events::default();
            for piece in stream.chunks(size) {
                assert_eq!(events.pass(piece), Ok(()), "{size}");
            }
        }
    }

    #[test]
    fn event_of_4_gb_is_refused_before_it_comes() {
        for length in [0, 15, MAX_EVENT_BYTES + 1, u32::MAX] {
            let mut events = Events::default();
            assert_eq!(events.pass(&event(16)), Ok(()));
            let next = [event(17), length.to_be_bytes().to_vec(), vec![0; 9]].concat();
            let (sound, error) = events.pass(&next).unwrap_err();
            assert_eq!(
                (sound, error.kind()),
                (17, ModelErrorKind::Protocol),
                "{length}"
            );
        }
    }
}
