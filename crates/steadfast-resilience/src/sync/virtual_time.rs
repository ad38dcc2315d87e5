//! A clock for `loom`: it stands until a test moves it. It knows no date.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{
    model::Builder,
    sync::{Mutex, MutexGuard},
    thread,
};

/// How often a thread is stopped where it could go on, in one order. What goes wrong with threads needs
/// hardly ever more; without a bound three threads have more orders than can be tried. The variable
/// `LOOM_MAX_PREEMPTIONS` sets another.
const PREEMPTIONS: usize = 2;

/// The time, and who is to be woken when.
#[derive(Default)]
struct Clock {
    now: Duration,
    timers: Vec<(Duration, Waker)>,
}

loom::lazy_static! {
    static ref CLOCK: Mutex<Clock> = Mutex::default();
}

fn clock() -> MutexGuard<'static, Clock> {
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test in every order in which its threads can go on.
pub(crate) fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(test);
}

/// Moves the clock, step by step, until something has happened. It moves also between a look and the
/// timer that follows from it, so once is not enough.
pub(crate) fn advance_until(step: Duration, has_happened: impl Fn() -> bool) {
    while !has_happened() {
        advance(step);
        thread::yield_now();
    }
}

/// Moves the clock and wakes whose time has come.
fn advance(passed: Duration) {
    let woken: Vec<_> = {
        let mut clock = clock();
        clock.now += passed;
        let now = clock.now;
        let (woken, timers) = mem::take(&mut clock.timers)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        clock.timers = timers;
        woken
    };
    for (_, waker) in woken {
        waker.wake();
    }
}

/// Public, since it stands where tokio's does in what is public.
#[derive(Debug, Clone, Copy)]
pub struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(clock().now)
    }

    pub(crate) fn elapsed(self) -> Duration {
        clock().now - self.0
    }

    pub(crate) const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[derive(Debug)]
pub(crate) struct Sleep {
    until: Duration,
}

pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep {
        until: clock().now + duration,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut clock = clock();
        if clock.now >= self.until {
            return Poll::Ready(());
        }
        clock.timers.push((self.until, cx.waker().clone()));
        Poll::Pending
    }
}
