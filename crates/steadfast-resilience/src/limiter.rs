//! A limiter of requests, a model's tokens and concurrency, in the order of arrival.
//!
//! It keeps to limits that are known. It learns nothing from refusals, tells nobody what it does and
//! tries nothing again.

mod allowance;
mod bucket;
mod builder;
mod cost;
mod error;
mod limits;
mod permit;
mod window;

use std::{borrow::Cow, fmt, time::Duration};

use crate::{
    ConfigError,
    queue::{self, Gate, Handle, Place, Queue, Waiters},
    sync::Arc,
};
use allowance::{Allowance, Taken};
use limits::{Limits, nanos};

pub use builder::{LimiterBuilder, Windows};
pub use cost::Cost;
pub use error::LimiterError;
pub use permit::Permit;

/// A limiter that lets operations go in the order in which they came, whatever their size.
///
/// It is made of token buckets: so many requests go at once, and then as many as the rate allows.
/// Several windows, the tokens of a model and how much is under way at once are limits of the same
/// limiter, and an operation takes from all of them or waits. Who waits is first in, first out: a big
/// request is not overtaken by small ones, and those behind it wait for it.
///
/// Clones share the limits and the queue: it is one limiter for all that call one provider, across
/// agents, tasks and threads. Its clock never goes back, and it has no task: who waits first waits for
/// the clock, and what nobody waits for costs nothing. Timers of tokio are late by up to a
/// millisecond. A burst of a few makes up for that; a burst of one cannot, since it keeps what comes
/// behind it at its distance, so it suits rates of up to some tens a second.
///
/// ```
/// use steadfast_resilience::{Cost, Limiter, secs};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::builder()
///     .per_second(10.0)
///     .per_minute(500.0)
///     .burst(20)
///     .concurrency(16)
///     .tokens_per_minute(200_000.0)
///     .build()?;
///
/// let permit = limiter.acquire(Cost::request().tokens(150_000)).await?;
/// // … the call …
/// permit.settle(80_000); // what it really used; without it the estimate stands
/// assert_eq!(limiter.available().tokens, 120_000.0);
///
/// let began = Instant::now();
/// let _permit = limiter.acquire(Cost::request().tokens(140_000)).await?;
/// assert_eq!(began.elapsed(), secs(6)); // for 20,000 tokens
/// # Ok(())
/// # }
/// ```
///
/// What can never go is refused at once, by its name, as is a configuration that cannot work:
///
/// ```
/// use steadfast_resilience::{Cost, Limiter};
///
/// let error = Limiter::builder().per_second(0.0).build().unwrap_err();
/// assert_eq!(error.field(), "per_second");
///
/// let limiter = Limiter::builder().per_second(10.0).build().unwrap();
/// let error = limiter.try_acquire(Cost::requests(11)).unwrap_err();
/// assert_eq!(error.to_string(), "`requests` must be at most 10, got `11`"); // the default burst
/// ```
#[derive(Clone)]
#[doc(alias = "rate_limiter")]
#[doc(alias = "token_bucket")]
#[doc(alias = "throttle")]
pub struct Limiter(Arc<Shared>);

struct Shared {
    /// The most requests and tokens that one operation may take.
    most: Cost,
    /// Whether the end of an operation frees a place.
    has_places: bool,
    has_tokens: bool,
    queue: Queue<Limits>,
}

/// A place in a limiter's queue. Dropping it gives the place back, and what it was let go with.
pub(crate) type Turn<'a> = queue::Turn<Cow<'a, Limiter>>;

/// What a limiter has left, at the moment of the question.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Available {
    /// How many requests could go at once; infinite if their rate has no limit.
    pub requests: f64,
    /// How many tokens could go at once; infinite if they have no limit.
    pub tokens: f64,
    /// How many more operations could be under way, if that has a limit.
    pub places: Option<u32>,
    /// How many wait. What is left goes to them first.
    pub waiting: usize,
}

impl Limiter {
    /// Begins the configuration of a limiter.
    pub fn builder() -> LimiterBuilder {
        LimiterBuilder::default()
    }

    fn with(allowance: Allowance) -> Self {
        Self(Arc::new(Shared {
            most: allowance.most(),
            has_places: allowance.places.is_some(),
            has_tokens: allowance.tokens.is_some() || !allowance.token_windows.is_empty(),
            queue: Queue::new(Limits::new(allowance)),
        }))
    }

