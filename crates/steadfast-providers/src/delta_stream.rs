//! The body of a streamed answer, from bytes to deltas. What an event says is the wire's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind};
use tokio::time::{Sleep, sleep};

use crate::{
    answer::{AnswerDecoder, BYTE_ORDER_MARK, decode_whole},
    answer_deltas::AnswerDeltas,
    crowd::is_crowded,
    framing::{EventTooLong, Form, Framing, Left},
    http_client::Head,
};

/// How long the body may take to end behind the last event. A connection whose body has ended is
/// used again; the answer is told already.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// How long more may take to come behind an answer that is over, on a wire where no event is the last.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest event behind an answer that is complete, in bytes: what may come is the usage.
const LONGEST_BEHIND: usize = 1024 * 1024;

/// The longest body that is not a stream of events although it says so.
const MAX_UNFRAMED_BYTES: usize = 8 * 1024 * 1024;

/// The deltas of a body.
pub(crate) struct DeltaStream<B, D: AnswerDecoder> {
    body: B,
    events: D::Framing,
    decoder: D,
    deltas: AnswerDeltas,
    /// How much of a byte order mark is behind, or all of it where none came.
    mark: usize,
    failure: Option<ModelError>,
    phase: Phase,
    /// Whether bytes have come whose events have not all been decoded.
    undecoded: bool,
}

/// What is done with bytes that arrive.
enum Phase {
    /// They begin: what they are is not known yet.
    Beginning,
    /// They are events.
    Events,
    /// They are events, if any come in time: the answer is over.
    Rest(Option<Pin<Box<Sleep>>>),
    /// They are JSON, sent whole under the name of a stream.
    Unframed(Vec<u8>),
    /// They are passed over, until the body ends or the time is up.
    Ending(Option<Pin<Box<Sleep>>>),
    Ended,
}

impl<B, D: AnswerDecoder> DeltaStream<B, D> {
    pub(crate) fn new(body: B, head: Head, decoder: D) -> Self {
        Self {
            body,
            events: D::Framing::default(),
            decoder,
            deltas: AnswerDeltas::new(head),
            mark: 0,
            failure: None,
            phase: Phase::Beginning,
            undecoded: false,
        }
    }

    fn take_bytes(&mut self, mut bytes: Bytes) {
        while let (Some(mark), Some(first)) = (BYTE_ORDER_MARK.get(self.mark), bytes.first()) {
            if first != mark {
                self.mark = BYTE_ORDER_MARK.len();
                break;
            }
            self.mark += 1;
            bytes.advance(1);
        }
        if matches!(self.phase, Phase::Beginning) {
            match self.events.tell(&bytes) {
                None => {}
                Some(Form::Whole) => self.phase = Phase::Unframed(self.events.take_rest()),
                Some(Form::Stream) => self.phase = Phase::Events,
            }
        }
        match &mut self.phase {
            Phase::Beginning | Phase::Events | Phase::Rest(_) => {
                self.events.push(bytes);
                self.undecoded = true;
            }
            Phase::Unframed(body) if body.len() + bytes.len() > MAX_UNFRAMED_BYTES => {
                let message = "the body is JSON, and longer than is accepted";
                self.fail(ModelError::new(ModelErrorKind::Protocol, message));
            }
            Phase::Unframed(body) => body.extend_from_slice(&bytes),
            Phase::Ending(_) | Phase::Ended => {}
        }
    }

