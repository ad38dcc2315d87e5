//! A sliding window that counts what went within it: pure arithmetic on nanoseconds.

use std::collections::VecDeque;

use crate::rounding::NOTHING;

/// So much within so long, whatever the moment from which it is counted.
///
/// What went within a thousandth of the window is kept as one entry that leaves when the last of it
/// does. So the window is never exceeded, and holds back at most a thousandth too long.
#[derive(Debug)]
pub(super) struct Window {
    most: f64,
    length: u64,
    used: f64,
    entries: VecDeque<Entry>,
    /// The number of the last take that has left the window.
    left: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    began: u64,
    ended: u64,
    last: u64,
    used: f64,
}

/// Into how many entries a window is divided.
const ENTRIES: u64 = 1_000;

impl Window {
    /// Makes an empty window of so many nanoseconds. Less than one within it is one within longer.
    pub(super) fn new(most: f64, length: u64) -> Self {
        let longer = if most < 1.0 { 1.0 / most } else { 1.0 };
        Self {
            most: most.max(1.0),
            length: (length as f64 * longer) as u64,
            used: 0.0,
            entries: VecDeque::new(),
            left: 0,
        }
    }

    pub(super) const fn most(&self) -> f64 {
        self.most
    }

    pub(super) fn room(&mut self, at: u64) -> f64 {
        self.slide(at);
        self.most - self.used
    }

    /// Says how many nanoseconds it takes until there is room for so much; none if there is.
    ///
    /// More than the whole window holds takes several of them.
    pub(super) fn wait(&mut self, amount: f64, at: u64) -> u64 {
        self.slide(at);
        let windows = ((amount / self.most).ceil() - 1.0).max(0.0);
        let amount = amount - windows * self.most;
        let mut used = self.used;
        let mut leaving = at;
        for entry in &self.entries {
            if used + amount <= self.most + NOTHING {
                break;
            }
            used -= entry.used;
            leaving = entry.ended.saturating_add(self.length);
        }
        let wait = leaving.saturating_sub(at);
        wait.saturating_add((windows * self.length as f64) as u64)
    }

    /// Counts what goes now. `number` counts the takes.
    pub(super) fn take(&mut self, amount: f64, number: u64, at: u64) {
        self.slide(at);
        self.used += amount;
        match self.entries.back_mut() {
            Some(last) if at.saturating_sub(last.began) <= self.length / ENTRIES => {
                last.ended = last.ended.max(at);
                last.last = number;
                last.used += amount;
            }
            _ => self.entries.push_back(Entry {
                began: at,
                ended: at,
                last: number,
                used: amount,
            }),
        }
    }

    /// Counts what was used beyond the estimate. It is over by one window at most.
    pub(super) fn owe(&mut self, amount: f64, number: u64, at: u64) {
        self.slide(at);
        let bound = (2.0 * self.most - self.used).max(0.0);
        self.take(amount.min(bound), number, at);
    }

    /// Counts so much less for the take of this number, if it has not left the window.
    pub(super) fn give_back(&mut self, amount: f64, number: u64, at: u64) {
        self.slide(at);
        if number <= self.left {
            return;
        }
        let index = self.entries.partition_point(|entry| entry.last < number);
        if let Some(entry) = self.entries.get_mut(index) {
            let back = amount.min(entry.used);
            entry.used -= back;
            self.used -= back;
        }
    }

    fn slide(&mut self, at: u64) {
        while let Some(first) = self.entries.front()
            && first.ended.saturating_add(self.length) <= at
        {
            self.used -= first.used;
            self.left = first.last;
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            // What rounding left over goes too.
            self.used = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn clock_that_goes_back_lets_nothing_leave_early() {
        let mut window = Window::new(10.0, SECOND);
        window.take(6.0, 1, 5 * SECOND);
        window.take(4.0, 2, 4 * SECOND);

        assert_eq!(window.room(6 * SECOND - 1), 0.0);
        assert_eq!(window.wait(1.0, 4 * SECOND), 2 * SECOND);
        assert_eq!(window.room(6 * SECOND), 10.0);
    }
}
