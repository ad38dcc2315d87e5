//! How a limiter is configured, and what it refuses; it knows nothing of time.

use super::{
    Limiter,
    allowance::{Allowance, Places},
    bucket::Bucket,
    window::Window,
};
use crate::ConfigError;

/// What several windows mean together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Windows {
    /// The slowest of the rates holds all the time, after a burst.
    ///
    /// With 10 a second, 500 a minute and 20,000 an hour that is 20,000 an hour, which is 5.556 a
    /// second. It spreads the load evenly.
    #[default]
    MostRestrictive,
    /// Each window holds for itself: never more than 10 in any second, and never more than 500 in any
    /// minute, whatever the second and the minute.
    ///
    /// It goes as fast as the shortest window lets it until a longer one is full. A fraction of a
    /// request never goes: 2.5 a second are two in any second, and half a one is one in any two.
    Each,
}

/// Configures a [`Limiter`]. [`Limiter::builder`] makes one.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct LimiterBuilder {
    rates: [Option<f64>; 4],
    windows: Windows,
    burst: Option<u32>,
    concurrency: Option<u32>,
    tokens: Option<f64>,
    token_burst: Option<u64>,
}

/// How many requests go at once if nothing is said, and the windows allow it.
const DEFAULT_BURST: f64 = 20.0;
/// The windows of requests, by the name of their field.
const WINDOWS: [(&str, u64); 4] = [
    ("per_second", 1),
    ("per_minute", 60),
    ("per_hour", 3_600),
    ("per_day", 86_400),
];
/// The slowest rate, in seconds for one: what is slower waits so long that it never goes.
const SLOWEST: f64 = 365.0 * 86_400.0;
const NANOS_A_SECOND: u64 = 1_000_000_000;

impl LimiterBuilder {
    /// Limits the requests of a second.
    ///
    /// The rate holds on average: behind a pause a [`burst`](Self::burst) goes at once.
    #[doc(alias = "requests_per_second")]
    pub const fn per_second(mut self, requests: f64) -> Self {
        let [_, minute, hour, day] = self.rates;
        self.rates = [Some(requests), minute, hour, day];
        self
    }

    /// Limits the requests of a minute.
    ///
    /// ```
    /// use steadfast_resilience::Limiter;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let at_once = |limiter: Limiter| limiter.available().requests;
    /// assert_eq!(at_once(Limiter::builder().per_minute(5.0).build()?), 5.0);
    /// assert_eq!(at_once(Limiter::builder().per_minute(500.0).build()?), 20.0);
    /// assert_eq!(at_once(Limiter::builder().per_minute(500.0).burst(1).build()?), 1.0);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "rpm")]
    pub const fn per_minute(mut self, requests: f64) -> Self {
        let [second, _, hour, day] = self.rates;
        self.rates = [second, Some(requests), hour, day];
        self
    }

    /// Limits the requests of an hour.
    pub const fn per_hour(mut self, requests: f64) -> Self {
        let [second, minute, _, day] = self.rates;
        self.rates = [second, minute, Some(requests), day];
        self
    }

    /// Limits the requests of a day.
    pub const fn per_day(mut self, requests: f64) -> Self {
        let [second, minute, hour, _] = self.rates;
        self.rates = [second, minute, hour, Some(requests)];
        self
    }

