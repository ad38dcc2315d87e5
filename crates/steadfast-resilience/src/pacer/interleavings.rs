//! A pacer's line and who wakes whom, in every order in which threads can go on.
//!
//! They stand here since `loom` stands in for the locks of this crate's own tests only. What is learned is
//! not among what is tried, but when a call may go that somebody waits for.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{Pacer, Pass};
use crate::{
    secs,
    sync::{Instant, advance_until, model},
};

/// A pacer whose provider has just refused a call, and asked all to stay away for a second. Behind that
/// one call goes alone until it was accepted.
fn refused() -> Pacer {
    let pacer = Pacer::with_seed(7);
    wait(&pacer, Instant::now()).throttled(Some(secs(1)));
    pacer
}

/// Waits for a pass. If nobody wakes it, `loom` says that the threads wait for each other, or that they
/// go on for ever.
fn wait(pacer: &Pacer, born: Instant) -> Pass {
    block_on(pacer.admit(born))
}

/// Joins the line, looks once and leaves it again.
fn give_up(pacer: &Pacer) {
    let admitting = pin!(pacer.admit(Instant::now()));
    let _ = admitting.poll(&mut Context::from_waker(Waker::noop()));
}

/// Calls once the pacer lets it, and ends the call in some way.
fn call(pacer: &Pacer, went: &Arc<AtomicU32>, end: fn(Pass)) -> JoinHandle<()> {
    let (pacer, went) = (pacer.clone(), went.clone());
    thread::spawn(move || {
        end(wait(&pacer, Instant::now()));
        went.fetch_add(1, Ordering::Release);
    })
}

fn accept(mut pass: Pass) {
    pass.accepted();
}

fn all_go(
    pacer: &Pacer,
    went: &AtomicU32,
    calls: impl IntoIterator<Item = JoinHandle<()>>,
    shall: u32,
) {
    advance_until(secs(60), || went.load(Ordering::Acquire) >= shall);
    for call in calls {
        call.join().unwrap();
    }
    assert_eq!(pacer.waiting(), 0);
}

#[test]
fn clock_opens_the_gate_and_each_wakes_the_next() {
    model(|| {
        let (pacer, went) = (refused(), Arc::default());

        let calls = [(); 2].map(|()| call(&pacer, &went, accept));

        all_go(&pacer, &went, calls, 2);
    });
}

#[test]
fn call_that_is_given_back_or_dropped_lets_the_next_go() {
    for end in [Pass::give_back, drop] {
        model(move || {
            let (pacer, went) = (refused(), Arc::default());

            let calls = [call(&pacer, &went, end), call(&pacer, &went, accept)];

            all_go(&pacer, &went, calls, 2);
        });
    }
}

#[test]
fn refusal_while_others_wait_sets_a_new_timer() {
    model(|| {
        let (pacer, went) = (refused(), Arc::default());

        let refuse = |pass: Pass| pass.throttled(Some(Duration::from_secs(5)));
        let calls = [call(&pacer, &went, refuse), call(&pacer, &went, accept)];

        all_go(&pacer, &went, calls, 2);
    });
}

#[test]
fn first_that_leaves_gives_its_timer_to_the_next() {
    model(|| {
        let (pacer, went) = (refused(), Arc::default());
        let leaving = pacer.clone();

        let gives_up = thread::spawn(move || give_up(&leaving));
        let waits = call(&pacer, &went, accept);

        all_go(&pacer, &went, [gives_up, waits], 1);
    });
}

#[test]
fn pass_that_was_let_go_and_not_fetched_is_not_lost() {
    model(|| {
        let (pacer, went) = (refused(), Arc::default());
        let mut first = Box::pin(pacer.admit(Instant::now()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());

        let waits = call(&pacer, &went, accept);
        drop(first);

        all_go(&pacer, &went, [waits], 1);
    });
}
