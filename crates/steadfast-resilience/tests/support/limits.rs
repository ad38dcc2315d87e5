//! Random limits, and what must hold of all that a limiter with them let go.

use std::time::Duration;

use futures_util::future::BoxFuture;
use proptest::{
    prelude::{Just, Strategy},
    prop_assert, prop_oneof,
    test_runner::TestCaseError,
};
use steadfast_resilience::{Available, Cost, Limiter, LimiterError, Permit, Windows};

/// Someone who waits for a permit.
pub(crate) type Acquiring<'a> = BoxFuture<'a, Result<Permit<'a>, LimiterError>>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) per_second: f64,
    pub(crate) per_minute: f64,
    pub(crate) burst: u32,
    pub(crate) tokens: f64,
    pub(crate) concurrency: u32,
    pub(crate) windows: Windows,
}

/// What fits all of them.
pub(crate) const MOST_REQUESTS: u32 = 4;
pub(crate) const MOST_TOKENS: u64 = 500;

pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    let windows = prop_oneof![Just(Windows::MostRestrictive), Just(Windows::Each)];
    (
        4..40_u32,
        10..600_u32,
        4..30_u32,
        500..5_000_u32,
        1..20_u32,
        windows,
    )
        .prop_map(
            |(second, minute, burst, tokens, concurrency, windows)| Limits {
                per_second: f64::from(second),
                per_minute: f64::from(minute),
                burst,
                tokens: f64::from(tokens),
                concurrency,
                windows,
            },
        )
}

/// What really went, once all was settled and given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Went {
    pub(crate) at: Duration,
    pub(crate) requests: f64,
    pub(crate) tokens: f64,
}

impl Went {
    pub(crate) fn new(at: Duration, cost: Cost) -> Self {
        Self {
            at,
            requests: f64::from(cost.request_count()),
            tokens: cost.token_count() as f64,
        }
    }
}

impl Limits {
    pub(crate) fn build(self) -> Result<Limiter, TestCaseError> {
        Limiter::builder()
            .per_second(self.per_second)
            .per_minute(self.per_minute)
            .burst(self.burst)
            .tokens_per_minute(self.tokens)
            .concurrency(self.concurrency)
            .windows(self.windows)
            .build()
            .map_err(|error| TestCaseError::fail(error.to_string()))
    }

    /// How many requests may go at once when none went for long.
    pub(crate) fn most_at_once(self) -> f64 {
        let burst = f64::from(self.burst);
        match self.windows {
            Windows::Each => burst.min(self.per_second).min(self.per_minute),
            _ => burst,
        }
    }

    /// How many requests and tokens may go within so many seconds, whenever they begin.
    pub(crate) fn most_within(self, long: f64) -> (f64, f64) {
        let Self {
            per_second,
            per_minute,
            tokens,
            ..
        } = self;
        match self.windows {
            Windows::Each if long < 1.0 => (per_second.min(per_minute), tokens),
            Windows::Each if long < 60.0 => (per_minute, tokens),
            Windows::Each => (f64::INFINITY, f64::INFINITY),
            _ => {
                let slowest = per_second.min(per_minute / 60.0);
                let requests = f64::from(self.burst) + slowest * long;
                (requests, tokens + tokens / 60.0 * long)
            }
        }
    }

    /// Looks at every interval from one that went to another. They come in order of time.
    pub(crate) fn check_intervals(self, went: &[Went]) -> Result<(), TestCaseError> {
        for (index, first) in went.iter().enumerate() {
            let (mut requests, mut tokens) = (0.0, 0.0);
            for last in went.iter().skip(index) {
                requests += last.requests;
                tokens += last.tokens;
                let long = (last.at - first.at).as_secs_f64();
                let (most_requests, most_tokens) = self.most_within(long);
                prop_assert!(requests <= most_requests + 1e-6, "{requests} in {long} s");
                prop_assert!(tokens <= most_tokens + 1e-6, "{tokens} tokens in {long} s");
            }
        }
        Ok(())
    }

    /// Looks at a limiter that was left alone for long: everything is there again.
    pub(crate) fn check_full(self, left: Available) -> Result<(), TestCaseError> {
        let is_full = (left.requests, left.tokens) == (self.most_at_once(), self.tokens)
            && (left.places, left.waiting) == (Some(self.concurrency), 0);
        prop_assert!(is_full, "{left:?} of {self:?}");
        Ok(())
    }
}
