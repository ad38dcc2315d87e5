//! What was sent of late, and what became of it: the evidence that limits are estimated from.

use std::collections::VecDeque;

/// The most sends that are remembered. At 200 a second that is 20 seconds.
const MOST: usize = 4_096;

/// So many are remembered however old they are: where one goes a minute, they are the evidence.
const LEAST: usize = 64;

/// How long others are remembered, in seconds.
const MEMORY: f64 = 20.0;

/// A send's number, in the order of sending.
pub(super) type SendId = u64;

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows yet. Refusals come fast, so it counts as accepted.
    Unknown,
    Accepted,
    Refused,
    /// It was never sent.
    Void,
}

/// One send. Times are seconds since the pacer's clock began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: f64,
    fate: Fate,
    /// How many calls were under way when it was sent.
    under_way: u32,
    /// The first send that went when its refusal had come.
    known_by: SendId,
}

impl Sent {
    pub(super) fn is_refused(&self) -> bool {
        self.fate == Fate::Refused
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.fate, Fate::Unknown | Fate::Accepted)
    }
}

/// The sends of the last seconds.
#[derive(Debug, Default)]
pub(super) struct History {
    sends: VecDeque<Sent>,
    /// The number of the first that is remembered.
    first: SendId,
    /// How many calls are under way.
    under_way: u32,
}

impl History {
    /// Notes a send and gives it its number.
    pub(super) fn send(&mut self, at: f64) -> SendId {
        while self.sends.front().is_some_and(|sent| {
            (sent.at < at - MEMORY && self.sends.len() > LEAST) || self.sends.len() >= MOST
        }) {
            self.sends.pop_front();
            self.first += 1;
        }
        self.sends.push_back(Sent {
            at,
            fate: Fate::Unknown,
            under_way: self.under_way,
            known_by: SendId::MAX,
        });
        self.under_way += 1;
        self.next() - 1
    }

    /// Notes that a call was accepted. Says whether that is news.
    pub(super) fn accept(&mut self, id: SendId) -> bool {
        match self.get_mut(id) {
            Some(sent) if sent.fate == Fate::Unknown => {
                sent.fate = Fate::Accepted;
                true
            }
            _ => false,
        }
    }

    /// Notes that a call was refused, and returns when it was sent.
    pub(super) fn refuse(&mut self, id: SendId) -> Option<f64> {
        let next = self.next();
        let sent = self.get_mut(id)?;
        sent.fate = Fate::Refused;
        sent.known_by = next;
        Some(sent.at)
    }

    /// Notes that a call was never sent.
    pub(super) fn void(&mut self, id: SendId) {
        if let Some(sent) = self.get_mut(id).filter(|sent| sent.fate == Fate::Unknown) {
            sent.fate = Fate::Void;
        }
    }

    /// Whether nobody has said yet what became of a call.
    pub(super) fn is_open(&self, id: SendId) -> bool {
        self.get(id).is_some_and(|sent| sent.fate == Fate::Unknown)
    }

    /// Notes that a call has ended, however it did.
    pub(super) const fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(super) const fn under_way(&self) -> u32 {
        self.under_way
    }

    /// The number of the next send.
    pub(super) fn next(&self) -> SendId {
        self.first + self.sends.len() as u64
    }

    pub(super) fn get(&self, id: SendId) -> Option<&Sent> {
        self.sends.get(self.index(id)?)
    }

    fn get_mut(&mut self, id: SendId) -> Option<&mut Sent> {
        let index = self.index(id)?;
        self.sends.get_mut(index)
    }

    fn index(&self, id: SendId) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    /// The sends from `from` to before `to`, as far as they are remembered.
    pub(super) fn between(
        &self,
        from: SendId,
        to: SendId,
    ) -> impl DoubleEndedIterator<Item = (SendId, &Sent)> {
        let start = self.index(from).unwrap_or(0).min(self.sends.len());
        let end = self.index(to).unwrap_or(0).clamp(start, self.sends.len());
        let first = self.first + start as u64;
        let sends = self.sends.range(start..end).enumerate();
        sends.map(move |(index, sent)| (first + index as u64, sent))
    }

    /// How many sends from `from` to before `to` were not refused.
    pub(super) fn accepted(&self, from: SendId, to: SendId) -> f64 {
        let accepted = self
            .between(from, to)
            .filter(|(_, sent)| sent.is_accepted());
        accepted.count() as f64
    }

    /// How many of the sends from `from` to before `to` were refused.
    pub(super) fn refused(&self, from: SendId, to: SendId) -> usize {
        let refused = self.between(from, to).filter(|(_, sent)| sent.is_refused());
        refused.count()
    }

    /// How many calls the provider may not have seen when it answered this one: those sent after it, and
    /// of those sent before it the ones that are not answered, since calls overtake each other.
    pub(super) fn unseen_by(&self, id: SendId) -> f64 {
        /// So many calls overtake one at most.
        const OVERTAKING: SendId = 64;
        let later = self.accepted(id + 1, self.next());
        let before = self.between(id.saturating_sub(OVERTAKING).max(self.first), id);
        let open = before
            .filter(|(_, sent)| sent.fate == Fate::Unknown)
            .count();
        later + open as f64
    }

    /// How many calls a second were accepted in the last seconds before the send `to`, at `at`.
    pub(super) fn proven_rate(&self, at: f64, to: SendId) -> f64 {
        const RECENT: f64 = 10.0;
        let recent = self
            .between(self.first, to)
            .find(|(_, sent)| sent.at > at - RECENT);
        recent.map_or(0.0, |(from, sent)| {
            self.accepted(from, to) / (at - sent.at + 1.0)
        })
    }

    /// When the last send before `to` went out that was not refused.
    pub(super) fn last_accepted(&self, to: SendId) -> Option<f64> {
        let mut sends = self.between(self.first, to).rev();
        sends.find_map(|(_, sent)| sent.is_accepted().then_some(sent.at))
    }

    /// The sends up to `to`, each with how many calls were under way when it went that were not refused
    /// later: those were not under way, though nobody knew.
    pub(super) fn with_under_way(&self, to: SendId) -> impl Iterator<Item = (&Sent, u32)> {
        let mut gone = Vec::new();
        self.between(self.first, to + 1).map(move |(id, sent)| {
            gone.retain(|known_by| *known_by > id);
            let count = u32::try_from(gone.len()).unwrap_or(u32::MAX);
            if sent.is_refused() {
                gone.push(sent.known_by);
            }
            (sent, sent.under_way.saturating_sub(count))
        })
    }

    /// How many such calls were under way when this one was sent.
    pub(super) fn under_way_at(&self, id: SendId) -> u32 {
        let last = self.with_under_way(id).last();
        last.map_or(0, |(_, under_way)| under_way)
    }
}
