//! When the next call may be sent: arithmetic on what was sent and answered so far. It does not wait,
//! knows no queue and reads no clock.

use std::{collections::VecDeque, mem};

use fastrand::Rng;

use super::{
    estimate::{ENOUGH, Estimate, Finding},
    history::{History, SendId},
    paced::Paced,
    places::Places,
    slow_start::SlowStart,
    told::Told,
    weather::{MOST_TRIED, Weather},
};
use crate::rounding::NOTHING;

/// How long a refusal is waited for before a call counts as accepted, until one was seen; in seconds.
const FIRST_REFUSAL: f64 = 0.2;

/// No refusal counts as one that takes longer than this, in seconds.
const SLOWEST_REFUSAL: f64 = 2.0;

/// How long a provider that is overloaded may be silent before another call tries, in seconds.
const SILENCE: f64 = 10.0;

/// A limit that has refused nothing for so many seconds is forgotten once nobody waits.
const FORGOTTEN: f64 = 60.0;

/// Where nothing is left, what was let go so far says about what the rate is. One that is so many times
/// as much is not believed: it is of a longer time than the limit.
const CREDIBLE: f64 = 4.0;

/// What is known of one provider's limit, and what follows from it. Times are seconds since the
/// pacer's clock began.
#[derive(Debug)]
pub(super) struct Pacing {
    history: History,
    mode: Mode,
    /// Nobody goes before this.
    gate: f64,
    /// After a refusal one call tries alone.
    trial: Trial,
    /// What is known only from what was sent before this is known already.
    corrected: f64,
    /// How many refusals there were since a call was accepted.
    refusals_in_a_row: u32,
    /// How long refusals take.
    refusal_time: Option<f64>,
    told: Told,
    weather: Weather,
    rng: Rng,
}

#[derive(Debug)]
enum Mode {
    /// Nothing is known: so many unanswered calls, and which they are, the oldest first.
    Starting {
        slow_start: SlowStart,
        unanswered: VecDeque<SendId>,
    },
    Paced(Paced),
    Places {
        places: Places,
        paced: Paced,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trial {
    None,
    Due,
    /// The server said when: the call goes when the gate opens.
    DueAtGate,
    UnderWay {
        id: SendId,
        since: f64,
    },
}

/// A call that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) id: SendId,
    /// When it was sent.
    pub(super) at: f64,
    /// When the refusal came.
    pub(super) now: f64,
    pub(super) refusal: Refusal,
    /// The server said when to come back.
    pub(super) was_hinted: bool,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Throttled,
    Overloaded,
}

impl Pacing {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            history: History::default(),
            mode: Mode::starting(),
            gate: 0.0,
            trial: Trial::None,
            corrected: f64::NEG_INFINITY,
            refusals_in_a_row: 0,
            refusal_time: None,
            told: Told::new(),
            weather: Weather::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Whether a call may be sent now, or when to ask again.
    pub(super) fn admit(&mut self, now: f64) -> Result<(), f64> {
        if now < self.gate - NOTHING {
            return Err(self.gate);
        }
        let patience = self.patience_for_refusals();
        match &mut self.mode {
            Mode::Places { places, paced } => {
                paced.refill(now, &self.history);
                places.admit(self.history.under_way(), now, paced.has_plenty())
            }
            Mode::Starting {
                slow_start,
                unanswered,
            } => {
                // A model that says nothing before its whole answer has accepted what it did not refuse.
                let sent_at = |id| {
                    self.history
                        .get(id)
                        .map_or(f64::NEG_INFINITY, |sent| sent.at)
                };
                while let Some(oldest) = unanswered.front()
                    && sent_at(*oldest) + patience <= now + NOTHING
                {
                    slow_start.accepted(unanswered.len());
                    unanswered.pop_front();
                }
                match unanswered.front() {
                    Some(oldest) if !slow_start.has_room(unanswered.len()) => {
                        Err(sent_at(*oldest) + patience)
                    }
                    _ => Ok(()),
                }
            }
            Mode::Paced(paced) => {
                paced.refill(now, &self.history);
                match self.trial {
                    Trial::DueAtGate => return Ok(()),
                    Trial::UnderWay { since, .. } => {
                        // Of a provider that is overloaded, silence says nothing.
                        let is_overloaded = paced.is_overloaded();
                        let patience = if is_overloaded { SILENCE } else { patience };
                        if now < since + patience - NOTHING {
                            return Err(since + patience);
                        }
                        self.trial = if is_overloaded {
                            Trial::Due
                        } else {
                            Trial::None
                        };
                    }
                    Trial::None | Trial::Due => {}
                }
                paced.admit(now)
            }
        }
    }

