//! What the reader of a resilient stream meets; it reads nothing itself.

use std::time::Duration;

use crate::{RateLimitEvent, RetryEvent};

/// What the reader of a [`ResilientStream`](crate::ResilientStream) meets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Resilient<T> {
    /// The next item, as it came.
    Item(T),
    /// The limiter has it wait, and the wait begins: so long, as far as is known now.
    ///
    /// [`Limiter::expected_wait`](crate::Limiter::expected_wait) says what that promises.
    /// [`RateLimit`](Self::RateLimit) follows when it may go.
    Queued(Duration),
    /// The limiter let it go, after a wait or at once.
    RateLimit(RateLimitEvent),
    /// An attempt failed, and the wait before the next one begins.
    Retry(RetryEvent),
    /// Every item before this one is void: the stream begins again.
    Reset,
}

impl<T> Resilient<T> {
    /// Returns the item, if it is one.
    ///
    /// ```
    /// use steadfast_resilience::Resilient;
    ///
    /// assert_eq!(Resilient::Item("word").into_item(), Some("word"));
    /// assert_eq!(Resilient::<&str>::Reset.into_item(), None);
    /// ```
    #[must_use]
    pub fn into_item(self) -> Option<T> {
        match self {
            Self::Item(item) => Some(item),
            Self::Queued(_) | Self::RateLimit(_) | Self::Retry(_) | Self::Reset => None,
        }
    }
}

/// What becomes of a stream that fails after its reader has met items.
///
/// A stream that can go on where it failed is [`resumed`](crate::ResilientStream::resume) instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AfterOutput {
    /// The error stands, without a retry.
    #[default]
    Fail,
    /// It begins again, and the reader meets [`Resilient::Reset`] first.
    Restart,
}
