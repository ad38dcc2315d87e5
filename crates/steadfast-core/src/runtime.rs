//! The runtime seam: where a run's steps are recorded and where time and chance come from.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use tokio::time::Instant;

use crate::run::{StepName, StepOutcome};

/// What a run is driven on: tokio, or an engine that makes runs durable.
///
/// Three things are recorded, each under a name of its own: an attempt with its hooks, its verdict
/// and its delay; a tool call with its hooks; a wait, by how it ended. The brackets around them (the
/// beginning and end of a prompt and of a turn's tools) are recorded too, since hooks may decide
/// there. A failed model call is recorded as a value: an engine must not retry it.
///
/// # Replay
///
/// A runtime that already holds the outcome of a name returns it without polling the work: no hook,
/// observer or event happens again. Work whose outcome was not yet recorded when the process ended
/// is done again, so hooks are asked at least once per attempt.
///
/// # Cancel safety
///
/// The future of `record` may be dropped at any await; the unit then counts as not done.
pub trait Runtime: Send + Sync {
    /// Does the work and records its outcome, or returns the one already recorded.
    ///
    /// # Errors
    ///
    /// The runtime stops the run; the unit counts as not done.
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>>;

    /// Waits until a wall-clock time, at once if it has passed.
    ///
    /// # Errors
    ///
    /// The runtime stops the run; whoever resumes waits for what is left.
    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>>;

    /// Returns the wall-clock time.
    fn now(&self) -> SystemTime;

    /// Returns 64 random bits.
    fn random(&self) -> u64;
}

/// The runtime below stopped the run, to end or to go on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runtime stopped the run: {reason}")]
pub struct Stopped {
    reason: String,
}

impl Stopped {
    /// Says why.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// Tokio: nothing is recorded, time is tokio's, and chance comes from a seed.
///
/// The wall clock is read once and then follows tokio's clock, so that it stands still where a test
/// pauses time.
#[derive(Debug)]
pub struct TokioRuntime {
    epoch: SystemTime,
    began: Instant,
    random: AtomicU64,
}

impl TokioRuntime {
    /// Makes a runtime with a seed of the system's.
    #[must_use]
    pub fn new() -> Self {
        // The standard library seeds its hash maps from the system; nothing here is secret.
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// Makes a runtime whose jitter and run identities follow from a seed.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    pub fn seeded(seed: u64) -> Self {
        Self {
            epoch: SystemTime::now(),
            began: Instant::now(),
            random: AtomicU64::new(seed),
        }
    }
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for TokioRuntime {
    fn record<'a>(
        &'a self,
        _name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move { Ok(work.await) })
    }

    fn sleep_until<'a>(
        &'a self,
        _name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        Box::pin(async move {
            if let Ok(delay) = until.duration_since(self.now()) {
                tokio::time::sleep(delay).await;
            }
            Ok(())
        })
    }

    fn now(&self) -> SystemTime {
        let elapsed = self.began.elapsed();
        self.epoch.checked_add(elapsed).unwrap_or(self.epoch)
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
    fn random(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self
            .random
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_matches_its_published_sequence() {
        // The first outputs for seed 1234567, as in the reference implementation's test values.
        let runtime = TokioRuntime::seeded(1_234_567);
        let drawn = [runtime.random(), runtime.random(), runtime.random()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn wall_clock_follows_paused_time() {
        let runtime = TokioRuntime::new();
        let before = runtime.now();
        tokio::time::sleep(crate::secs(3_600)).await;
        assert_eq!(
            runtime.now().duration_since(before).unwrap(),
            crate::secs(3_600)
        );
    }
}
