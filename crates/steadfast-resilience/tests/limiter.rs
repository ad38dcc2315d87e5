//! What a limiter lets go and when, in paused time.

use std::{
    error::Error,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use steadfast_resilience::{
    Cost, Limiter, LimiterBuilder, LimiterError, Permit, Windows, millis, secs,
};
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep, timeout},
};

type TestResult = Result<(), Box<dyn Error>>;

/// Acquires one after the other, and says when each was let go.
async fn acquire_in_a_row(limiter: &Limiter, count: usize) -> Result<Vec<Duration>, LimiterError> {
    let began = Instant::now();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        drop(limiter.acquire(Cost::request()).await?);
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Polls a future once, as a task that is then left alone.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

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

fn refused_field(builder: LimiterBuilder) -> Option<String> {
    builder.build().err().map(|error| error.field().to_owned())
}

#[test]
fn build_refuses_what_cannot_limit_by_its_name() {
    let new = Limiter::builder;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-9] {
        let fields = [
            refused_field(new().per_second(bad)),
            refused_field(new().per_minute(bad)),
            refused_field(new().per_hour(bad)),
            refused_field(new().per_day(bad)),
            refused_field(new().tokens_per_minute(bad)),
        ];

        let named = fields.map(Option::unwrap);

        let expected = [
            "per_second",
            "per_minute",
            "per_hour",
            "per_day",
            "tokens_per_minute",
        ];
        assert_eq!(named, expected, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn greatest_numbers_limit_nothing_and_break_nothing() -> TestResult {
    for windows in [Windows::MostRestrictive, Windows::Each] {
        let limiter = Limiter::builder()
            .per_second(f64::MAX)
            .per_day(f64::MAX)
            .burst(u32::MAX)
            .concurrency(u32::MAX)
            .tokens_per_minute(f64::MAX)
            .windows(windows)
            .build()?;
        let all = Cost::requests(u32::MAX).tokens(u64::MAX);

        for _ in 0..3 {
            limiter.try_acquire(all)?.settle(0);
            advance(millis(1)).await;
        }

        let left = limiter.available();
        assert_eq!((left.places, left.tokens), (Some(u32::MAX), f64::MAX));
        assert_eq!(limiter.expected_wait(all), None, "{windows:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn clock_that_jumps_fills_one_burst() -> TestResult {
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

#[test]
fn build_refuses_counts_of_zero_by_their_name() {
    let new = || Limiter::builder().per_second(1.0);

    let fields = [
        refused_field(new().burst(0)),
        refused_field(new().concurrency(0)),
        refused_field(new().token_burst(0)),
    ];

    let expected = ["burst", "concurrency", "token_burst"];
    assert_eq!(fields.map(Option::unwrap), expected);
}

#[test]
fn build_refuses_a_limiter_without_a_limit() {
    assert!(Limiter::builder().burst(5).build().is_err());
}

#[tokio::test(start_paused = true)]
async fn cost_that_never_fits_is_refused_at_once() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(10.0)
        .burst(5)
        .tokens_per_minute(1_000.0)
        .build()?;

    for (cost, field) in [
        (Cost::requests(6), "requests"),
        (Cost::requests(0), "requests"),
        (Cost::request().tokens(1_001), "tokens"),
    ] {
        let waiting = limiter.acquire(cost).await.unwrap_err();
        let trying = limiter.try_acquire(cost).unwrap_err();

        assert_eq!(
            (waiting.field(), trying.field()),
            (Some(field), Some(field))
        );
    }
    assert_eq!(limiter.available().requests, 5.0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn burst_of_one_spaces_requests_evenly() -> TestResult {
    let limiter = Limiter::builder().per_second(10.0).burst(1).build()?;

    let times = acquire_in_a_row(&limiter, 11).await?;

    assert!(
        times[10] >= secs(1) && times[10] < millis(1_020),
        "{times:?}"
    );
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] >= millis(99)),
        "{times:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn burst_goes_at_once_and_then_the_rate() -> TestResult {
    let limiter = Limiter::builder().per_second(10.0).burst(100).build()?;

    let times = acquire_in_a_row(&limiter, 120).await?;

    assert!(times[..100].iter().all(Duration::is_zero), "{times:?}");
    assert_eq!(times[100], millis(100));
    assert_eq!(times[119], secs(2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn burst_is_twenty_by_default() -> TestResult {
    let limiter = Limiter::builder().per_minute(600.0).build()?;

    let times = acquire_in_a_row(&limiter, 21).await?;

    assert_eq!((times[19], times[20]), (Duration::ZERO, millis(100)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn most_restrictive_of_several_windows_decides() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(10.0)
        .per_minute(500.0)
        .per_hour(20_000.0)
        .burst(1)
        .build()?;

    let times = acquire_in_a_row(&limiter, 1_001).await?;

    // 20,000 an hour are 5.556 a second: a thousand of them take three minutes.
    assert!(
        times[1_000] >= secs(180) && times[1_000] < millis(180_010),
        "{:?}",
        times[1_000]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_window_holds_for_itself_when_asked() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(10.0)
        .per_minute(500.0)
        .per_hour(20_000.0)
        .windows(Windows::Each)
        .build()?;

    let times = acquire_in_a_row(&limiter, 1_001).await?;

    let within = |length: Duration, most: usize| {
        let gaps = times.iter().zip(&times[most..]);
        gaps.into_iter()
            .all(|(first, over)| *over - *first >= length)
    };
    assert!(within(secs(1), 10), "{times:?}");
    assert!(within(secs(60), 500), "{times:?}");
    assert_eq!((times[9], times[10]), (Duration::ZERO, secs(1)));
    assert!(times[499] < millis(49_100), "{:?}", times[499]);
    assert!(times[500] < millis(60_100), "{:?}", times[500]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_went_close_together_leaves_the_window_with_its_last() -> TestResult {
    let limiter = Limiter::builder()
        .per_minute(10.0)
        .windows(Windows::Each)
        .build()?;
    drop(limiter.try_acquire(Cost::requests(5))?);
    sleep(millis(50)).await;
    drop(limiter.try_acquire(Cost::requests(5))?);

    sleep(millis(59_960)).await;
    let behind_a_minute = limiter.available().requests;
    sleep(millis(40)).await;

    // The first five are held back a little too long, and never the others too short.
    assert_eq!(behind_a_minute, 0.0);
    assert_eq!(limiter.available().requests, 10.0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn slow_window_lets_one_go_in_several_of_it() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(0.5)
        .windows(Windows::Each)
        .build()?;

    let times = acquire_in_a_row(&limiter, 3).await?;

    assert_eq!(times, [secs(0), secs(2), secs(4)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn available_is_up_to_date() -> TestResult {
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
