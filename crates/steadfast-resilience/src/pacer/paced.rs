//! A limit whose rate is known: the provider's bucket as it is believed to be, and how the belief is
//! tried.

use fastrand::Rng;

use super::{
    estimate::{Estimate, Finding},
    history::{History, SendId},
    pacing::{Refusal, Refused},
};
use crate::rounding::NOTHING;

/// The longest that is waited before a limit is tried again that still refuses, in seconds.
const LONGEST_HOLD: f64 = 10.0;

/// The same for a provider that is overloaded: the longer it lasts the more seldom, but for this share
/// of it at most.
const OVERLOAD_HOLD: f64 = 2.25;
const OVERLOAD_SHARE: f64 = 0.05;

/// In how many seconds the rate from before an overload may be doubled after it.
const RECOVERY: f64 = 8.0;

/// Which share of the burst is kept back when a gate opens for all at the same moment.
const CUSHION: f64 = 0.15;

/// What comes in so many seconds is plenty.
const PLENTY: f64 = 1.0;

/// So many calls between two refusals, and this share of what the told rate would have let go, and it
/// stands: the burst was less than it seemed.
const CALM: f64 = 8.0;
const KEPT: f64 = 0.5;

/// A rate is known: the provider's bucket as it is believed to be.
#[derive(Debug, Clone)]
pub(super) struct Paced {
    estimate: Estimate,
    /// What it holds; below zero, calls that it owes.
    level: f64,
    /// When the level was that.
    at: f64,
    /// For how many seconds calls have waited while none was refused.
    busy: f64,
    /// Others waited behind the call that was sent last.
    was_saturated: bool,
    /// In how many busy seconds the rate is tried up to its double.
    patience: f64,
    last_send: f64,
    /// Since when the provider says that it has no capacity, and has accepted nothing.
    overloaded_since: Option<f64>,
    is_recovering: bool,
    /// The provider itself says what its limit is.
    is_told: bool,
    /// The latest call that was refused at the rate that the provider said.
    refused_against_word: Option<SendId>,
}

impl Paced {
    pub(super) const fn new(estimate: Estimate, now: f64) -> Self {
        Self {
            estimate,
            level: 0.0,
            at: now,
            busy: 0.0,
            was_saturated: true,
            patience: RECOVERY,
            last_send: now,
            overloaded_since: None,
            is_recovering: false,
            is_told: false,
            refused_against_word: None,
        }
    }

    /// The rate, and what is added to it to find out whether it has risen: ever more, the longer calls
    /// wait and none is refused.
    pub(super) fn rate(&self) -> f64 {
        if self.is_told {
            return self.estimate.rate();
        }
        self.estimate.rate() * (1.0 + (self.busy / self.patience).powi(3).min(1.0))
    }

    pub(super) fn refill(&mut self, now: f64, history: &History) {
        if self.busy > self.patience && !self.is_told {
            // Twice the rate was not refused: it is believed.
            self.estimate.raise(2.0 * self.estimate.rate(), history);
            self.busy = 0.0;
            if !self.is_recovering {
                let least = if self.estimate.is_calibrated() {
                    1.0
                } else {
                    0.5
                };
                self.patience = (self.patience / 2.0).max(least);
            }
        }
        // More than the burst is there for calls that try the weather.
        let most = self.estimate.burst().max(1.0).max(self.level);
        self.level = (self.level + (now - self.at).max(0.0) * self.rate()).min(most);
        self.at = now;
    }

    pub(super) fn send(&mut self, now: f64, others_wait: bool, history: &History) {
        self.level -= 1.0;
        let gap = now - self.last_send;
        if others_wait {
            self.busy += gap.clamp(0.0, 2.0 / self.estimate.rate());
        }
        let until_full = self.estimate.burst().max(1.0) / self.estimate.rate();
        if !self.was_saturated && gap > until_full {
            self.estimate.rested(history);
            self.refused_against_word = None;
        }
        self.was_saturated = others_wait;
        self.last_send = now;
    }

    /// Takes the call that is sent from the level, where not the rate decides: what that says of the rate
    /// is nothing.
    pub(super) fn follow(&mut self, now: f64) {
        self.level = (self.level - 1.0).max(0.0);
        self.last_send = now;
        self.was_saturated = true;
    }

    pub(super) fn is_single_file(&self) -> bool {
        self.estimate.is_single_file()
    }

    /// Lets so many calls go at once.
    pub(super) const fn let_go_at_once(&mut self, now: f64, calls: f64) {
        self.level = calls;
        self.at = now;
    }

    /// Whether so much is left that a call is sure to be let go, if there is such a rate.
    pub(super) fn has_plenty(&self) -> bool {
        let plenty = self.estimate.burst().min(PLENTY * self.estimate.rate());
        self.level >= plenty.max(1.0)
    }

    /// Whether there is one for the next call, or when to ask again.
    pub(super) fn admit(&self, now: f64) -> Result<(), f64> {
        match self.level >= 1.0 - NOTHING {
            true => Ok(()),
            false => Err(now + (1.0 - self.level) / self.rate()),
        }
    }

    /// About how many seconds it takes until a call may go that so many others are before; as long as
    /// the rate is a guess, the least that it can be.
    pub(super) fn wait(&self, now: f64, before: usize) -> f64 {
        let before = match self.estimate.is_calibrated() {
            true => before as f64,
            false => 0.0,
        };
        let missing = 1.0 + before - self.level;
        (missing / self.rate() - (now - self.at)).max(0.0)
    }

    /// A call that was to be sent was not.
    pub(super) fn give_back(&mut self, now: f64, history: &History) {
        self.refill(now, history);
        self.level = (self.level + 1.0).min(self.estimate.burst().max(1.0));
    }

