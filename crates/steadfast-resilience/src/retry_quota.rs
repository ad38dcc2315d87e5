//! A quota of retries that many calls share; what a retry costs is its strategy's business.

use std::sync::atomic::Ordering;

use crate::sync::{Arc, AtomicU32};

/// Tokens that retries take and successes give back.
///
/// When most calls fail, their retries empty it, and from then on a failure is met at once instead
/// of after several tries: a provider that is down is not kept down by its callers. Clones share the
/// tokens, across threads and agents.
///
/// ```
/// use steadfast_resilience::RetryQuota;
///
/// let quota = RetryQuota::new(500);
/// assert!(quota.take(14));
/// assert_eq!(quota.left(), 486);
///
/// quota.give_back(14);
/// quota.give_back(1); // never above what it began with
/// assert_eq!(quota.left(), 500);
///
/// assert!(!quota.take(501)); // all or nothing
/// assert_eq!(quota.left(), 500);
/// ```
#[derive(Debug, Clone)]
pub struct RetryQuota {
    capacity: u32,
    left: Arc<AtomicU32>,
}

impl RetryQuota {
    /// Makes a full quota of so many tokens.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            left: Arc::new(AtomicU32::new(capacity)),
        }
    }

    /// Takes tokens, or none if fewer are left. Says whether it did.
    #[must_use]
    pub fn take(&self, tokens: u32) -> bool {
        // Nothing else is published with the count, so no order is needed.
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(tokens)
            })
            .is_ok()
    }

    /// Gives tokens back. What goes beyond the capacity is lost.
    pub fn give_back(&self, tokens: u32) {
        let refill = |left: u32| Some(left.saturating_add(tokens).min(self.capacity));
        // The closure always answers, so this cannot fail.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, refill);
    }

    /// Returns how many tokens are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn clones_share_the_tokens_and_two_quotas_do_not() {
        let quota = RetryQuota::new(10);
        let other = RetryQuota::new(10);

        assert!(quota.clone().take(7));

        assert_eq!((quota.left(), other.left()), (3, 10));
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let quota = RetryQuota::new(500);

        let taken: usize = thread::scope(|scope| {
            let take = || (0..100).filter(|_| quota.take(5)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });

        assert_eq!((taken, quota.left()), (100, 0));
    }
}