    /// Notes that a call is sent; whether others wait behind it says whether the limit is what holds
    /// calls back.
    pub(super) fn send(&mut self, now: f64, others_wait: bool) -> SendId {
        self.forget_the_limit(now, others_wait);
        let id = self.history.send(now);
        let is_told_no_more = self.told.send();
        match &mut self.mode {
            Mode::Starting { unanswered, .. } => unanswered.push_back(id),
            Mode::Paced(paced) => {
                if is_told_no_more {
                    paced.is_told_no_more();
                }
                paced.send(now, others_wait, &self.history);
                if matches!(self.trial, Trial::Due | Trial::DueAtGate) {
                    self.trial = Trial::UnderWay { id, since: now };
                }
            }
            Mode::Places { places, paced } => {
                paced.follow(now);
                places.send(id);
            }
        }
        self.stop_at_the_told_limit(now);
        id
    }

    /// A rate at which nothing was refused for long, and at which nobody waits, is no limit any more.
    fn forget_the_limit(&mut self, now: f64, others_wait: bool) {
        if let Mode::Paced(paced) = &self.mode
            && !others_wait
            && !paced.is_told()
            && now > self.corrected + FORGOTTEN
        {
            self.trial = Trial::None;
            self.mode = Mode::starting();
        }
    }

    /// Learns that a call was accepted; its answer may still be coming.
    pub(super) fn accept(&mut self, now: f64, id: SendId) {
        if !self.history.accept(id) {
            return;
        }
        if self.weather.accepts(id) && !matches!(self.mode, Mode::Starting { .. }) {
            self.trial = Trial::None;
            self.mode = Mode::starting();
            return;
        }
        match &mut self.mode {
            Mode::Starting {
                slow_start,
                unanswered,
            } => {
                if let Some(index) = unanswered.iter().position(|other| *other == id) {
                    slow_start.accepted(unanswered.len());
                    unanswered.remove(index);
                }
            }
            Mode::Paced(paced) => {
                if matches!(self.trial, Trial::UnderWay { id: trial, .. } if trial == id) {
                    self.trial = Trial::None;
                }
                let sent = self.history.get(id).map_or(now, |sent| sent.at);
                if paced.recovers(sent, &self.history) {
                    self.trial = Trial::None;
                    self.corrected = now;
                    self.refusals_in_a_row = 0;
                }
            }
            Mode::Places { places, paced } => {
                if !places.accepted(id) {
                    self.mode = Mode::Paced(paced.clone());
                }
            }
        }
    }

    /// Learns that a call has ended. If nobody said that it was accepted, nothing else is learned.
    pub(super) fn end(&mut self, id: SendId) {
        self.history.end();
        if self.history.is_open(id) {
            self.weather.loses(id);
        }
        if matches!(self.trial, Trial::UnderWay { id: trial, .. } if trial == id) {
            self.trial = Trial::Due;
        }
        if let Mode::Places { places, .. } = &mut self.mode {
            places.ended(id);
        }
    }

    /// Learns that a call that was to be sent was not.
    pub(super) fn give_back(&mut self, now: f64, id: SendId) {
        self.history.void(id);
        self.history.end();
        self.told.give_back();
        self.weather.loses(id);
        match &mut self.mode {
            Mode::Starting { unanswered, .. } => unanswered.retain(|other| *other != id),
            Mode::Paced(paced) => {
                paced.give_back(now, &self.history);
                if matches!(self.trial, Trial::UnderWay { id: trial, .. } if trial == id) {
                    self.trial = Trial::Due;
                }
            }
            Mode::Places { places, .. } => places.ended(id),
        }
    }

