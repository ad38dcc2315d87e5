//! A pacer's line, the oldest first; when the next may go, the pacing knows.

use std::{collections::BTreeSet, time::Duration};

use super::{Pacer, Pass, history::SendId, pacing::Pacing};
use crate::{
    queue::{Gate, Handle, Place, Queue},
    secs,
};

/// So many places are kept for calls that were refused: who never comes back leaves his behind.
const MOST_KEPT: usize = 4_096;

/// A wait that cannot be told is looked at again after so long.
const LONGEST: Duration = secs(60 * 60);
/// A wait is at least so long: the pacing's times are rounded.
const LEAST: f64 = 1e-6;

/// What the line waits for, and whose place is kept.
pub(super) struct Line {
    pub(super) pacing: Pacing,
    /// The places of calls that were refused and have not come back yet: each has its own again, also
    /// among calls of one age.
    kept: BTreeSet<Place>,
}

impl Line {
    pub(super) const fn new(pacing: Pacing) -> Self {
        Self {
            pacing,
            kept: BTreeSet::new(),
        }
    }

    /// Keeps the place of a call that was refused.
    pub(super) fn keep(&mut self, place: Place) {
        self.kept.insert(place);
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_first();
        }
    }

    /// The place of a call of this age that was refused, if there is one.
    pub(super) fn take_kept(&mut self, born: i64) -> Option<Place> {
        let place = self.kept.range(Place::all_of(born)).next().copied()?;
        self.kept.remove(&place);
        Some(place)
    }
}

impl Gate for Line {
    type Wish = ();
    type Right = SendId;

    fn let_go(&mut self, (): (), others_wait: bool, now: Duration) -> Result<SendId, Duration> {
        let seconds = now.as_secs_f64();
        match self.pacing.admit(seconds) {
            Ok(()) => Ok(self.pacing.send(seconds, others_wait)),
            Err(at) => {
                let wait = Duration::try_from_secs_f64((at - seconds).max(LEAST));
                Err(now.saturating_add(wait.unwrap_or(LONGEST)))
            }
        }
    }

    fn take_back(&mut self, id: SendId, now: Duration) {
        self.pacing.give_back(now.as_secs_f64(), id);
    }
}

/// Who waits in a pacer's line, and where.
pub(super) struct InLine<'a>(pub(super) &'a Pacer, pub(super) Place);

impl Handle for InLine<'_> {
    type Gate = Line;
    type Right = Pass;

    fn queue(&self) -> &Queue<Line> {
        &self.0.0
    }

    fn right(&self, id: SendId) -> Pass {
        Pass::new(self.0.clone(), self.1, id)
    }
}
