//! The attempts of one operation: whether there is another, and after what wait. It never waits.

use std::{
    any::type_name,
    borrow::Cow,
    fmt::Display,
    time::{Duration, SystemTime},
};

use fastrand::Rng;
use tokio::time::Instant;

use super::Retry;
use crate::{RetryBudget, RetryEvent, RetryQuota, Wait};

/// What one operation has come to.
#[derive(Debug)]
pub(crate) struct Attempts {
    began: Instant,
    began_at: SystemTime,
    /// How many calls have failed.
    failed: u32,
    last_delay: Option<Duration>,
    /// None where the bits come from the thread's own generator.
    seeded: Option<Rng>,
    of_quota: Option<Drawn>,
    of_budget: Option<Drawn>,
}

impl Attempts {
    /// Begins an operation now.
    pub(crate) fn begin(seed: Option<u64>) -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemTime::now(),
            failed: 0,
            last_delay: None,
            seeded: seed.map(Rng::with_seed),
            of_quota: None,
            of_budget: None,
        }
    }

    /// Says that a limiter let the next call go. If it is the first, the operation begins with it.
    pub(crate) fn admitted(&mut self) {
        if self.failed == 0 {
            (self.began_at, self.began) = (self.timestamp(), Instant::now());
        }
    }

    /// Returns the number of the call that comes next.
    pub(crate) const fn next_number(&self) -> u32 {
        self.failed.saturating_add(1)
    }

    /// Returns the time of day, as far as the operation knows it.
    pub(crate) fn timestamp(&self) -> SystemTime {
        let elapsed = self.began.elapsed();
        self.began_at.checked_add(elapsed).unwrap_or(self.began_at)
    }

    /// Returns when the last call has to have begun.
    pub(crate) fn deadline<E>(&self, retry: &Retry<E>) -> Option<Instant> {
        retry
            .deadline
            .and_then(|deadline| self.began.checked_add(deadline))
    }

    /// Counts a failed call. Answers what is waited for, after telling it; none if the error stands.
    pub(crate) fn failed<E: Display>(&mut self, retry: &Retry<E>, error: &E) -> Option<RetryEvent> {
        self.count_failure(retry);
        match self.plan(retry, error) {
            Ok(delay) => Some(self.tell_retry(retry, error, delay)),
            Err(why) => {
                self.tell_end(retry, error, why);
                None
            }
        }
    }

    /// Counts a failed call whose error stands, whatever the retry would do with it, and tells why.
    pub(crate) fn stands<E: Display>(&mut self, retry: &Retry<E>, error: &E, why: &str) {
        self.count_failure(retry);
        self.tell_end(retry, error, why);
    }

    fn count_failure<E>(&mut self, retry: &Retry<E>) {
        self.earn(retry);
        self.failed = self.failed.saturating_add(1);
    }

    /// Says to who listens why an error stands. Its call was counted before.
    pub(crate) fn tell_end<E: Display>(&self, retry: &Retry<E>, error: &E, why: &str) {
        tracing::debug!(
            operation = retry.operation.name(),
            operation_type = retry.operation.kind(),
            step = retry.operation.step_id,
            attempt = self.failed,
            max_attempts = retry.max_attempts,
            %error,
            why,
            "giving up"
        );
    }

    fn tell_retry<E: Display>(
        &mut self,
        retry: &Retry<E>,
        error: &E,
        delay: Duration,
    ) -> RetryEvent {
        self.last_delay = Some(delay);
        let event = RetryEvent {
            operation: retry.operation.clone(),
            attempt: self.failed,
            max_attempts: retry.max_attempts,
            error: error.to_string(),
            error_kind: match &retry.error_kind {
                Some(kind) => Cow::Owned(kind(error)),
                None => Cow::Borrowed(type_name::<E>()),
            },
            request_id: retry.request_id.as_ref().and_then(|id| id(error)),
            delay,
            timestamp: self.timestamp(),
        };
        tracing::debug!(
            operation = event.operation_name(),
            operation_type = event.operation_type(),
            step = event.step_id(),
            attempt = event.attempt,
            max_attempts = event.max_attempts,
            error = event.error,
            error_kind = event.error_kind(),
            request_id = event.request_id,
            ?delay,
            "waiting before a retry"
        );
        if let Some(on_retry) = &retry.on_retry {
            on_retry(&event);
        }
        event
    }

    /// Says that the wait is over: from here on the retry has cost what it drew.
    pub(crate) fn waited(&mut self) {
        for drawn in self.of_quota.iter_mut().chain(&mut self.of_budget) {
            drawn.is_spent = true;
        }
    }

    /// Counts the operation's first call, once it has ended.
    fn earn<E>(&self, retry: &Retry<E>) {
        if let Some(budget) = &retry.budget
            && self.failed == 0
        {
            budget.count_call();
        }
    }

    /// Says that the operation succeeded.
    pub(crate) fn succeeded<E>(self, retry: &Retry<E>) {
        self.earn(retry);
        match (self.of_quota, &retry.quota) {
            (Some(mut drawn), _) => drawn.is_spent = false,
            (None, Some((quota, _))) => quota.give_back(1),
            (None, None) => {}
        }
    }

    /// How long to wait before the next call, or why there is none.
    fn plan<E>(&mut self, retry: &Retry<E>, error: &E) -> Result<Duration, &'static str> {
        if self.failed >= retry.max_attempts {
            return Err("no attempt is left");
        }
        if !retry.retries(error) {
            return Err("the error is not retried");
        }
        let delay = self.delay(retry, error)?;
        let begins = self.began.elapsed().saturating_add(delay);
        if retry.deadline.is_some_and(|deadline| begins >= deadline) {
            return Err("the wait would pass the deadline");
        }
        if let Some(budget) = &retry.budget {
            let drawn = Source::Budget(budget.clone()).draw();
            self.of_budget = Some(drawn.ok_or("the retry budget is used up")?);
        }
        if let Some((quota, tokens)) = &retry.quota {
            let drawn = Source::Quota(quota.clone(), *tokens).draw();
            self.of_quota = Some(drawn.ok_or("the quota is used up")?);
        }
        Ok(delay)
    }

    fn delay<E>(&mut self, retry: &Retry<E>, error: &E) -> Result<Duration, &'static str> {
        let random = match &mut self.seeded {
            Some(seeded) => seeded.u64(..),
            None => fastrand::u64(..),
        };
        let wait = Wait::after(self.failed.saturating_sub(1))
            .last_delay(self.last_delay)
            .random(random);
        match retry.hint.as_ref().and_then(|hint| hint(error)) {
            Some(hint) if hint > retry.longest_hint() => {
                Err("the server asks for more than is ever waited")
            }
            Some(hint) => Ok(retry.backoff.delay_with_hint(&wait, hint)),
            None => Ok(retry.backoff.delay(&wait)),
        }
    }
}

/// What a retry draws on.
#[derive(Debug)]
enum Source {
    Quota(RetryQuota, u32),
    Budget(RetryBudget),
}

impl Source {
    fn draw(self) -> Option<Drawn> {
        let is_drawn = match &self {
            Self::Quota(quota, tokens) => quota.take(*tokens),
            Self::Budget(budget) => budget.take(),
        };
        is_drawn.then(|| Drawn {
            from: self,
            is_spent: false,
        })
    }
}

/// What was drawn. Its source gets it back unless it was spent.
#[derive(Debug)]
struct Drawn {
    from: Source,
    is_spent: bool,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        match &self.from {
            _ if self.is_spent => {}
            Source::Quota(quota, tokens) => quota.give_back(*tokens),
            Source::Budget(budget) => budget.give_back(),
        }
    }
}
