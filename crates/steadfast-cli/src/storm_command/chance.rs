//! Chance that depends on nothing but its names: a seed, what is drawn, and for whom.
//!
//! So every strategy meets the same service times and the same network, whatever it asks in which order.
//! Not for secrets.

/// What is drawn. Draws of one kind say nothing about those of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    /// How long the model takes for a call of an agent.
    Service = 1,
    /// How long an agent thinks before a call.
    Think,
    /// When agents arrive.
    Arrivals,
    /// How large the prompt of a call is.
    Prompt,
    /// How long a request and its answer are on their way.
    Network,
    /// When another tenant calls the same provider.
    Neighbour,
    /// What an agent's runs draw for their jitter.
    Agent,
}

/// A sequence of numbers (SplitMix64: Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

    /// Starts the sequence that belongs to these names.
    pub(super) fn of(seed: u64, draw: Draw, names: &[u64]) -> Self {
        let first = mixed(mixed(seed) ^ draw as u64);
        let named = names.iter().fold(first, |state, name| {
            mixed(state.wrapping_add(Self::GAMMA) ^ mixed(*name))
        });
        Self(named)
    }

    /// Draws 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::GAMMA);
        mixed(self.0)
    }

    /// Draws from 0 up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// Draws the time until the next of so many a second.
    pub(super) fn exponential(&mut self, a_second: f64) -> f64 {
        -(1.0 - self.unit()).ln() / a_second
    }

    /// Draws from a lognormal distribution with this median.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Draws from a lognormal distribution with this mean.
    pub(super) fn lognormal_with_mean(&mut self, mean: f64, sigma: f64) -> f64 {
        self.lognormal(mean * (-sigma * sigma / 2.0).exp(), sigma)
    }

    /// Box and Muller's transform.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Makes a number from 0 up to 1 of random bits: the upper 53, which is what a double holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_times_have_the_mean_and_the_spread_that_are_asked_for() {
        let drawn: Vec<f64> = (0..20_000)
            .map(|agent| Chance::of(1, Draw::Service, &[agent, 0]).lognormal_with_mean(1.0, 0.5))
            .collect();

        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let spread = drawn.iter().map(|time| time.ln().powi(2)).sum::<f64>() / 20_000.0
            - (drawn.iter().map(|time| time.ln()).sum::<f64>() / 20_000.0).powi(2);

        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((spread.sqrt() - 0.5).abs() < 0.02, "{spread}");
    }

    #[test]
    fn draws_depend_on_every_name() {
        let first = |seed, draw, names: &[u64]| Chance::of(seed, draw, names).bits();
        let drawn = [
            first(1, Draw::Service, &[0, 0]),
            first(2, Draw::Service, &[0, 0]),
            first(1, Draw::Think, &[0, 0]),
            first(1, Draw::Service, &[1, 0]),
            first(1, Draw::Service, &[0, 1]),
        ];

        let different: std::collections::BTreeSet<u64> = drawn.into_iter().collect();

        assert_eq!(different.len(), drawn.len());
        assert_eq!(first(1, Draw::Service, &[0, 0]), drawn[0]);
    }
}
