//! Who waits for a limiter, who goes next and what permits give back, in paused time.

#[path = "support/polling.rs"]
mod polling;

use std::{
    error::Error,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use polling::poll_once;
use steadfast_resilience::{Cost, Limiter, LimiterError, Permit, Windows, millis, secs};
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep, timeout},
};

type TestResult = Result<(), Box<dyn Error>>;

/// Lets a name arrive in a queue and write it down once it is let go; it keeps its permit.
fn spawn_in_order(
    tasks: &mut JoinSet<Result<Permit<'static>, LimiterError>>,
    limiter: &Limiter,
    went: &Arc<Mutex<Vec<&'static str>>>,
    (name, cost): (&'static str, Cost),
) {
    let (limiter, went) = (limiter.clone(), Arc::clone(went));
    tasks.spawn(async move {
        let permit = limiter.acquire_owned(cost).await?;
        went.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name);
        Ok(permit)
    });
}

#[tokio::test(start_paused = true)]
async fn clock_that_jumps_fills_one_burst() -> TestResult {
    // AE-21.
    let century = secs(100 * 365 * 86_400);
    for windows in [Windows::MostRestrictive, Windows::Each] {
        let limiter = Limiter::builder()
            .per_second(10.0)
            .burst(10)
            .tokens_per_minute(1_000.0)
            .concurrency(20)
            .windows(windows)
            .build()?;
        let _permit = limiter.try_acquire(Cost::requests(10).tokens(1_000))?;
        let mut waiting = pin!(limiter.acquire(Cost::request()));
        assert!(poll_once(waiting.as_mut()).is_pending());

        advance(century).await;
        let went = poll_once(waiting.as_mut());
        let left = limiter.available();

        assert!(matches!(went, Poll::Ready(Ok(_))), "{windows:?}");
        assert_eq!((left.requests, left.tokens), (9.0, 1_000.0), "{windows:?}");
        assert!(limiter.try_acquire(Cost::requests(10)).is_err());
        assert!(limiter.try_acquire(Cost::requests(9)).is_ok());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn available_is_up_to_date() -> TestResult {
    // AE-15.
    let limiter = Limiter::builder()
        .per_second(10.0)
        .burst(20)
        .tokens_per_minute(6_000.0)
        .concurrency(3)
        .build()?;

    let _permit = limiter.try_acquire(Cost::requests(15).tokens(4_000))?;
    let taken = limiter.available();
    advance(millis(500)).await;
    let later = limiter.available();

    assert_eq!(
        (taken.requests, taken.tokens, taken.places),
        (5.0, 2_000.0, Some(2))
    );
    assert_eq!(
        (later.requests, later.tokens, later.places),
        (10.0, 2_050.0, Some(2))
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn big_request_is_not_overtaken_by_small_ones() -> TestResult {
    // AE-20.
    let limiter = Limiter::builder().per_second(10.0).burst(10).build()?;
    drop(limiter.try_acquire(Cost::requests(9))?);
    let (mut tasks, went) = (JoinSet::new(), Arc::default());

    spawn_in_order(&mut tasks, &limiter, &went, ("big", Cost::requests(10)));
    for name in ["small 1", "small 2", "small 3"] {
        spawn_in_order(&mut tasks, &limiter, &went, (name, Cost::request()));
    }
    tokio::task::yield_now().await;
    let tried = limiter.try_acquire(Cost::request());
    tasks.join_all().await;

    // One is left, and thirteen wait for it: 1.3 seconds, and that one itself.
    assert_eq!(tried.unwrap_err(), LimiterError::WouldWait(millis(1_300)));
    assert_eq!(
        *went.lock().unwrap(),
        ["big", "small 1", "small 2", "small 3"]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn thousand_waiters_go_in_order_of_arrival() -> TestResult {
    // AE-20.
    let limiter = Limiter::builder().per_second(100.0).burst(1).build()?;
    let went = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let began = Instant::now();

    for number in 0..1_000_u32 {
        let (limiter, went) = (limiter.clone(), Arc::clone(&went));
        tasks.spawn(async move {
            let cost = Cost::request();
            let permit = limiter.acquire(cost).await;
            went.lock().unwrap().push(number);
            permit.is_ok()
        });
    }
    let all_went = tasks.join_all().await.into_iter().all(|went| went);

    assert!(all_went);
    assert_eq!(began.elapsed(), millis(9_990));
    assert_eq!(*went.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn waiter_that_is_dropped_gives_its_place_back() -> TestResult {
    let limiter = Limiter::builder().per_second(1.0).burst(10).build()?;
    drop(limiter.try_acquire(Cost::requests(10))?);
    let mut big = Box::pin(limiter.acquire(Cost::requests(10)));
    let small = limiter.acquire(Cost::request());
    let mut small = pin!(small);
    assert!(poll_once(big.as_mut()).is_pending());
    assert!(poll_once(small.as_mut()).is_pending());
    let began = Instant::now();

    drop(big);
    let _permit = small.await?;

    assert_eq!(began.elapsed(), secs(1));
    assert_eq!(limiter.available().waiting, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn permit_that_was_never_fetched_goes_to_the_next() -> TestResult {
    let limiter = Limiter::builder()
        .per_hour(1.0)
        .burst(1)
        .concurrency(1)
        .build()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut first = Box::pin(limiter.acquire(Cost::request()));
    let mut second = pin!(limiter.acquire(Cost::request()));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    sleep(secs(3_600)).await;
    assert!(limiter.try_acquire(Cost::request()).is_err()); // it lets the first go

    drop(first);

    assert!(matches!(poll_once(second.as_mut()), Poll::Ready(Ok(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settling_for_less_wakes_the_next_at_once() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(1_000.0).build()?;
    let permit = limiter.try_acquire(Cost::request().tokens(1_000))?;
    let waiter = limiter.clone();
    let began = Instant::now();
    let waiting = tokio::spawn(async move {
        let _permit = waiter.acquire(Cost::request().tokens(700)).await?;
        Ok::<_, LimiterError>(began.elapsed())
    });
    sleep(millis(600)).await;

    permit.settle(300);

    assert_eq!(waiting.await??, millis(600));
    assert_eq!(limiter.available().tokens, 10.0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settling_for_less_shortens_the_wait_of_the_first() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(1_000.0).build()?;
    let permit = limiter.try_acquire(Cost::request().tokens(1_000))?;
    let waiting = tokio::spawn(limiter.acquire_owned(Cost::request().tokens(900)));
    let began = Instant::now();
    sleep(secs(6)).await; // a hundred are there again, so that 48 seconds are missing

    permit.settle(400);

    // Six hundred of them came back: twelve seconds are left.
    drop(waiting.await??);
    assert_eq!(began.elapsed(), secs(18));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settling_for_more_is_a_debt_that_the_next_waits_for() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(60_000.0).build()?;
    let permit = limiter.try_acquire(Cost::request().tokens(60_000))?;

    permit.settle(62_000);

    let began = Instant::now();
    drop(limiter.acquire(Cost::request().tokens(1_000)).await?);
    assert_eq!(began.elapsed(), secs(3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn absurd_usage_stops_the_limiter_for_two_bursts_at_most() -> TestResult {
    for windows in [Windows::MostRestrictive, Windows::Each] {
        let limiter = Limiter::builder()
            .tokens_per_minute(1_000.0)
            .windows(windows)
            .build()?;

        limiter
            .try_acquire(Cost::request().tokens(1))?
            .settle(u64::MAX);

        let began = Instant::now();
        drop(limiter.acquire(Cost::request().tokens(1_000)).await?);
        assert!(
            began.elapsed() <= secs(120),
            "{windows:?} {:?}",
            began.elapsed()
        );
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn settling_gives_back_nothing_that_would_have_run_over() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(60.0).build()?;
    let early = limiter.try_acquire(Cost::request().tokens(50))?;
    sleep(secs(49)).await; // 59 of 60 again
    let late = limiter.try_acquire(Cost::request().tokens(59))?;

    early.settle(0);

    // Had the first never been there, one more token would have fit at 49 seconds.
    assert!(
        (limiter.available().tokens - 1.0).abs() < 0.02,
        "{limiter:?}"
    );
    drop(late);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_never_exceeded_and_a_permit_frees_its_place() -> TestResult {
    let limiter = Limiter::builder().concurrency(2).build()?;
    let first = limiter.acquire(Cost::request()).await?;
    let _second = limiter.acquire(Cost::request()).await?;

    let third = timeout(secs(60), limiter.acquire(Cost::request())).await;
    drop(first);
    let freed = limiter.try_acquire(Cost::request());

    assert!(third.is_err());
    assert!(freed.is_ok());
    assert_eq!(limiter.available().places, Some(0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn permit_that_is_given_back_was_never_taken() -> TestResult {
    for windows in [Windows::MostRestrictive, Windows::Each] {
        let limiter = Limiter::builder()
            .per_minute(5.0)
            .tokens_per_minute(100.0)
            .windows(windows)
            .build()?;
        let before = limiter.available();

        limiter.try_acquire(Cost::request().tokens(90))?.give_back();

        assert_eq!(limiter.available(), before, "{windows:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wait_is_told_before_it_begins() -> TestResult {
    let limiter = Limiter::builder().per_second(2.0).burst(1).build()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut waiting = pin!(limiter.acquire(Cost::request()));
    assert!(poll_once(waiting.as_mut()).is_pending());

    let told = limiter.expected_wait(Cost::request());
    let began = Instant::now();
    let (_first, _second) = tokio::try_join!(waiting, limiter.acquire(Cost::request()))?;

    assert_eq!(told, Some(secs(1)));
    assert_eq!(began.elapsed(), secs(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn expected_wait_counts_whole_windows() -> TestResult {
    let limiter = Limiter::builder()
        .per_minute(2.0)
        .windows(Windows::Each)
        .build()?;
    drop(limiter.try_acquire(Cost::requests(2))?);
    let mut waiting: Vec<_> = (0..3)
        .map(|_| Box::pin(limiter.acquire(Cost::request())))
        .collect();
    for future in &mut waiting {
        assert!(poll_once(future.as_mut()).is_pending());
    }

    let told = limiter.expected_wait(Cost::request());

    assert_eq!(told, Some(secs(120)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn waiter_that_is_left_alone_does_not_hold_up_those_who_use_the_limiter() -> TestResult {
    let limiter = Limiter::builder().per_second(1.0).burst(1).build()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut left_alone = pin!(limiter.acquire(Cost::request()));
    assert!(poll_once(left_alone.as_mut()).is_pending());
    let began = Instant::now();
    sleep(secs(5)).await;

    drop(limiter.acquire(Cost::request()).await?);

    // The first was let go at five seconds, when the other one came.
    assert_eq!(began.elapsed(), secs(6));
    assert!(poll_once(left_alone.as_mut()).is_ready());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn clones_are_one_limiter_and_acquire_can_be_spawned() -> TestResult {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn is_sent<T: Send>(_: &T) {}
    let limiter = Limiter::builder().per_second(1.0).burst(3).build()?;
    is_shared(&limiter);
    is_sent(&limiter.acquire(Cost::request()));

    drop(limiter.clone().acquire(Cost::requests(2)).await?);

    assert_eq!(limiter.available().requests, 1.0);
    Ok(())
}
