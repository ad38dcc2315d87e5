//! A streamed answer, from the SDK's receiver to deltas. What an event says is the wire's.

use std::{collections::VecDeque, time::Duration};

use aws_sdk_bedrockruntime::{
    primitives::event_stream::EventReceiver,
    types::{ConverseStreamOutput, error::ConverseStreamOutputError},
};
use futures_util::stream;
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind, ModelStream};
use tokio::time::timeout;

use super::{sdk_error, stream_wire::Decoder};
use crate::http_client::Head;

/// How long the usage may take to come behind the end marker. The answer is told already.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the body may take to end behind the last event. A connection whose body has ended is
/// used again.
const END_TIMEOUT: Duration = Duration::from_millis(100);

type Receiver = EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>;

/// The deltas of an answer.
pub(super) struct AnswerStream {
    receiver: Receiver,
    decoder: Decoder,
    head: Head,
    ready: VecDeque<ModelDelta>,
    failure: Option<ModelError>,
    phase: Phase,
}

/// What is done with events that arrive.
enum Phase {
    /// They are decoded.
    Events,
    /// They are passed over, until the body ends or the time is up.
    Ending,
    Ended,
}

impl AnswerStream {
    /// Begins with an answer of success.
    pub(super) fn begin(receiver: Receiver, head: Head) -> ModelStream {
        let started = ModelDelta::Started {
            request_id: head.request_id(),
        };
        let answer = Self {
            receiver,
            decoder: Decoder::default(),
            head,
            ready: VecDeque::from([started]),
            failure: None,
            phase: Phase::Events,
        };
        ModelStream::new(stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        }))
    }

    async fn next(&mut self) -> Option<Result<ModelDelta, ModelError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            // What was said before a failure is told before it.
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            match self.phase {
                Phase::Events => self.take_event().await,
                Phase::Ending => {
                    let rest = async { while let Ok(Some(_)) = self.receiver.recv().await {} };
                    timeout(END_TIMEOUT, rest).await.ok();
                    self.phase = Phase::Ended;
                }
                Phase::Ended => return None,
            }
        }
    }

    async fn take_event(&mut self) {
        let stop = self.decoder.stop();
        let received = match stop {
            None => self.receiver.recv().await,
            Some(_) => match timeout(USAGE_TIMEOUT, self.receiver.recv()).await {
                Ok(received) => received,
                Err(_) => Ok(None),
            },
        };
        let taken = match (received, stop) {
            (Ok(Some(event)), _) => self.decoder.take(event, &self.head, &mut self.ready),
            // What follows a complete answer, such as the usage, is missed and not mourned.
            (Ok(None) | Err(_), Some(_)) => Ok(true),
            // The SDK says nothing of a stream that ends before its end marker.
            (Ok(None), None) => {
                let message = "the stream ended without its end marker";
                let error = ModelError::new(ModelErrorKind::Truncated, message);
                Err(self.head.locate(error))
            }
            (Err(error), None) => Err(sdk_error::of_stream(error, &self.head)),
        };
        match taken {
            Ok(false) => {}
            Ok(true) => {
                self.ready.extend(self.decoder.stop().map(ModelDelta::Stop));
                self.phase = Phase::Ending;
            }
            Err(error) => {
                self.failure = Some(error);
                self.phase = Phase::Ended;
            }
        }
    }
}
