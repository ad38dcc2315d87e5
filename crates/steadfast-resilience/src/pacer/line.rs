//! Who waits for a pacer, the oldest first; when the next may go, the pacing knows.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    task::Waker,
};

use super::{history::SendId, pacing::Pacing};

/// So many places are kept for calls that were refused: who never comes back leaves his behind.
const MOST_KEPT: usize = 4_096;

/// A place in the line: by age, and among calls of one age by who came first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    born: f64,
    ticket: u64,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_age = self.born.total_cmp(&other.born);
        by_age.then(self.ticket.cmp(&other.ticket))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

/// The line, and what it waits for.
///
/// Only the first of the line has a timer. Whoever finds that something may go lets it go and wakes
/// it; what was let go is kept here until its future looks, or is dropped.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) pacing: Pacing,
    waiting: BTreeMap<Place, Option<Waker>>,
    let_go: BTreeMap<Place, SendId>,
    /// The places of calls that were refused and have not come back yet: each has its own again, also
    /// among calls of one age.
    kept: BTreeSet<Place>,
    next_ticket: u64,
    /// Whose timer is set, and to when.
    timer: Option<(Place, f64)>,
}

/// What a future finds when it looks.
#[derive(Debug)]
pub(super) enum Found {
    LetGo(SendId),
    /// It is the first: it looks again after so many seconds, or when it is woken.
    First(f64),
    Behind,
}

impl Line {
    pub(super) const fn new(pacing: Pacing) -> Self {
        Self {
            pacing,
            waiting: BTreeMap::new(),
            let_go: BTreeMap::new(),
            kept: BTreeSet::new(),
            next_ticket: 0,
            timer: None,
        }
    }

    /// The place of a call of this age: its own, if it was refused.
    pub(super) fn place(&mut self, born: f64) -> Place {
        let first = Place { born, ticket: 0 };
        let last = Place {
            born,
            ticket: u64::MAX,
        };
        if let Some(kept) = self.kept.range(first..=last).next().copied() {
            self.kept.remove(&kept);
            return kept;
        }
        let place = Place {
            born,
            ticket: self.next_ticket,
        };
        self.next_ticket += 1;
        place
    }

    /// Keeps the place of a call that was refused.
    pub(super) fn keep(&mut self, place: Place) {
        self.kept.insert(place);
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_first();
        }
    }

    /// Goes at once, if nobody waits and nothing holds it back.
    pub(super) fn take(&mut self, now: f64) -> Option<SendId> {
        if !self.waiting.is_empty() || self.pacing.admit(now).is_err() {
            return None;
        }
        Some(self.pacing.send(now, false))
    }

    /// Joins the line.
    pub(super) fn join(&mut self, place: Place) {
        self.waiting.insert(place, None);
    }

    /// Leaves the line, and gives back what it was let go with. What is returned is to be dropped
    /// without the lock.
    pub(super) fn leave(&mut self, place: Place, now: f64) -> Option<Waker> {
        if let Some(id) = self.let_go.remove(&place) {
            self.pacing.give_back(now, id);
        }
        self.waiting.remove(&place).flatten()
    }

    /// Lets those go who may, and returns the next that has to be woken.
    pub(super) fn advance(&mut self, now: f64) -> Option<Waker> {
        loop {
            let first = *self.waiting.first_key_value()?.0;
            match self.pacing.admit(now) {
                Ok(()) => {
                    let waker = self.waiting.remove(&first).flatten();
                    let id = self.pacing.send(now, !self.waiting.is_empty());
                    self.let_go.insert(first, id);
                    if waker.is_some() {
                        return waker;
                    }
                }
                Err(at) => {
                    let is_set = self
                        .timer
                        .is_some_and(|(place, timer)| place == first && timer <= at);
                    if is_set {
                        return None;
                    }
                    self.timer = Some((first, at));
                    return self.waiting.get_mut(&first)?.take();
                }
            }
        }
    }

    /// Looks without being told. Nothing is found of one who left. The waker is to be dropped without
    /// the lock.
    pub(super) fn look(&mut self, place: Place, now: f64) -> (Found, Option<Waker>) {
        if let Some(id) = self.let_go.remove(&place) {
            return (Found::LetGo(id), None);
        }
        if self.waiting.first_key_value().map(|(first, _)| *first) != Some(place) {
            return (Found::Behind, None);
        }
        match self.pacing.admit(now) {
            Ok(()) => {
                let waker = self.waiting.remove(&place).flatten();
                let id = self.pacing.send(now, !self.waiting.is_empty());
                (Found::LetGo(id), waker)
            }
            Err(at) => {
                self.timer = Some((place, at));
                (Found::First(at - now), None)
            }
        }
    }

    /// Remembers whom to wake. What is returned is to be dropped without the lock.
    pub(super) fn set_waker(&mut self, place: Place, waker: &Waker) -> Option<Waker> {
        let slot = self.waiting.get_mut(&place)?;
        match slot {
            Some(old) if old.will_wake(waker) => None,
            _ => slot.replace(waker.clone()),
        }
    }

    /// How long one of this age would wait, in seconds.
    pub(super) fn expected_wait(&self, now: f64, born: f64) -> f64 {
        let place = Place {
            born,
            ticket: self.next_ticket,
        };
        let is_last = self
            .waiting
            .last_key_value()
            .is_none_or(|(last, _)| *last < place);
        let before = match is_last {
            true => self.waiting.len(),
            false => self.waiting.range(..place).count(),
        };
        self.pacing.wait(now, before)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
