//! A run as a stream of its events: the one way in which runs are polled.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    agent_result::AgentResult, event::AgentEvent, event_queue::EventQueue, run_error::RunError,
};

type Driver<'a> = Pin<Box<dyn Future<Output = Result<AgentResult, RunError>> + Send + 'a>>;

/// A run as a stream of its events.
///
/// The run goes on only while it is polled, and at most a few events ahead.
///
/// ```
/// use steadfast_core::{Agent, AgentEvent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = Agent::builder().model(ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")])).build()?;
/// let mut events = agent.prompt("Umbrella?").stream();
/// while let Some(event) = events.next().await {
///     if let AgentEvent::EventLoopThrottle(e) = event {
///         println!("throttled, next try in {:?}", e.delay());
///     }
/// }
/// assert_eq!(events.result().await?.text(), "Yes.");
/// # Ok(())
/// # }
/// ```
#[must_use = "a run goes on only while its stream is polled"]
pub struct RunStream<'a> {
    driver: Option<Driver<'a>>,
    queue: Arc<EventQueue>,
    outcome: Option<Result<AgentResult, RunError>>,
}

impl<'a> RunStream<'a> {
    pub(super) const fn new(driver: Driver<'a>, queue: Arc<EventQueue>) -> Self {
        Self {
            driver: Some(driver),
            queue,
            outcome: None,
        }
    }

    /// Returns the next event; none once the run has ended.
    ///
    /// # Cancel safety
    ///
    /// No event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<AgentEvent> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Drives the run to its end and returns what it came to.
    ///
    /// Events that are left are passed over.
    ///
    /// # Errors
    ///
    /// The error that the run ended with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the run.
    pub async fn result(mut self) -> Result<AgentResult, RunError> {
        poll_fn(|cx| self.poll_outcome(cx)).await
    }

    pub(super) fn poll_outcome(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AgentResult, RunError>> {
        while ready!(Pin::new(&mut *self).poll_next(cx)).is_some() {}
        match self.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            // Polled again after it was ready, which a future may answer as it likes.
            None => Poll::Pending,
        }
    }
}

impl Stream for RunStream<'_> {
    type Item = AgentEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AgentEvent>> {
        loop {
            if let Some(event) = self.queue.pop() {
                return Poll::Ready(Some(event));
            }
            let Some(driver) = &mut self.driver else {
                return Poll::Ready(None);
            };
            match driver.as_mut().poll(cx) {
                Poll::Ready(outcome) => {
                    self.outcome = Some(outcome);
                    self.driver = None;
                }
                Poll::Pending if self.queue.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

impl fmt::Debug for RunStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunStream")
            .field("ended", &self.driver.is_none())
            .finish_non_exhaustive()
    }
}
