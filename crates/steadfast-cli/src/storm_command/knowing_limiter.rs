//! The limiter that knows the limit: it stands in front of the provider, lets calls go in the order in
//! which they came, and sets the measure for everybody else. It learns nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast::{
    AfterModelCallEvent, BeforeModelCallEvent, ConfigError, Cost, HookProvider, HookRegistry,
    Limiter, ModelError, millis,
};
use tokio::time::{Instant, sleep_until};

use super::{
    admission::{Admission, Asked},
    world::{ANSWER_TOKENS, CHARACTERS_A_TOKEN, Limit, World},
};

/// A limiter that knows the limit of its world. Clones share it.
#[derive(Debug, Clone)]
pub(super) enum KnowingLimiter {
    /// This project's own limiter, told the limit.
    Limiter(Limiter),
    /// What no limiter can be told: it keeps the provider's own books, and sends each call at the first
    /// moment at which it will be admitted.
    Books(Arc<Books>),
}

#[derive(Debug)]
pub(super) struct Books {
    began: Instant,
    outage: Option<std::ops::Range<Duration>>,
    changes: Vec<Duration>,
    /// The books, and the moment up to which they are kept.
    kept: Mutex<(Admission, Duration)>,
}

impl KnowingLimiter {
    /// Tells it the limit. It is built when the storm begins.
    pub(super) fn of(world: &World, seed: u64) -> Result<Self, ConfigError> {
        let limiter = Limiter::builder();
        let limiter = match &world.limit {
            Limit::Requests {
                a_second,
                burst,
                changes,
            } if changes.is_empty() && world.outage.is_none() => {
                let burst = burst.saturating_sub(world.kept_back).max(1);
                limiter.per_second(*a_second).burst(burst)
            }
            Limit::Tokens { a_second, burst } => limiter
                .tokens_per_minute(a_second * 60.0)
                .token_burst(*burst),
            Limit::Concurrency { calls } => limiter.concurrency(*calls),
            Limit::Requests { .. } | Limit::Windows { .. } => {
                return Ok(Self::Books(Arc::new(Books::of(world, seed))));
            }
        };
        Ok(Self::Limiter(limiter.build()?))
    }

    fn wait_in_line(&self, event: &mut BeforeModelCallEvent) {
        match self {
            Self::Limiter(limiter) => {
                let cost = Cost::request().tokens(tokens_of(event));
                let expected = limiter.expected_wait(cost).unwrap_or_default();
                let limiter = limiter.clone();
                event.wait_for(expected, async move { limiter.acquire_owned(cost).await });
            }
            Self::Books(books) => {
                let at = books.next();
                let expected = at.saturating_duration_since(Instant::now());
                event.wait_for(expected, sleep_until(at));
            }
        }
    }
}

impl Books {
    fn of(world: &World, seed: u64) -> Self {
        let changes = match &world.limit {
            Limit::Requests { changes, .. } => changes.iter().map(|(at, _)| *at).collect(),
            _ => Vec::new(),
        };
        Self {
            began: Instant::now(),
            outage: world.outage.clone(),
            changes,
            kept: Mutex::new((Admission::of(&world.undisturbed(), seed), Duration::ZERO)),
        }
    }

    /// Enters one call, and says when it is to be sent.
    fn next(&self) -> Instant {
        let asked = Asked {
            tokens: 0,
            service: Duration::ZERO,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (admission, until) = &mut *kept;
        // Timers go by milliseconds.
        let mut at = whole_millis(self.began.elapsed().max(*until));
        loop {
            if let Some(outage) = &self.outage
                && outage.contains(&at)
            {
                at = outage.end;
            }
            let Err(refused) = admission.ask(asked, at) else {
                break;
            };
            let free = whole_millis(at.saturating_add(refused.free_in));
            let changed = self.changes.iter().find(|change| **change > at);
            at = changed.map_or(free, |change| free.min(*change));
        }
        *until = at;
        self.began + at
    }
}

fn whole_millis(time: Duration) -> Duration {
    let nanos = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    millis(nanos)
}

/// Counts what the provider will count.
fn tokens_of(event: &BeforeModelCallEvent) -> u64 {
    let messages = event.history().iter();
    let characters: usize = messages.map(|message| message.text().len()).sum();
    characters.div_ceil(CHARACTERS_A_TOKEN) as u64 + u64::from(ANSWER_TOKENS)
}

impl HookProvider for KnowingLimiter {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let limiter = self.clone();
        hooks.on(move |event: &mut BeforeModelCallEvent| limiter.wait_in_line(event));
        // Where the world disturbs what it knows, as a network does that shuffles requests, a call takes
        // its turn again: something was lost, and to send it beside the others would refuse one of them.
        hooks.on(|event: &mut AfterModelCallEvent| {
            if event.error().is_some_and(ModelError::is_transient) {
                event.retry = true;
            }
        });
    }
}
