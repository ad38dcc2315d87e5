//! The provider's limit, estimated in closed form from what it refused. When to send is not decided here.
//!
//! A refusal says that the limit was used up at that moment. So what was accepted between two
//! refusals, divided by the time between them, is the rate: exactly, if the bucket was never full in
//! between. And no span can have let more go than the burst and what the rate gave in that time, which
//! bounds the rate from below. There is no learning rate to choose.

use std::collections::VecDeque;

use super::{
    history::{History, SendId},
    pacing::Refused,
    replay::{Bucket, places},
};

/// For how many seconds refusals are evidence, and for as long as so many calls take.
const WINDOW: f64 = 10.0;
const WINDOW_CALLS: f64 = 16.0;

/// A bucket is believed to be filled by about so many seconds of the rate, until more is known.
const PRIOR_BURST: f64 = 1.0;

/// So many windows may lie between two refusals that say something together.
const LONGEST_SPAN: f64 = 4.0;

/// The slowest rate, in calls a second: one a minute.
const SLOWEST: f64 = 1.0 / 60.0;

/// The fastest, which is more than any provider gives one account.
const FASTEST: f64 = 1e5;

/// So many refusals are kept while nothing is accepted at all.
const MOST_EPOCHS: usize = 64;

/// A rate is tried again after so many seconds at most, however dear a refusal is: when others have
/// left, it is far too low.
const MOST_PATIENCE: f64 = 20.0;

/// How many calls make an estimate one that is trusted.
pub(super) const ENOUGH: f64 = 8.0;

/// So many refusals can tell whether they use the limit up.
const FEWEST_REFUSALS: usize = 6;

/// The least number of calls at once that is believed at once to be the limit.
const FEW_PLACES: u32 = 4;

/// So many tokens a refusal are lacking or left over, and no bucket explains it.
const MISFIT: f64 = 0.3;

/// Each refusal may lack this many tokens in the replay, so that the bucket is ours alone.
const LONE: f64 = 0.5;

/// What the limit is believed to be.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    bucket: Bucket,
    /// Refusals that are no one's echo: when the call was sent, and its number.
    epochs: VecDeque<(f64, SendId)>,
    /// The send from which on the rate counts that is believed now.
    anchor: SendId,
    /// The oldest of the refusals that came before the rate was raised.
    before: Option<SendId>,
    /// What was accepted before the first refusal: in how many seconds, and how much.
    start: (f64, f64),
    /// The latest estimate is made of enough calls.
    is_calibrated: bool,
    /// The latest estimate was much lower than the one before.
    has_fallen: bool,
    /// Nobody else takes from the bucket, as far as the history tells.
    is_lone: bool,
    /// How many estimates there were.
    count: u32,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Finding {
    /// The rate was estimated anew.
    Rate,
    /// Nothing was accepted since the refusal before: the estimate stands, and more time is needed.
    StillEmpty,
    /// Not the rate is limited, but how many calls are under way.
    Places(u32),
}

impl Estimate {
    /// Estimates from the first refusal: the call `id`, sent at `at`.
    pub(super) fn first(history: &History, at: f64, id: SendId) -> Self {
        let recent = history
            .between(0, id)
            .find(|(_, sent)| sent.at >= at - WINDOW);
        let (from, time) = recent.map_or((id, 0.0), |(from, sent)| (from, at - sent.at));
        let accepted = history.accepted(from, id);
        let rate = match accepted > 0.0 {
            true => accepted / (time + PRIOR_BURST),
            false => 0.5,
        };
        Self {
            bucket: Bucket {
                rate: rate.clamp(SLOWEST, FASTEST),
                burst: accepted.max(1.0),
                charges_refusals: false,
            },
            epochs: VecDeque::from([(at, id)]),
            anchor: id,
            before: None,
            start: (time, accepted),
            is_calibrated: false,
            has_fallen: false,
            is_lone: true,
            count: 1,
        }
    }

