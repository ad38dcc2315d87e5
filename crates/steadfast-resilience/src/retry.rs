//! Retries of any future. What an error means is its caller's to say; nothing is classified here.

mod attempts;

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    Backoff, ConfigError, Jitter, RetryBudget, RetryEvent, RetryQuota, is_connection_error,
    is_timeout, operation::Operation, secs,
};

pub(crate) use attempts::Attempts;

/// Something that is asked about an error, or told of an event.
type Ask<E, A> = Arc<dyn Fn(&E) -> A + Send + Sync>;

/// How a failed operation is tried again.
///
/// Without options: 3 attempts, and every error is tried again. It keeps nothing between operations:
/// one value serves many tasks, and clones are cheap. Streams are retried by
/// [`retry_stream`](crate::retry_stream()).
///
/// ```
/// use steadfast_resilience::{Backoff, Jitter, Retry, RetryEvent, secs};
/// # #[derive(Debug)]
/// # struct FetchError(u16);
/// # impl FetchError {
/// #     fn is_transient(&self) -> bool {
/// #         self.0 >= 500
/// #     }
/// # }
/// # impl std::fmt::Display for FetchError {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
/// #         write!(f, "status {}", self.0)
/// #     }
/// # }
/// # impl std::error::Error for FetchError {}
/// # static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
/// # async fn fetch(_: &str) -> Result<&'static str, FetchError> {
/// #     match CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
/// #         0 | 1 => Err(FetchError(503)),
/// #         _ => Ok("a page"),
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let url = "http://localhost";
/// let retry = Retry::new(Backoff::exponential(secs(1)).max_delay(secs(60)).jitter(Jitter::Quarter))
///     .max_attempts(4)?
///     .retry_if(|error: &FetchError| error.is_transient())
///     .deadline(secs(30))
///     .on_retry(|event: &RetryEvent| println!("{event}"));
///
/// let page = retry.run(|| fetch(url)).await?;
/// assert_eq!(page, "a page");
/// # assert_eq!(CALLS.load(std::sync::atomic::Ordering::Relaxed), 3);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Retry<E> {
    pub(crate) backoff: Backoff,
    pub(crate) max_attempts: u32,
    pub(crate) deadline: Option<Duration>,
    pub(crate) quota: Option<(RetryQuota, u32)>,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) operation: Arc<Operation>,
    pub(crate) hint: Option<Ask<E, Option<Duration>>>,
    pub(crate) error_kind: Option<Ask<E, String>>,
    pub(crate) request_id: Option<Ask<E, Option<String>>>,
    pub(crate) on_retry: Option<Ask<RetryEvent, ()>>,
    pub(crate) seed: Option<u64>,
    retry_if: Option<Ask<E, bool>>,
    max_hint: Duration,
}

