//! Who waits for something that lets calls go one by one: who is next, who is woken, and who waits for
//! the clock. What lets them go, a [`Gate`] knows.

mod turn;

use std::{
    collections::BTreeMap, ops::RangeInclusive, sync::PoisonError, task::Waker, time::Duration,
};

use crate::sync::{Instant, Mutex, MutexGuard};

pub(crate) use turn::{Handle, Turn};

/// What lets calls go, or holds them back. Times are those since its queue's clock began.
pub(crate) trait Gate {
    /// What one asks for.
    type Wish: Copy;
    /// What one is let go with.
    type Right;

    /// Lets the first of the queue go, or says until when it is held back: [`NOBODY_KNOWS`] where that
    /// is no matter of time.
    fn let_go(
        &mut self,
        wish: Self::Wish,
        others_wait: bool,
        now: Duration,
    ) -> Result<Self::Right, Duration>;

    /// Takes back what one was let go with who went away.
    fn take_back(&mut self, right: Self::Right, now: Duration);

    /// One with this wish waits.
    fn joined(&mut self, _wish: Self::Wish) {}

    /// One with this wish waits no longer.
    fn left(&mut self, _wish: Self::Wish) {}
}

/// The moment of what is no matter of time.
pub(crate) const NOBODY_KNOWS: Duration = Duration::MAX;

/// A timer that is so little too late is not set again.
const ROUNDING: Duration = Duration::from_micros(1);

/// A gate and those who wait for it, behind one lock, with a clock.
pub(crate) struct Queue<G: Gate> {
    /// When the clock began.
    epoch: Instant,
    waiters: Mutex<Waiters<G>>,
}

impl<G: Gate> Queue<G> {
    pub(crate) fn new(gate: G) -> Self {
        Self {
            epoch: Instant::now(),
            waiters: Mutex::new(Waiters::new(gate)),
        }
    }

    pub(crate) const fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The time since the clock began. Asked while the lock is held, it never goes back.
    #[inline]
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Waiters<G>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks it, and says what the time is. Where the lock is free the clock is read before it, so that
    /// neither waits for the other: such a time may be a little old.
    #[inline]
    pub(crate) fn lock_at(&self) -> (MutexGuard<'_, Waiters<G>>, Duration) {
        let before = self.now();
        match self.waiters.try_lock() {
            Ok(waiters) => (waiters, before),
            Err(_) => {
                let waiters = self.lock();
                (waiters, self.now())
            }
        }
    }

    /// Changes the gate, and lets those go who may then.
    #[inline]
    pub(crate) fn change(&self, change: impl FnOnce(&mut G)) {
        let someone_waits = {
            let mut waiters = self.lock();
            change(&mut waiters.gate);
            waiters.count() > 0
        };
        if someone_waits {
            self.advance();
        }
    }

    /// Lets those go who may, one after the other, and wakes them without holding the lock.
    pub(crate) fn advance(&self) {
        while let Some(waker) = self.next_to_wake() {
            waker.wake();
        }
    }

    fn next_to_wake(&self) -> Option<Waker> {
        let mut waiters = self.lock();
        if waiters.count() == 0 {
            return None;
        }
        let now = self.now();
        waiters.advance(now)
    }

    // What is dropped here is dropped without the lock: a waker may drop a task, and that another turn of
    // this queue.

    fn look(&self, place: Place, waker: &Waker) -> Found<G::Right> {
        let mut waiters = self.lock();
        let now = self.now();
        let (found, own_waker) = waiters.look(place, now);
        let old_waker = waiters.set_waker(place, waker);
        drop(waiters);
        drop((own_waker, old_waker));
        found
    }

    fn leave(&self, place: Place) {
        let waker = {
            let mut waiters = self.lock();
            let now = self.now();
            waiters.leave(place, now)
        };
        drop(waker);
        self.advance();
    }
}

/// A place in the queue: by age, and among those of one age by who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// In nanoseconds of the queue's clock.
    born: i64,
    ticket: u64,
}

impl Place {
    /// All places of an age.
    pub(crate) const fn all_of(born: i64) -> RangeInclusive<Self> {
        let first = Self { born, ticket: 0 };
        let ticket = u64::MAX;
        first..=Self { born, ticket }
    }
}

