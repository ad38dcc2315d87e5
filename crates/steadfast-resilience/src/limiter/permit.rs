//! The right to begin one operation; what it costs was decided before.

use std::{borrow::Cow, fmt};

use super::{Limiter, allowance::Taken};

/// The right to begin one operation, from a [`Limiter`].
///
/// Keep it for as long as the operation runs: with a concurrency limit, dropping it lets the next one
/// begin. What was taken of the rates stays taken, and the estimate of the tokens stands, unless
/// [`settle`](Self::settle) or [`give_back`](Self::give_back) says otherwise.
///
/// It borrows its limiter, which costs nothing. Where it has to outlive the borrow, such as in a value
/// or a task, it is [made its own](Self::into_owned).
#[must_use = "with a concurrency limit, dropping the permit lets the next operation begin"]
pub struct Permit<'a> {
    limiter: Cow<'a, Limiter>,
    taken: Option<Taken>,
}

impl<'a> Permit<'a> {
    pub(super) const fn new(limiter: Cow<'a, Limiter>, taken: Taken) -> Self {
        Self {
            limiter,
            taken: Some(taken),
        }
    }

    /// Makes it a permit that borrows nothing.
    ///
    /// ```
    /// use steadfast_resilience::{Cost, Limiter, LimiterError, Permit};
    ///
    /// /// A connection that counts as open for as long as it lives.
    /// struct Connection {
    ///     _permit: Permit<'static>,
    /// }
    ///
    /// fn connect(limiter: &Limiter) -> Result<Connection, LimiterError> {
    ///     let permit = limiter.try_acquire(Cost::request())?;
    ///     Ok(Connection { _permit: permit.into_owned() })
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().concurrency(1).build()?;
    /// let connection = connect(&limiter)?;
    /// assert!(connect(&limiter).is_err());
    ///
    /// drop(connection);
    /// assert!(connect(&limiter).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_owned(mut self) -> Permit<'static> {
        Permit {
            limiter: Cow::Owned(self.limiter.as_ref().clone()),
            taken: self.taken.take(),
        }
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Ends the operation, with the tokens that it really used.
    ///
    /// Those that were reserved and not used go to the next at once. Those that were used beyond the
    /// reservation are owed, and later operations that take tokens wait for them. The debt is bounded
    /// by what may go at once, so that a wrong count of usage cannot stop everything for hours.
    ///
    /// ```
    /// use steadfast_resilience::{Cost, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
    /// let permit = limiter.try_acquire(Cost::request().tokens(4_000))?;
    /// assert!(limiter.available().tokens < 6_001.0);
    ///
    /// permit.settle(1_000);
    /// assert!(limiter.available().tokens >= 9_000.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle(mut self, used_tokens: u64) {
        if let Some(taken) = self.taken.take() {
            self.limiter.settle(taken, used_tokens);
        }
    }

    /// Gives everything back: the operation never began.
    ///
    /// What the limit would have let run over meanwhile is gone: a permit that was kept for long may
    /// give nothing back.
    pub fn give_back(mut self) {
        if let Some(taken) = self.taken.take() {
            self.limiter.give_back(taken);
        }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.taken.is_some() {
            self.limiter.release();
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("cost", &self.taken.map(|taken| taken.cost))
            .finish_non_exhaustive()
    }
}