    /// Decodes events that have arrived whole, until one of them says something: what is not taken
    /// needs no room. Returns whether more of them may be there.
    fn decode(&mut self) -> bool {
        while self.deltas.is_empty() {
            let longest = if self.is_settled() {
                LONGEST_BEHIND
            } else {
                D::LONGEST_EVENT
            };
            let taken = match self.events.next_event(longest) {
                Ok(None) => {
                    match (&self.phase, self.decoder.is_over()) {
                        // Its time runs from the first.
                        (Phase::Rest(_), true) => {}
                        (_, true) => self.phase = Phase::Rest(None),
                        (Phase::Rest(_), false) => self.phase = Phase::Events,
                        (_, false) => {}
                    }
                    return false;
                }
                Ok(Some(data)) if is_crowded(data) => Err(self.deltas.head().crowded()),
                Ok(Some(data)) => self.decoder.take_event(data, &mut self.deltas),
                Err(EventTooLong) => Err(self.deltas.head().locate(ModelError::new(
                    ModelErrorKind::Protocol,
                    "an event of the stream is longer than is accepted",
                ))),
            };
            match taken {
                Ok(false) => {}
                Ok(true) if self.deltas.is_complete() => {
                    self.phase = Phase::Ending(None);
                    return false;
                }
                // An answer that is settled stands, whatever comes behind it.
                Err(_) if self.is_settled() => {
                    self.phase = Phase::Ending(None);
                    return false;
                }
                Ok(true) => {
                    self.fail(truncated());
                    return false;
                }
                Err(error) => {
                    self.failure = Some(error);
                    self.phase = Phase::Ended;
                    return false;
                }
            }
        }
        true
    }

    /// Takes the end of the body.
    fn end(&mut self) {
        if matches!(self.phase, Phase::Beginning | Phase::Events) {
            self.failure = match self.events.end() {
                Left::Event(data) if is_crowded(&data) => Some(self.deltas.head().crowded()),
                Left::Event(data) => {
                    let taken = self.decoder.take_event(&data, &mut self.deltas);
                    taken.err()
                }
                Left::Other(data) if is_crowded(&data) => Some(self.deltas.head().crowded()),
                Left::Other(data) => D::classify_if_error(self.deltas.head(), &data),
            };
            if self.is_settled() {
                self.failure = None;
            }
        }
        match &self.phase {
            Phase::Unframed(body) => {
                let head = self.deltas.head().clone();
                match decode_whole(head, body, std::mem::take(&mut self.decoder)) {
                    Ok(deltas) => self.deltas.extend(deltas),
                    Err(error) => self.failure = Some(error),
                }
            }
            // Said here, where status and identity of the answer are known.
            Phase::Beginning | Phase::Events
                if self.failure.is_none() && !self.deltas.is_complete() =>
            {
                self.failure = Some(self.deltas.head().locate(truncated()));
            }
            _ => {}
        }
        self.phase = Phase::Ended;
    }

    fn is_settled(&self) -> bool {
        self.decoder.is_settled(&self.deltas)
    }

    /// Ends with an error that knows nothing yet of the answer.
    fn fail(&mut self, error: ModelError) {
        self.failure = Some(self.deltas.head().locate(error));
        self.phase = Phase::Ended;
    }
}

fn truncated() -> ModelError {
    let message = "the stream ended without its end marker";
    ModelError::new(ModelErrorKind::Truncated, message)
}

impl<B, D> Stream for DeltaStream<B, D>
where
    B: Stream<Item = Result<Bytes, ModelError>> + Unpin,
    D: AnswerDecoder,
{
    type Item = Result<ModelDelta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(delta) = this.deltas.pop() {
                return Poll::Ready(Some(Ok(delta)));
            }
            // What was said before a failure is told before it, however the bytes were cut.
            if let Some(error) = this.failure.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if this.undecoded {
                this.undecoded = this.decode();
                continue;
            }
            if matches!(this.phase, Phase::Ended) {
                return Poll::Ready(None);
            }
            let waiting = match &mut this.phase {
                Phase::Ending(timer) => Some((timer, END_TIMEOUT)),
                Phase::Rest(timer) => Some((timer, REST_TIMEOUT)),
                _ => None,
            };
            if let Some((timer, time)) = waiting {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(time)));
                if timer.as_mut().poll(cx).is_ready() {
                    this.phase = Phase::Ended;
                    continue;
                }
            }
            match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                Some(Ok(chunk)) => this.take_bytes(chunk),
                // What follows a complete answer, such as the usage, is missed and not mourned.
                Some(Err(_)) if this.is_settled() || matches!(this.phase, Phase::Ending(_)) => {
                    this.phase = Phase::Ended;
                }
                Some(Err(error)) => this.fail(error),
                None => this.end(),
            }
        }
    }
}

#[cfg(all(test, feature = "ollama", feature = "openai"))]
mod tests;