    /// Learns from a throttle that is news.
    pub(super) fn throttled(&mut self, refused: Refused, history: &History) -> Finding {
        if self.is_told {
            return Finding::Rate;
        }
        self.estimate.refused(history, refused)
    }

    /// Whether a call that was refused shows that the rate is not what the provider says. Once may be
    /// since less goes at once than seemed to be left.
    pub(super) fn breaks_its_word(&mut self, refused: Refused, history: &History) -> bool {
        if !self.is_told {
            return false;
        }
        let before = self.refused_against_word.replace(refused.id);
        let is_broken = before.is_some_and(|before| {
            let time = history.get(before).map_or(0.0, |sent| refused.at - sent.at);
            let promised = self.estimate.rate() * time;
            history.accepted(before, refused.id) < CALM.max(KEPT * promised)
        });
        if is_broken {
            self.is_told = false;
            self.estimate = Estimate::first(history, refused.at, refused.id);
        }
        is_broken
    }

    /// The provider says no more what its limit is: the rate is tried as any other.
    pub(super) const fn is_told_no_more(&mut self) {
        self.is_told = false;
    }

    /// Learns from an overload that is news.
    pub(super) fn overloaded(&mut self, refused: Refused, history: &History) -> Finding {
        if self.is_overloaded() {
            return Finding::StillEmpty;
        }
        self.overloaded_since = Some(refused.now);
        let proven = history.proven_rate(refused.at, refused.id);
        self.estimate
            .raise(self.estimate.rate().max(proven), history);
        Finding::Rate
    }

    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    pub(super) const fn is_overloaded(&self) -> bool {
        self.overloaded_since.is_some()
    }

    /// Learns that a call was accepted that was sent at `at`. Says whether that ends an overload: then
    /// calls go at the rate from before it.
    pub(super) fn recovers(&mut self, at: f64, history: &History) -> bool {
        if self.overloaded_since.take_if(|since| *since < at).is_none() {
            return false;
        }
        self.estimate.raise(self.estimate.rate(), history);
        self.level = 0.0;
        self.busy = 0.0;
        self.patience = RECOVERY;
        self.is_recovering = true;
        true
    }

    /// Takes from the level what a refused call has used up: if refusals do, and as long as nobody
    /// knows.
    pub(super) fn charge(&mut self, refusals_in_a_row: u32) {
        let is_charged = match refusals_in_a_row {
            0 => self.estimate.may_charge_refusals(),
            _ => self.estimate.charges_refusals(),
        };
        if is_charged {
            // Nobody's bucket owes more than it can hold.
            self.level = (self.level - 1.0).max(self.level.min(-self.estimate.burst()));
        }
    }

    /// Prepares for a gate that opens for all after so many seconds: not everything that has come by
    /// then goes at once. Returns within how many seconds behind it the gates of several pacers open.
    pub(super) fn close_for(&mut self, hint: f64) -> f64 {
        let rate = self.rate();
        let together = self.estimate.burst().min(rate * hint);
        self.level = self.level.min(0.0) - CUSHION * together;
        (0.5 * hint).min(1.0 / rate)
    }

    /// Takes what the provider said: its rate, and what is left beyond the calls under way.
    pub(super) fn told(&mut self, now: f64, rate: f64, left: f64, history: &History) {
        // More than goes at once is another budget, such as that of a minute or a day.
        let is_of_the_burst = left <= self.estimate.burst();
        // What was measured here is better than what somebody says.
        let is_near = (0.5..2.0).contains(&(rate / self.estimate.rate()));
        let is_credible = match self.is_told {
            true => is_of_the_burst || is_near,
            false => is_of_the_burst && (is_near || !self.estimate.is_calibrated()),
        };
        if !is_credible {
            return;
        }
        self.refill(now, history);
        self.estimate.set_rate(rate);
        if is_of_the_burst {
            self.level = left.max(-self.estimate.burst());
        }
        self.is_told = true;
    }

    /// Sets the level so that the next call goes when the limit can have let one more go.
    pub(super) fn hold(
        &mut self,
        refused: Refused,
        refusals_in_a_row: u32,
        history: &History,
        rng: &mut Rng,
    ) {
        let rate = self.estimate.rate();
        let doubled = 2_f64.powi(i32::try_from(refusals_in_a_row.min(10)).unwrap_or(10));
        // Several pacers that nobody coordinates do not come back together.
        let hold = (1.0 + rng.f64()) / rate;
        let spread = 0.75 + 0.5 * rng.f64();
        let last_accepted = history.last_accepted(refused.id);
        let single_file = last_accepted.filter(|_| self.estimate.is_single_file());
        let hold = match (refused.refusal, single_file) {
            (Refusal::Overloaded, _) => {
                let since = self.overloaded_since.unwrap_or(refused.now);
                let lasts = refused.now - since;
                let longest = OVERLOAD_HOLD.max(OVERLOAD_SHARE * lasts);
                (hold.max(0.1) * doubled).min(longest) * spread
            }
            (Refusal::Throttled, Some(last)) => {
                // A bucket of one loses what comes while we wait, so a little longer is tried each time.
                let longer = if refusals_in_a_row == 0 { 1.25 } else { 1.6 };
                let hold = longer * (refused.at - last) - (refused.now - last);
                hold.clamp(0.25 / rate, LONGEST_HOLD.max(1.0 / rate))
            }
            (Refusal::Throttled, None) if refusals_in_a_row == 0 => hold,
            (Refusal::Throttled, None) => (hold * doubled).min(LONGEST_HOLD.max(hold)) * spread,
        };
        self.level = 1.0 - hold * rate;
        self.at = refused.now;
        self.busy = 0.0;
        self.patience = self.estimate.patience(refused.was_hinted);
        self.is_recovering = false;
    }
}
