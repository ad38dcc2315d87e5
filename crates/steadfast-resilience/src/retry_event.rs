//! What is told before a retry waits; it decides nothing.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::operation::Operation;

/// A failed attempt of an operation that will be made again, told before the wait.
///
/// ```
/// use steadfast_resilience::{Backoff, Retry, RetryEvent, secs};
/// use std::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (told, events) = mpsc::channel();
/// let retry = Retry::new(Backoff::constant(secs(5)))
///     .operation_type("tool")
///     .operation_name("search")
///     .step_id("step-7")
///     .on_retry(move |event: &RetryEvent| drop(told.send(event.clone())));
///
/// let failed = retry.run(async || Err::<(), _>("no route to the server")).await;
/// assert!(failed.is_err());
///
/// let first = events.recv().unwrap();
/// assert_eq!((first.operation_type(), first.operation_name()), ("tool", "search"));
/// assert_eq!((first.attempt(), first.max_attempts()), (1, 3));
/// assert_eq!(first.error(), "no route to the server");
/// assert_eq!(first.delay(), secs(5));
/// assert_eq!(first.step_id(), Some("step-7"));
/// assert_eq!(
///     first.to_string(),
///     "attempt 1 of 3 of `search` failed, the next comes in 5s: no route to the server"
/// );
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryEvent {
    pub(crate) operation: Arc<Operation>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) error: String,
    pub(crate) error_kind: Cow<'static, str>,
    pub(crate) request_id: Option<String>,
    pub(crate) delay: Duration,
    pub(crate) timestamp: SystemTime,
}

impl RetryEvent {
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

    /// Returns the number of the attempt that failed: 1 for the first call.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns how many attempts there are at most, the first call included.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Returns the text of the error.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns the kind of the error: what [`Retry::error_kind`](crate::Retry::error_kind) said, or
    /// the name of its Rust type.
    #[must_use]
    pub fn error_kind(&self) -> &str {
        &self.error_kind
    }

    /// Returns the id of the failed request, if [`Retry::request_id`](crate::Retry::request_id) found
    /// one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns how long the wait is that now begins.
    #[must_use]
    #[doc(alias = "next_delay_seconds")]
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns the id of the step that the operation belongs to.
    #[must_use]
    pub fn step_id(&self) -> Option<&str> {
        self.operation.step_id.as_deref()
    }

    /// Returns when the attempt failed, which is when the wait begins.
    ///
    /// Within one operation it follows tokio's clock, so that it neither jumps nor ignores a paused
    /// clock.
    #[must_use]
    pub const fn timestamp(&self) -> SystemTime {
        self.timestamp
    }
}

impl fmt::Display for RetryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempt {} of {} of `{}` failed, the next comes in {:?}: {}",
            self.attempt,
            self.max_attempts,
            self.operation.name(),
            self.delay,
            self.error
        )
    }
}
