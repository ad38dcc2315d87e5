//! Who waits for a limiter, in the order of arrival; it knows no limit and no time.

use std::{collections::BTreeMap, task::Waker};

use super::{
    Cost,
    allowance::{Allowance, Hold, Taken},
};

/// A limiter's limits and those who wait for them.
///
/// Only the first of the queue has a timer. Whoever finds that something may go lets it go, in order,
/// and wakes it; what was let go is kept here until its future looks, or is dropped.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) allowance: Allowance,
    waiting: BTreeMap<u64, Waiter>,
    let_go: BTreeMap<u64, Taken>,
    next_ticket: u64,
    /// What those who wait take together.
    requests: f64,
    tokens: f64,
    /// The first of the queue, once it was told to set its timer.
    told: Option<u64>,
}

#[derive(Debug)]
struct Waiter {
    cost: Cost,
    /// None until its future looks for the first time, and from its waking until it looks again.
    waker: Option<Waker>,
}

/// What a future finds when it looks.
#[derive(Debug)]
pub(super) enum Found {
    LetGo(Taken),
    /// It is the first: it looks again after so many nanoseconds, or when it is woken.
    First(Hold),
    Behind,
}

impl Queue {
    pub(super) const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            waiting: BTreeMap::new(),
            let_go: BTreeMap::new(),
            next_ticket: 0,
            requests: 0.0,
            tokens: 0.0,
            told: None,
        }
    }

    /// Takes the cost at once, if nobody waits and nothing holds it back.
    #[inline]
    pub(super) fn take(&mut self, cost: Cost, at: u64) -> Option<Taken> {
        if !self.waiting.is_empty() {
            return None;
        }
        self.allowance.take(cost, at).ok()
    }

    /// Goes to the end of the queue.
    pub(super) fn join(&mut self, cost: Cost) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiter { cost, waker: None });
        self.requests += f64::from(cost.request_count());
        self.tokens += cost.token_count() as f64;
        ticket
    }

    /// Leaves the queue, and gives back what it was let go with. What is returned is to be dropped
    /// without the lock: dropping a waker may drop a task, and that another future of this queue.
    pub(super) fn leave(&mut self, ticket: u64, at: u64) -> Option<Waker> {
        let waiter = self.remove(ticket);
        if let Some(taken) = self.let_go.remove(&ticket) {
            self.allowance.give_back(taken, at);
            self.allowance.release();
            self.changed();
        }
        waiter.and_then(|waiter| waiter.waker)
    }

    /// The limits changed: the first of the queue has to look again.
    pub(super) const fn changed(&mut self) {
        self.told = None;
    }

    /// Lets those go who may, and returns the next that has to be woken.
    pub(super) fn advance(&mut self, at: u64) -> Option<Waker> {
        while let Some((&ticket, waiter)) = self.waiting.iter().next() {
            let Ok(taken) = self.allowance.take(waiter.cost, at) else {
                break;
            };
            let waker = self.remove(ticket).and_then(|waiter| waiter.waker);
            self.let_go.insert(ticket, taken);
            if waker.is_some() {
                return waker;
            }
        }
        let mut first = self.waiting.first_entry()?;
        if self.told == Some(*first.key()) {
            return None;
        }
        self.told = Some(*first.key());
        first.get_mut().waker.take()
    }

    /// Looks without being told. Nothing is found of one who left.
    pub(super) fn look(&mut self, ticket: u64, at: u64) -> Found {
        if let Some(taken) = self.let_go.remove(&ticket) {
            return Found::LetGo(taken);
        }
        let Some((&first, waiter)) = self.waiting.first_key_value() else {
            return Found::Behind;
        };
        if first != ticket {
            return Found::Behind;
        }
        match self.allowance.take(waiter.cost, at) {
            Ok(taken) => {
                self.remove(ticket);
                Found::LetGo(taken)
            }
            Err(hold) => {
                self.told = Some(ticket);
                Found::First(hold)
            }
        }
    }

    /// Remembers whom to wake. What is returned is to be dropped without the lock.
    pub(super) fn set_waker(&mut self, ticket: u64, waker: &Waker) -> Option<Waker> {
        let waiter = self.waiting.get_mut(&ticket)?;
        match &waiter.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => waiter.waker.replace(waker.clone()),
        }
    }

    /// How many nanoseconds the rates hold back what comes now, behind all who wait.
    pub(super) fn wait(&mut self, cost: Cost, at: u64) -> Option<u64> {
        let requests = self.requests + f64::from(cost.request_count());
        // Who takes none waits for the tokens of those before it all the same: they go first.
        let tokens = self.tokens + cost.token_count() as f64;
        let wait = self.allowance.wait(requests, tokens, at);
        let places = self.allowance.places;
        let full = places.is_some_and(|places| places.taken >= places.most);
        (wait > 0 || full || !self.waiting.is_empty()).then_some(wait)
    }

    /// How many nanoseconds the rates hold back the last of those who wait.
    pub(super) fn wait_of_all(&mut self, at: u64) -> u64 {
        self.allowance.wait(self.requests, self.tokens, at)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        self.requests -= f64::from(waiter.cost.request_count());
        self.tokens -= waiter.cost.token_count() as f64;
        if self.waiting.is_empty() {
            // What rounding left over goes too.
            (self.requests, self.tokens) = (0.0, 0.0);
        }
        Some(waiter)
    }
}
