//! Retries of any future and any stream, and the parts that they are made of.
//!
//! What an error means, its caller says: nothing is classified here unless it is asked for.
//! [`Retry`] calls, waits on tokio's clock and calls again. [`Backoff`] is arithmetic: the same input
//! gives the same answer, in a test and in a replay. [`RetryBudget`], [`RetryQuota`],
//! [`CircuitBreaker`], [`Limiter`] and [`AdaptiveLimiter`] are handles whose clones share what they know.
//!
//! ```
//! use steadfast_resilience::{Backoff, Retry, secs};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let mut answers = [Err("busy"), Err("busy"), Ok(42)].into_iter();
//! let retry = Retry::new(Backoff::exponential(secs(1))); // three calls, one and two seconds apart
//!
//! let answer = retry.run(|| std::future::ready(answers.next().unwrap_or(Err("asleep")))).await;
//! assert_eq!(answer, Ok(42));
//! # }
//! ```
//!
//! The arithmetic alone:
//!
//! ```
//! use steadfast_resilience::{Backoff, Wait, secs};
//!
//! let backoff = Backoff::exponential(secs(4)).max_delay(secs(240));
//! let delays: Vec<u64> = (0..5)
//!     .map(|waits| backoff.delay(&Wait::after(waits)).as_secs())
//!     .collect();
//! assert_eq!(delays, [4, 8, 16, 32, 64]);
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive_limiter;
mod backoff;
mod circuit_breaker;
mod config_error;
mod duration;
mod hedge;
mod jitter;
mod limiter;
mod operation;
mod pacer;
mod rate_limit_event;
mod resilient;
mod resilient_stream;
mod retry;
mod retry_budget;
mod retry_event;
mod retry_quota;
mod sliding_counts;
mod sync;
mod transient;

pub use adaptive_limiter::AdaptiveLimiter;
pub use backoff::{Backoff, Wait};
pub use circuit_breaker::{
    CircuitBreaker, CircuitBreakerBuilder, CircuitCall, CircuitChange, CircuitError, CircuitOpen,
    CircuitState,
};
pub use config_error::ConfigError;
pub use duration::{millis, secs};
pub use hedge::{hedge, hedge_if};
pub use jitter::Jitter;
pub use limiter::{Available, Cost, Limiter, LimiterBuilder, LimiterError, Permit, Windows};
pub use pacer::{Pacer, Pass};
pub use rate_limit_event::RateLimitEvent;
pub use resilient::{AfterOutput, Resilient};
pub use resilient_stream::{ResilientStream, rate_limited_stream, resilient_stream, retry_stream};
pub use retry::Retry;
pub use retry_budget::{RetryBudget, RetryBudgetBuilder};
pub use retry_event::RetryEvent;
pub use retry_quota::RetryQuota;
pub use transient::{is_connection_error, is_timeout, reads_transient};