    /// Believes a rate that was seen to work, and nothing about bursts.
    pub(super) fn of_proven_rate(rate: f64, history: &History) -> Self {
        Self {
            bucket: Bucket {
                rate: rate.max(0.5),
                burst: 1.0,
                charges_refusals: false,
            },
            epochs: VecDeque::new(),
            anchor: history.next(),
            before: None,
            start: (0.0, 1.0),
            is_calibrated: false,
            has_fallen: false,
            is_lone: true,
            count: 0,
        }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.bucket.rate
    }

    pub(super) const fn burst(&self) -> f64 {
        self.bucket.burst
    }

    pub(super) const fn charges_refusals(&self) -> bool {
        self.bucket.charges_refusals
    }

    /// Whether calls go one at a time, and nobody else takes the one.
    pub(super) fn is_single_file(&self) -> bool {
        self.is_lone && self.bucket.burst < 2.0
    }

    /// Takes what the provider itself said.
    pub(super) fn set_rate(&mut self, rate: f64) {
        self.bucket.rate = rate.clamp(SLOWEST, FASTEST);
        self.is_calibrated = true;
    }

    /// Calls did not come as fast as the limit lets them: what came before says nothing of it.
    ///
    /// Unless nothing was accepted since the latest refusal: then they were held back.
    pub(super) fn rested(&mut self, history: &History) {
        let before = history.next().saturating_sub(1);
        let latest = self.epochs.back();
        if latest.is_none_or(|(_, latest)| history.accepted(*latest, before) >= 1.0) {
            self.raise(self.bucket.rate, history);
        }
    }

    /// Believes another rate from now on, since calls went through that it would have refused.
    pub(super) fn raise(&mut self, rate: f64, history: &History) {
        self.bucket.rate = rate.min(FASTEST);
        self.anchor = history.next();
        if let Some((_, oldest)) = self.epochs.front() {
            self.before = Some(*oldest);
        }
        self.epochs.clear();
    }

    /// In how many seconds the rate may be tried up to its double.
    ///
    /// The less is known, the sooner; and a rate that was estimated is to be tried no more often than
    /// after some calls, since each trial ends in a refusal.
    pub(super) fn patience(&self, was_hinted: bool) -> f64 {
        let rate = self.bucket.rate;
        if !self.is_calibrated && self.count <= 5 {
            let calls = if self.bucket.burst < 2.0 { 2.0 } else { 8.0 };
            let least = if self.bucket.burst < ENOUGH { 0.5 } else { 1.5 };
            return (calls / rate).max(least);
        }
        let patience = (20.0 / rate).clamp(5.0, 10.0);
        let factor = match self {
            Self {
                has_fallen: true, ..
            } => 0.25,
            // A refusal that closes the gate for a second costs more.
            _ if was_hinted => 2.0,
            _ => 1.0,
        };
        match self.bucket.charges_refusals {
            true => (4.0 * factor * patience).min(MOST_PATIENCE),
            false => factor * patience,
        }
    }

    /// Whether it may be that refused calls use the limit up: nobody knows at the first refusals.
    pub(super) fn may_charge_refusals(&self) -> bool {
        self.bucket.charges_refusals || (self.count == 1 && self.bucket.burst >= 4.0)
    }

    /// Whether the latest rate was made of calls enough.
    pub(super) const fn is_calibrated(&self) -> bool {
        self.is_calibrated
    }

