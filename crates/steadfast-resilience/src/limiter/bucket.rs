//! A token bucket that can take back what was not used: pure arithmetic on nanoseconds.

use crate::rounding::NOTHING;

/// Tokens that fill at a constant rate up to a capacity. It may owe: then it is below zero.
///
/// What is given back counts as if it had never been taken. That is less than was taken if the bucket
/// ran over since, or would have: those tokens are gone, and giving them back would make new ones. So
/// the bucket remembers how little was ever missing since each take that may be undone.
#[derive(Debug)]
pub(super) struct Bucket {
    /// In tokens a nanosecond.
    rate: f64,
    capacity: f64,
    level: f64,
    filled_at: u64,
    /// What may be missing and does not count: no clock could show the wait for it.
    nothing: f64,
    /// What a low must differ by from the one before it.
    step: f64,
    lows: Vec<Low>,
}

/// How little was missing: before the take `before`, and before all takes between the last `Low` and it.
#[derive(Debug, Clone, Copy)]
struct Low {
    before: u64,
    missing: f64,
}

/// For how many of them there is room at the beginning.
const LOWS: usize = 32;
/// The share of the capacity that sums of floats may be off.
const ROUNDING: f64 = 1e-13;
/// Into how many steps the capacity is divided when lows are remembered. What is lost by it when
/// tokens are given back is one step at most; what it costs is so many entries at most.
const STEPS: f64 = 4_096.0;

impl Bucket {
    /// Starts full.
    pub(super) fn new(tokens_a_second: f64, capacity: f64) -> Self {
        Self {
            rate: tokens_a_second / 1e9,
            capacity,
            level: capacity,
            filled_at: 0,
            nothing: NOTHING + ROUNDING * capacity,
            step: capacity / STEPS,
            lows: Vec::with_capacity(LOWS),
        }
    }

    pub(super) const fn capacity(&self) -> f64 {
        self.capacity
    }

    pub(super) fn level(&mut self, at: u64) -> f64 {
        self.refill(at);
        self.level
    }

    /// Says how many nanoseconds it takes until there are so many tokens; none if there are.
    #[inline]
    pub(super) fn wait(&mut self, tokens: f64, at: u64) -> u64 {
        self.refill(at);
        // Without what does not count, rounding would make a wait one nanosecond too long, which a
        // timer of milliseconds makes a millisecond.
        let missing = tokens - self.level - self.nothing;
        if missing <= 0.0 {
            return 0;
        }
        // A float beyond the range becomes the greatest number.
        ((missing / self.rate).ceil() as u64).max(1)
    }

    /// Takes tokens, whether they are there or not. `number` counts the takes.
    #[inline]
    pub(super) fn take(&mut self, tokens: f64, number: u64, at: u64) {
        self.refill(at);
        self.remember(number);
        self.level -= tokens;
    }

    /// Takes what was used beyond the estimate. It owes one capacity at most.
    pub(super) fn owe(&mut self, tokens: f64, number: u64, at: u64) {
        self.refill(at);
        self.remember(number);
        self.level = (self.level - tokens).max(self.level.min(-self.capacity));
    }

    /// Gives tokens back that the take of this number took.
    pub(super) fn give_back(&mut self, tokens: f64, number: u64, at: u64) {
        self.refill(at);
        let since = self.lows.partition_point(|low| low.before <= number);
        let least = self
            .lows
            .get(since)
            .map_or(f64::INFINITY, |low| low.missing);
        let back = tokens.min(least).min(self.missing());
        self.level += back;
        // Had it never been taken, this much less would have been missing ever since.
        for low in self.lows.iter_mut().skip(since) {
            low.missing -= back;
        }
        let earlier = self.lows.get(..since).unwrap_or_default();
        let kept = earlier.partition_point(|low| low.missing < least - back);
        self.lows.drain(kept..since);
    }

    #[inline]
    fn missing(&self) -> f64 {
        (self.capacity - self.level).max(0.0)
    }

    /// Keeps the lows in order: a later one stays only if more was missing.
    #[inline]
    fn remember(&mut self, before: u64) {
        let missing = self.missing();
        while self.lows.pop_if(|low| low.missing >= missing).is_some() {}
        match self.lows.last_mut() {
            Some(last) if missing - last.missing < self.step => last.before = before,
            _ => self.lows.push(Low { before, missing }),
        }
    }

    #[inline]
    fn refill(&mut self, at: u64) {
        // A clock that goes back fills nothing.
        if at > self.filled_at {
            let level = self.level + nanos(at - self.filled_at) * self.rate;
            // `min` would look for what is no number, which is not there.
            self.level = if level < self.capacity {
                level
            } else {
                self.capacity
            };
            self.filled_at = at;
        }
    }
}

/// As a signed number it becomes a float in a third of the time. It ends at 292 years.
#[inline]
fn nanos(passed: u64) -> f64 {
    passed.min(i64::MAX as u64) as i64 as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn clock_that_goes_back_fills_nothing_twice() {
        let mut bucket = Bucket::new(10.0, 100.0);
        bucket.take(100.0, 1, 5 * SECOND);

        let levels = [6, 4, 6, 0, 7].map(|second| bucket.level(second * SECOND));

        assert_eq!(levels, [10.0, 10.0, 10.0, 10.0, 20.0]);
    }

    #[test]
    fn end_of_the_clock_is_a_full_bucket() {
        let mut bucket = Bucket::new(10.0, 100.0);
        bucket.take(100.0, 1, 0);

        assert_eq!(bucket.level(u64::MAX), 100.0);
        assert_eq!(bucket.wait(100.0, u64::MAX), 0);
    }
}
