//! The right to make one call, through which its end is learned.

use std::{fmt, time::Duration};

use super::{Pacer, SendId, pacing::Refusal};
use crate::{queue::Place, secs};

/// The longest that a server can have all stay away: a wrong clock does not stop everything.
const LONGEST_HINT: Duration = secs(60 * 60);

/// The right to make one call, from a [`Pacer`].
///
/// Keep it for as long as the call is under way, and say what becomes of it: that it was accepted, as
/// soon as that is known, or that it was refused. From a pass that is dropped without a word, as by a
/// call that was cancelled or failed for another reason, nothing is learned.
#[must_use = "send the call at once, and keep its pass until it has ended"]
pub struct Pass {
    pacer: Pacer,
    place: Place,
    id: SendId,
    has_ended: bool,
}

impl Pass {
    pub(super) const fn new(pacer: Pacer, place: Place, id: SendId) -> Self {
        Self {
            pacer,
            place,
            id,
            has_ended: false,
        }
    }

    /// Says that the provider accepted the call: its answer begins.
    pub fn accepted(&mut self) {
        let id = self.id;
        self.pacer.learn(|line, now| line.pacing.accept(now, id));
    }

    /// Says that the provider refused the call since there were too many, and for how long it asks all
    /// to stay away; more than an hour counts as an hour.
    pub fn throttled(self, retry_after: Option<Duration>) {
        self.refused(Refusal::Throttled, retry_after);
    }

    /// Says that the provider has no capacity, or is down.
    pub fn overloaded(self, retry_after: Option<Duration>) {
        self.refused(Refusal::Overloaded, retry_after);
    }

    /// Says what the provider told of its limit: how many calls are left, and how many come back in a
    /// second.
    ///
    /// The rate is believed once two answers agree on it, until the provider refuses calls at it.
    pub fn told_limit(&self, left: u64, per_second: Option<f64>) {
        let rate = per_second.filter(|rate| rate.is_finite() && *rate > 0.0);
        let id = self.id;
        self.pacer
            .learn(|line, now| line.pacing.tell(now, id, rate, left as f64));
    }

    /// Gives the pass back: the call was not made.
    pub fn give_back(mut self) {
        self.has_ended = true;
        let id = self.id;
        self.pacer.learn(|line, now| line.pacing.give_back(now, id));
    }

    fn refused(mut self, refusal: Refusal, retry_after: Option<Duration>) {
        self.has_ended = true;
        let (place, id) = (self.place, self.id);
        let hint = retry_after.filter(|hint| !hint.is_zero());
        let hint = hint.map(|hint| hint.min(LONGEST_HINT).as_secs_f64());
        self.pacer.learn(|line, now| {
            line.keep(place);
            line.pacing.refuse(now, id, refusal, hint);
        });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.has_ended {
            let id = self.id;
            // At every call's end: without a look at the clock.
            self.pacer.0.change(|line| line.pacing.end(id));
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("pacer", &self.pacer)
            .finish_non_exhaustive()
    }
}
