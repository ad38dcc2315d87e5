//! The rate that CUBIC allows after a throttle: pure arithmetic on seconds.

/// CUBIC, as botocore has it: after a throttle the rate falls to seven tenths, returns on a curve
/// that is flat around the rate that was too much, and then tries for more.
///
/// The curve is that of RFC 9438 with a scale of 0.4 and a decrease of 0.7.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cubic {
    /// The rate at the latest throttle.
    w_max: f64,
    /// How long after it the curve is back at that rate.
    k: f64,
    last_throttle: f64,
}

const SCALE: f64 = 0.4;
const DECREASE: f64 = 0.7;

impl Cubic {
    /// Starts as if it had been throttled at this time at this rate.
    pub(super) fn new(rate: f64, at: f64) -> Self {
        Self {
            w_max: rate,
            k: zero_point(rate),
            last_throttle: at,
        }
    }

    /// The rate after an answer that was no throttle.
    pub(super) fn answered(&self, at: f64) -> f64 {
        let since = at - self.last_throttle;
        SCALE * (since - self.k).powi(3) + self.w_max
    }

    /// The rate after a throttle at this rate.
    pub(super) fn throttled(&mut self, rate: f64, at: f64) -> f64 {
        *self = Self::new(rate, at);
        rate * DECREASE
    }

    #[cfg(test)]
    pub(super) const fn k_and_w_max(&self) -> (f64, f64) {
        (self.k, self.w_max)
    }
}

fn zero_point(w_max: f64) -> f64 {
    (w_max * (1.0 - DECREASE) / SCALE).cbrt()
}
