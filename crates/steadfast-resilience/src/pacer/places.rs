//! How many calls may be under way at once, where that is what the provider limits.

use super::history::SendId;

/// Seconds without a refusal after which one place more is tried.
const FIRST_PATIENCE: f64 = 5.0;
const LONGEST_PATIENCE: f64 = 20.0;
const SHORTEST_PATIENCE: f64 = 1.0;

/// So many refusals below the limit say that it is none of concurrency.
const CONTRADICTIONS: u32 = 3;

/// A limit of concurrency that was found.
#[derive(Debug, Clone)]
pub(super) struct Places {
    most: u32,
    /// The number before the last place more was tried.
    held: u32,
    /// What is added next: it doubles while that goes well.
    step: u32,
    patience: f64,
    /// Since when the number holds.
    since: f64,
    evidence: Evidence,
}

/// How sure it is that there is such a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It explains what was refused, as a rate may. No call was sent yet that only one of them lets go.
    Suspected,
    /// That call is the next, or it is sent.
    Tried(Option<SendId>),
    /// A call was refused that a rate would have let go. So many others speak against it.
    Proven { contradictions: u32 },
}

impl Places {
    pub(super) const fn suspected(most: u32, now: f64) -> Self {
        Self {
            most,
            held: most,
            step: 1,
            patience: FIRST_PATIENCE,
            since: now,
            evidence: Evidence::Suspected,
        }
    }

    /// The gate was closed for all until then: nothing was tried meanwhile.
    pub(super) const fn closed_until(&mut self, gate: f64) {
        self.since = self.since.max(gate);
    }

    /// Whether another call may begin beside those under way, or when to ask again. A rate would let it
    /// go, or not.
    pub(super) fn admit(&mut self, under_way: u32, now: f64, rate_lets: bool) -> Result<(), f64> {
        if under_way < self.most {
            return Ok(());
        }
        if rate_lets && self.evidence == Evidence::Suspected {
            self.evidence = Evidence::Tried(None);
            return Ok(());
        }
        if now > self.since + self.patience {
            self.held = self.most;
            self.most = self.most.saturating_add(self.step);
            self.step = self.step.saturating_mul(2);
            self.patience = (self.patience / 2.0).max(SHORTEST_PATIENCE);
            self.since = now;
            return Ok(());
        }
        Err(self.since + self.patience + 1e-3)
    }

    /// That call says nothing: another has to.
    pub(super) fn ended(&mut self, id: SendId) {
        if self.evidence == Evidence::Tried(Some(id)) {
            self.evidence = Evidence::Suspected;
        }
    }

    pub(super) fn send(&mut self, id: SendId) {
        if self.evidence == Evidence::Tried(None) {
            self.evidence = Evidence::Tried(Some(id));
        }
    }

    /// Learns that a call was accepted. Says whether there may still be such a limit.
    pub(super) fn accepted(&self, id: SendId) -> bool {
        self.evidence != Evidence::Tried(Some(id))
    }

    /// Learns that a call was refused that was sent at `at` beside so many. Says whether there may still
    /// be such a limit.
    pub(super) fn refused(&mut self, beside: u32, at: f64, now: f64) -> bool {
        if beside == 0 {
            return false;
        }
        match &mut self.evidence {
            Evidence::Suspected | Evidence::Tried(_) if beside < self.held => return false,
            // When exactly a call ended, the provider may know better.
            Evidence::Proven { contradictions } if beside + 1 < self.most => {
                *contradictions += 1;
                return *contradictions < CONTRADICTIONS;
            }
            _ => {}
        }
        if at >= self.since {
            self.patience = match self.step {
                // One place more was one too many, as before.
                2 if beside >= self.held => {
                    (4.0 * self.patience).clamp(FIRST_PATIENCE, LONGEST_PATIENCE)
                }
                _ => FIRST_PATIENCE,
            };
            self.most = beside;
            self.held = beside;
            self.step = 1;
            self.since = now;
            self.evidence = Evidence::Proven { contradictions: 0 };
        }
        true
    }
}
