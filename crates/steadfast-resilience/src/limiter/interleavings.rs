//! The limiter's lock, its queue and who wakes whom, in every order in which threads can go on.
//!
//! They stand here since `loom` stands in for the locks of this crate's own tests only. tokio's timer is
//! not among what is tried: its place is taken by a clock that a test moves.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{FutureExt, future::BoxFuture};
use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use super::{Cost, Limiter, LimiterError, Permit};
use crate::{
    ConfigError, secs,
    sync::{advance_until, model},
};

fn places(most: u32) -> Result<Limiter, ConfigError> {
    Limiter::builder().concurrency(most).build()
}

/// Waits for a permit. If nobody wakes it, `loom` says that the threads wait for each other.
fn wait(limiter: &Limiter, cost: Cost) -> Result<Permit<'_>, LimiterError> {
    block_on(limiter.acquire(cost))
}

/// Joins the queue, looks once and leaves it again, or takes what is free.
fn give_up(limiter: &Limiter, cost: Cost) {
    let acquiring = pin!(limiter.acquire(cost));
    let _ = acquiring.poll(&mut Context::from_waker(Waker::noop()));
}

fn is_free(limiter: &Limiter, places: u32) {
    let left = limiter.available();
    assert_eq!((left.places, left.waiting), (Some(places), 0));
}

#[test]
fn place_goes_from_one_to_the_next() {
    model(|| {
        let limiter = places(1).unwrap();
        let other = limiter.clone();
        let thread = thread::spawn(move || drop(wait(&other, Cost::request()).unwrap()));

        drop(wait(&limiter, Cost::request()).unwrap());

        thread.join().unwrap();
        is_free(&limiter, 1);
    });
}

#[test]
fn three_threads_share_one_place() {
    model(|| {
        let limiter = places(1).unwrap();
        let threads = [(); 2].map(|()| {
            let other = limiter.clone();
            thread::spawn(move || drop(wait(&other, Cost::request()).unwrap()))
        });

        let permit = limiter.try_acquire(Cost::request());
        drop(permit);

        for thread in threads {
            thread.join().unwrap();
        }
        is_free(&limiter, 1);
    });
}

#[test]
fn who_gives_up_loses_no_place_for_those_behind() {
    model(|| {
        let limiter = places(1).unwrap();
        let permit = limiter.try_acquire(Cost::request()).unwrap();
        let (leaving, staying) = (limiter.clone(), limiter.clone());
        let gives_up = thread::spawn(move || give_up(&leaving, Cost::request()));
        let waits = thread::spawn(move || drop(wait(&staying, Cost::request()).unwrap()));

        drop(permit);

        gives_up.join().unwrap();
        waits.join().unwrap();
        is_free(&limiter, 1);
    });
}