    /// Learns that a call was refused, and for how many seconds the server asks all to stay away.
    pub(super) fn refuse(&mut self, now: f64, id: SendId, refusal: Refusal, hint: Option<f64>) {
        self.history.end();
        let Some(at) = self.history.refuse(id) else {
            // So long ago that it tells nothing of the limit; that all are to stay away still holds.
            return self.close_gate(now, hint);
        };
        // The slowest of late: it fades, so that one hiccup does not last.
        let slowest = self.refusal_time.map_or(0.0, |time| 0.9 * time);
        self.refusal_time = Some(slowest.max(now - at).min(SLOWEST_REFUSAL));
        // What was sent before the last correction is an echo of what led to it.
        let is_news = at > self.corrected;
        self.weather.refuses(id);
        if let Mode::Starting { unanswered, .. } = &mut self.mode
            && self.weather.is_bad()
            && hint.is_none()
        {
            unanswered.retain(|other| *other != id);
            self.try_the_weather(now, id, refusal);
            return;
        }
        let is_of_places = match (&mut self.mode, refusal) {
            (Mode::Places { places, .. }, Refusal::Throttled) => {
                !is_news || places.refused(self.history.under_way_at(id), at, now)
            }
            _ => false,
        };
        if is_news && !is_of_places {
            self.correct(Refused {
                id,
                at,
                now,
                refusal,
                was_hinted: hint.is_some(),
            });
            if hint.is_none() {
                self.try_the_weather(now, id, refusal);
            }
        }
        let Mode::Paced(paced) = &mut self.mode else {
            return self.close_gate(now, hint);
        };
        if refusal == Refusal::Throttled {
            paced.charge(self.refusals_in_a_row);
        }
        if let Some(hint) = hint.filter(|hint| now + hint > self.gate) {
            // A gate that is only moved was prepared for.
            let spread = match now < self.gate {
                true => 0.0,
                false => paced.close_for(hint),
            };
            self.gate = self.gate.max(now + hint + self.rng.f64() * spread);
            // A server that says "now" again and again is not taken at its word.
            if self.refusals_in_a_row <= 1 {
                self.trial = Trial::DueAtGate;
            }
        }
    }

    /// Sends a few calls at once, if refusals may be the weather: more than a limit lets go until the
    /// first of them is refused.
    fn try_the_weather(&mut self, now: f64, id: SendId, refusal: Refusal) {
        let rate = match &self.mode {
            // Of a bucket of one it is learned from the pauses how long it takes to fill.
            Mode::Paced(paced) if refusal == Refusal::Throttled && paced.is_single_file() => return,
            Mode::Paced(paced) => paced.rate(),
            Mode::Starting { .. } => 0.0,
            Mode::Places { .. } => return,
        };
        let time = self.refusal_time.unwrap_or(FIRST_REFUSAL);
        let calls = 3 + 2 * (rate * time) as u64;
        if !self.weather.is_suspected(&self.history, id) || calls > MOST_TRIED {
            return;
        }
        let first = self.history.next();
        self.weather.try_with(first..first.saturating_add(calls));
        if let Mode::Paced(paced) = &mut self.mode {
            paced.let_go_at_once(now, calls as f64);
            self.trial = Trial::None;
        }
    }

    fn close_gate(&mut self, now: f64, hint: Option<f64>) {
        self.gate = hint.map_or(self.gate, |hint| self.gate.max(now + hint));
        if let Mode::Places { places, .. } = &mut self.mode {
            places.closed_until(self.gate);
        }
    }

    /// Takes what the answer to a call says of the limit: the rate, if it is known, and what is left.
    pub(super) fn tell(&mut self, now: f64, id: SendId, rate: Option<f64>, left: f64) {
        let left = left - self.history.unseen_by(id);
        let Some(rate) = self.told.hear(now, rate, left) else {
            return;
        };
        match &mut self.mode {
            Mode::Paced(paced) => paced.told(now, rate, left, &self.history),
            Mode::Starting { .. } => self.stop_at_the_told_limit(now),
            Mode::Places { .. } => {}
        }
    }

