//! Counts over the last stretch of time, in ticks that its caller numbers; it knows no clock.

use std::{collections::VecDeque, mem};

/// How many calls there were lately, and how much was noted beside them: retries made, or calls failed.
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
    pub(crate) noted: u64,
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
            self.total.noted -= first.tally.noted;
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

    pub(crate) const fn count_noted(&mut self) {
        self.current.tally.noted += 1;
        self.total.noted += 1;
    }

    /// Takes the latest back that was noted, if the window still holds it.
    pub(crate) fn uncount_noted(&mut self) {
        let ticks = self.earlier.iter_mut().chain([&mut self.current]);
        if let Some(tick) = ticks.rev().find(|tick| tick.tally.noted > 0) {
            tick.tally.noted -= 1;
            self.total.noted -= 1;
        }
    }
}
