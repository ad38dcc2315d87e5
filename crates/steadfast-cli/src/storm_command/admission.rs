//! What the provider of a storm admits and refuses: exact arithmetic on nanoseconds, without a clock of
//! its own. It never waits and never says who asks.

mod bucket;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use bucket::Bucket;
use steadfast::{RateLimit, RateLimits};
use steadfast_sim::HintStyle;

use super::world::{Headers, Limit, World};

/// What a provider has admitted so far, and what it may still admit.
#[derive(Debug)]
pub(super) struct Admission {
    kind: Kind,
    refusals_cost: bool,
}

#[derive(Debug)]
enum Kind {
    Requests(Bucket),
    Tokens(Bucket),
    Windows {
        most: u32,
        length: u64,
        window: u64,
        used: u32,
    },
    Concurrency {
        most: usize,
        /// When those end that are under way.
        ends: BinaryHeap<Reverse<u64>>,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) tokens: u64,
    /// How long it would be under way.
    pub(super) service: Duration,
}

/// A request that is not admitted: after so long it would be, if nothing came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) free_in: Duration,
}

impl Admission {
    /// Starts with nothing admitted.
    pub(super) fn of(world: &World, seed: u64) -> Self {
        let kind = match &world.limit {
            Limit::Requests {
                a_second,
                burst,
                changes,
            } => {
                let bucket = Bucket::full(*a_second, (*burst).into()).with_changes(changes);
                Kind::Requests(match world.neighbour {
                    Some(a_second) => bucket.with_neighbour(seed, a_second),
                    None => bucket,
                })
            }
            Limit::Tokens { a_second, burst } => Kind::Tokens(Bucket::full(*a_second, *burst)),
            Limit::Windows { requests, length } => Kind::Windows {
                most: *requests,
                length: nanos(*length).max(1),
                window: 0,
                used: 0,
            },
            Limit::Concurrency { calls } => Kind::Concurrency {
                most: usize::try_from(*calls).unwrap_or(usize::MAX),
                ends: BinaryHeap::new(),
            },
        };
        Self {
            kind,
            refusals_cost: world.refusals_cost,
        }
    }

    /// Admits a request that arrives now, or refuses it. Requests come in the order of their times.
    pub(super) fn ask(&mut self, asked: Asked, now: Duration) -> Result<(), Refused> {
        let now = nanos(now);
        let free_in = match &mut self.kind {
            Kind::Requests(bucket) => bucket.take(1, now, self.refusals_cost),
            Kind::Tokens(bucket) => bucket.take(asked.tokens, now, self.refusals_cost),
            Kind::Windows {
                most,
                length,
                window,
                used,
            } => {
                let current = now / *length;
                if current != *window {
                    (*window, *used) = (current, 0);
                }
                if *used < *most {
                    *used += 1;
                    return Ok(());
                }
                Err(current.saturating_add(1).saturating_mul(*length) - now)
            }
            Kind::Concurrency { most, ends } => {
                while ends.peek().is_some_and(|Reverse(end)| *end <= now) {
                    ends.pop();
                }
                if ends.len() < *most {
                    ends.push(Reverse(now.saturating_add(nanos(asked.service))));
                    return Ok(());
                }
                let first = ends.peek().map_or(now, |Reverse(end)| *end);
                Err(first - now)
            }
        };
        free_in.map_err(|nanos| Refused {
            free_in: Duration::from_nanos(nanos),
        })
    }

    /// Says what rate-limit headers say with a decision. Of calls under way they say nothing.
    pub(super) fn headers(&self, world: &World, now: Duration, is_admitted: bool) -> RateLimits {
        match world.headers {
            Headers::None => RateLimits::new(),
            Headers::OfBucket => self.headers_of_bucket(now),
            Headers::OfMinute => {
                let minute = (60.0 * world.requests_a_second()).round() as u64;
                let mut headers = self.headers_of_bucket(now);
                headers.requests = headers.requests.map(|requests| {
                    // With a refusal, the time would be a hint.
                    let is_told = is_admitted || world.hint != HintStyle::None;
                    let reset = requests.reset.filter(|_| is_told);
                    RateLimit::new(minute, requests.remaining).with_reset(reset)
                });
                headers
            }
        }
    }

    fn headers_of_bucket(&self, now: Duration) -> RateLimits {
        let now = nanos(now);
        match &self.kind {
            Kind::Requests(bucket) => RateLimits::new().with_requests(bucket.header()),
            Kind::Tokens(bucket) => RateLimits::new().with_tokens(bucket.header()),
            Kind::Windows {
                most, length, used, ..
            } => {
                let limit = RateLimit::new((*most).into(), most.saturating_sub(*used).into());
                let reset = Duration::from_nanos(*length - now % *length);
                RateLimits::new().with_requests(limit.with_reset(reset))
            }
            Kind::Concurrency { .. } => RateLimits::new(),
        }
    }
}

/// A time in whole nanoseconds; the longest that there is, if it is longer.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
