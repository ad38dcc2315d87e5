//! Refusals that no limit explains, such as those of a provider that refuses one call in ten however fast
//! they come. What a refusal is, is decided here, not what follows.

use std::{mem, ops::Range};

use super::history::{History, SendId};

/// Behind so few calls a refusal comes soon.
const SOON: f64 = 16.0;

/// So many in a row come soon, and it may be the weather.
const SUSPICIOUS: u32 = 4;

/// So many tries in a row are let through, and it is.
const CONVINCING: u32 = 2;

/// So many calls are sent at once at most: where that is not enough, nothing is tried.
pub(super) const MOST_TRIED: u64 = 64;

/// At most so many suspicious refusals are left out between two tries.
const MOST_LEFT_OUT: u32 = 64;

/// What is known of the weather at a provider.
///
/// Behind a refusal a limit lets next to nothing go for a while, and the weather lets the next calls go
/// as any others. So where refusals come soon, a few calls are sent at once to find out; where most of
/// them are refused, that is done ever more seldom.
#[derive(Debug)]
pub(super) struct Weather {
    /// The latest refusal that was news.
    latest: SendId,
    /// How many refusals in a row came soon.
    soon: u32,
    /// How many of those are left out before the next try, and how many behind it.
    left_out: u32,
    next_left_out: u32,
    /// The calls of a try that is under way, and what became of them.
    tried: Range<SendId>,
    accepted: u64,
    refused: u64,
    /// How many tries in a row were let through.
    let_through: u32,
}

impl Weather {
    pub(super) const fn new() -> Self {
        Self {
            latest: 0,
            soon: 0,
            left_out: 0,
            next_left_out: 1,
            tried: 0..0,
            accepted: 0,
            refused: 0,
            let_through: 0,
        }
    }

    /// Whether refusals are the weather, and no limit.
    pub(super) const fn is_bad(&self) -> bool {
        self.let_through >= CONVINCING
    }

    /// Whether calls are to be sent at once to find out, behind a refusal that is news.
    pub(super) fn is_suspected(&mut self, history: &History, id: SendId) -> bool {
        let accepted = history.accepted(mem::replace(&mut self.latest, id), id);
        if !self.tried.is_empty() {
            return false;
        }
        if self.let_through > 0 {
            return true;
        }
        self.soon = match (1.0..SOON).contains(&accepted) {
            true => self.soon.saturating_add(1),
            false => 0,
        };
        let is_suspected = self.soon >= SUSPICIOUS;
        if is_suspected && self.left_out > 0 {
            self.left_out -= 1;
            return false;
        }
        is_suspected
    }

    /// These calls are sent at once.
    pub(super) const fn try_with(&mut self, calls: Range<SendId>) {
        self.tried = calls;
        self.accepted = 0;
        self.refused = 0;
    }

    /// A call was accepted. Says whether that shows that the weather is bad.
    pub(super) fn accepts(&mut self, id: SendId) -> bool {
        if !self.tried.contains(&id) {
            return false;
        }
        self.accepted += 1;
        self.conclude();
        self.is_bad()
    }

    /// Nobody will say what became of a call: a try that it was of comes to nothing, and another may
    /// begin.
    pub(super) fn loses(&mut self, id: SendId) {
        if self.tried.contains(&id) {
            self.tried = 0..0;
        }
    }

    /// A call was refused.
    pub(super) fn refuses(&mut self, id: SendId) {
        if self.tried.contains(&id) {
            self.refused += 1;
            self.conclude();
        }
    }

    fn conclude(&mut self) {
        let calls = self.tried.end - self.tried.start;
        if 2 * self.accepted > calls {
            self.let_through = self.let_through.saturating_add(1);
            self.tried = 0..0;
        } else if 2 * self.refused >= calls {
            self.let_through = 0;
            self.soon = 0;
            self.left_out = self.next_left_out;
            self.next_left_out = self.next_left_out.saturating_mul(2).min(MOST_LEFT_OUT);
            self.tried = 0..0;
        }
    }
}
