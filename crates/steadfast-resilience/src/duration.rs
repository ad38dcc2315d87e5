//! Short names for durations, which retry policies are full of.

use std::time::Duration;

/// Returns a duration of whole seconds.
///
/// ```
/// assert_eq!(steadfast_resilience::secs(2).as_millis(), 2_000);
/// ```
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a duration of whole milliseconds.
///
/// ```
/// assert_eq!(steadfast_resilience::millis(1_500).as_secs_f64(), 1.5);
/// ```
#[must_use]
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
