//! Streams that a limiter lets go and that are tried again, told to their reader. They hold no item
//! back and repeat none in silence.

mod admission;
mod reading;

use std::{borrow::Cow, fmt, sync::Arc};

use futures_core::TryStream;

use crate::{
    AfterOutput, Cost, Limiter, LimiterError, Retry, RetryEvent, operation::Operation,
    retry::Attempts,
};
use admission::Admission;
use reading::State;

/// Reads a stream with a rate limit, retries, both or neither.
///
/// What is not asked for does not happen: without options the items pass through. The limiter comes
/// first and the retries behind it, so an operation is let go once, however often it is tried; see
/// [`per_attempt`](ResilientStream::per_attempt). Nothing is opened before the first poll.
///
/// All that happens stands in the stream: who has a reader needs no callback to count it.
///
/// The function gives a stream, and no future of one. What an `async fn` opens is made such a stream by
/// `TryFutureExt::try_flatten_stream` of `futures_util`: `|| connect().try_flatten_stream()`; the example
/// of [`resume`](ResilientStream::resume) does so.
///
/// ```
/// use futures_util::stream;
/// use steadfast_resilience::{Backoff, Limiter, Resilient, Retry, resilient_stream, secs};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut refusals = vec![Err("refused"), Err("refused")].into_iter();
/// # let mut ask_model = move || {
/// #     let first = refusals.next().unwrap_or(Ok("Once "));
/// #     stream::iter([first, Ok("upon "), Ok("a time")])
/// # };
/// let limiter = Limiter::builder().per_second(10.0).burst(1).build()?; // one for all that share it
/// # drop(limiter.try_acquire(steadfast_resilience::Cost::request())?);
/// let mut answer = resilient_stream(|| ask_model())
///     .rate_limit(&limiter)
///     .retry(Retry::new(Backoff::exponential(secs(1))));
///
/// let (mut text, mut retries, mut waits, mut waited) = (String::new(), 0, 0, secs(0));
/// while let Some(next) = answer.next().await {
///     match next? {
///         Resilient::Item(word) => text.push_str(word),
///         Resilient::Reset => text.clear(),
///         Resilient::Queued(_) => waits += 1,
///         Resilient::RateLimit(event) => waited += event.waited(),
///         Resilient::Retry(event) => {
///             retries += 1;
///             waited += event.delay();
///         }
///         _ => {}
///     }
/// }
/// assert_eq!(text, "Once upon a time");
/// assert_eq!((retries, waits, waited.as_millis()), (2, 1, 3_100));
/// # Ok(())
/// # }
/// ```
pub fn resilient_stream<S: TryStream>(
    mut open: impl FnMut() -> S,
) -> ResilientStream<S, impl FnMut(u64) -> S> {
    ResilientStream {
        open: move |_| open(),
        retry: None,
        operation: Arc::default(),
        after_output: Policy::Fail,
        attempts: None,
        delivered: 0,
        untold: None,
        standing: None,
        state: State::Closed,
        admission: Admission::default(),
    }
}

/// Retries a stream: opens it again when it fails before its first item.
///
/// It is [`resilient_stream`](resilient_stream()) with a retry, to which a rate limit can be added.
///
/// After the first item a failure stands, unless
/// [`after_output`](ResilientStream::after_output) or [`resume`](ResilientStream::resume) says
/// otherwise: no item ever comes twice without a [`Reset`](crate::Resilient::Reset) between. A
/// stream that connects in its own first poll is retried with that.
///
/// ```
/// use futures_util::stream;
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
pub fn retry_stream<S: TryStream>(
    retry: Retry<S::Error>,
    open: impl FnMut() -> S,
) -> ResilientStream<S, impl FnMut(u64) -> S> {
    resilient_stream(open).retry(retry)
}

