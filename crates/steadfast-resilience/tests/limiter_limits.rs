//! What a limiter refuses, and what its rates, bursts and windows let go, in paused time.

use std::{error::Error, time::Duration};

use steadfast_resilience::{Cost, Limiter, LimiterBuilder, LimiterError, Windows, millis, secs};
use tokio::time::{Instant, advance, sleep};

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

fn refused_field(builder: LimiterBuilder) -> Option<String> {
    builder.build().err().map(|error| error.field().to_owned())
}

#[test]
fn build_refuses_what_cannot_limit_by_its_name() {
    // AE-14.
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

#[test]
fn build_refuses_counts_of_zero_by_their_name() {
    // AE-14.
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
    // AE-14.
    assert!(Limiter::builder().build().is_err());
    assert!(Limiter::builder().burst(5).build().is_err());
}

#[test]
fn build_refuses_a_burst_of_what_has_no_rate() {
    let new = || Limiter::builder().concurrency(4);

    let fields = [
        refused_field(new().burst(5)),
        refused_field(new().burst(5).tokens_per_minute(1.0)),
        refused_field(new().token_burst(5)),
        refused_field(new().token_burst(5).per_second(1.0)),
    ];

    let expected = ["burst", "burst", "token_burst", "token_burst"];
    assert_eq!(fields.map(Option::unwrap), expected);
}

#[tokio::test(start_paused = true)]
async fn cost_that_never_fits_is_refused_at_once() -> TestResult {
    // AE-16.
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
    // AE-17.
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
    // AE-18.
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
async fn default_burst_is_no_more_than_the_smallest_window() -> TestResult {
    let new = Limiter::builder;

    for (builder, burst) in [
        (new().per_minute(5.0), 5.0),
        (new().per_second(10.0).per_minute(500.0), 10.0),
        (new().per_hour(1_000.0).per_day(7.9), 7.0),
        (new().per_second(0.5), 1.0),
        (new().per_minute(5.0).burst(20), 20.0),
    ] {
        assert_eq!(builder.build()?.available().requests, burst);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn most_restrictive_of_several_windows_decides() -> TestResult {
    // AE-19.
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
    // AE-19.
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