    /// Says what several windows mean together. The default is [`Windows::MostRestrictive`].
    pub const fn windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self
    }

    /// Limits how many requests go at once, when none went for a while.
    ///
    /// The default is 20, or the requests of the smallest window where they are fewer: 5 with
    /// `per_minute(5.0)`. With [`Windows::Each`] it is as many as the windows allow. More than the
    /// burst can never go, so a cost above it is refused. A burst of one spaces requests evenly.
    #[doc(alias = "burst_size")]
    pub const fn burst(mut self, requests: u32) -> Self {
        self.burst = Some(requests);
        self
    }

    /// Limits how many operations are under way at once: how many permits there are.
    #[doc(alias = "semaphore")]
    #[doc(alias = "bulkhead")]
    #[doc(alias = "max_in_flight")]
    pub const fn concurrency(mut self, operations: u32) -> Self {
        self.concurrency = Some(operations);
        self
    }

    /// Limits the tokens of a minute, which are reserved before a call and settled after it.
    #[doc(alias = "tpm")]
    pub const fn tokens_per_minute(mut self, tokens: f64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Limits how many tokens go at once. The default is those of a minute.
    pub const fn token_burst(mut self, tokens: u64) -> Self {
        self.token_burst = Some(tokens);
        self
    }

    /// Makes the limiter. Nothing was taken from it yet.
    ///
    /// # Errors
    ///
    /// If nothing is limited, if a limit is zero, negative, infinite or no number, or slower than one in
    /// a year, and for a burst of what has no rate. The error names the field.
    pub fn build(self) -> Result<Limiter, ConfigError> {
        let mut rates = Vec::new();
        for ((field, seconds), count) in WINDOWS.into_iter().zip(self.rates) {
            if let Some(count) = count {
                rates.push((check_rate(field, count, seconds)?, seconds));
            }
        }
        if let Some(tokens) = self.tokens {
            check_rate("tokens_per_minute", tokens, 60)?;
        }
        check_count("burst", self.burst.map(u64::from))?;
        check_count("concurrency", self.concurrency.map(u64::from))?;
        check_count("token_burst", self.token_burst)?;
        if rates.is_empty() && self.tokens.is_none() && self.concurrency.is_none() {
            return Err(
                ConfigError::new("per_second", "or another limit must be given")
                    .with_hint("use no limiter where nothing is limited"),
            );
        }
        if self.burst.is_some() && rates.is_empty() {
            return Err(ConfigError::new("burst", "needs a rate of requests")
                .with_hint("set `per_second`; `concurrency` limits how many are under way"));
        }
        if self.token_burst.is_some() && self.tokens.is_none() {
            let problem = "needs `tokens_per_minute`";
            return Err(ConfigError::new("token_burst", problem));
        }
        Ok(Limiter::with(self.allowance(&rates)))
    }

    fn allowance(&self, rates: &[(f64, u64)]) -> Allowance {
        let mut allowance = Allowance {
            places: self.concurrency.map(|most| Places { most, taken: 0 }),
            ..Allowance::default()
        };
        let per_second = rates.iter().map(|(count, seconds)| count / *seconds as f64);
        match self.windows {
            Windows::MostRestrictive => {
                let smallest = rates.iter().map(|(count, _)| *count);
                let by_default = || smallest.fold(DEFAULT_BURST, f64::min).floor().max(1.0);
                let burst = self.burst.map_or_else(by_default, f64::from);
                let slowest = per_second.reduce(f64::min);
                allowance.requests = slowest.map(|rate| Bucket::new(rate, burst));
                allowance.tokens = self.tokens.map(|tokens| {
                    let burst = self.token_burst.map_or(tokens.max(1.0), |most| most as f64);
                    Bucket::new(tokens / 60.0, burst)
                });
            }
            Windows::Each => {
                // The bucket only shapes the burst: the windows hold whatever it does.
                let fastest = per_second.reduce(f64::max);
                let burst = self.burst.map(f64::from);
                allowance.requests = fastest.zip(burst).map(|(r, burst)| Bucket::new(r, burst));
                let window = |(count, seconds)| Window::new(count, seconds * NANOS_A_SECOND);
                allowance.request_windows = rates.iter().copied().map(window).collect();
                let burst = self.token_burst.map(|most| most as f64);
                let tokens = self.tokens.map(|tokens| tokens / 60.0);
                allowance.tokens = tokens.zip(burst).map(|(r, burst)| Bucket::new(r, burst));
                let minutes = self.tokens.map(|tokens| window((tokens, 60)));
                allowance.token_windows = minutes.into_iter().collect();
            }
        }
        allowance
    }
}

fn check_rate(field: &str, count: f64, seconds: u64) -> Result<f64, ConfigError> {
    if !count.is_finite() || count <= 0.0 {
        let problem = format!("must be a finite number above 0, got `{count}`");
        return Err(ConfigError::new(field, problem));
    }
    if seconds as f64 / count > SLOWEST {
        let problem = format!("must allow one in a year at least, got `{count}`");
        return Err(ConfigError::new(field, problem));
    }
    Ok(count)
}

fn check_count(field: &str, count: Option<u64>) -> Result<(), ConfigError> {
    match count {
        Some(0) => Err(ConfigError::zero_count(field)),
        _ => Ok(()),
    }
}