    /// Waits until the cost can be met, behind all who came before.
    ///
    /// It joins the queue when it is first polled. The first in the queue waits for the clock: if it
    /// is kept and not polled, such as in a run whose stream nobody reads, those behind it wait until
    /// someone else uses the limiter. Drop what is not wanted. Waiting needs a runtime of tokio with
    /// its timer; what is free does not.
    ///
    /// # Errors
    ///
    /// [`LimiterError::NeverFits`] if the cost is more than may ever go at once, or no request at all.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped gives its place in the queue back, and takes nothing.
    pub async fn acquire(&self, cost: Cost) -> Result<Permit<'_>, LimiterError> {
        self.check(cost)?;
        let limiter = Cow::Borrowed(self);
        match self.take_or_join(cost) {
            Ok(taken) => Ok(Permit::new(limiter, taken)),
            Err(place) => Ok(begin_turn(limiter, place, cost).await),
        }
    }

    /// As [`acquire`](Self::acquire), with a future and a permit that borrow nothing.
    ///
    /// It is for what outlives the borrow: a task that is spawned, a hook, a permit in a value.
    ///
    /// ```
    /// use steadfast_resilience::{Cost, Limiter};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().concurrency(16).build()?;
    /// let permit = tokio::spawn(limiter.acquire_owned(Cost::request())).await??;
    /// assert_eq!(limiter.available().places, Some(15));
    /// # drop(permit);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(
        &self,
        cost: Cost,
    ) -> impl Future<Output = Result<Permit<'static>, LimiterError>> + Send + Sync + use<> {
        let limiter = self.clone();
        async move {
            limiter.check(cost)?;
            match limiter.enter(cost) {
                Ok(permit) => Ok(permit),
                Err(turn) => Ok(turn.await),
            }
        }
    }

    /// Takes a permit if that needs no wait. It never waits, and never overtakes who does.
    ///
    /// # Errors
    ///
    /// [`LimiterError::WouldWait`] if it would have to wait, and [`LimiterError::NeverFits`] as
    /// [`acquire`](Self::acquire).
    pub fn try_acquire(&self, cost: Cost) -> Result<Permit<'_>, LimiterError> {
        self.check(cost)?;
        let queue = &self.0.queue;
        let mut waiters = queue.lock();
        if waiters.count() > 0 {
            drop(waiters);
            // Someone who waits may be free to go, and its future be left alone.
            queue.advance();
            waiters = queue.lock();
        }
        let at = nanos(queue.now());
        if let Some(taken) = take(&mut waiters, cost, at) {
            return Ok(Permit::new(Cow::Borrowed(self), taken));
        }
        let wait = waiters.gate.wait_behind_all(cost, at);
        Err(LimiterError::WouldWait(Duration::from_nanos(wait)))
    }

    /// Guesses how long an operation would wait that comes now; none if it would not.
    ///
    /// It counts what those before it take, at the rates of the limiter. It is exact for one window,
    /// as long as nobody leaves the queue, gives something back or settles. Where requests and tokens
    /// are both scarce it is the least that can be. Nobody knows when an operation ends: a wait for
    /// the concurrency limit alone counts as nothing. Whether the cost fits at all is not asked here: what
    /// [`acquire`](Self::acquire) refuses has a time as well, after which as much has come in.
    ///
    /// ```
    /// use steadfast_resilience::{Cost, Limiter, millis};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().per_second(10.0).burst(1).build()?;
    /// assert_eq!(limiter.expected_wait(Cost::request()), None);
    ///
    /// let _permit = limiter.try_acquire(Cost::request())?;
    /// assert_eq!(limiter.expected_wait(Cost::request()), Some(millis(100)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn expected_wait(&self, cost: Cost) -> Option<Duration> {
        let mut waiters = self.0.queue.lock();
        let at = nanos(self.0.queue.now());
        let wait = waiters.gate.wait_behind_all(cost, at);
        let would_wait = wait > 0 || waiters.count() > 0 || waiters.gate.allowance.is_full();
        would_wait.then_some(Duration::from_nanos(wait))
    }

    /// Returns what is left now. Where others take as well, the next moment may be another.
    #[must_use]
    #[doc(alias = "tokens_available")]
    pub fn available(&self) -> Available {
        let mut waiters = self.0.queue.lock();
        let at = nanos(self.0.queue.now());
        let (requests, tokens) = waiters.gate.allowance.left(at);
        let places = waiters.gate.allowance.places;
        Available {
            requests,
            tokens,
            places: places.map(|places| places.most.saturating_sub(places.taken)),
            waiting: waiters.count(),
        }
    }

    /// Refuses what can never go, however long it waits. It takes nothing.
    ///
    /// ```
    /// use steadfast_resilience::{Cost, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().per_second(10.0).burst(5).build()?;
    /// assert!(limiter.check(Cost::requests(5)).is_ok());
    /// assert!(limiter.check(Cost::requests(6)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimiterError::NeverFits`] if the cost is more than may ever go at once, or no request at all.
    #[inline]
    pub fn check(&self, cost: Cost) -> Result<(), LimiterError> {
        let most = self.0.most;
        let requests = cost.request_count();
        if requests == 0
            || requests > most.request_count()
            || cost.token_count() > most.token_count()
        {
            return Err(LimiterError::NeverFits(never_fits(cost, most)));
        }
        Ok(())
    }

    /// Returns whether it limits a model's tokens, so that a cost has to estimate them.
    ///
    /// ```
    /// use steadfast_resilience::Limiter;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert!(Limiter::builder().tokens_per_minute(10_000.0).build()?.limits_tokens());
    /// assert!(!Limiter::builder().per_second(10.0).build()?.limits_tokens());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn limits_tokens(&self) -> bool {
        self.0.has_tokens
    }

    /// Takes a permit, or a place in the queue. The cost was checked.
    pub(crate) fn enter(self, cost: Cost) -> Result<Permit<'static>, Turn<'static>> {
        match self.take_or_join(cost) {
            Ok(taken) => Ok(Permit::new(Cow::Owned(self), taken)),
            Err(place) => Err(begin_turn(Cow::Owned(self), place, cost)),
        }
    }

    // What a free acquire goes through is inlined: what was taken is then written once, where it is
    // read, instead of from place to place, which took as long as the rest of the arithmetic.
    #[inline]
    fn take_or_join(&self, cost: Cost) -> Result<Taken, Place> {
        // A time that is a little old fills nothing, and lets nothing go that a later one would not.
        let (mut waiters, now) = self.0.queue.lock_at();
        take(&mut waiters, cost, nanos(now)).ok_or_else(|| {
            let place = waiters.place(ALL_OF_ONE_AGE);
            waiters.join(place, cost);
            place
        })
    }

    fn settle(&self, taken: Taken, used_tokens: u64) {
        let queue = &self.0.queue;
        queue.change(|limits| {
            let at = nanos(queue.now());
            limits.allowance.settle(taken, used_tokens, at);
            limits.allowance.release();
        });
    }

    fn give_back(&self, taken: Taken) {
        let queue = &self.0.queue;
        queue.change(|limits| limits.take_back(taken, queue.now()));
    }

    #[inline]
    fn release(&self) {
        if self.0.has_places {
            self.0.queue.change(|limits| limits.allowance.release());
        }
    }
}