impl<E> Retry<E> {
    /// Waits as the backoff says, for at most 3 attempts, whatever the error is.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            max_attempts: 3,
            deadline: None,
            quota: None,
            budget: None,
            operation: Arc::default(),
            hint: None,
            error_kind: None,
            request_id: None,
            on_retry: None,
            seed: None,
            retry_if: None,
            max_hint: secs(600),
        }
    }

    /// Sets the most calls of one operation, the first included; 1 means no retry.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Retry, secs};
    ///
    /// let retry: Retry<String> = Retry::new(Backoff::constant(secs(1)));
    /// let error = retry.max_attempts(0).unwrap_err();
    /// assert_eq!(error.to_string(), "`max_attempts` must be at least 1, got `0`");
    /// ```
    ///
    /// # Errors
    ///
    /// 0 is refused: an operation that is never called has no answer. It is refused here since a `Retry`
    /// is used as it is, without a `build` that could do so.
    #[doc(alias = "max_retries")]
    pub fn max_attempts(mut self, max_attempts: u32) -> Result<Self, ConfigError> {
        if max_attempts == 0 {
            return Err(ConfigError::zero_count("max_attempts")
                .with_hint("the first call counts; 1 switches retries off"));
        }
        self.max_attempts = max_attempts;
        Ok(self)
    }

    /// Retries only the errors that the predicate accepts. Any other comes back at once.
    #[doc(alias = "predicate")]
    pub fn retry_if(mut self, predicate: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(Arc::new(predicate));
        self
    }

    /// Sets the time within which the last call of the operation must begin.
    ///
    /// It counts from the operation's beginning. A wait that would not end before it is not begun:
    /// the error comes back at once. A call is never cut short, since there would be no error to
    /// return; for that, put a timeout into the operation or around it.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Reads how long the server asks to wait. The longer of this and the backoff counts.
    ///
    /// The backoff's `max_delay` does not shorten it; see [`Backoff::delay_with_hint`].
    #[doc(alias = "retry_after")]
    pub fn hint(mut self, hint: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.hint = Some(Arc::new(hint));
        self
    }

    /// Sets the longest wait that a server may ask for; beyond it the error comes back at once.
    ///
    /// 10 minutes without this, and never less than the backoff's `max_delay`, if that is set.
    pub const fn max_hint(mut self, max_hint: Duration) -> Self {
        self.max_hint = max_hint;
        self
    }

    /// Lets retries draw on a quota that operations share, so many tokens each.
    ///
    /// While fewer are left, an error comes back at once. A retry that succeeds gives its tokens
    /// back, as does one whose wait is cut short; a first call that succeeds gives back one. AWS's
    /// clients have 500 tokens, and most of their retries cost 14.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Retry, RetryQuota, secs};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let quota = RetryQuota::new(500);
    /// let retry = Retry::new(Backoff::constant(secs(1))).quota(quota.clone(), 14);
    ///
    /// let failed = retry.run(async || Err::<(), _>("down")).await;
    /// assert_eq!(failed, Err("down"));
    /// assert_eq!(quota.left(), 500 - 2 * 14);
    /// # }
    /// ```
    pub fn quota(mut self, quota: RetryQuota, tokens: u32) -> Self {
        self.quota = Some((quota, tokens));
        self
    }

    /// Lets retries draw on a budget that operations share: at most so many for all their calls.
    ///
    /// While nothing is left, an error comes back at once. The first call of each operation earns; a
    /// retry whose wait is cut short is given back. Layers of retries that share one do not multiply:
    /// give the same budget to an agent within the operation, or to operations within it. Every retry
    /// draws here, whatever the error was; an agent's retries after a throttle do not.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Retry, RetryBudget, secs};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let budget = RetryBudget::builder().share(0.1).floor_per_minute(4).build()?;
    /// let retry = Retry::new(Backoff::constant(secs(1))).max_attempts(3)?.budget(budget);
    ///
    /// let mut calls = 0;
    /// for _ in 0..20 {
    ///     let failed = retry
    ///         .run(|| {
    ///             calls += 1;
    ///             async { Err::<(), _>("down") }
    ///         })
    ///         .await;
    ///     assert_eq!(failed, Err("down"));
    /// }
    /// assert_eq!(calls, 20 + 4 + 2); // and not 60
    /// # Ok(())
    /// # }
    /// ```
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Calls back before every wait.
    pub fn on_retry(mut self, on_retry: impl Fn(&RetryEvent) + Send + Sync + 'static) -> Self {
        self.on_retry = Some(Arc::new(on_retry));
        self
    }

    /// Fixes the random numbers, for tests: every operation then spreads its waits alike.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Names the operation in events.
    pub fn operation_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.operation).name = Some(name.into());
        self
    }

    /// Says in events what kind of operation it is, such as `llm` or `tool`.
    pub fn operation_type(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.operation).kind = Some(kind.into());
        self
    }

    /// Says in events which step the operation belongs to.
    pub fn step_id(mut self, step_id: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.operation).step_id = Some(step_id.into());
        self
    }

    /// Reads what kind an error is, for events.
    pub fn error_kind(mut self, kind: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        self.error_kind = Some(Arc::new(kind));
        self
    }

    /// Reads the id of the request that an error came of, for events.
    pub fn request_id(mut self, id: impl Fn(&E) -> Option<String> + Send + Sync + 'static) -> Self {
        self.request_id = Some(Arc::new(id));
        self
    }

    /// Calls the operation until it succeeds or an error stands.
    ///
    /// A limiter stands where its permit is held: around this, it lets the operation go once; within the
    /// operation, every attempt.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Cost, Limiter, Retry, secs};
    /// # type Error = Box<dyn std::error::Error>;
    /// # async fn fetch(_: &str) -> Result<&'static str, Error> {
    /// #     Ok("a page")
    /// # }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Error> {
    /// let limiter = Limiter::builder().per_second(10.0).build()?;
    /// let retry: Retry<Error> = Retry::new(Backoff::exponential(secs(1)));
    ///
    /// let page = retry
    ///     .run(async || {
    ///         let _permit = limiter.acquire(Cost::request()).await?;
    ///         fetch("http://localhost").await
    ///     })
    ///     .await?;
    /// assert_eq!(page, "a page");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The last error, unchanged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is how an operation is cancelled: race it against whatever says stop. One
    /// that is dropped in a wait makes no further call. One that is dropped in a call drops
    /// that call; whether it took effect is the operation's to know.
    pub async fn run<T, F, Fut>(&self, mut operation: F) -> Result<T, E>
    where
        F: FnMut() -> Fut,
        Fut: IntoFuture<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let mut attempts = Attempts::begin(self.seed);
        loop {
            let delay = match operation().await {
                Ok(value) => {
                    attempts.succeeded(self);
                    return Ok(value);
                }
                Err(error) => match attempts.failed(self, &error) {
                    Some(event) => event.delay(),
                    None => return Err(error),
                },
            };
            // A wait of nothing does not touch the timer.
            if !delay.is_zero() {
                sleep(delay).await;
            }
            attempts.waited();
        }
    }

    pub(crate) fn retries(&self, error: &E) -> bool {
        self.retry_if.as_ref().is_none_or(|retries| retries(error))
    }

    /// A backoff without a cap says nothing about how long a server may ask to wait.
    pub(crate) fn longest_hint(&self) -> Duration {
        match self.backoff.longest() {
            Duration::MAX => self.max_hint,
            longest => longest.max(self.max_hint),
        }
    }
}

