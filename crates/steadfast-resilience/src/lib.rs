//! Retries and rate limits for any future and any stream, and the parts that they are made of. No agent
//! is needed.
//!
//! A future that may fail is called again:
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
//! Many callers of one server share a limit:
//!
//! ```
//! use steadfast_resilience::{Cost, Limiter};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = Limiter::builder().per_second(10.0).concurrency(4).build()?; // clones are one limiter
//!
//! let permit = limiter.acquire(Cost::request()).await?;
//! // … the call …
//! drop(permit);
//! # Ok(())
//! # }
//! ```
//!
//! A stream does both, and its reader sees each wait before it begins:
//!
//! ```
//! use steadfast_resilience::{Backoff, Limiter, Resilient, Retry, resilient_stream, secs};
//! # use futures_util::stream;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let limiter = Limiter::builder().per_second(10.0).build()?;
//! # let mut refusals = vec![Err("refused")].into_iter();
//! # let mut ask_model = move || stream::iter([refusals.next().unwrap_or(Ok("hello"))]);
//! let mut answer = resilient_stream(|| ask_model())
//!     .rate_limit(&limiter)
//!     .retry(Retry::new(Backoff::exponential(secs(1))));
//!
//! while let Some(next) = answer.next().await {
//!     match next? {
//!         Resilient::Item(word) => println!("{word}"),
//!         Resilient::Retry(event) => println!("{event}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | what there is | what to take |
//! |---|---|
//! | a future that may fail | [`Retry::run`] |
//! | a stream that may fail | [`retry_stream`](retry_stream()) |
//! | a stream behind a limit | [`rate_limited_stream`](rate_limited_stream()), or both with [`resilient_stream`](resilient_stream()) |
//! | a limit that is known: requests, a model's tokens, how much at once | [`Limiter`] |
//! | a limit that nobody knows | [`Pacer`], or AWS's [`AdaptiveLimiter`] |
//! | retries that must not become most of the traffic | [`RetryBudget`], or AWS's [`RetryQuota`] |
//! | a server that is down | [`CircuitBreaker`] |
//! | a call that takes too long now and then | [`hedge`](hedge()) |
//! | what is waited between two calls | [`Backoff`], [`Jitter`] and [`Wait`] |
//! | who counts and shows what happens | [`RetryEvent`], [`RateLimitEvent`], [`CircuitChange`], and `tracing`: circuits at level warn and info, all else at debug |
//! | an error that says nothing of itself | [`is_timeout`], [`is_connection_error`], [`reads_transient`] |
//!
//! What an error means, its caller says: nothing is classified here unless it is asked for. Waits are
//! on tokio's clock. Limiters, pacers, quotas, budgets and breakers are handles whose clones share what
//! they know; all else keeps nothing between calls. [`Backoff`] is arithmetic: the same input gives
//! the same answer, in a test and in a replay.
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
mod queue;
mod rate_limit_event;
mod resilient;
mod resilient_stream;
mod retry;
mod retry_budget;
mod retry_event;
mod retry_quota;
mod rounding;
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