/// Takes the cost at once, if nobody waits and nothing holds it back.
#[inline]
fn take(waiters: &mut Waiters<Limits>, cost: Cost, at: u64) -> Option<Taken> {
    if waiters.count() > 0 {
        return None;
    }
    waiters.gate.allowance.take(cost, at).ok()
}

/// They go in the order of their arrival.
const ALL_OF_ONE_AGE: i64 = 0;

fn begin_turn(limiter: Cow<'_, Limiter>, place: Place, cost: Cost) -> Turn<'_> {
    let turn = Turn::begin(limiter, place);
    tracing::debug!(
        requests = cost.request_count(),
        tokens = cost.token_count(),
        expected_wait = ?turn.expected_wait(),
        "waiting for a limiter"
    );
    turn
}

impl Turn<'_> {
    /// Guesses how long it waits, behind those who wait now.
    pub(crate) fn expected_wait(&self) -> Duration {
        let queue = self.handle().queue();
        let mut waiters = queue.lock();
        let at = nanos(queue.now());
        Duration::from_nanos(waiters.gate.wait_of_all(at))
    }
}

impl<'a> Handle for Cow<'a, Limiter> {
    type Gate = Limits;
    type Right = Permit<'a>;

    fn queue(&self) -> &Queue<Limits> {
        &self.0.queue
    }

    fn right(&self, taken: Taken) -> Permit<'a> {
        Permit::new(self.clone(), taken)
    }
}

/// Names what is too much, or too little.
#[cold]
fn never_fits(cost: Cost, most: Cost) -> ConfigError {
    let (requests, tokens) = (cost.request_count(), cost.token_count());
    if requests == 0 {
        return ConfigError::zero_count("requests");
    }
    let (field, most, got) = match most.request_count() {
        most if requests > most => ("requests", most.into(), requests.into()),
        _ => ("tokens", most.token_count(), tokens),
    };
    ConfigError::new(field, format!("must be at most {most}, got `{got}`"))
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod interleavings;
