//! A budget that keeps retries to a share of the calls; when a retry is made is its caller's business.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::{ConfigError, rounding::NOTHING, sliding_counts::SlidingCounts};

/// How many seconds a call and a retry count.
const WINDOW: u64 = 60;
/// The largest share: ten retries for each call.
const LARGEST_SHARE: f64 = 10.0;

/// Retries that many calls share: so many for each call, and a few a minute in any case.
///
/// Without options 20 retries for 100 calls of the last minute, and 10 beside. When most calls fail,
/// their retries use it up, and from then on a failure stands at once: a provider that is down gets a
/// fifth more traffic, however many retries each caller would make. The few in any case are for programs
/// that call so rarely that a share of it is nothing. Clones share what was counted, across tasks,
/// threads and agents.
///
/// The idea and the share are those of Finagle's `RetryBudget` and tower's `TpsBudget`, which count over
/// ten seconds and add 10 a second. A model takes longer to answer than their servers, so a minute is
/// counted here, and the 10 are for a minute. It slides by the second, on a clock that never goes back.
///
/// ```
/// use steadfast_resilience::RetryBudget;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = RetryBudget::builder().share(0.1).floor_per_minute(2).build()?;
/// for _ in 0..30 {
///     budget.count_call();
/// }
/// assert_eq!(budget.left(), 2 + 3);
///
/// if budget.take() {
///     // … the call, once more …
/// }
/// assert_eq!(budget.left(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "retry_throttling")]
pub struct RetryBudget(Arc<Shared>);

struct Shared {
    share: f64,
    floor: u32,
    /// When the budget's clock began.
    epoch: Instant,
    /// The calls of the last minute by the second, and noted the retries.
    counts: Mutex<SlidingCounts>,
}

impl RetryBudget {
    /// Begins the configuration of a budget.
    pub const fn builder() -> RetryBudgetBuilder {
        RetryBudgetBuilder {
            share: 0.2,
            floor: 10,
        }
    }

    /// Counts a call that is no retry: it earns its share of one.
    pub fn count_call(&self) {
        self.counts().count_call();
    }

    /// Takes one retry, if there is one. Says whether there was.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut counts = self.counts();
        let is_left = self.left_of(&counts) > 0;
        if is_left {
            counts.count_noted();
        }
        is_left
    }

    /// Gives a retry back that was taken and not made. One of a minute ago is not counted any more.
    pub fn give_back(&self) {
        self.counts().uncount_noted();
    }

    /// Returns how many retries are left now.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left_of(&self.counts())
    }

    /// Returns how many retries each call earns.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.0.share
    }

    /// Returns how many retries there are a minute in any case.
    #[must_use]
    pub fn floor_per_minute(&self) -> u32 {
        self.0.floor
    }

    fn left_of(&self, counts: &SlidingCounts) -> u64 {
        let total = counts.total();
        let earned = (total.calls as f64 * self.0.share + NOTHING) as u64;
        let allowed = earned.saturating_add(u64::from(self.0.floor));
        allowed.saturating_sub(total.noted)
    }

    /// The clock is read while the lock is held, so that it never goes back.
    fn counts(&self) -> MutexGuard<'_, SlidingCounts> {
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.slide(self.0.epoch.elapsed().as_secs(), WINDOW);
        counts
    }
}

/// 20 % of the calls, and 10 a minute.
impl Default for RetryBudget {
    fn default() -> Self {
        Self::builder().make()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("share", &self.0.share)
            .field("floor_per_minute", &self.0.floor)
            .field("left", &self.left())
            .finish()
    }
}

/// Configures a [`RetryBudget`]. [`RetryBudget::builder`] makes one.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct RetryBudgetBuilder {
    share: f64,
    floor: u32,
}

impl RetryBudgetBuilder {
    /// Sets how many retries each call earns. The default is 0.2: 20 for 100 calls.
    pub const fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets how many retries there are a minute in any case. The default is 10.
    pub const fn floor_per_minute(mut self, retries: u32) -> Self {
        self.floor = retries;
        self
    }

    /// Makes the budget. Nothing was counted yet.
    ///
    /// ```
    /// use steadfast_resilience::RetryBudget;
    ///
    /// let error = RetryBudget::builder().share(20.0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "`share` must be a number from 0 to 10, got `20`");
    /// assert_eq!(error.hint(), Some("it is no percentage: 0.2 allows 20 retries for 100 calls"));
    /// ```
    ///
    /// # Errors
    ///
    /// A share that is negative, above 10 or no number.
    pub fn build(self) -> Result<RetryBudget, ConfigError> {
        if !(0.0..=LARGEST_SHARE).contains(&self.share) {
            let problem = format!(
                "must be a number from 0 to {LARGEST_SHARE}, got `{}`",
                self.share
            );
            return Err(ConfigError::new("share", problem)
                .with_hint("it is no percentage: 0.2 allows 20 retries for 100 calls"));
        }
        Ok(self.make())
    }

    fn make(self) -> RetryBudget {
        RetryBudget(Arc::new(Shared {
            share: self.share,
            floor: self.floor,
            epoch: Instant::now(),
            counts: Mutex::default(),
        }))
    }
}
