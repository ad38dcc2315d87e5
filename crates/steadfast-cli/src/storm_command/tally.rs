//! What happened in one storm: who asked when, what came of it, and when agents were done.

use std::time::Duration;

/// How many requests a storm may have before it is ended: some strategy has run away.
pub(super) const MOST_REQUESTS: u64 = 3_000_000;

/// How many moments a second is counted in.
pub(super) const MOMENTS_A_SECOND: usize = 4;

/// Counts of one storm.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    /// By the moment in which they were sent, requests that were accepted and requests that were not.
    pub(super) moments: Vec<Moment>,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// How long each call took that succeeded, whatever was tried for it.
    pub(super) calls: Vec<Duration>,
    pub(super) failed_calls: u64,
    /// When each agent was done that made all its calls, and how long it took.
    pub(super) done: Vec<Done>,
    /// How many agents failed. The rest was still at it when the storm was ended.
    pub(super) failed_agents: u32,
}

/// What was sent in a quarter of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) accepted: u32,
    pub(super) refused: u32,
}

/// An agent that made all its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Since the storm began.
    pub(super) at: Duration,
    /// Since the agent came.
    pub(super) took: Duration,
}

impl Tally {
    /// Notes a request and what came of it.
    pub(super) fn request(&mut self, sent: Duration, accepted: bool) {
        let moment = moment_of(sent);
        if self.moments.len() <= moment {
            self.moments
                .resize(moment.saturating_add(1), Moment::default());
        }
        let Some(moment) = self.moments.get_mut(moment) else {
            return;
        };
        if accepted {
            moment.accepted += 1;
            self.accepted += 1;
        } else {
            moment.refused += 1;
            self.refused += 1;
        }
    }

    /// Returns how many requests were sent.
    pub(super) const fn requests(&self) -> u64 {
        self.accepted + self.refused
    }

    /// Returns how many requests were sent in the busiest second.
    pub(super) fn peak(&self) -> u64 {
        self.peak_since(Duration::ZERO)
    }

    /// The same from a whole second on.
    pub(super) fn peak_since(&self, second: Duration) -> u64 {
        let since = moment_of(second) / MOMENTS_A_SECOND;
        let seconds = self.moments.chunks(MOMENTS_A_SECOND).skip(since);
        seconds.map(sent).max().unwrap_or_default()
    }

    /// Returns how many requests a second were sent between two whole seconds.
    pub(super) fn load_between(&self, from: Duration, to: Duration) -> f64 {
        let (from, to) = (moment_of(from), moment_of(to));
        let length = to.saturating_sub(from);
        let moments = self.moments.iter().skip(from).take(length);
        let sent: u64 = moments.map(|moment| moment.sent()).sum();
        sent as f64 * MOMENTS_A_SECOND as f64 / length.max(1) as f64
    }

    /// Returns when the last agent was done.
    pub(super) fn makespan(&self) -> Option<Duration> {
        self.done.iter().map(|done| done.at).max()
    }
}

impl Moment {
    pub(super) fn sent(self) -> u64 {
        u64::from(self.accepted) + u64::from(self.refused)
    }
}

fn sent(moments: &[Moment]) -> u64 {
    moments.iter().map(|moment| moment.sent()).sum()
}

/// Which moment a time is in.
fn moment_of(time: Duration) -> usize {
    let moment = time.as_millis() * MOMENTS_A_SECOND as u128 / 1_000;
    // No storm takes longer than an hour.
    usize::try_from(moment).unwrap_or(usize::MAX).min(1 << 20)
}

#[cfg(test)]
mod tests {
    use steadfast::{millis, secs};

    use super::*;

    #[test]
    fn peak_is_of_a_whole_second() {
        let mut tally = Tally::default();
        for (sent, accepted) in [(0, true), (999, false), (1_000, true), (1_100, false)] {
            tally.request(millis(sent), accepted);
        }
        tally.request(millis(1_900), false);

        assert_eq!(tally.peak(), 3);
        assert_eq!(tally.peak_since(secs(2)), 0);
        assert_eq!((tally.requests(), tally.refused), (5, 3));
    }

    #[test]
    fn load_is_requests_a_second() {
        let mut tally = Tally::default();
        for sent in [10_000, 10_600, 11_999, 12_000] {
            tally.request(millis(sent), false);
        }

        assert_eq!(tally.load_between(secs(10), secs(12)), 1.5);
    }
}
