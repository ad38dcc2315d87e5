//! A token bucket whose rate may change and which others may use too: exact, and without a clock.

use std::{collections::VecDeque, time::Duration};

use steadfast::RateLimit;

use super::nanos;
use crate::storm_command::chance::{Chance, Draw};

/// In how many parts a token is counted, so that rates of parts a nanosecond are whole numbers.
const PARTS: i128 = 1_000_000_000_000_000_000_000_000;
/// So many parts may be missing: what clients lose to rounding when they compute the same.
const FORGIVEN: i128 = PARTS / 1_000_000_000;
/// For how long another tenant sends, in seconds: longer than any storm that ends.
const NEIGHBOUR_SENDS: f64 = 600.0;

/// Tokens that fill at a rate up to a capacity.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Parts a nanosecond.
    rate: i128,
    capacity: i128,
    level: i128,
    filled_at: u64,
    /// When the rate becomes another one.
    changes: VecDeque<(u64, i128)>,
    neighbour: Option<Neighbour>,
}

/// Another tenant of the account: it takes a token whenever it comes and there is one.
#[derive(Debug)]
struct Neighbour {
    chance: Chance,
    a_second: f64,
    /// When it comes next, in seconds.
    next: f64,
}

impl Bucket {
    pub(super) fn full(a_second: f64, capacity: u64) -> Self {
        let capacity = i128::from(capacity) * PARTS;
        Self {
            rate: parts_a_nanosecond(a_second),
            capacity,
            level: capacity,
            filled_at: 0,
            changes: VecDeque::new(),
            neighbour: None,
        }
    }

    /// Has the rate change at these times, which are in order.
    pub(super) fn with_changes(mut self, changes: &[(Duration, f64)]) -> Self {
        self.changes = changes
            .iter()
            .map(|(at, a_second)| (nanos(*at), parts_a_nanosecond(*a_second)))
            .collect();
        self
    }

    /// Has another tenant come so often on average.
    pub(super) fn with_neighbour(mut self, seed: u64, a_second: f64) -> Self {
        let mut chance = Chance::of(seed, Draw::Neighbour, &[]);
        let next = chance.exponential(a_second);
        self.neighbour = Some(Neighbour {
            chance,
            a_second,
            next,
        });
        self
    }

    /// Takes tokens, or says after how many nanoseconds they would be there. A refusal may cost as much
    /// as an admission; what is owed by it is one capacity at most.
    pub(super) fn take(&mut self, tokens: u64, now: u64, refusals_cost: bool) -> Result<(), u64> {
        self.advance(now);
        let cost = i128::from(tokens) * PARTS;
        if self.level >= cost - FORGIVEN {
            self.level = (self.level - cost).max(-self.capacity);
            return Ok(());
        }
        if refusals_cost {
            self.level = (self.level - cost).max(-self.capacity);
        }
        let missing = cost - self.level;
        let wait = missing / self.rate + i128::from(missing % self.rate != 0);
        Err(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Says what a header says: whole tokens, and in whole milliseconds when the bucket is full again.
    pub(super) fn header(&self) -> RateLimit {
        let whole = |parts: i128| u64::try_from(parts / PARTS).unwrap_or_default();
        let missing = self.capacity - self.level;
        let a_milli = self.rate * 1_000_000;
        let reset = missing / a_milli + i128::from(missing % a_milli != 0);
        let reset = Duration::from_millis(u64::try_from(reset).unwrap_or(u64::MAX));
        RateLimit::new(whole(self.capacity), whole(self.level + FORGIVEN)).with_reset(reset)
    }

    /// Lets the time pass, and what happens in it.
    fn advance(&mut self, now: u64) {
        loop {
            let change = self.changes.front().map_or(u64::MAX, |(at, _)| *at);
            let visit = self
                .neighbour
                .as_ref()
                .map_or(u64::MAX, Neighbour::comes_at);
            let next = change.min(visit);
            if next > now {
                break;
            }
            self.fill(next);
            if next == change
                && let Some((_, rate)) = self.changes.pop_front()
            {
                self.rate = rate;
            } else if let Some(neighbour) = &mut self.neighbour {
                neighbour.next += neighbour.chance.exponential(neighbour.a_second);
                if self.level >= PARTS {
                    self.level -= PARTS;
                }
            }
        }
        self.fill(now);
    }

    fn fill(&mut self, at: u64) {
        let passed = i128::from(at.saturating_sub(self.filled_at));
        self.level = (self.level + passed * self.rate).min(self.capacity);
        self.filled_at = self.filled_at.max(at);
    }
}

impl Neighbour {
    fn comes_at(&self) -> u64 {
        if self.next > NEIGHBOUR_SENDS {
            return u64::MAX;
        }
        nanos(Duration::from_secs_f64(self.next))
    }
}

/// A cast from float saturates; a rate that is no rate has been refused before.
fn parts_a_nanosecond(a_second: f64) -> i128 {
    ((a_second * (PARTS as f64 / 1e9)).round() as i128).max(1)
}
