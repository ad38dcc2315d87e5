//! What locks and waits are made of: std's and tokio's, and under `--cfg loom` those with which this
//! crate's own tests try every order of threads. It adds nothing to either.

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32};

#[cfg(not(all(test, loom)))]
pub(crate) use tokio::time::{Instant, Sleep, sleep};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32};

#[cfg(all(test, loom))]
pub(crate) use virtual_time::{Instant, Sleep, advance_until, model, sleep};

#[cfg(all(test, loom))]
mod virtual_time;