#[test]
fn permit_that_was_let_go_and_not_fetched_is_not_lost() {
    model(|| {
        let limiter = places(1).unwrap();
        let permit = limiter.try_acquire(Cost::request()).unwrap();
        let mut first = Box::pin(limiter.acquire(Cost::request()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let behind = limiter.clone();
        let waits = thread::spawn(move || drop(wait(&behind, Cost::request()).unwrap()));

        drop(permit);
        drop(first);

        waits.join().unwrap();
        is_free(&limiter, 1);
    });
}

#[test]
fn settling_wakes_who_waits_for_the_tokens() {
    model(|| {
        let limiter = Limiter::builder().tokens_per_minute(100.0).build().unwrap();
        let permit = limiter.try_acquire(Cost::request().tokens(80)).unwrap();
        let other = limiter.clone();
        let waits = thread::spawn(move || drop(wait(&other, Cost::request().tokens(60)).unwrap()));

        permit.settle(10);

        waits.join().unwrap();
        assert_eq!(limiter.available().tokens, 30.0);
    });
}

#[test]
fn giving_back_wakes_who_waits_for_the_requests() {
    model(|| {
        let limiter = Limiter::builder().per_day(1.0).burst(2).build().unwrap();
        let permit = limiter.try_acquire(Cost::requests(2)).unwrap();
        let other = limiter.clone();
        let waits = thread::spawn(move || drop(wait(&other, Cost::request()).unwrap()));

        permit.give_back();

        waits.join().unwrap();
        assert_eq!(limiter.available().requests, 1.0);
    });
}

#[test]
fn clock_wakes_the_first_and_the_first_the_second() {
    model(|| {
        let limiter = Limiter::builder().per_second(1.0).burst(1).build().unwrap();
        drop(limiter.try_acquire(Cost::request()));
        let went = Arc::new(AtomicU32::new(0));
        let threads = [(); 2].map(|()| {
            let (other, went) = (limiter.clone(), went.clone());
            thread::spawn(move || {
                drop(wait(&other, Cost::request()).unwrap());
                went.fetch_add(1, Ordering::Release);
            })
        });

        advance_until(secs(1), || went.load(Ordering::Acquire) == 2);

        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(limiter.available().waiting, 0);
    });
}

#[test]
fn first_that_leaves_gives_its_timer_to_the_next() {
    model(|| {
        let limiter = Limiter::builder().per_second(1.0).burst(1).build().unwrap();
        drop(limiter.try_acquire(Cost::request()));
        let went = Arc::new(AtomicU32::new(0));
        let (leaving, staying, gone) = (limiter.clone(), limiter.clone(), went.clone());
        let gives_up = thread::spawn(move || give_up(&leaving, Cost::request()));
        let waits = thread::spawn(move || {
            drop(wait(&staying, Cost::request()).unwrap());
            gone.fetch_add(1, Ordering::Release);
        });

        advance_until(secs(1), || went.load(Ordering::Acquire) == 1);

        gives_up.join().unwrap();
        waits.join().unwrap();
        assert_eq!(limiter.available().waiting, 0);
    });
}

/// A task that waits for a permit: it is dropped with its last waker.
struct Task(
    #[expect(dead_code, reason = "it is only dropped")] std::sync::Mutex<BoxFuture<'static, ()>>,
);

impl Wake for Task {
    fn wake(self: std::sync::Arc<Self>) {}
}

#[test]
fn waker_that_drops_another_turn_is_dropped_without_the_lock() {
    model(|| {
        let limiter = Limiter::builder().per_second(1.0).burst(1).build().unwrap();
        drop(limiter.try_acquire(Cost::request()));
        let mut first = Box::pin(limiter.acquire(Cost::request()));
        let mut second = limiter.acquire_owned(Cost::request()).map(drop).boxed();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let waker = Waker::from(std::sync::Arc::new(Task(std::sync::Mutex::new(second))));
        let looked = first.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(looked.is_pending());
        drop(waker);
        let has_passed = Cell::new(false);
        advance_until(secs(1), || has_passed.replace(true));

        let went = first.as_mut().poll(&mut cx);

        assert!(matches!(went, Poll::Ready(Ok(_))));
        assert_eq!(limiter.available().waiting, 0);
    });
}

#[test]
fn trying_never_takes_more_than_there_is() {
    model(|| {
        let limiter = Limiter::builder().per_day(1.0).burst(2).build().unwrap();
        let take = |limiter: &Limiter| match limiter.try_acquire(Cost::request()) {
            Ok(permit) => {
                drop(permit);
                1
            }
            Err(LimiterError::WouldWait(_)) => 0,
            Err(other) => panic!("{other}"),
        };
        let threads = [(); 2].map(|()| {
            let other = limiter.clone();
            thread::spawn(move || take(&other))
        });

        let mine = take(&limiter);

        let taken: u32 = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert_eq!(taken + mine, 2);
    });
}

#[test]
fn trying_does_not_overtake_who_waits() {
    model(|| {
        let limiter = places(1).unwrap();
        let permit = limiter.try_acquire(Cost::request()).unwrap();
        let mut first = Box::pin(limiter.acquire(Cost::request()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let other = limiter.clone();
        let tries = thread::spawn(move || other.try_acquire(Cost::request()).is_ok());

        drop(permit);

        assert!(!tries.join().unwrap());
        assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    });
}