/// Reads a stream once a limiter lets it go, and tells it before the first item.
///
/// It is [`resilient_stream`](resilient_stream()) with a rate limit, to which a retry can be added.
/// It takes one request; for more, and for a model's tokens, see [`cost`](ResilientStream::cost).
/// The reader meets one [`RateLimit`](crate::Resilient::RateLimit), also if there was nothing to
/// wait for.
///
/// ```
/// use futures_util::stream;
/// use steadfast_resilience::{Limiter, Resilient, rate_limited_stream};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::builder().per_second(10.0).build()?;
/// let mut rows = rate_limited_stream(&limiter, || stream::iter([Ok::<_, String>(1), Ok(2)]))
///     .operation_name("data_fetch");
///
/// let mut sum = 0;
/// while let Some(next) = rows.next().await {
///     match next? {
///         Resilient::RateLimit(event) => println!("{} requests are left", event.available().requests),
///         Resilient::Item(row) => sum += row,
///         _ => {}
///     }
/// }
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
pub fn rate_limited_stream<S: TryStream, O: FnMut() -> S>(
    limiter: &Limiter,
    open: O,
) -> ResilientStream<S, impl FnMut(u64) -> S + use<S, O>> {
    resilient_stream(open).rate_limit(limiter)
}

/// A stream with a rate limit, retries, both or neither.
///
/// [`resilient_stream`](resilient_stream()), [`retry_stream`](retry_stream()) and
/// [`rate_limited_stream`](rate_limited_stream()) make one. It ends with the stream it reads, or with
/// the last error, unchanged. The event of a wait comes before the wait, which counts from then on,
/// however long the reader looks at the event.
///
/// What the limiter let go counts as under way until the stream has ended: with a concurrency limit,
/// the next one begins then, or when this one is dropped.
///
/// # Cancel safety
///
/// Dropping it drops the stream that it reads, ends a wait, leaves the limiter's queue and frees the
/// place of what was under way; nothing is opened any more. A stream that has failed is dropped
/// before the wait. Giving up one `next` loses no item and no place in the queue.
#[must_use = "streams do nothing unless they are polled"]
pub struct ResilientStream<S: TryStream, F> {
    /// Opens the stream behind so many items.
    open: F,
    retry: Option<Retry<S::Error>>,
    /// What was said of this stream. What was not, the retry says.
    operation: Arc<Operation>,
    after_output: Policy,
    /// None until the first poll, with which the operation begins.
    attempts: Option<Attempts>,
    /// How many items the reader has met, and which still stand.
    delivered: u64,
    /// The reader has met a reset and meets this next; its wait has begun.
    untold: Option<RetryEvent>,
    /// The error that stands if the limiter does not let the next attempt go before the deadline.
    standing: Option<S::Error>,
    state: State<S>,
    /// Dropped behind the state: what is read is closed before its place is free.
    admission: Admission<S::Ok>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Fail,
    Restart,
    Resume,
}

impl<S: TryStream, F: FnMut(u64) -> S> ResilientStream<S, F> {
    /// Tries the stream again when it fails.
    pub fn retry(mut self, retry: Retry<S::Error>) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Waits for a limiter before the stream is opened, and takes one request from it.
    ///
    /// A [`cost`](Self::cost) that was given before was another limiter's, and counts no more.
    pub fn rate_limit(mut self, limiter: &Limiter) -> Self {
        self.admission.limit(limiter);
        self
    }

    /// Sets what is taken from the limiter.
    ///
    /// A model's tokens are an estimate; see [`used_tokens`](Self::used_tokens).
    ///
    /// ```
    /// use futures_util::stream;
    /// use steadfast_resilience::{Cost, Limiter, rate_limited_stream};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
    /// let open = || stream::iter([Ok::<_, String>("word")]);
    ///
    /// let answer = rate_limited_stream(&limiter, open).cost(Cost::request().tokens(4_000))?;
    /// # let _ = answer;
    ///
    /// let refused = rate_limited_stream(&limiter, open).cost(Cost::request().tokens(20_000));
    /// assert_eq!(refused.unwrap_err().to_string(), "`tokens` must be at most 10000, got `20000`");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimiterError::NeverFits`] if the limiter can never let it go, and if none was given yet. It is
    /// refused here, and not when the stream is read, whose errors are those of the stream.
    pub fn cost(mut self, cost: Cost) -> Result<Self, LimiterError> {
        self.admission.set_cost(cost)?;
        Ok(self)
    }

