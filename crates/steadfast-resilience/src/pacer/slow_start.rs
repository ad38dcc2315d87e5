//! How many calls may be unanswered while nothing is known of the limit; it knows no time.

/// How many calls go before the first answer.
const FIRST: f64 = 2.0;

/// A window of calls of which nobody knows yet whether they are accepted.
///
/// It grows with each call that is accepted while it is full: by one for every window of them, and
/// by 15 % once that is more. So the first refusal meets few calls that are on their way, whether
/// the burst is 20 or 600.
#[derive(Debug, Clone)]
pub(super) struct SlowStart {
    window: f64,
}

impl SlowStart {
    pub(super) const fn new() -> Self {
        Self { window: FIRST }
    }

    pub(super) fn has_room(&self, unanswered: usize) -> bool {
        (unanswered as f64) < self.window.floor()
    }

    /// One of so many unanswered calls was accepted.
    pub(super) fn accepted(&mut self, unanswered: usize) {
        if unanswered as f64 + 1.0 > self.window {
            self.window += (2.0 / 3.0 / self.window).max(0.15);
        }
    }
}