    /// Learns from a refusal.
    pub(super) fn refused(&mut self, history: &History, refused: Refused) -> Finding {
        let Refused { id, at, .. } = refused;
        let latest = self.epochs.back().map(|(_, latest)| *latest);
        self.epochs.push_back((at, id));
        if latest.is_some_and(|latest| history.accepted(latest, id) < 1.0) {
            if self.epochs.len() > MOST_EPOCHS {
                self.epochs.pop_front();
            }
            return Finding::StillEmpty;
        }
        self.count = self.count.saturating_add(1);
        self.has_fallen = false;
        self.forget(history, at);
        let epochs = self.epochs.front().copied();
        let misfit = match epochs.filter(|(_, first)| *first != id) {
            Some((began, from)) => self.estimate(
                history,
                Span {
                    began,
                    from,
                    at,
                    to: id,
                },
            ),
            None => {
                self.lower(history, at, id);
                0.0
            }
        };
        if self.count < 2 {
            return Finding::Rate;
        }
        // Of a few at once it may be chance that each refusal met as many.
        match places(history, id) {
            Some(most) if most >= FEW_PLACES || misfit > MISFIT => Finding::Places(most),
            _ => Finding::Rate,
        }
    }

    /// Forgets refusals that are so long ago that the limit was not used up all the time since.
    fn forget(&mut self, history: &History, now: f64) {
        let window = WINDOW.max(WINDOW_CALLS / self.bucket.rate);
        while self.epochs.len() > 2
            && self
                .epochs
                .front()
                .is_some_and(|(old, _)| *old < now - window)
        {
            self.epochs.pop_front();
        }
        self.epochs.retain(|(old, epoch)| {
            *old >= now - LONGEST_SPAN * window && history.get(*epoch).is_some()
        });
    }

    /// Lowers a rate that was raised since the refusal before, and too far.
    fn lower(&mut self, history: &History, at: f64, id: SendId) {
        let least = if self.is_lone {
            self.shown(history, self.anchor, id)
        } else {
            0.0
        };
        let most = match (self.is_single_file(), history.last_accepted(id)) {
            (true, Some(last)) => self.bucket.rate.min(1.0 / (at - last)),
            _ => self.bucket.rate,
        };
        self.bucket.rate = least.max(self.bucket.rate / 1.5).min(most).max(SLOWEST);
        if let Some(charged) = self.charged(history, id) {
            self.bucket = charged;
        }
    }

