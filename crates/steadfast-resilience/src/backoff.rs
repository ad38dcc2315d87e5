//! Backoff: the delay before the next try, as pure arithmetic; whether to try is not its business.

use std::time::Duration;

use crate::jitter::{Jitter, scale};

/// What a backoff is told about the wait it is asked for.
///
/// ```
/// use steadfast_resilience::{Wait, secs};
///
/// let third = Wait::after(2).last_delay(secs(8)).random(7);
/// # let _ = third;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait {
    waits: u32,
    last: Option<Duration>,
    random: u64,
}

impl Wait {
    /// Starts a description from the number of waits already made: 0 for the first.
    #[must_use]
    pub const fn after(waits: u32) -> Self {
        Self {
            waits,
            last: None,
            random: 0,
        }
    }

    /// Tells the delay before this one; only [`Jitter::Decorrelated`] looks at it.
    #[must_use]
    pub fn last_delay(mut self, last: impl Into<Option<Duration>>) -> Self {
        self.last = last.into();
        self
    }

    /// Gives the random bits that the jitter uses, all 64 of them equally likely.
    #[must_use]
    pub const fn random(mut self, random: u64) -> Self {
        self.random = random;
        self
    }

    pub(crate) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// The random bits as a number in [0, 1): the upper 53, which is what a double holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(crate) fn random_unit(&self) -> f64 {
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A delay that doubles with every wait, up to a cap.
///
/// The doubled delay is capped, then jittered, then capped once more: no computed delay exceeds
/// `max_delay`, and at the cap the jitter still spreads. The arithmetic saturates.
///
/// ```
/// use steadfast_resilience::{Backoff, Wait, secs};
///
/// let backoff = Backoff::exponential(secs(2)).max_delay(secs(32));
/// assert_eq!(backoff.delay(&Wait::after(0)), secs(2));
/// assert_eq!(backoff.delay(&Wait::after(4)), secs(32));
/// assert_eq!(backoff.delay(&Wait::after(u32::MAX)), secs(32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    jitter: Jitter,
}

impl Backoff {
    /// Starts at `initial` and doubles, without a cap and without jitter.
    pub const fn exponential(initial: Duration) -> Self {
        Self {
            initial,
            max: Duration::MAX,
            jitter: Jitter::None,
        }
    }

