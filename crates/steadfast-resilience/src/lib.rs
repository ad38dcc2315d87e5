//! Backoff, jitter, and what retries share: a quota and a limiter.
//!
//! It decides neither *whether* to try again nor what an error means, and it draws no random numbers
//! of its own. [`Backoff`] is arithmetic: the same input gives the same answer, in a test and in a
//! replay. [`RetryQuota`] and [`AdaptiveLimiter`] are handles whose clones share what they know; only
//! the limiter waits, on tokio's clock.
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
mod config_error;
mod duration;
mod jitter;
mod limiter;
mod retry_quota;

pub use adaptive_limiter::AdaptiveLimiter;
pub use backoff::{Backoff, Wait};
pub use config_error::ConfigError;
pub use duration::{millis, secs};
pub use jitter::Jitter;
pub use limiter::{Available, Cost, Limiter, LimiterBuilder, LimiterError, Permit, Windows};
pub use retry_quota::RetryQuota;
