//! Retries of any stream, told to its reader. It holds no item back and repeats none in silence.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use crate::{Retry, RetryEvent, retry::Attempts};

/// What the reader of a retried stream meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resilient<T> {
    /// The next item, as it came.
    Item(T),
    /// An attempt failed, and the wait before the next one begins.
    Retry(RetryEvent),
    /// Every item before this one is void: the stream begins again.
    Reset,
}

impl<T> Resilient<T> {
    /// Returns the item, if it is one.
    ///
    /// ```
    /// use steadfast_resilience::Resilient;
    ///
    /// assert_eq!(Resilient::Item("word").into_item(), Some("word"));
    /// assert_eq!(Resilient::<&str>::Reset.into_item(), None);
    /// ```
    #[must_use]
    pub fn into_item(self) -> Option<T> {
        match self {
            Self::Item(item) => Some(item),
            Self::Retry(_) | Self::Reset => None,
        }
    }
}

/// What becomes of a stream that fails after its reader has met items.
///
/// A stream that can go on where it failed is [`resumed`](RetryStream::resume) instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AfterOutput {
    /// The error stands, without a retry.
    #[default]
    Fail,
    /// It begins again, and the reader meets [`Resilient::Reset`] first.
    Restart,
}

/// Retries a stream: opens it again when it fails before its first item.
///
/// After the first item a failure stands, unless
/// [`after_output`](RetryStream::after_output) or [`resume`](RetryStream::resume) says otherwise:
/// no item ever comes twice without a [`Resilient::Reset`] between. Nothing is opened before the
/// first poll. A stream that connects in its own first poll is retried with that.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use steadfast_resilience::{Backoff, Resilient, Retry, retry_stream, secs};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), &'static str> {
/// let mut refusals = vec![Err("refused"), Err("refused")].into_iter();
/// let retry = Retry::new(Backoff::exponential(secs(1)));
/// let mut answer = retry_stream(retry, || {
///     let first = refusals.next().unwrap_or(Ok("Once "));
///     stream::iter([first, Ok("upon "), Ok("a time")])
/// });
///
/// let (mut text, mut retries, mut waited) = (String::new(), 0, secs(0));
/// while let Some(next) = answer.next().await {
///     match next? {
///         Resilient::Item(word) => text.push_str(word),
///         Resilient::Retry(event) => {
///             retries += 1;
///             waited += event.delay();
///         }
///         Resilient::Reset => text.clear(),
///         _ => {}
///     }
/// }
/// assert_eq!(text, "Once upon a time");
/// assert_eq!((retries, waited), (2, secs(3)));
/// # Ok(())
/// # }
/// ```
pub fn retry_stream<E, S>(
    retry: Retry<E>,
    mut open: impl FnMut() -> S,
) -> RetryStream<E, S, impl FnMut(u64) -> S> {
    RetryStream {
        retry,
        open: move |_| open(),
        after_output: Policy::Fail,
        attempts: None,
        delivered: 0,
        untold: None,
        state: State::Closed,
    }
}

/// A stream that is opened again when it fails, made by [`retry_stream`](retry_stream()).
///
/// It ends with the stream it reads, or with the last error, unchanged. The event of a retry comes
/// before its wait, which counts from then on, however long the reader looks at the event.
///
/// # Cancel safety
///
/// Dropping it drops the stream that it reads and ends a wait; nothing is opened any more. A stream
/// that has failed is dropped before the wait. Giving up one `next` loses no item.
#[must_use = "streams do nothing unless they are polled"]
pub struct RetryStream<E, S, F> {
    retry: Retry<E>,
    /// Opens the stream behind so many items.
    open: F,
    after_output: Policy,
    /// None until the first poll, with which the operation begins.
    attempts: Option<Attempts>,
    /// How many items the reader has met, and which still stand.
    delivered: u64,
    /// The reader has met a reset and meets this next; its wait has begun.
    untold: Option<RetryEvent>,
    state: State<S>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Fail,
    Restart,
    Resume,
}

