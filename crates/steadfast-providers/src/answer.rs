//! An answer, in whatever form it came: an error, a whole body, a stream of events, a web page. What
//! it says is the wire's.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use reqwest::Response;
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind, ModelStream};

use crate::{
    answer_deltas::AnswerDeltas,
    crowd::is_crowded,
    delta_stream::DeltaStream,
    error_wire::{self, ErrorObject, Verdict},
    framing::Framing,
    http_client::{Head, body_stream, read_body, read_error_body},
    rate_limits::rate_limits,
};

/// The mark that may stand before a text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes one answer of a wire.
pub(crate) trait AnswerDecoder: Default + Send + Unpin + 'static {
    /// How the wire's streams are cut into events.
    type Framing: Framing;

    /// The longest event that is accepted, in bytes. The longest that providers of text send are some
    /// hundred kilobytes.
    const LONGEST_EVENT: usize = 8 * 1024 * 1024;

    /// Decodes one event of a stream. Returns whether it was the last.
    fn take_event(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError>;

    /// Returns whether the answer is complete, on a wire where no event is the last: what is left is
    /// then waited for a short while, and not as long as a model may be silent.
    fn is_over(&self) -> bool {
        false
    }

    /// Returns whether nothing that may still come is part of the answer.
    fn is_settled(&self, deltas: &AnswerDeltas) -> bool {
        deltas.is_complete()
    }

    /// Decodes an answer that came whole: JSON, and not blank.
    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError>;

    /// Decides what an error is. The status is the answer's, and says nothing of an error in
    /// mid-stream.
    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict;

    /// Classifies an answer or event that is an error.
    fn classify(head: &Head, data: &[u8]) -> ModelError {
        error_wire::classify(head, data, Self::judge)
    }

    /// Classifies an event, or a body of success, if it is an error.
    fn classify_if_error(head: &Head, data: &[u8]) -> Option<ModelError> {
        error_wire::classify_if_error(head, data, Self::judge)
    }

    /// Says what JSON of another shape is: an error of the server, or none of this wire.
    fn unexpected(head: &Head, data: &[u8], what: &str, error: serde_json::Error) -> ModelError {
        Self::classify_if_error(head, data).unwrap_or_else(|| head.unexpected(what, error))
    }
}

/// Reads an answer with a decoder that has seen none. Asked for a stream, some servers send it whole.
pub(crate) async fn read_answer<D: AnswerDecoder>(
    head: Head,
    response: Response,
    decoder: D,
) -> Result<ModelStream, ModelError> {
    if !head.status.is_success() {
        let body = read_error_body(body_stream(response)).await;
        return Err(D::classify(&head, &body));
    }
    if let Some(encoding) = head.unread_encoding() {
        let message = format!("content-encoding `{encoding}` is not understood");
        return Err(head.locate(ModelError::new(ModelErrorKind::Protocol, message)));
    }
    let limits = rate_limits(&head.headers);
    let media_type = head.media_type();
    // Lines of JSON are a stream, and called `application/x-ndjson`.
    if media_type.ends_with("json") && !media_type.ends_with("ndjson") {
        let body = read_body(body_stream(response)).await;
        let body = body.map_err(|error| head.locate(error))?;
        if D::Framing::is_in(without_mark(&body)) {
            let body = Whole(Some(Bytes::from(body)));
            let deltas = DeltaStream::new(body, head, decoder);
            return Ok(ModelStream::new(deltas).with_rate_limits(limits));
        }
        let deltas = decode_whole(head, &body, decoder)?;
        return Ok(ModelStream::from_deltas(deltas).with_rate_limits(limits));
    }
    if media_type.ends_with("html") {
        // A proxy's page in place of an answer: it passes, as other broken answers do.
        let message = "a web page came instead of an answer";
        return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    let deltas = DeltaStream::new(body_stream(response), head, decoder);
    Ok(ModelStream::new(deltas).with_rate_limits(limits))
}

/// A body that has come.
struct Whole(Option<Bytes>);

impl Stream for Whole {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

/// Takes away the mark by which some servers say that a text is UTF-8.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Decodes an answer that came whole.
pub(crate) fn decode_whole<D: AnswerDecoder>(
    head: Head,
    body: &[u8],
    mut decoder: D,
) -> Result<VecDeque<ModelDelta>, ModelError> {
    let body = without_mark(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        let message = "the body is empty";
        return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    if is_crowded(body) {
        return Err(head.crowded());
    }
    let mut deltas = AnswerDeltas::new(head);
    decoder.take_whole(body, &mut deltas)?;
    if !deltas.is_complete() {
        let message = "the answer ended without its end marker";
        let error = ModelError::new(ModelErrorKind::Truncated, message);
        return Err(deltas.head().locate(error));
    }
    Ok(deltas.into_waiting())
}