    /// Sets the first delay.
    pub const fn initial_delay(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// Sets the longest delay. Below the initial delay, every delay is this one.
    pub const fn max_delay(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets how delays are spread.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the longest delay that [`Backoff::delay`] can answer.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.max
    }

    /// Returns the delay of this wait.
    #[must_use]
    pub fn delay(&self, wait: &Wait) -> Duration {
        let doubled = match 1_u32.checked_shl(wait.waits) {
            Some(factor) => self.initial.saturating_mul(factor),
            None if self.initial.is_zero() => Duration::ZERO,
            None => Duration::MAX,
        };
        self.jitter
            .spread(doubled.min(self.max), self.initial, wait)
            .min(self.max)
    }

    /// Returns the delay of a wait for which the server named one of its own.
    ///
    /// The longer of the two counts. A server's word is never shortened; with jitter it is
    /// lengthened by up to a tenth, so that many callers who were told the same do not return at
    /// the same instant.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Jitter, Wait, secs};
    ///
    /// let backoff = Backoff::exponential(secs(4)).max_delay(secs(60));
    /// assert_eq!(backoff.delay_with_hint(&Wait::after(0), secs(90)), secs(90));
    /// assert_eq!(backoff.delay_with_hint(&Wait::after(0), secs(1)), secs(4));
    ///
    /// let spread = backoff.jitter(Jitter::Full).delay_with_hint(&Wait::after(0).random(u64::MAX), secs(90));
    /// assert!(spread >= secs(90) && spread <= secs(99));
    /// ```
    #[must_use]
    pub fn delay_with_hint(&self, wait: &Wait, hint: Duration) -> Duration {
        let lengthened = match self.jitter {
            Jitter::None => hint,
            _ => hint.saturating_add(scale(hint / 10, wait.random_unit())),
        };
        self.delay(wait).max(lengthened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{millis, secs};

    fn check(backoff: Backoff, waits: &[u32], expected_secs: &[u64]) {
        let delays: Vec<Duration> = waits
            .iter()
            .map(|n| backoff.delay(&Wait::after(*n)))
            .collect();

        let expected: Vec<Duration> = expected_secs.iter().copied().map(secs).collect();
        assert_eq!(delays, expected);
    }

    #[test]
    fn delay_doubles_up_to_the_cap() {
        // Scenarios 2 and 3 of the Strands map.
        let two = Backoff::exponential(secs(2)).max_delay(secs(32));
        check(two, &[0, 1, 2, 3, 4, 5, 10], &[2, 4, 8, 16, 32, 32, 32]);
        let ten = Backoff::exponential(secs(10)).max_delay(secs(50));
        check(ten, &[0, 1, 2, 3, 4], &[10, 20, 40, 50, 50]);
    }

    #[test]
    fn cap_below_the_initial_delay_is_every_delay() {
        // Scenario 5.
        check(
            Backoff::exponential(secs(4)).max_delay(secs(2)),
            &[0, 1, 9],
            &[2, 2, 2],
        );
    }

    #[test]
    fn huge_exponents_saturate() {
        // Scenario 17.
        let backoff = Backoff::exponential(millis(500)).max_delay(secs(240));
        for waits in [31, 32, 63, 64, 1_100, u32::MAX] {
            assert_eq!(backoff.delay(&Wait::after(waits)), secs(240), "{waits}");
        }
        let uncapped = Backoff::exponential(Duration::MAX).jitter(Jitter::Full);
        assert!(uncapped.delay(&Wait::after(40).random(u64::MAX)) <= Duration::MAX);
    }

    #[test]
    fn zero_stays_zero_for_every_exponent() {
        let zero = Backoff::exponential(Duration::ZERO);
        check(zero, &[0, 5, 32, u32::MAX], &[0, 0, 0, 0]);
    }

    #[test]
    fn jitter_stays_inside_its_range_and_the_cap() {
        // Scenario 18.
        let base = Backoff::exponential(secs(4)).max_delay(secs(20));
        let last = secs(5);
        for step in 0..1_000_u64 {
            let random = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for waits in 0..6 {
                let raw = base.delay(&Wait::after(waits));
                let wait = Wait::after(waits).random(random);
                let full = base.jitter(Jitter::Full).delay(&wait);
                assert!(full <= raw);
                let equal = base.jitter(Jitter::Equal).delay(&wait);
                assert!(equal >= raw / 2 && equal <= raw);
                let decorrelated = base.jitter(Jitter::Decorrelated);
                assert!(decorrelated.delay(&wait) <= raw, "the first is full");
                let next = decorrelated.delay(&wait.last_delay(last));
                assert!(next >= secs(4) && next <= secs(15), "{next:?}");
                let capped = decorrelated.delay(&wait.last_delay(secs(200)));
                assert!(capped >= secs(4) && capped <= secs(20), "{capped:?}");
            }
        }
    }

    #[test]
    fn full_jitter_spreads_evenly_at_the_cap() {
        let backoff = Backoff::exponential(secs(4))
            .max_delay(secs(20))
            .jitter(Jitter::Full);
        let step = u64::MAX / 1_000;
        let sum: Duration = (0..1_000_u64)
            .map(|n| backoff.delay(&Wait::after(30).random(n * step)))
            .sum();

        let mean = sum / 1_000;
        assert!(mean > secs(9) && mean < secs(11), "{mean:?}");
    }

    #[test]
    fn hint_is_never_shortened() {
        for jitter in [
            Jitter::None,
            Jitter::Full,
            Jitter::Equal,
            Jitter::Decorrelated,
        ] {
            let backoff = Backoff::exponential(secs(4))
                .max_delay(secs(20))
                .jitter(jitter);
            for random in [0, u64::MAX / 3, u64::MAX] {
                let delay = backoff.delay_with_hint(&Wait::after(3).random(random), secs(30));
                assert!(
                    delay >= secs(30) && delay <= secs(33),
                    "{jitter:?} {delay:?}"
                );
            }
        }
    }
}