enum State<S> {
    /// Opened by the next poll.
    Closed,
    Reading(Pin<Box<S>>),
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl<E, S, F: FnMut(u64) -> S> RetryStream<E, S, F> {
    /// Sets what becomes of the stream when it fails after its reader has met items.
    ///
    /// ```
    /// use futures_util::{TryStreamExt, stream};
    /// use steadfast_resilience::{AfterOutput, Backoff, Resilient, Retry, retry_stream, secs};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), &'static str> {
    /// let mut cuts = vec![Err("cut")].into_iter();
    /// let met: Vec<_> = retry_stream(Retry::new(Backoff::constant(secs(1))), || {
    ///     stream::iter([Ok(1), cuts.next().unwrap_or(Ok(2))])
    /// })
    /// .after_output(AfterOutput::Restart)
    /// .try_collect()
    /// .await?;
    ///
    /// let [Resilient::Item(1), Resilient::Reset, Resilient::Retry(_), rest @ ..] = &met[..] else {
    ///     panic!("{met:?}");
    /// };
    /// assert_eq!(rest, [Resilient::Item(1), Resilient::Item(2)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn after_output(mut self, after_output: AfterOutput) -> Self {
        self.after_output = match after_output {
            AfterOutput::Fail => Policy::Fail,
            AfterOutput::Restart => Policy::Restart,
        };
        self
    }

    /// Goes on where the stream failed.
    ///
    /// The function is told how many items the reader has met, and opens a stream of those behind
    /// them. Before the first item the stream is opened as ever.
    ///
    /// ```
    /// use futures_util::{StreamExt, TryStreamExt, stream};
    /// use steadfast_resilience::{Backoff, Resilient, Retry, retry_stream, secs};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), &'static str> {
    /// let lines = |from, cut| {
    ///     stream::iter(from..5).map(move |n| if Some(n) == cut { Err("cut") } else { Ok(n) })
    /// };
    /// let met: Vec<_> = retry_stream(Retry::new(Backoff::constant(secs(1))), || lines(0, Some(3)))
    ///     .resume(|met| lines(met, None))
    ///     .try_collect()
    ///     .await?;
    ///
    /// let items: Vec<u64> = met.into_iter().filter_map(Resilient::into_item).collect();
    /// assert_eq!(items, [0, 1, 2, 3, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(
        self,
        mut resume: impl FnMut(u64) -> S,
    ) -> RetryStream<E, S, impl FnMut(u64) -> S> {
        let mut open = self.open;
        RetryStream {
            retry: self.retry,
            open: move |delivered| match delivered {
                0 => open(0),
                _ => resume(delivered),
            },
            after_output: Policy::Resume,
            attempts: self.attempts,
            delivered: self.delivered,
            untold: self.untold,
            state: self.state,
        }
    }

    /// Decides what follows a failure. The stream that failed is closed already.
    fn failed<T>(&mut self, error: E) -> Result<Resilient<T>, E>
    where
        E: fmt::Display,
    {
        if self.delivered > 0 && self.after_output == Policy::Fail {
            return Err(error);
        }
        let attempts = self.attempts.as_mut();
        let Some(event) = attempts.and_then(|attempts| attempts.failed(&self.retry, &error)) else {
            return Err(error);
        };
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
}

/// What it pins, it pins in boxes.
impl<E, S, F> Unpin for RetryStream<E, S, F> {}

impl<T, E, S, F> Stream for RetryStream<E, S, F>
where
    E: fmt::Display,
    S: Stream<Item = Result<T, E>>,
    F: FnMut(u64) -> S,
{
    type Item = Result<Resilient<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(event) = this.untold.take() {
            return Poll::Ready(Some(Ok(Resilient::Retry(event))));
        }
        loop {
            match &mut this.state {
                State::Closed => {
                    let seed = this.retry.seed;
                    this.attempts
                        .get_or_insert_with(|| Attempts::begin(seed))
                        .waited();
                    let stream = (this.open)(this.delivered);
                    this.state = State::Reading(Box::pin(stream));
                }
                State::Reading(stream) => {
                    let next = ready!(stream.as_mut().poll_next(cx));
                    if let Some(Ok(item)) = next {
                        this.delivered = this.delivered.saturating_add(1);
                        return Poll::Ready(Some(Ok(Resilient::Item(item))));
                    }
                    this.state = State::Ended;
                    let Some(Err(error)) = next else {
                        if let Some(attempts) = this.attempts.take() {
                            attempts.succeeded(&this.retry);
                        }
                        return Poll::Ready(None);
                    };
                    return Poll::Ready(Some(this.failed(error)));
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

impl<E, S, F> fmt::Debug for RetryStream<E, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Closed => "closed",
            State::Reading(_) => "reading",
            State::Waiting(_) => "waiting",
            State::Ended => "ended",
        };
        f.debug_struct("RetryStream")
            .field("state", &state)
            .field("delivered", &self.delivered)
            .field("after_output", &self.after_output)
            .field("retry", &self.retry)
            .finish()
    }
}