/// A gate and those who wait for it.
///
/// Only the first has a timer. Whoever finds that something may go lets it go, in order, and wakes it;
/// what was let go is kept here until its turn looks, or is dropped.
pub(crate) struct Waiters<G: Gate> {
    pub(crate) gate: G,
    waiting: BTreeMap<Place, Waiter<G::Wish>>,
    let_go: BTreeMap<Place, G::Right>,
    next_ticket: u64,
    /// Who was told to set its timer, and to when.
    timer: Option<(Place, Duration)>,
}

struct Waiter<W> {
    wish: W,
    /// None until its turn looks for the first time, and from its waking until it looks again.
    waker: Option<Waker>,
}

/// What a turn finds when it looks.
enum Found<R> {
    LetGo(R),
    /// It is the first: it looks again after so long, if that is known, or when it is woken.
    First(Option<Duration>),
    Behind,
}

impl<G: Gate> Waiters<G> {
    const fn new(gate: G) -> Self {
        Self {
            gate,
            waiting: BTreeMap::new(),
            let_go: BTreeMap::new(),
            next_ticket: 0,
            timer: None,
        }
    }

    /// How many wait.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// How many would be let go before one that comes now and is as old as this.
    pub(crate) fn count_before(&self, born: i64) -> usize {
        let ticket = self.next_ticket;
        let place = Place { born, ticket };
        match self.waiting.last_key_value() {
            Some((last, _)) if *last > place => self.waiting.range(..place).count(),
            _ => self.count(),
        }
    }

    /// The place of one who comes now and is as old as this.
    pub(crate) const fn place(&mut self, born: i64) -> Place {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        Place { born, ticket }
    }

    /// Waits there.
    pub(crate) fn join(&mut self, place: Place, wish: G::Wish) {
        self.waiting.insert(place, Waiter { wish, waker: None });
        self.gate.joined(wish);
    }

    /// Leaves, and gives back what it was let go with.
    fn leave(&mut self, place: Place, now: Duration) -> Option<Waker> {
        if let Some(right) = self.let_go.remove(&place) {
            self.gate.take_back(right, now);
        }
        self.remove(place)
    }

    /// Lets those go who may, and returns the next that has to be woken.
    fn advance(&mut self, now: Duration) -> Option<Waker> {
        loop {
            let (&first, waiter) = self.waiting.first_key_value()?;
            match self.gate.let_go(waiter.wish, self.waiting.len() > 1, now) {
                Ok(right) => {
                    let waker = self.remove(first);
                    self.let_go.insert(first, right);
                    if waker.is_some() {
                        return waker;
                    }
                }
                Err(until) => {
                    let until_then = until.saturating_add(ROUNDING);
                    let is_set = |(place, timer)| place == first && timer <= until_then;
                    if self.timer.is_some_and(is_set) {
                        return None;
                    }
                    self.timer = Some((first, until));
                    return self.waiting.get_mut(&first)?.waker.take();
                }
            }
        }
    }

    /// Looks without being told. Nothing is found of one who left.
    fn look(&mut self, place: Place, now: Duration) -> (Found<G::Right>, Option<Waker>) {
        if let Some(right) = self.let_go.remove(&place) {
            return (Found::LetGo(right), None);
        }
        let wish = match self.waiting.first_key_value() {
            Some((first, waiter)) if *first == place => waiter.wish,
            _ => return (Found::Behind, None),
        };
        match self.gate.let_go(wish, self.waiting.len() > 1, now) {
            Ok(right) => (Found::LetGo(right), self.remove(place)),
            Err(until) => {
                self.timer = Some((place, until));
                let wait = (until < NOBODY_KNOWS).then(|| until.saturating_sub(now));
                (Found::First(wait), None)
            }
        }
    }

    /// Remembers whom to wake, and returns whom it had remembered.
    fn set_waker(&mut self, place: Place, waker: &Waker) -> Option<Waker> {
        let waiter = self.waiting.get_mut(&place)?;
        match &waiter.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => waiter.waker.replace(waker.clone()),
        }
    }

    fn remove(&mut self, place: Place) -> Option<Waker> {
        let waiter = self.waiting.remove(&place)?;
        self.gate.left(waiter.wish);
        waiter.waker
    }
}
