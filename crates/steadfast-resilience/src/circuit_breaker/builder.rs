//! How a breaker is configured, and what it refuses; it knows nothing of time.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    CircuitBreaker, CircuitChange, OnChange,
    lane::{Rate, Rules},
};
use crate::{ConfigError, secs};

/// Configures a [`CircuitBreaker`]. [`CircuitBreaker::builder`] makes one.
#[derive(Clone)]
#[must_use]
pub struct CircuitBreakerBuilder {
    consecutive_failures: Option<u32>,
    failure_rate: Option<f64>,
    window: Duration,
    min_calls: u32,
    open_for: Duration,
    max_open_for: Option<Duration>,
    on_change: Option<OnChange>,
}

impl Default for CircuitBreakerBuilder {
    fn default() -> Self {
        Self {
            consecutive_failures: None,
            failure_rate: None,
            window: secs(60),
            min_calls: 20,
            open_for: secs(30),
            max_open_for: None,
            on_change: None,
        }
    }
}

impl CircuitBreakerBuilder {
    /// Opens a circuit after so many failures in a row.
    ///
    /// The default is 5, unless [`failure_rate`](Self::failure_rate) is set; with both, whichever is met
    /// first opens it.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Opens a circuit when this share of the latest calls has failed, such as 0.5.
    ///
    /// For what is called by many at once, where a few successes among the failures keep a row from
    /// forming. It looks at the calls of a [`window`](Self::window), once they are
    /// [`min_calls`](Self::min_calls).
    pub const fn failure_rate(mut self, share: f64) -> Self {
        self.failure_rate = Some(share);
        self
    }

    /// Sets for how long a call counts for the failure rate. The default is 60 seconds.
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets how many calls a failure rate needs to be looked at. The default is 20.
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Sets for how long a circuit is open at first. The default is 30 seconds.
    #[doc(alias = "reset_timeout")]
    pub const fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// Sets for how long a circuit is open at most: each trial that fails doubles the time up to this.
    ///
    /// The default is ten times [`open_for`](Self::open_for). With the same as there it is always as long.
    pub const fn max_open_for(mut self, time: Duration) -> Self {
        self.max_open_for = Some(time);
        self
    }

    /// Calls back after each change of a circuit's state, on the task whose call brought it about.
    pub fn on_change(mut self, on_change: impl Fn(&CircuitChange) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Arc::new(on_change));
        self
    }

    /// Makes the breaker. All its circuits are closed.
    ///
    /// ```
    /// use steadfast_resilience::{CircuitBreaker, secs};
    ///
    /// let builder = CircuitBreaker::builder().open_for(secs(60)).max_open_for(secs(30));
    /// let error = builder.build().unwrap_err();
    /// assert_eq!(error.to_string(), "`max_open_for` must be at least `open_for` (60s), got `30s`");
    /// ```
    ///
    /// # Errors
    ///
    /// Counts and times of zero, a failure rate that is not above 0 and at most 1, and a `max_open_for`
    /// below `open_for`. The error names the field.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        for (field, count) in [
            ("consecutive_failures", self.consecutive_failures),
            ("min_calls", Some(self.min_calls)),
        ] {
            if count == Some(0) {
                return Err(ConfigError::zero_count(field));
            }
        }
        for (field, time) in [("window", self.window), ("open_for", self.open_for)] {
            if time.is_zero() {
                return Err(ConfigError::zero_time(field));
            }
        }
        if let Some(share) = self.failure_rate
            && !(share > 0.0 && share <= 1.0)
        {
            let problem = format!("must be above 0 and at most 1, got `{share}`");
            return Err(ConfigError::new("failure_rate", problem)
                .with_hint("it is no percentage: 0.5 opens when half of the calls fail"));
        }
        let longest = self.open_for.saturating_mul(10);
        let max_open_for = self.max_open_for.unwrap_or(longest);
        if max_open_for < self.open_for {
            let problem = format!(
                "must be at least `open_for` ({:?}), got `{max_open_for:?}`",
                self.open_for
            );
            return Err(ConfigError::new("max_open_for", problem));
        }
        let rate = self.failure_rate.map(|share| Rate {
            share,
            window: self.window,
            min_calls: self.min_calls,
        });
        let by_default = Rules::default()
            .consecutive_failures
            .filter(|_| rate.is_none());
        let rules = Rules {
            consecutive_failures: self.consecutive_failures.or(by_default),
            rate,
            open_for: self.open_for,
            max_open_for,
        };
        Ok(CircuitBreaker::with(rules, self.on_change))
    }
}

impl fmt::Debug for CircuitBreakerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerBuilder")
            .field("consecutive_failures", &self.consecutive_failures)
            .field("failure_rate", &self.failure_rate)
            .field("window", &self.window)
            .field("min_calls", &self.min_calls)
            .field("open_for", &self.open_for)
            .field("max_open_for", &self.max_open_for)
            .finish_non_exhaustive()
    }
}