    /// Has every attempt wait for the limiter, behind the wait of its retry, and take from it.
    ///
    /// Without this, what is taken is taken once for the operation and all its attempts. A provider
    /// counts every request: where the limit is the provider's, ask for this. What an attempt held is
    /// free before the wait, and the reader meets one
    /// [`RateLimit`](crate::Resilient::RateLimit) for each attempt.
    ///
    /// An attempt that would not come to its turn before the retry's deadline is not waited for.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use steadfast_resilience::{Backoff, Limiter, Retry, resilient_stream, secs};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ask_model = || stream::iter([Err::<&str, _>("refused")]);
    /// let limiter = Limiter::builder().per_second(10.0).build()?;
    /// let answer = resilient_stream(ask_model)
    ///     .retry(Retry::new(Backoff::exponential(secs(1))))
    ///     .rate_limit(&limiter)
    ///     .per_attempt();
    ///
    /// // Three times: it may go, and it fails.
    /// assert_eq!(answer.count().await, 6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_attempt(mut self) -> Self {
        self.admission.is_per_attempt = true;
        self
    }

    /// Reads from the items how many tokens an attempt has used so far, itself included.
    ///
    /// With the last that was read the permit is [settled](crate::Permit::settle), once the operation
    /// has ended, or the attempt if each takes its own. Several attempts of one permit add up. The
    /// estimate stands if nothing was read, and if the stream is dropped before its end.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use steadfast_resilience::{Cost, Limiter, rate_limited_stream};
    ///
    /// enum Chunk {
    ///     Text(&'static str),
    ///     Usage(u64),
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ask_model = || stream::iter([Ok::<_, String>(Chunk::Text("yes")), Ok(Chunk::Usage(700))]);
    /// let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
    /// let answer = rate_limited_stream(&limiter, ask_model)
    ///     .cost(Cost::request().tokens(4_000))?
    ///     .used_tokens(|chunk| match chunk {
    ///         Chunk::Usage(tokens) => Some(*tokens),
    ///         Chunk::Text(_) => None,
    ///     });
    ///
    /// answer.count().await;
    /// assert_eq!(limiter.available().tokens, 9_300.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn used_tokens(
        mut self,
        read: impl FnMut(&S::Ok) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.admission.used_tokens = Some(Box::new(read));
        self
    }

    /// Names the operation in events, whatever its retry says.
    pub fn operation_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.operation).name = Some(name.into());
        self
    }

    /// Says in events what kind of operation it is, whatever its retry says.
    pub fn operation_type(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.operation).kind = Some(kind.into());
        self
    }

    /// Says in events which step the operation belongs to, whatever its retry says.
    pub fn step_id(mut self, step_id: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.operation).step_id = Some(step_id.into());
        self
    }

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
    /// them. Before the first item the stream is opened as ever. Both open streams of one type: box what
    /// is of two. A stream that is opened by a future is made one with `try_flatten_stream`.
    ///
    /// ```
    /// use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream::{self, BoxStream}};
    /// use steadfast_resilience::{Backoff, Resilient, Retry, retry_stream, secs};
    ///
    /// type Lines = BoxStream<'static, Result<u64, &'static str>>;
    ///
    /// async fn download(from: u64) -> Result<Lines, &'static str> {
    ///     // … the request …
    ///     Ok(match from {
    ///         0 => stream::iter([Ok(0), Ok(1), Ok(2), Err("cut")]).boxed(),
    ///         _ => stream::iter(from..5).map(Ok).boxed(),
    ///     })
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), &'static str> {
    /// let open = |from| download(from).try_flatten_stream().boxed();
    /// let met: Vec<_> = retry_stream(Retry::new(Backoff::constant(secs(1))), || open(0))
    ///     .resume(open)
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
    ) -> ResilientStream<S, impl FnMut(u64) -> S> {
        let mut open = self.open;
        ResilientStream {
            open: move |delivered| match delivered {
                0 => open(0),
                _ => resume(delivered),
            },
            retry: self.retry,
            operation: self.operation,
            after_output: Policy::Resume,
            attempts: self.attempts,
            delivered: self.delivered,
            untold: self.untold,
            standing: self.standing,
            state: self.state,
            admission: self.admission,
        }
    }
}

impl<S: TryStream, F> fmt::Debug for ResilientStream<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilientStream")
            .field("operation", &self.operation.name())
            .field("state", &self.state)
            .field("delivered", &self.delivered)
            .field("after_output", &self.after_output)
            .field("admission", &self.admission)
            .field("retry", &self.retry)
            .finish()
    }
}
