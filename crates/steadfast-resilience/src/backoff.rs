//! Backoff: the delay before the next try, as pure arithmetic; whether to try is not its business.

use std::time::Duration;

use crate::{
    ConfigError,
    jitter::{Jitter, scale},
};

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

/// A delay that grows with every wait, or does not, up to a cap.
///
/// The grown delay is capped, then jittered, then capped once more: no computed delay exceeds
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
    growth: Growth,
    initial: Duration,
    max: Duration,
    jitter: Jitter,
}

/// How a delay follows from the first and from the number of waits before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Constant,
    Linear,
    Exponential,
}

impl Growth {
    fn grow(self, initial: Duration, waits: u32) -> Duration {
        let factor = match self {
            Self::Constant => Some(1),
            Self::Linear => Some(waits.saturating_add(1)),
            Self::Exponential => 1_u32.checked_shl(waits),
        };
        match factor {
            Some(factor) => initial.saturating_mul(factor),
            None if initial.is_zero() => Duration::ZERO,
            None => Duration::MAX,
        }
    }
}

impl Backoff {
    /// Waits as long every time, without jitter.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Wait, secs};
    ///
    /// let backoff = Backoff::constant(secs(5));
    /// assert_eq!(backoff.delay(&Wait::after(0)), secs(5));
    /// assert_eq!(backoff.delay(&Wait::after(9)), secs(5));
    /// ```
    pub const fn constant(delay: Duration) -> Self {
        Self::growing(Growth::Constant, delay)
    }

    /// Starts at `step` and grows by it, without a cap and without jitter.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, Wait, secs};
    ///
    /// let backoff = Backoff::linear(secs(2)).max_delay(secs(30));
    /// let delays = [0, 1, 2, 100].map(|waits| backoff.delay(&Wait::after(waits)).as_secs());
    /// assert_eq!(delays, [2, 4, 6, 30]);
    /// ```
    pub const fn linear(step: Duration) -> Self {
        Self::growing(Growth::Linear, step)
    }

    /// Starts at `initial` and doubles, without a cap and without jitter.
    pub const fn exponential(initial: Duration) -> Self {
        Self::growing(Growth::Exponential, initial)
    }

    /// Makes the backoff that a configuration names: `constant`, `linear` or `exponential`.
    ///
    /// ```
    /// use steadfast_resilience::{Backoff, secs};
    ///
    /// assert_eq!(Backoff::named("linear", secs(2))?, Backoff::linear(secs(2)));
    ///
    /// let error = Backoff::named("quadratic", secs(2)).unwrap_err();
    /// assert_eq!(error.field(), "backoff");
    /// # Ok::<(), steadfast_resilience::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Any other name is refused.
    pub fn named(name: &str, initial: Duration) -> Result<Self, ConfigError> {
        match name {
            "constant" => Ok(Self::constant(initial)),
            "linear" => Ok(Self::linear(initial)),
            "exponential" => Ok(Self::exponential(initial)),
            _ => Err(ConfigError::new(
                "backoff",
                format!("must be `constant`, `linear` or `exponential`, got `{name}`"),
            )),
        }
    }

    const fn growing(growth: Growth, initial: Duration) -> Self {
        Self {
            growth,
            initial,
            max: Duration::MAX,
            jitter: Jitter::None,
        }
    }

    /// Sets the first delay, which is also the step of a linear backoff.
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
        let grown = self.growth.grow(self.initial, wait.waits).min(self.max);
        self.jitter
            .spread(grown, self.initial..=self.max, wait)
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
mod tests;
