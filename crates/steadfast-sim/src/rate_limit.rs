//! The vendor's side of a rate limit: a token bucket that admits or refuses requests.
//!
//! It deliberately does not queue: a real provider does not wait for you, it refuses. For a
//! limiter that waits, look at the client's side (`steadfast-resilience`).

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// Limits how many requests the simulator admits.
///
/// A token bucket: it starts full with `burst` tokens, every admitted request takes one, and
/// tokens come back at the given rate. A request that finds no token is refused with the vendor's
/// 429 and takes nothing.
///
/// # Examples
///
/// ```
/// use steadfast_sim::RateLimit;
///
/// let steady = RateLimit::per_second(20.0);           // the burst is one second's worth: 20
/// let bursty = RateLimit::per_minute(60.0).burst(10); // one a second, ten at once
///
/// assert_eq!(steady, RateLimit::per_second(20.0).burst(20));
/// assert_eq!(bursty, RateLimit::per_second(1.0).burst(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct RateLimit {
    per_second: f64,
    burst: u32,
}

impl RateLimit {
    /// Admits `rate` requests per second, and as many at once as come back in one second.
    pub fn per_second(rate: f64) -> Self {
        // A cast from float saturates, so a rate that cannot work is still refused by `check`.
        let burst = (rate.ceil() as u32).max(1);
        Self {
            per_second: rate,
            burst,
        }
    }

    /// Admits `rate` requests per minute, and as many at once as come back in one second.
    pub fn per_minute(rate: f64) -> Self {
        Self::per_second(rate / 60.0)
    }

    /// Sets how many requests are admitted at once after a pause.
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Refuses values that cannot work, naming the field.
    pub(crate) fn check(self) -> Result<Self, Error> {
        if !self.per_second.is_finite() || self.per_second <= 0.0 {
            return Err(Error::RateLimit {
                field: "rate",
                value: self.per_second.to_string(),
            });
        }
        if self.burst == 0 {
            return Err(Error::RateLimit {
                field: "burst",
                value: self.burst.to_string(),
            });
        }
        Ok(self)
    }

    /// Returns how many requests go at once.
    pub(crate) fn at_once(self) -> u32 {
        self.burst
    }

    /// Returns the limit in the unit that the vendor prints.
    pub(crate) fn requests_per_minute(self) -> u64 {
        (self.per_second * 60.0).round() as u64
    }
}

/// Chooses how a refused request is told when to come back.
///
/// # Examples
///
/// ```
/// use steadfast_sim::HintStyle;
///
/// assert_eq!(HintStyle::default(), HintStyle::Integer);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HintStyle {
    /// Sends no hint: neither a header nor a sentence nor the time of the next reset.
    None,
    /// Sends `retry-after` in whole seconds, rounded up, and the same in OpenAI's sentence.
    #[default]
    Integer,
    /// Sends `retry-after-ms`, which the clients of all vendors read, and the same in OpenAI's
    /// sentence.
    Exact,
}

/// The state of one rate limit.
#[derive(Debug)]
pub(crate) struct Bucket {
    limit: RateLimit,
    tokens: f64,
    updated: Instant,
}

impl Bucket {
    pub(crate) fn full(limit: RateLimit, now: Instant) -> Self {
        Self {
            limit,
            tokens: f64::from(limit.burst),
            updated: now,
        }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let earned = now.saturating_duration_since(self.updated).as_secs_f64();
        self.tokens = (self.tokens + earned * self.limit.per_second).min(self.limit.burst.into());
        self.updated = now;
        // A client that waits exactly as long as it was told must be admitted, so what floating
        // point loses on the way is forgiven.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens = (self.tokens - 1.0).max(0.0);
            Ok(())
        } else {
            Err(seconds((1.0 - self.tokens) / self.limit.per_second))
        }
    }

    pub(crate) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Returns how many requests would be admitted at once.
    pub(crate) fn remaining(&self) -> u64 {
        (self.tokens + 1e-6).floor() as u64
    }

    /// Returns how long it takes until the bucket is full again.
    pub(crate) fn until_full(&self) -> Duration {
        seconds((f64::from(self.limit.burst) - self.tokens) / self.limit.per_second)
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(bucket: &mut Bucket, requests: usize) -> usize {
        (0..requests)
            .filter(|_| bucket.take(Instant::now()).is_ok())
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn burst_is_admitted_then_refused() {
        let mut bucket = Bucket::full(RateLimit::per_second(20.0).burst(5), Instant::now());

        let count = admitted(&mut bucket, 9);

        assert_eq!(count, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_exactly_as_told_is_enough() {
        for rate in [0.3, 1.0, 3.0, 7.0, 20.0, 1000.0 / 3.0] {
            let mut bucket = Bucket::full(RateLimit::per_second(rate).burst(1), Instant::now());
            for _ in 0..50 {
                assert_eq!(bucket.take(Instant::now()), Ok(()), "rate {rate}");
                let wait = bucket.take(Instant::now()).unwrap_err();
                tokio::time::advance(wait).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_requests_take_nothing() {
        let mut bucket = Bucket::full(RateLimit::per_second(2.0).burst(1), Instant::now());
        admitted(&mut bucket, 100);

        tokio::time::advance(Duration::from_millis(500)).await;

        assert_eq!(admitted(&mut bucket, 2), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn bucket_never_holds_more_than_the_burst() {
        let mut bucket = Bucket::full(RateLimit::per_second(20.0).burst(3), Instant::now());

        tokio::time::advance(Duration::from_secs(3600)).await;

        assert_eq!(admitted(&mut bucket, 10), 3);
        assert_eq!(bucket.until_full(), Duration::from_millis(150));
    }

    #[test]
    fn impossible_limits_are_refused_by_name() {
        let rates = [0.0, -1.0, f64::NAN, f64::INFINITY];
        for rate in rates {
            let error = RateLimit::per_second(rate).check().unwrap_err();
            assert!(error.to_string().contains("`rate`"), "{error}");
        }

        let error = RateLimit::per_second(1.0).burst(0).check().unwrap_err();

        assert_eq!(error.to_string(), "rate limit: `burst` cannot be `0`");
    }
}
