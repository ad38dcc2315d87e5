//! A limiter that learns its rate from throttles: AWS's adaptive retry mode, without the retries.

mod cubic;
mod rate_clocker;
mod token_bucket;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};

use cubic::Cubic;
use rate_clocker::RateClocker;
use token_bucket::TokenBucket;

/// A limiter of sends that is off until the first throttle, and learns its rate from then on.
///
/// It is the rate limiter of botocore's mode `adaptive`. The answers' rate is measured over half
/// seconds. A throttle turns the limiter on and sets it to seven tenths of that rate; every other
/// answer, a failure too, moves it along the curve of CUBIC, at most to twice the rate that is
/// measured. Each send takes a token; there are never fewer than one in two seconds.
///
/// Clones share what was learned and the queue: it is one limiter for all that call one provider.
///
/// ```
/// use steadfast_resilience::{AdaptiveLimiter, secs};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = AdaptiveLimiter::new();
/// limiter.acquire().await; // at once: nothing was throttled yet
///
/// limiter.throttled();
/// let began = Instant::now();
/// limiter.acquire().await;
/// assert_eq!(began.elapsed(), secs(2)); // the slowest rate, since none had been measured
/// # }
/// ```
#[derive(Clone)]
pub struct AdaptiveLimiter(Arc<Shared>);

struct Shared {
    /// When the limiter's clock began.
    epoch: Instant,
    rates: Mutex<Rates>,
    /// Who waits first is let in first: this queue is fair.
    queue: Semaphore,
    waiting: AtomicU32,
    /// Wakes the first of the queue when its wait has become another.
    rate_changed: Notify,
}

/// What is known of the rates. Times are seconds since the limiter's clock began.
#[derive(Debug, Clone, Copy)]
struct Rates {
    cubic: Cubic,
    clocker: RateClocker,
    bucket: TokenBucket,
    measured: f64,
    is_on: bool,
}

impl Rates {
    fn new(at: f64) -> Self {
        Self {
            cubic: Cubic::new(0.0, at),
            clocker: RateClocker::new(at),
            bucket: TokenBucket::new(1.0, at),
            measured: 0.0,
            is_on: false,
        }
    }

    fn answered(&mut self, at: f64) {
        self.measured = self.clocker.record(at);
        let rate = self.cubic.answered(at);
        self.set_rate(rate, at);
    }

    fn throttled(&mut self, at: f64) {
        self.measured = self.clocker.record(at);
        let rate = if self.is_on {
            self.measured.min(self.bucket.fill_rate())
        } else {
            self.measured
        };
        let rate = self.cubic.throttled(rate, at);
        self.is_on = true;
        self.set_rate(rate, at);
    }

    fn set_rate(&mut self, rate: f64, at: f64) {
        self.bucket.set_rate(rate.min(2.0 * self.measured), at);
    }
}

impl AdaptiveLimiter {
    /// Makes a limiter that is off.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            epoch: Instant::now(),
            rates: Mutex::new(Rates::new(0.0)),
            queue: Semaphore::new(1),
            waiting: AtomicU32::new(0),
            rate_changed: Notify::new(),
        }))
    }

    /// Waits for a token, first come, first served. Done at once while the limiter is off.
    ///
    /// The first in the queue holds it: a future that is kept and not polled, such as in a run whose
    /// stream nobody reads, has those behind it wait as well. Drop what is not wanted.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped gives its place in the queue back and takes no token.
    pub async fn acquire(&self) {
        if !self.is_on() {
            return;
        }
        let _counted = Waiting::new(&self.0.waiting);
        // The queue is never closed, so this is always a turn.
        let _turn = self.0.queue.acquire().await;
        let mut is_told = false;
        loop {
            let now = self.now();
            let Err(wait) = self.rates().bucket.take(now) else {
                return;
            };
            if !is_told {
                tracing::debug!(expected_wait = ?wait, "waiting for an adaptive limiter");
                is_told = true;
            }
            // Either way the bucket is looked at again.
            let _ = timeout(wait, self.0.rate_changed.notified()).await;
        }
    }

    /// Learns that an answer came which was no throttle, whether it was a success or a failure.
    pub fn answered(&self) {
        let now = self.now();
        self.rates().answered(now);
        self.0.rate_changed.notify_one();
    }

    /// Learns that a call was throttled.
    pub fn throttled(&self) {
        let now = self.now();
        self.rates().throttled(now);
        self.0.rate_changed.notify_one();
    }

    /// Returns whether sends are limited: whether there was a throttle.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rates().is_on
    }

    /// Returns how many sends a second are allowed; none while the limiter is off.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let rates = self.rates();
        rates.is_on.then(|| rates.bucket.fill_rate())
    }

    /// Guesses how long a send would wait that comes now; none if it would not.
    ///
    /// For the first of the queue it is exact until the rate changes. For those behind it is the
    /// least that can be: the rate rises at most twofold with every half second.
    #[must_use]
    pub fn expected_wait(&self) -> Option<Duration> {
        let now = self.now();
        let ahead = f64::from(self.0.waiting.load(Ordering::Relaxed));
        let mut rates = self.rates();
        let missing = rates.bucket.missing(now);
        if !rates.is_on || (missing <= 0.0 && ahead <= 0.0) {
            return None;
        }
        let rate = rates.bucket.fill_rate();
        let growth = 4.0_f64.ln();
        let behind = (1.0 + ahead * growth / rate).ln() / growth;
        Some(Duration::try_from_secs_f64(missing / rate + behind).unwrap_or(Duration::MAX))
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.0.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.0.epoch.elapsed().as_secs_f64()
    }
}

impl Default for AdaptiveLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AdaptiveLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveLimiter")
            .field("rate", &self.rate())
            .field("waiting", &self.0.waiting.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
