//! Counts over the last stretch of time, in ticks that its caller numbers; it knows no clock.

use std::{collections::VecDeque, mem};

/// How many calls there were lately, and how many of them are counted apart: retries, or failures.
///
/// What happened within one tick leaves together, once all of it lies outside the window.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlidingCounts {
    current: Tick,
    /// Those before it in which something was counted.
    earlier: VecDeque<Tick>,
    total: Tally,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tick {
    number: u64,
    tally: Tally,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) apart: u64,
}

impl SlidingCounts {
    /// Goes on to a tick, and forgets what lies more than so many ticks before it. It never goes back.
    pub(crate) fn slide(&mut self, number: u64, window: u64) {
        if number <= self.current.number {
            return;
        }
        let next = Tick {
            number,
            tally: Tally::default(),
        };
        let passed = mem::replace(&mut self.current, next);
        if passed.tally != Tally::default() {
            self.earlier.push_back(passed);
        }
        while let Some(first) = self.earlier.front()
            && first.number.saturating_add(window) < number
        {
            self.total.calls -= first.tally.calls;
            self.total.apart -= first.tally.apart;
            self.earlier.pop_front();
        }
    }

    /// Returns what the window holds.
    pub(crate) const fn total(&self) -> Tally {
        self.total
    }

    pub(crate) const fn count_call(&mut self) {
        self.current.tally.calls += 1;
        self.total.calls += 1;
    }

    pub(crate) const fn count_apart(&mut self) {
        self.current.tally.apart += 1;
        self.total.apart += 1;
    }

    /// Takes the latest back that was counted apart, if the window still holds it.
    pub(crate) fn uncount_apart(&mut self) {
        let ticks = self.earlier.iter_mut().chain([&mut self.current]);
        if let Some(tick) = ticks.rev().find(|tick| tick.tally.apart > 0) {
            tick.tally.apart -= 1;
            self.total.apart -= 1;
        }
    }
}