    /// The bucket that refusals use up, if that explains best what was refused since before the rate was
    /// raised: which no span between two refusals can tell.
    fn charged(&self, history: &History, to: SendId) -> Option<Bucket> {
        /// The rate is found to a twelfth of an octave.
        const STEPS: u32 = 12;
        let from = self
            .before
            .filter(|before| history.get(*before).is_some())?;
        if self.bucket.charges_refusals || history.refused(from, to) < FEWEST_REFUSALS {
            return None;
        }
        let rates = (0..=STEPS).map(|step| {
            let octaves = 0.5 - f64::from(step) / f64::from(STEPS);
            self.bucket.rate * octaves.exp2()
        });
        let best = |charges_refusals| {
            let buckets = rates.clone().map(|rate| Bucket {
                rate,
                charges_refusals,
                ..self.bucket
            });
            let misfits = buckets.map(|bucket| (bucket, bucket.misfit(history, from, to)));
            misfits.min_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let (_, free) = best(false)?;
        let (bucket, charged) = best(true)?;
        speaks_against(free, charged).then_some(bucket)
    }

    /// Estimates the rate from a span between two refusals. Returns how badly it explains each refusal.
    fn estimate(&mut self, history: &History, mut span: Span) -> f64 {
        self.detect_charges(history, span);
        let rate = self.long_run(history, &mut span);
        let (rate, misfit) = self.fit(history, rate, span);
        self.adopt(history, rate, span);
        misfit
    }

    /// Finds out whether refusals use the limit up, once there are some.
    fn detect_charges(&mut self, history: &History, span: Span) {
        let Span { from, to, .. } = span;
        if history.refused(from, to + 1) < FEWEST_REFUSALS {
            return;
        }
        let accepted = history.accepted(from, to);
        let all = to.saturating_sub(from) as f64;
        let misfit = |charges_refusals, calls: f64| {
            let bucket = Bucket {
                rate: calls / span.time(),
                charges_refusals,
                ..self.bucket
            };
            bucket.misfit(history, from, to)
        };
        let (free, charged) = (misfit(false, accepted), misfit(true, all));
        if self.bucket.charges_refusals {
            self.bucket.charges_refusals = !speaks_against(charged, free);
        } else {
            self.bucket.charges_refusals = speaks_against(free, charged);
        }
    }

    /// The rate of a span; of its last seconds, which the span then is, if they contradict the rest.
    fn long_run(&mut self, history: &History, span: &mut Span) -> f64 {
        let used = |from: SendId| match self.bucket.charges_refusals {
            true => span.to.saturating_sub(from) as f64 - 1.0,
            false => history.accepted(from, span.to),
        };
        let rate = used(span.from) / span.time();
        let is_recent = |epoch: f64| (1.0..=3.0).contains(&(span.at - epoch));
        let mut epochs = self.epochs.iter().rev();
        let Some(&(recent, first)) = epochs.find(|(epoch, _)| is_recent(*epoch)) else {
            return rate;
        };
        let lately = used(first) / (span.at - recent);
        let contradicts = !(0.75..1.33).contains(&(lately / rate));
        if rate <= 0.0 || used(first) < 4.0 || !contradicts {
            return rate;
        }
        (span.began, span.from) = (recent, first);
        self.epochs.retain(|(epoch, _)| *epoch >= recent);
        lately
    }

    /// Raises the rate to what the burst implies, if that explains the history better. Returns how badly
    /// it explains each refusal.
    fn fit(&mut self, history: &History, rate: f64, span: Span) -> (f64, f64) {
        if self.bucket.charges_refusals {
            return (rate, 0.0);
        }
        let Span { from, to, .. } = span;
        let refusals = history.refused(from, to) as f64;
        let misfit = |rate| {
            let bucket = Bucket {
                rate,
                ..self.bucket
            };
            bucket.misfit(history, from, to) / (refusals + 1.0)
        };
        let shown = rate.max(self.shown(history, from, to));
        let (with_rate, with_shown) = (misfit(rate), misfit(shown));
        let least = with_rate.min(with_shown);
        self.is_lone = least <= LONE;
        match self.is_lone && with_shown <= with_rate {
            true => (shown, least),
            false => (rate, least),
        }
    }

    /// The least rate at which the sends from `from` to before `to` can have been accepted, given the
    /// burst.
    fn shown(&self, history: &History, from: SendId, to: SendId) -> f64 {
        let mut last = None;
        let mut beyond_burst = -self.bucket.burst;
        let mut least: f64 = 0.0;
        for (_, sent) in history.between(from, to).rev() {
            if !sent.is_accepted() {
                continue;
            }
            beyond_burst += 1.0;
            let time = *last.get_or_insert(sent.at) - sent.at;
            if time > 1e-6 && beyond_burst >= 2.0 {
                least = least.max(beyond_burst / time);
            }
        }
        least
    }

    /// Believes a rate, if there is evidence enough.
    fn adopt(&mut self, history: &History, rate: f64, span: Span) {
        let time = span.time();
        let is_enough = history.accepted(span.from, span.to) >= ENOUGH
            || (time >= 1.0 && time * self.bucket.rate >= ENOUGH);
        if !is_enough {
            return;
        }
        self.has_fallen = rate < 0.6 * self.bucket.rate;
        self.is_calibrated = true;
        self.bucket.rate = rate.clamp(SLOWEST, FASTEST);
        let (time, accepted) = self.start;
        self.bucket.burst = (accepted - self.bucket.rate * time).max(1.0);
    }
}

/// Whether another limit explains the history so much better than the one that is believed: which has
/// the benefit of the doubt.
fn speaks_against(believed: f64, other: f64) -> bool {
    other < 0.7 * believed - 1.0
}

/// From one refusal to another: the sends, and their moments.
#[derive(Debug, Clone, Copy)]
struct Span {
    began: f64,
    from: SendId,
    at: f64,
    to: SendId,
}

impl Span {
    fn time(&self) -> f64 {
        (self.at - self.began).max(1e-9)
    }
}
