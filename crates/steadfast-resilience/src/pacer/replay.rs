//! Which limit explains what was accepted and what was refused: each candidate is replayed against the
//! history. What to do about it is not decided here.

use super::history::{History, SendId};

/// A token bucket that may have been the provider's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// How many calls a second it lets go.
    pub(super) rate: f64,
    /// How many go at once when it is full.
    pub(super) burst: f64,
    /// Whether a call that is refused uses up the limit too.
    pub(super) charges_refusals: bool,
}

/// The most that one send can speak against a candidate: a single surprise proves nothing.
const WORST: f64 = 3.0;

impl Bucket {
    /// How badly the bucket explains the sends from `from` to `to`, at the first of which it was empty:
    /// how many tokens it lacked for what was accepted, and had left at what was refused.
    pub(super) fn misfit(&self, history: &History, from: SendId, to: SendId) -> f64 {
        let Some(first) = history.get(from) else {
            return f64::INFINITY;
        };
        let (mut level, mut last, mut misfit) = (0.0, first.at, 0.0);
        for (_, sent) in history.between(from + 1, to + 1) {
            level = (level + (sent.at - last) * self.rate).min(self.burst.max(1.0));
            last = sent.at;
            if sent.is_accepted() {
                level -= 1.0;
                misfit += (-level).clamp(0.0, WORST);
                level = level.max(0.0);
                continue;
            }
            if !sent.is_refused() {
                continue;
            }
            if level >= 1.0 {
                misfit += 0.5 + (level - 1.0).min(WORST);
                level = 0.99;
            }
            if self.charges_refusals {
                level = (level - 1.0).max(-self.burst);
            }
        }
        misfit
    }
}

/// How many calls at once explain what became of the sends up to `to`, which was refused, if a limit of
/// concurrency does.
///
/// Where that is the limit, every refusal met the same number of calls under way, and nothing was
/// accepted beside as many.
pub(super) fn places(history: &History, to: SendId) -> Option<u32> {
    const FEWEST_REFUSALS: usize = 3;
    const FEWEST_ACCEPTED: usize = 8;
    let (mut refused, mut accepted) = (Vec::new(), Vec::new());
    for (sent, under_way) in history.with_under_way(to) {
        if sent.is_refused() {
            refused.push(under_way);
        } else if sent.is_accepted() {
            accepted.push(under_way);
        }
    }
    if refused.len() < FEWEST_REFUSALS || accepted.len() < FEWEST_ACCEPTED {
        return None;
    }
    let latest = *refused.last()?;
    refused.sort_unstable();
    let places = *refused
        .get(refused.len() / 2)
        .filter(|places| **places > 0)?;
    // Beside as many as there are places: the moment at which one of them ended is not known exactly.
    let fits = |under_way: u32| under_way == places || under_way == places + 1;
    if !fits(latest) {
        return None;
    }
    let count = |list: &[u32], is: &dyn Fn(u32) -> bool| {
        let those = list.iter().filter(|under_way| is(**under_way));
        those.count() as f64
    };
    let wrong = count(&refused, &|under_way| !fits(under_way))
        + count(&accepted, &|under_way| under_way > places)
        + (0.5 * count(&accepted, &|under_way| under_way == places)).floor();
    let tolerated = 0.15 * refused.len() as f64 + 0.02 * accepted.len() as f64;
    (wrong <= tolerated).then_some(places)
}
