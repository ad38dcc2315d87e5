//! How many calls may be under way at once, where that is what the provider limits.

/// Seconds without a refusal after which one place more is tried.
const FIRST_PATIENCE: f64 = 5.0;
const LONGEST_PATIENCE: f64 = 60.0;
const SHORTEST_PATIENCE: f64 = 1.0;

/// So many refusals below the limit say that it is none of concurrency.
const CONTRADICTIONS: u32 = 3;

/// A limit of concurrency that was found.
#[derive(Debug, Clone)]
pub(super) struct Places {
    most: u32,
    /// What is added next: it doubles while that goes well.
    step: u32,
    patience: f64,
    /// Since when the number holds.
    since: f64,
    contradictions: u32,
}

impl Places {
    pub(super) const fn new(most: u32, now: f64) -> Self {
        Self {
            most,
            step: 1,
            patience: FIRST_PATIENCE,
            since: now,
            contradictions: 0,
        }
    }

    /// Whether another call may begin beside those under way, or when to ask again.
    pub(super) fn admit(&mut self, under_way: u32, now: f64) -> Result<(), f64> {
        if under_way < self.most {
            return Ok(());
        }
        if now > self.since + self.patience {
            self.most = self.most.saturating_add(self.step);
            self.step = self.step.saturating_mul(2);
            self.patience = (self.patience / 2.0).max(SHORTEST_PATIENCE);
            self.since = now;
            return Ok(());
        }
        Err(self.since + self.patience + 1e-3)
    }

    /// Learns that a call was refused that was sent at `at` beside so many. Says whether it is still
    /// believed that there is such a limit.
    pub(super) fn refused(&mut self, beside: u32, at: f64, now: f64) -> bool {
        if beside == 0 {
            return false;
        }
        if beside + 1 < self.most {
            self.contradictions += 1;
            return self.contradictions < CONTRADICTIONS;
        }
        if at >= self.since {
            self.patience = match self.step {
                0..=2 => (4.0 * self.patience).clamp(FIRST_PATIENCE, LONGEST_PATIENCE),
                _ => FIRST_PATIENCE,
            };
            self.most = beside.max(1);
            self.step = 1;
            self.since = now;
            self.contradictions = 0;
        }
        true
    }
}