    /// Goes at the rate that was told once nothing is left: nobody has to be refused to find that out.
    fn stop_at_the_told_limit(&mut self, now: f64) {
        if let (Mode::Starting { .. }, Some(rate)) = (&self.mode, self.told.used_up()) {
            let estimate = Estimate::first(&self.history, now, self.history.next());
            if estimate.burst() >= ENOUGH && rate > CREDIBLE * estimate.rate() {
                self.told.doubt(now);
                return;
            }
            let mut paced = Paced::new(estimate, now);
            paced.told(now, rate, 0.0, &self.history);
            self.mode = Mode::Paced(paced);
        }
    }

    /// How many calls a second are sent, if that is limited.
    pub(super) fn rate(&self) -> Option<f64> {
        match &self.mode {
            Mode::Paced(paced) => Some(paced.rate()),
            Mode::Starting { .. } | Mode::Places { .. } => None,
        }
    }

    /// Whether a limit is known, of whatever kind.
    pub(super) const fn is_limited(&self) -> bool {
        !matches!(self.mode, Mode::Starting { .. })
    }

    /// About how long until a call may go that so many others are before; nothing where nothing is
    /// known.
    pub(super) fn wait(&self, now: f64, before: usize) -> f64 {
        let gate = (self.gate - now).max(0.0);
        let queue = match &self.mode {
            Mode::Paced(_) if self.trial == Trial::DueAtGate && before == 0 => 0.0,
            Mode::Paced(paced) => paced.wait(now, before),
            Mode::Starting { .. } | Mode::Places { .. } => 0.0,
        };
        gate.max(queue)
    }

    fn patience_for_refusals(&self) -> f64 {
        match (self.refusal_time, &self.mode) {
            (Some(time), Mode::Paced(_)) => 2.0 * time,
            _ => FIRST_REFUSAL,
        }
    }

    /// Draws the conclusion from a refusal that is news.
    fn correct(&mut self, refused: Refused) {
        let Refused { id, at, now, .. } = refused;
        self.corrected = now;
        let mode = mem::replace(&mut self.mode, Mode::starting());
        let mut paced = match (mode, refused.refusal) {
            (Mode::Paced(paced) | Mode::Places { paced, .. }, _) => paced,
            (_, Refusal::Overloaded) => {
                Paced::new(Estimate::of_proven_rate(0.0, &self.history), now)
            }
            (_, Refusal::Throttled) => {
                self.refusals_in_a_row = 0;
                let paced = Paced::new(Estimate::first(&self.history, at, id), now);
                return self.hold(paced, refused);
            }
        };
        paced.refill(now, &self.history);
        let finding = match refused.refusal {
            Refusal::Overloaded => paced.overloaded(refused, &self.history),
            Refusal::Throttled => {
                if paced.breaks_its_word(refused, &self.history) {
                    self.told.doubt(now);
                    Finding::Rate
                } else {
                    paced.throttled(refused, &self.history)
                }
            }
        };
        match finding {
            Finding::StillEmpty => self.refusals_in_a_row += 1,
            Finding::Rate => self.refusals_in_a_row = 0,
            Finding::Places(most) => {
                paced.hold(refused, 0, &self.history, &mut self.rng);
                let places = Places::suspected(most, now);
                self.mode = Mode::Places { places, paced };
                return;
            }
        }
        self.hold(paced, refused);
    }

    /// Waits until the limit can have let one more go, and then tries with one call.
    fn hold(&mut self, mut paced: Paced, refused: Refused) {
        paced.hold(
            refused,
            self.refusals_in_a_row,
            &self.history,
            &mut self.rng,
        );
        self.trial = Trial::Due;
        self.mode = Mode::Paced(paced);
    }
}

impl Mode {
    const fn starting() -> Self {
        Self::Starting {
            slow_start: SlowStart::new(),
            unanswered: VecDeque::new(),
        }
    }
}
