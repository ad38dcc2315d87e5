//! How a resilient stream is read: what is waited for and what is told, in which order. What a
//! failure means, its retry decides.

use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::{Stream, TryStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Policy, ResilientStream};
use crate::{Permit, RateLimitEvent, Resilient, RetryEvent, limiter::Turn, retry::Attempts};

/// What the reader of a resilient stream gets from one poll.
type Next<S> = Option<Result<Resilient<<S as TryStream>::Ok>, <S as TryStream>::Error>>;

pub(super) enum State<S> {
    /// Opened by the next poll, once the limiter lets it go.
    Closed,
    Queued(Queued),
    Reading(Pin<Box<S>>),
    /// Before the next attempt.
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

/// A place in the limiter's queue, and the deadline behind which it is of no use.
pub(super) struct Queued {
    turn: Turn<'static>,
    since: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What it pins, it pins in boxes.
impl<S: TryStream, F> Unpin for ResilientStream<S, F> {}

impl<S, F> Stream for ResilientStream<S, F>
where
    S: TryStream,
    S::Error: fmt::Display,
    F: FnMut(u64) -> S,
{
    type Item = Result<Resilient<S::Ok>, S::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(event) = this.untold.take() {
            return Poll::Ready(Some(Ok(Resilient::Retry(event))));
        }
        loop {
            match &mut this.state {
                State::Closed => {
                    this.begin();
                    match this.admission.enter() {
                        None => this.open(),
                        Some(Ok(permit)) => {
                            return Poll::Ready(this.admitted(permit, Duration::ZERO));
                        }
                        Some(Err(turn)) => return Poll::Ready(this.queue(turn, cx)),
                    }
                }
                State::Queued(queued) => {
                    if let Some(deadline) = &mut queued.deadline
                        && deadline.as_mut().poll(cx).is_ready()
                    {
                        return Poll::Ready(this.give_up());
                    }
                    let permit = ready!(Pin::new(&mut queued.turn).poll(cx));
                    let waited = queued.since.elapsed();
                    return Poll::Ready(this.admitted(permit, waited));
                }
                State::Reading(stream) => {
                    let next = ready!(stream.as_mut().try_poll_next(cx));
                    return Poll::Ready(this.read(next));
                }
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    this.state = State::Closed;
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<S, F> ResilientStream<S, F>
where
    S: TryStream,
    S::Error: fmt::Display,
    F: FnMut(u64) -> S,
{
    /// Reads what comes next; none at the end.
    ///
    /// It is that of `StreamExt`, for who has no crate with one.
    ///
    /// ```
    /// use steadfast_resilience::{Resilient, resilient_stream};
    /// # use futures_util::stream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut answer = resilient_stream(|| stream::iter([Ok::<_, String>("word")]));
    ///
    /// assert_eq!(answer.next().await, Some(Ok(Resilient::Item("word"))));
    /// assert_eq!(answer.next().await, None);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no item, and no place in the queue of a limiter.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is the `next` of streams, and no iterator's"
    )]
    pub fn next(
        &mut self,
    ) -> impl Future<Output = Option<Result<Resilient<S::Ok>, S::Error>>> + Unpin {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }

    /// Begins the operation, with the first poll.
    fn begin(&mut self) {
        if self.attempts.is_some() {
            return;
        }
        if let Some(retry) = &mut self.retry {
            self.operation = mem::take(&mut self.operation).or(&retry.operation);
            retry.operation = self.operation.clone();
        }
        let seed = self.retry.as_ref().and_then(|retry| retry.seed);
        self.attempts = Some(Attempts::begin(seed));
    }

    fn open(&mut self) {
        if let Some(attempts) = &mut self.attempts {
            attempts.waited();
        }
        let stream = (self.open)(self.delivered);
        self.state = State::Reading(Box::pin(stream));
    }

    fn queue(&mut self, mut turn: Turn<'static>, cx: &mut Context<'_>) -> Next<S> {
        // Its turn may have come meanwhile; if not, it is woken by the reader's task from here on.
        if let Poll::Ready(permit) = Pin::new(&mut turn).poll(cx) {
            return self.admitted(permit, Duration::ZERO);
        }
        let (since, expected) = (Instant::now(), turn.expected_wait());
        let deadline = self.deadline_of_queue();
        if deadline.is_some_and(|deadline| expected >= deadline.duration_since(since)) {
            return self.give_up();
        }
        self.state = State::Queued(Queued {
            turn,
            since,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        });
        Some(Ok(Resilient::Queued(expected)))
    }

    /// Until when the next attempt has to begin. The first begins whenever it is let go.
    fn deadline_of_queue(&self) -> Option<Instant> {
        let (attempts, retry) = (self.attempts.as_ref()?, self.retry.as_ref()?);
        self.standing.as_ref().and(attempts.deadline(retry))
    }

    fn admitted(&mut self, permit: Permit<'static>, waited: Duration) -> Next<S> {
        let available = permit.limiter().available();
        self.admission.admit(permit);
        self.state = State::Closed;
        self.standing = None;
        let attempts = self.attempts.as_mut()?;
        attempts.admitted();
        Some(Ok(Resilient::RateLimit(RateLimitEvent {
            operation: self.operation.clone(),
            attempt: attempts.next_number(),
            waited,
            available,
            timestamp: attempts.timestamp(),
        })))
    }

    fn read(&mut self, next: Option<Result<S::Ok, S::Error>>) -> Next<S> {
        match next {
            Some(Ok(item)) => {
                self.delivered = self.delivered.saturating_add(1);
                self.admission.met(&item);
                Some(Ok(Resilient::Item(item)))
            }
            Some(Err(error)) => Some(self.failed(error)),
            None => {
                self.state = State::Ended;
                if let (Some(attempts), Some(retry)) = (self.attempts.take(), &self.retry) {
                    attempts.succeeded(retry);
                }
                self.admission.ended();
                None
            }
        }
    }

    /// Decides what follows a failure.
    fn failed(&mut self, error: S::Error) -> Result<Resilient<S::Ok>, S::Error> {
        // It is closed before anything else happens.
        self.state = State::Ended;
        let Some(event) = self.next_retry(&error) else {
            self.attempts = None;
            self.admission.ended();
            return Err(error);
        };
        self.admission.attempt_ended();
        self.standing = self.admission.is_per_attempt.then_some(error);
        // A wait of nothing does not touch the timer.
        self.state = match event.delay() {
            Duration::ZERO => State::Closed,
            delay => State::Waiting(Box::pin(sleep(delay))),
        };
        if self.delivered > 0 && self.after_output == Policy::Restart {
            self.delivered = 0;
            self.untold = Some(event);
            return Ok(Resilient::Reset);
        }
        Ok(Resilient::Retry(event))
    }

    fn next_retry(&mut self, error: &S::Error) -> Option<RetryEvent> {
        let (attempts, retry) = (self.attempts.as_mut()?, self.retry.as_ref()?);
        if self.delivered > 0 && self.after_output == Policy::Fail {
            attempts.stands(retry, error, "its reader has met items");
            return None;
        }
        attempts.failed(retry, error)
    }

    /// Does not wait any longer for the limiter: the error of the attempt before stands.
    fn give_up(&mut self) -> Next<S> {
        self.state = State::Ended;
        let error = self.standing.take()?;
        // A retry that is not made costs its quota nothing.
        if let (Some(attempts), Some(retry)) = (self.attempts.take(), &self.retry) {
            attempts.tell_end(
                retry,
                &error,
                "the limiter would let it go behind the deadline",
            );
        }
        Some(Err(error))
    }
}

impl<S> fmt::Debug for State<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "Closed",
            Self::Queued(_) => "Queued",
            Self::Reading(_) => "Reading",
            Self::Waiting(_) => "Waiting",
            Self::Ended => "Ended",
        })
    }
}
