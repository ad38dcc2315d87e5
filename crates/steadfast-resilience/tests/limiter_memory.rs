//! What those who wait for a limiter cost, counted by the allocator.

#[path = "support/polling.rs"]
mod polling;

use std::{error::Error, pin::pin, task::Poll};

use futures_util::future::BoxFuture;
use polling::poll_once;
use steadfast_resilience::{Cost, Limiter, LimiterError, Permit, Windows};

type TestResult = Result<(), Box<dyn Error>>;
const WAITERS: usize = 100_000;

fn wait(limiter: &Limiter) -> BoxFuture<'_, Result<Permit<'_>, LimiterError>> {
    let mut waiting = Box::pin(limiter.acquire(Cost::request().tokens(10)));
    // The first of them sets a timer; the noop waker stands for one of any executor.
    assert!(poll_once(waiting.as_mut()).is_pending());
    waiting
}

#[tokio::test(start_paused = true)]
async fn waiter_holds_four_hundred_bytes_at_most() -> TestResult {
    let limiter = Limiter::builder().per_hour(1.0).burst(1).build()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut all = Vec::with_capacity(WAITERS);

    let counted = allocation_counter::measure(|| {
        all.extend((0..WAITERS).map(|_| wait(&limiter)));
    });

    // The future itself and its place in the queue.
    let each = counted.bytes_max / WAITERS as u64;
    assert!(each <= 400, "{each} bytes a waiter");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_node_is_held_once_nobody_waits() -> TestResult {
    let limiter = Limiter::builder().per_hour(1.0).burst(1).build()?;
    drop(limiter.try_acquire(Cost::request())?);

    let counted = allocation_counter::measure(|| {
        let all: Vec<_> = (0..WAITERS).map(|_| wait(&limiter)).collect();
        drop(all);
    });

    // The queue keeps a node, so that the next who waits need not allocate it.
    assert!(counted.bytes_current < 1_000, "{}", counted.bytes_current);
    Ok(())
}

fn settle_a_million(limiter: &Limiter) -> Result<(), LimiterError> {
    (0..1_000_000).try_for_each(|used| {
        let permit = limiter.try_acquire(Cost::request().tokens(900))?;
        permit.settle(used % 900);
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn million_operations_hold_no_more_than_a_bound() -> TestResult {
    for windows in [Windows::MostRestrictive, Windows::Each] {
        let limiter = Limiter::builder()
            .per_day(1e9)
            .burst(1_000_000_000)
            .tokens_per_minute(1e9)
            .windows(windows)
            .build()?;
        let mut settled = Ok(());

        let counted = allocation_counter::measure(|| settled = settle_a_million(&limiter));

        settled?;
        assert!(counted.bytes_max < 256 * 1024, "{}", counted.bytes_max);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn free_acquire_allocates_nothing() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(10_000.0)
        .burst(10_000)
        .tokens_per_minute(1_000_000.0)
        .concurrency(8)
        .build()?;
    let acquire = || {
        let mut future = pin!(limiter.acquire(Cost::request().tokens(10)));
        let Poll::Ready(Ok(permit)) = poll_once(future.as_mut()) else {
            return;
        };
        permit.settle(7);
    };
    acquire();

    let counted = allocation_counter::measure(acquire);

    assert_eq!(counted.count_total, 0);
    Ok(())
}
