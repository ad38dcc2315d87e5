//! What a storm comes to, in a few figures: of one seed, and of several as their medians.

use std::time::Duration;

use steadfast::secs;

use super::{tally::Tally, world::World};

/// The figures of one strategy under one seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// The share of the agents that made all their calls.
    pub(super) success: f64,
    /// When the last of those was done, in seconds; not a number if there is none.
    pub(super) makespan: f64,
    /// The same over the makespan of the limiter that knows the limit.
    pub(super) makespan_over_ideal: f64,
    /// The share of the requests that was refused.
    pub(super) wasted: f64,
    /// Of the calls that succeeded, in seconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// The longest of them.
    pub(super) longest: f64,
    /// Both over those of the limiter that knows the limit.
    pub(super) p99_over_ideal: f64,
    pub(super) longest_over_ideal: f64,
    /// Requests in the busiest second.
    pub(super) peak: f64,
    pub(super) requests: f64,
    /// Requests for each call, whether it succeeded or not.
    pub(super) requests_a_call: f64,
    /// How evenly the agents fared (Jain's index): 1 if all took the same time.
    pub(super) fairness: f64,
    /// The share of the agents that was still at it when the storm was ended.
    pub(super) unfinished: f64,
    /// Requests a second at a provider that is out, but for the first second, in which nobody can
    /// know; not a number without an outage.
    pub(super) outage_load: f64,
    /// Requests in the busiest second after it.
    pub(super) peak_after_outage: f64,
}

/// What the limiter that knows the limit reached, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ideal {
    pub(super) makespan: f64,
    pub(super) p99: f64,
    pub(super) longest: f64,
}

impl Ideal {
    pub(super) fn of(tally: &Tally) -> Self {
        let times = sorted(&tally.calls);
        Self {
            makespan: makespan(tally),
            p99: percentile(&times, 0.99),
            longest: longest(&times),
        }
    }
}

impl Figures {
    pub(super) fn of(tally: &Tally, world: &World, ideal: &Ideal) -> Self {
        let times = sorted(&tally.calls);
        let agents = f64::from(world.agents.max(1));
        let outage = world.outage.as_ref();
        let done = tally.done.len() as f64;
        let requests = tally.requests() as f64;
        let calls = (tally.calls.len() as u64 + tally.failed_calls) as f64;
        let makespan = makespan(tally);
        let p99 = percentile(&times, 0.99);
        let longest = longest(&times);
        Self {
            success: done / agents,
            makespan,
            makespan_over_ideal: makespan / ideal.makespan,
            wasted: tally.refused as f64 / requests.max(1.0),
            p50: percentile(&times, 0.5),
            p99,
            longest,
            p99_over_ideal: p99 / ideal.p99,
            longest_over_ideal: longest / ideal.longest,
            peak: tally.peak() as f64,
            requests,
            requests_a_call: requests / calls.max(1.0),
            fairness: fairness(tally),
            unfinished: (agents - done - f64::from(tally.failed_agents)) / agents,
            outage_load: outage.map_or(f64::NAN, |outage| {
                tally.load_between(outage.start + secs(1), outage.end)
            }),
            peak_after_outage: outage
                .map_or(f64::NAN, |outage| tally.peak_since(outage.end) as f64),
        }
    }

    /// Says what several seeds come to: the median of every figure on its own, but of success the least.
    /// Whoever loses agents under two seeds of five loses agents.
    pub(super) fn summary(seeds: &[Self]) -> Self {
        let successes = seeds.iter().map(|figures| figures.success);
        Self {
            success: successes.fold(f64::INFINITY, f64::min),
            ..Self::median(seeds)
        }
    }

    /// Takes the median of every figure on its own.
    pub(super) fn median(seeds: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let values: Vec<f64> = seeds.iter().map(figure).collect();
            median(values)
        };
        Self {
            success: median(|figures| figures.success),
            makespan: median(|figures| figures.makespan),
            makespan_over_ideal: median(|figures| figures.makespan_over_ideal),
            wasted: median(|figures| figures.wasted),
            p50: median(|figures| figures.p50),
            p99: median(|figures| figures.p99),
            longest: median(|figures| figures.longest),
            p99_over_ideal: median(|figures| figures.p99_over_ideal),
            longest_over_ideal: median(|figures| figures.longest_over_ideal),
            peak: median(|figures| figures.peak),
            requests: median(|figures| figures.requests),
            requests_a_call: median(|figures| figures.requests_a_call),
            fairness: median(|figures| figures.fairness),
            unfinished: median(|figures| figures.unfinished),
            outage_load: median(|figures| figures.outage_load),
            peak_after_outage: median(|figures| figures.peak_after_outage),
        }
    }

    /// Returns whether every agent made all its calls: only then times can be compared.
    pub(super) fn is_complete(&self) -> bool {
        self.success >= 1.0
    }
}

/// The middle value, or the mean of the two middle ones; what is not a number does not count.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.get(values.len().saturating_sub(1) / 2);
    match (lower, upper) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

fn makespan(tally: &Tally) -> f64 {
    tally.makespan().map_or(f64::NAN, |time| time.as_secs_f64())
}

fn sorted(times: &[Duration]) -> Vec<f64> {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

fn longest(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = (share * sorted.len() as f64) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(index.min(last)).copied().unwrap_or(f64::NAN)
}

/// Jain's index of how long the agents took that were done.
fn fairness(tally: &Tally) -> f64 {
    let times = || tally.done.iter().map(|done| done.took.as_secs_f64());
    let squares: f64 = times().map(|time| time * time).sum();
    times().sum::<f64>().powi(2) / (tally.done.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm_command::tally::Done;

    #[test]
    fn figures_count_what_the_tally_has() {
        let mut tally = Tally::default();
        for second in 0..10 {
            tally.request(secs(second), second % 2 == 0);
            tally.request(secs(second), false);
        }
        for seconds in 1..=4 {
            tally.calls.push(secs(seconds));
            tally.done.push(Done {
                at: secs(seconds),
                took: secs(2),
            });
        }
        tally.failed_calls = 4;
        tally.failed_agents = 4;
        let ideal = Ideal {
            makespan: 2.0,
            p99: 2.0,
            longest: 5.0,
        };

        let figures = Figures::of(&tally, &World::burst(10, 20.0, 20), &ideal);

        assert_eq!((figures.success, figures.unfinished), (0.4, 0.2));
        assert_eq!((figures.makespan, figures.makespan_over_ideal), (4.0, 2.0));
        assert_eq!((figures.p50, figures.p99, figures.longest), (3.0, 4.0, 4.0));
        assert_eq!(
            (figures.p99_over_ideal, figures.longest_over_ideal),
            (2.0, 0.8)
        );
        assert_eq!((figures.wasted, figures.peak), (0.75, 2.0));
        assert_eq!((figures.requests_a_call, figures.fairness), (2.5, 1.0));
    }

    #[test]
    fn success_of_several_seeds_is_the_least() {
        let ideal = Ideal::of(&Tally::default());
        let one = Figures::of(&Tally::default(), &World::burst(1, 1.0, 1), &ideal);
        let seed = |success, wasted| Figures {
            success,
            wasted,
            ..one
        };

        let summary = Figures::summary(&[seed(1.0, 0.1), seed(0.9, 0.5), seed(1.0, 0.2)]);

        assert_eq!((summary.success, summary.wasted), (0.9, 0.2));
        assert!(!summary.is_complete());
    }

    #[test]
    fn medians_leave_out_what_is_no_number() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![f64::NAN, 1.0, 2.0]), 1.5);
        assert!(median(vec![f64::NAN]).is_nan());
    }
}
