//! Limiters for streams, and a stream that holds what it was let go with.

use futures_util::{StreamExt, stream};
use steadfast_resilience::{ConfigError, Limiter};

use crate::streams::Inner;

/// Ten a second, one at a time.
pub(crate) fn ten_a_second() -> Result<Limiter, ConfigError> {
    Limiter::builder().per_second(10.0).burst(1).build()
}

pub(crate) fn one_place() -> Result<Limiter, ConfigError> {
    Limiter::builder().concurrency(1).build()
}

pub(crate) fn endless() -> Inner {
    Box::pin(stream::iter([Ok(1)]).chain(stream::pending()))
}