/// Retries timeouts and connection errors, wherever in an error's sources they stand.
///
/// 3 attempts, the first wait 1 second, doubling, at most 60 seconds, a quarter more or less.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use steadfast_resilience::Retry;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut calls = 0;
/// let failed = Retry::default()
///     .run(|| {
///         calls += 1;
///         async { Err::<(), _>(Error::from(ErrorKind::ConnectionReset)) }
///     })
///     .await;
/// assert_eq!(failed.unwrap_err().kind(), ErrorKind::ConnectionReset);
/// assert_eq!(calls, 3);
/// # }
/// ```
impl<E: Error + 'static> Default for Retry<E> {
    fn default() -> Self {
        let backoff = Backoff::exponential(secs(1)).max_delay(secs(60));
        Self::new(backoff.jitter(Jitter::Quarter))
            .retry_if(|error| is_timeout(error) || is_connection_error(error))
    }
}

impl<E> Clone for Retry<E> {
    fn clone(&self) -> Self {
        Self {
            backoff: self.backoff,
            max_attempts: self.max_attempts,
            deadline: self.deadline,
            quota: self.quota.clone(),
            budget: self.budget.clone(),
            operation: self.operation.clone(),
            hint: self.hint.clone(),
            error_kind: self.error_kind.clone(),
            request_id: self.request_id.clone(),
            on_retry: self.on_retry.clone(),
            seed: self.seed,
            retry_if: self.retry_if.clone(),
            max_hint: self.max_hint,
        }
    }
}

impl<E> fmt::Debug for Retry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("operation", &self.operation.name())
            .field("backoff", &self.backoff)
            .field("max_attempts", &self.max_attempts)
            .field("deadline", &self.deadline)
            .field("max_hint", &self.max_hint)
            .field("quota", &self.quota)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
