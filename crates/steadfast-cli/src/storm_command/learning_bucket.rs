//! Buckets that learn their rate from refusals, as others published them: one that adds and halves,
//! and one that multiplies and halves. Models to compare with, not this project's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use steadfast::{
    AfterModelCallEvent, BeforeModelCallEvent, HookProvider, HookRegistry, RunId, millis, secs,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// How such a bucket learns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The first rate, a second.
    rate: f64,
    least: f64,
    most: f64,
    /// What it holds at most, and what it holds at first.
    burst: f64,
    tokens: f64,
    rise: Rise,
    /// The most calls under way.
    under_way: usize,
    /// Whether who was told when to come back waits so long, and keeps its place under way.
    heeds_hints: bool,
}

/// What a success does to the rate.
#[derive(Debug, Clone, Copy)]
enum Rise {
    By(f64),
    Times(f64),
}

impl Rules {
    /// Adds half a request a second for each success, halves at each refusal: eval-connections, pull
    /// request 14, which stops after 6 attempts; here it goes on.
    pub(super) const AIMD: Self = Self {
        rate: 8.0,
        least: 0.5,
        most: 16.0,
        burst: 8.0,
        tokens: 8.0,
        rise: Rise::By(0.5),
        under_way: 8,
        heeds_hints: true,
    };

    /// The same without a ceiling on the rate and on the calls under way.
    pub(super) const AIMD_WITHOUT_CEILINGS: Self = Self {
        most: f64::INFINITY,
        under_way: usize::MAX,
        ..Self::AIMD
    };

    /// The adaptive token bucket of arXiv:2510.04516 with the parameters of its first configuration.
    pub(super) const ATB: Self = Self {
        rate: 40.0 / 60.0,
        least: 0.01,
        most: f64::INFINITY,
        burst: 40.0,
        tokens: 1.0,
        rise: Rise::Times(1.2),
        under_way: usize::MAX,
        heeds_hints: false,
    };
}

/// How long one call is tried: as the published ones have no end, the study's.
const LONGEST_CALL: Duration = secs(900);
/// What a sum of floats may be short of.
const ROUNDING: f64 = 1e-9;

/// A bucket that learns. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct LearningBucket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: Rules,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: f64,
    tokens: f64,
    filled_at: f64,
    under_way: usize,
    /// Who waits, by age, and among those of one age by when they came.
    queue: BTreeMap<Place, Arc<Notify>>,
    places: u64,
    /// Who waits as long as it was told, and keeps its place under way.
    told_to_wait: BTreeSet<RunId>,
}

/// When a call began that waits, and its number: the oldest goes first.
type Place = (Duration, u64);

/// What somebody in the queue has to do.
enum Found {
    Admitted,
    /// The first: to look again after so long.
    First(Duration),
    Behind,
}

impl State {
    /// Has who is first look again: it waits for the clock, by a rate that may be another now.
    fn call_first(&self) {
        if let Some((_, called)) = self.queue.first_key_value() {
            called.notify_one();
        }
    }
}

impl LearningBucket {
    pub(super) fn new(rules: Rules) -> Self {
        Self(Arc::new(Shared {
            rules,
            began: Instant::now(),
            state: Mutex::new(State {
                rate: rules.rate,
                tokens: rules.tokens,
                filled_at: 0.0,
                under_way: 0,
                queue: BTreeMap::new(),
                places: 0,
                told_to_wait: BTreeSet::new(),
            }),
        }))
    }

    async fn acquire(self, age: Duration) {
        let (place, called) = self.join(age);
        let leave = Leave(&self, place);
        loop {
            let wait = match self.look(place) {
                Found::Admitted => break,
                Found::First(wait) => wait,
                Found::Behind => Duration::MAX,
            };
            // Either way it is looked at again.
            let _ = timeout(wait, called.notified()).await;
        }
        drop(leave);
    }

    fn join(&self, age: Duration) -> (Place, Arc<Notify>) {
        let mut state = self.state();
        let place = (age, state.places);
        state.places += 1;
        let called = Arc::new(Notify::new());
        state.queue.insert(place, Arc::clone(&called));
        (place, called)
    }

    fn look(&self, place: Place) -> Found {
        let mut state = self.state();
        self.admit(&mut state);
        if !state.queue.contains_key(&place) {
            return Found::Admitted;
        }
        let is_first = state.queue.keys().next() == Some(&place);
        if !is_first || state.under_way >= self.0.rules.under_way {
            return Found::Behind;
        }
        let seconds = (1.0 - state.tokens).max(0.0) / state.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        // So short a wait that no timer shows it would be repeated for ever.
        Found::First(wait.max(millis(1)))
    }

    /// Lets those go who may, the oldest first.
    fn admit(&self, state: &mut State) {
        let Shared { rules, began, .. } = &*self.0;
        let now = began.elapsed().as_secs_f64();
        let filled = state.tokens + (now - state.filled_at) * state.rate;
        (state.tokens, state.filled_at) = (filled.min(rules.burst), now);
        let mut admitted = false;
        while state.tokens >= 1.0 - ROUNDING
            && state.under_way < rules.under_way
            && let Some((_, called)) = state.queue.pop_first()
        {
            state.tokens -= 1.0;
            state.under_way += 1;
            called.notify_one();
            admitted = true;
        }
        if admitted {
            state.call_first();
        }
    }

    fn learn(&self, event: &mut AfterModelCallEvent) {
        let rules = self.0.rules;
        let mut state = self.state();
        self.admit(&mut state);
        state.under_way = state.under_way.saturating_sub(1);
        let Some(error) = event.error() else {
            let risen = match rules.rise {
                Rise::By(step) => state.rate + step,
                Rise::Times(factor) => (state.rate * factor).max(state.rate + 0.01),
            };
            state.rate = risen.min(rules.most);
            self.admit(&mut state);
            return state.call_first();
        };
        state.rate = (state.rate / 2.0).max(rules.least);
        state.tokens = 0.0;
        let hint = error.retry_after().filter(|_| rules.heeds_hints);
        if event.elapsed() > LONGEST_CALL {
            return event.give_up();
        }
        match hint {
            Some(hint) => {
                state.told_to_wait.insert(event.run());
                state.under_way += 1;
                event.retry_after(hint);
            }
            None => event.retry = true,
        }
        state.call_first();
    }

    fn wait_in_line(&self, event: &mut BeforeModelCallEvent) {
        let mut state = self.state();
        if state.told_to_wait.remove(&event.run()) {
            state.under_way = state.under_way.saturating_sub(1);
        }
        let ahead = state.queue.len() as f64 / state.rate;
        drop(state);
        let age = self.0.began.elapsed().saturating_sub(event.elapsed());
        let expected = Duration::try_from_secs_f64(ahead).unwrap_or(Duration::MAX);
        event.wait_for(expected, self.clone().acquire(age));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes who is dropped out of the queue.
struct Leave<'a>(&'a LearningBucket, Place);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state().queue.remove(&self.1);
    }
}

impl HookProvider for LearningBucket {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let bucket = self.clone();
        hooks.on(move |event: &mut BeforeModelCallEvent| bucket.wait_in_line(event));
        let bucket = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| bucket.learn(event));
    }
}
