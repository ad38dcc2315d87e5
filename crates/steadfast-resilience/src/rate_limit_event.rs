//! What is told when a limiter lets an operation go; it decides nothing.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{Available, operation::Operation};

/// An operation that its limiter let go, after a wait or at once.
///
/// ```
/// use futures_util::stream;
/// use steadfast_resilience::{Limiter, Resilient, rate_limited_stream};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::builder().per_second(10.0).build()?;
/// let mut rows = rate_limited_stream(&limiter, || stream::iter([Ok::<_, String>(1), Ok(2)]))
///     .operation_type("tool")
///     .operation_name("search")
///     .step_id("step-7");
///
/// let Some(Ok(Resilient::RateLimit(event))) = rows.next().await else {
///     panic!("it comes before the first item");
/// };
/// assert_eq!((event.operation_type(), event.operation_name()), ("tool", "search"));
/// assert_eq!((event.attempt(), event.waited().as_secs()), (1, 0));
/// assert_eq!(event.available().requests, 9.0); // of a burst of 10
/// assert_eq!(event.step_id(), Some("step-7"));
/// assert_eq!(event.to_string(), "attempt 1 of `search` may go, after 0ns");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimitEvent {
    pub(crate) operation: Arc<Operation>,
    pub(crate) attempt: u32,
    pub(crate) waited: Duration,
    pub(crate) available: Available,
    pub(crate) timestamp: SystemTime,
}

impl RateLimitEvent {
    /// Returns what kind of operation it is, such as `llm` or `tool`; `custom` if nobody said.
    #[must_use]
    pub fn operation_type(&self) -> &str {
        self.operation.kind()
    }

    /// Returns the operation's name; `operation` if nobody said.
    #[must_use]
    pub fn operation_name(&self) -> &str {
        self.operation.name()
    }

    /// Returns the number of the attempt that may go: 1 for the first call.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns how long it waited for the limiter; zero if it went at once.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Returns what the limiter has left: requests, a model's tokens and places.
    #[must_use]
    #[doc(alias = "tokens_remaining")]
    pub const fn available(&self) -> Available {
        self.available
    }

    /// Returns the id of the step that the operation belongs to.
    #[must_use]
    pub fn step_id(&self) -> Option<&str> {
        self.operation.step_id.as_deref()
    }

    /// Returns when the limiter let it go.
    ///
    /// Within one operation it follows tokio's clock, so that it neither jumps nor ignores a paused
    /// clock.
    #[must_use]
    #[doc(alias = "acquired_at")]
    pub const fn timestamp(&self) -> SystemTime {
        self.timestamp
    }
}

impl fmt::Display for RateLimitEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempt {} of `{}` may go, after {:?}",
            self.attempt,
            self.operation.name(),
            self.waited
        )
    }
}
