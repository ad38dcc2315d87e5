//! Backoff and jitter: how long to wait before the next try.
//!
//! This crate is arithmetic. It decides neither *whether* to try again nor what an error means, it
//! never sleeps and it draws no random numbers of its own: time and randomness are arguments, so
//! the same input gives the same answer, in a test and in a replay.
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

mod backoff;
mod config_error;
mod duration;
mod jitter;

pub use backoff::{Backoff, Wait};
pub use config_error::ConfigError;
pub use duration::{millis, secs};
pub use jitter::Jitter;
