//! An answer, in whatever form it came: an error, a whole body, a stream of events, a web page. What
//! it says is the wire's.

use std::collections::VecDeque;

use reqwest::Response;
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind, ModelStream};

use crate::{
    delta_stream::DeltaStream,
    http_client::{Head, body_stream, read_body, read_error_body},
};

/// Decodes one answer of a wire whose streams are server-sent events.
pub(crate) trait AnswerDecoder: Sized + Send + Unpin + 'static {
    /// Begins with an answer of success.
    fn new(head: Head) -> Self;

    /// Returns the head of the answer.
    fn head(&self) -> &Head;

    /// Returns whether the end marker has come.
    fn is_complete(&self) -> bool;

    /// Decodes one event of a stream. Returns whether it was the last.
    fn take_event(
        &mut self,
        data: &[u8],
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<bool, ModelError>;

    /// Decodes an answer that came whole: JSON, and not blank.
    fn take_whole(
        &mut self,
        body: &[u8],
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<(), ModelError>;

    /// Classifies an answer that is an error by its status.
    fn classify(head: &Head, body: &[u8]) -> ModelError;
}

/// Reads an answer. Asked for a stream, some servers send it whole.
pub(crate) async fn read_answer<D: AnswerDecoder>(
    head: Head,
    response: Response,
) -> Result<ModelStream, ModelError> {
    if !head.status.is_success() {
        let body = read_error_body(body_stream(response)).await;
        return Err(D::classify(&head, &body));
    }
    let media_type = head.media_type();
    if media_type.ends_with("json") {
        let body = read_body(body_stream(response)).await?;
        return decode_whole::<D>(head, &body).map(ModelStream::from_deltas);
    }
    if media_type.ends_with("html") {
        // A proxy's page in place of an answer: it passes, as other broken answers do.
        let message = "a web page came instead of an answer";
        return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    let deltas = DeltaStream::new(body_stream(response), D::new(head));
    Ok(ModelStream::new(deltas))
}

/// Decodes an answer that came whole.
pub(crate) fn decode_whole<D: AnswerDecoder>(
    head: Head,
    body: &[u8],
) -> Result<VecDeque<ModelDelta>, ModelError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        let message = "the body is empty";
        return Err(head.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    let mut deltas = VecDeque::new();
    D::new(head).take_whole(body, &mut deltas)?;
    Ok(deltas)
}
