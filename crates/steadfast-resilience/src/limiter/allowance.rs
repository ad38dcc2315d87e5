//! What may go now under all limits together; it knows nothing of who waits.

use super::{Cost, bucket::Bucket, window::Window};

/// All limits of one limiter. What goes is taken from all of them or from none.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    pub(super) requests: Option<Bucket>,
    pub(super) request_windows: Vec<Window>,
    pub(super) tokens: Option<Bucket>,
    pub(super) token_windows: Vec<Window>,
    pub(super) places: Option<Places>,
    /// How many operations were let go; each take's number.
    pub(super) takes: u64,
}

/// How many operations may be under way at once, and how many are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) most: u32,
    pub(super) taken: u32,
}

/// What keeps an operation from going now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// So many nanoseconds from now the limits let it go.
    For(u64),
    /// Another one must end first; nobody knows when.
    UntilRelease,
}

/// What was taken, to be given back or settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(super) cost: Cost,
    number: u64,
}

impl Allowance {
    /// The most that one operation may ever take.
    pub(super) fn most(&self) -> Cost {
        let least = |bucket: Option<&Bucket>, windows: &[Window]| {
            let bucket = bucket.map_or(f64::INFINITY, Bucket::capacity);
            windows.iter().map(Window::most).fold(bucket, f64::min)
        };
        let requests = least(self.requests.as_ref(), &self.request_windows);
        let tokens = least(self.tokens.as_ref(), &self.token_windows);
        // Whole ones, and what is beyond the range is the greatest number.
        Cost::requests(requests as u32).tokens(tokens as u64)
    }

    /// What is left of the requests and of the tokens; infinite where they have no limit.
    pub(super) fn left(&mut self, at: u64) -> (f64, f64) {
        let least = |bucket: &mut Option<Bucket>, windows: &mut [Window]| {
            let level = bucket.as_mut().map_or(f64::INFINITY, |b| b.level(at));
            let rooms = windows.iter_mut().map(|window| window.room(at));
            rooms.fold(level, f64::min).max(0.0)
        };
        (
            least(&mut self.requests, &mut self.request_windows),
            least(&mut self.tokens, &mut self.token_windows),
        )
    }

    /// How many nanoseconds the rates hold so many requests and tokens back.
    #[inline]
    pub(super) fn wait(&mut self, requests: f64, tokens: f64, at: u64) -> u64 {
        let mut wait = 0;
        if let Some(bucket) = &mut self.requests {
            wait = wait.max(bucket.wait(requests, at));
        }
        for window in &mut self.request_windows {
            wait = wait.max(window.wait(requests, at));
        }
        // Who needs no tokens does not wait for the debts of others.
        if tokens > 0.0 {
            if let Some(bucket) = &mut self.tokens {
                wait = wait.max(bucket.wait(tokens, at));
            }
            for window in &mut self.token_windows {
                wait = wait.max(window.wait(tokens, at));
            }
        }
        wait
    }

    /// Whether as many are under way as may be.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.places
            .is_some_and(|places| places.taken >= places.most)
    }

    /// Takes the cost from every limit, or says what holds it back.
    #[inline]
    pub(super) fn take(&mut self, cost: Cost, at: u64) -> Result<Taken, Hold> {
        if self.is_full() {
            return Err(Hold::UntilRelease);
        }
        let (requests, tokens) = (f64::from(cost.request_count()), cost.token_count() as f64);
        let wait = self.wait(requests, tokens, at);
        if wait > 0 {
            return Err(Hold::For(wait));
        }
        self.takes += 1;
        let number = self.takes;
        if let Some(bucket) = &mut self.requests {
            bucket.take(requests, number, at);
        }
        for window in &mut self.request_windows {
            window.take(requests, number, at);
        }
        if tokens > 0.0 {
            if let Some(bucket) = &mut self.tokens {
                bucket.take(tokens, number, at);
            }
            for window in &mut self.token_windows {
                window.take(tokens, number, at);
            }
        }
        if let Some(places) = &mut self.places {
            places.taken += 1;
        }
        Ok(Taken { cost, number })
    }

    /// Gives everything back but the place: the operation never went.
    pub(super) fn give_back(&mut self, taken: Taken, at: u64) {
        let requests = f64::from(taken.cost.request_count());
        if let Some(bucket) = &mut self.requests {
            bucket.give_back(requests, taken.number, at);
        }
        for window in &mut self.request_windows {
            window.give_back(requests, taken.number, at);
        }
        self.settle(taken, 0, at);
    }

    /// Corrects the tokens to what was really used.
    pub(super) fn settle(&mut self, taken: Taken, used: u64, at: u64) {
        let estimate = taken.cost.token_count();
        if used < estimate {
            let back = (estimate - used) as f64;
            if let Some(bucket) = &mut self.tokens {
                bucket.give_back(back, taken.number, at);
            }
            for window in &mut self.token_windows {
                window.give_back(back, taken.number, at);
            }
        } else if used > estimate {
            let debt = (used - estimate) as f64;
            // It counts as a take of now: what others took before is not touched by it.
            self.takes += 1;
            if let Some(bucket) = &mut self.tokens {
                bucket.owe(debt, self.takes, at);
            }
            for window in &mut self.token_windows {
                window.owe(debt, self.takes, at);
            }
        }
    }

    /// Frees the place of an operation that has ended.
    pub(super) fn release(&mut self) {
        if let Some(places) = &mut self.places {
            places.taken = places.taken.saturating_sub(1);
        }
    }
}
