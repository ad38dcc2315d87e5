//! Jitter: spreading the waits of many callers; it never draws its own random numbers.

use std::{ops::RangeInclusive, time::Duration};

use crate::Wait;

/// How a computed delay is spread.
///
/// So that callers which failed together do not return together.
///
/// Full, equal and decorrelated are the kinds and names of "Exponential Backoff And Jitter" (AWS
/// Architecture Blog, Marc Brooker, 2015).
///
/// ```
/// use steadfast_resilience::{Backoff, Jitter, Wait, secs};
///
/// let backoff = Backoff::exponential(secs(4)).jitter(Jitter::Equal);
/// let delay = backoff.delay(&Wait::after(0).random(u64::MAX / 2));
/// assert!(delay >= secs(2) && delay <= secs(4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// The delay as computed.
    #[default]
    None,
    /// Anything from zero to the delay.
    Full,
    /// Half of the delay, and anything up to the other half.
    Equal,
    /// A quarter less to a quarter more than the delay.
    ///
    /// Where a quarter more would pass the longest delay, anything up to that one: callers at the
    /// cap are spread below it instead of standing at it together.
    Quarter,
    /// Anything from the initial delay to three times the last one.
    ///
    /// The first as [`Jitter::Full`].
    Decorrelated,
}

impl Jitter {
    /// Spreads a delay that lies between the first of a backoff and its longest.
    pub(crate) fn spread(
        self,
        delay: Duration,
        limits: RangeInclusive<Duration>,
        wait: &Wait,
    ) -> Duration {
        let (initial, longest) = limits.into_inner();
        let share = wait.random_unit();
        match self {
            Self::None => delay,
            Self::Full => scale(delay, share),
            Self::Equal => {
                let half = delay / 2;
                half.saturating_add(scale(delay.saturating_sub(half), share))
            }
            Self::Quarter => {
                let quarter = delay / 4;
                let least = delay.saturating_sub(quarter);
                let most = delay.saturating_add(quarter).min(longest);
                least.saturating_add(scale(most.saturating_sub(least), share))
            }
            Self::Decorrelated => match wait.last() {
                None => scale(delay, share),
                Some(last) => {
                    let widest = last.saturating_mul(3).max(initial);
                    initial.saturating_add(scale(widest.saturating_sub(initial), share))
                }
            },
        }
    }
}

/// Scales by a share of at most one.
///
/// `Duration::mul_f64` would panic near the largest duration.
pub(crate) fn scale(delay: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(delay.as_secs_f64() * share)
        .map_or(delay, |scaled| scaled.min(delay))
}
