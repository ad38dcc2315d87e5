use std::{fs, path::PathBuf};

use serde_json::Value;

use super::*;
use crate::{millis, secs};

/// Botocore's own numbers of one kind: from `botocore_vectors.json` and its older sibling, beside the
/// folder that `STEADFAST_RECORDINGS` names, where they are there.
fn vectors(group: &str) -> Vec<Value> {
    let Some(recordings) = std::env::var_os("STEADFAST_RECORDINGS").map(PathBuf::from) else {
        return Vec::new();
    };
    let mut vectors = Vec::new();
    for file in ["botocore_vectors.json", "botocore_vectors_pre2026.json"] {
        let path = recordings.join("..").join(file);
        if !path.exists() {
            continue;
        }
        let mut content: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let Value::Array(all) = content["vectors"].take() else {
            panic!("{file} has no list of vectors");
        };
        let before = vectors.len();
        vectors.extend(all.into_iter().filter(|vector| vector["group"] == group));
        assert!(vectors.len() > before, "{file} has none of {group}");
    }
    vectors
}

/// The vectors are rounded to nine places.
#[track_caller]
fn assert_close(actual: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (actual - expected).abs() < 1e-9,
        "{actual} is not {expected}"
    );
}

fn assert_all_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert_close(*actual, &(*expected).into());
    }
}

#[test]
fn cubic_returns_to_the_rate_that_was_too_much() {
    let mut cubic = Cubic::new(10.0, 5.0);

    let mut rates = vec![cubic.answered(5.0), cubic.answered(6.0)];
    rates.push(cubic.throttled(8.3, 7.0));
    rates.extend([8.0, 9.0, 10.0, 11.0].map(|at| cubic.answered(at)));

    // `cubic#0` of botocore.
    let expected = [
        7.0,
        9.64893601,
        5.81,
        8.063293767,
        8.301652064,
        8.925074889,
        12.333562243,
    ];
    assert_all_close(&rates, &expected);
    assert_close(cubic.k_and_w_max().0, &1.839556446.into());
}

#[test]
fn clocker_measures_over_half_seconds() {
    let mut clocker = RateClocker::new(0.0);

    let rates = [0.2, 0.4, 0.6, 0.7, 1.1, 1.6, 2.6].map(|at| clocker.record(at));

    // `rate_clocker#0` of botocore.
    assert_all_close(&rates, &[0.0, 0.0, 4.8, 4.8, 4.16, 2.432, 1.2864]);
}

#[test]
fn bucket_keeps_what_it_has_when_its_rate_changes() {
    let mut bucket = TokenBucket::new(10.0, 0.0);
    let mut seen = Vec::new();
    let mut look = |bucket: &TokenBucket| {
        seen.push((bucket.fill_rate(), bucket.max_capacity(), bucket.capacity()));
    };

    bucket.refill(1.0);
    look(&bucket);
    bucket.set_rate(2.0, 2.0);
    look(&bucket);
    bucket.set_rate(0.1, 3.0);
    look(&bucket);
    bucket.set_rate(5.0, 11.0);
    look(&bucket);

    // `token_bucket#0` of botocore.
    let expected = [
        (10.0, 10.0, 10.0),
        (2.0, 2.0, 2.0),
        (0.5, 1.0, 1.0),
        (5.0, 5.0, 1.0),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn empty_bucket_says_how_long_a_token_takes() {
    // `token_bucket#1` of botocore.
    assert_eq!(TokenBucket::new(0.5, 0.0).take(0.0), Err(secs(2)));
}

#[test]
fn shortfall_below_a_nanosecond_is_no_wait() {
    for rate in [0.5, 3.0, 7.3, 1e6, 1e12] {
        let mut bucket = TokenBucket::new(rate, 0.0);
        let mut now = 0.0;
        let mut rounds = 0;

        // A clock that moves by exactly what was asked for, to the nanosecond.
        while let Err(wait) = bucket.take(now) {
            assert!(!wait.is_zero());
            now += wait.as_secs_f64();
            rounds += 1;
            assert!(rounds < 10, "{rate}: still {wait:?}");
        }

        assert!(bucket.capacity() >= 0.0, "{rate}: {bucket:?}");
    }
}

#[test]
fn token_is_there_when_less_than_a_clock_shows_is_missing() {
    let mut bucket = TokenBucket::new(1.0, 0.0);

    assert_eq!(bucket.take(1.0 - 1e-12), Ok(()));
    assert_eq!(bucket.capacity(), 0.0);
}

#[test]
fn clock_that_goes_back_takes_no_token_away() {
    let mut bucket = TokenBucket::new(10.0, 5.0);
    bucket.refill(6.0);

    bucket.refill(2.0);

    assert_eq!(bucket.capacity(), 10.0);
}

/// What is known after each of these answers, throttles or not.
fn trace(events: &[(f64, bool)]) -> Vec<Rates> {
    let mut rates = Rates::new(0.0);
    let answer = |(at, throttled): &(f64, bool)| {
        match throttled {
            true => rates.throttled(*at),
            false => rates.answered(*at),
        }
        rates
    };
    events.iter().map(answer).collect()
}

#[test]
fn throttle_turns_the_limiter_on_at_seven_tenths_of_the_rate() {
    // `adaptive_limiter#0` of botocore: an answer every .2 s, throttles at 2.0 and 4.0.
    let mut events: Vec<_> = (1..=22).map(|n| (f64::from(2 * n) / 10.0, false)).collect();
    events[9].1 = true;
    events[19].1 = true;

    let rates = trace(&events);

    assert!(!rates[8].is_on);
    assert!(rates[9].is_on);
    assert_close(rates[8].measured, &5.632.into());
    assert_close(rates[8].bucket.fill_rate(), &2.3328.into());
    assert_close(rates[9].measured, &4.3264.into());
    assert_close(rates[9].bucket.fill_rate(), &3.02848.into());
    assert_close(rates[10].bucket.fill_rate(), &3.486639173.into());
    assert_close(rates[19].bucket.fill_rate(), &3.033325568.into());
}

#[test]
fn throttle_below_the_measured_rate_falls_from_the_rate_that_was_allowed() {
    let mut events: Vec<_> = (1..=20).map(|n| (f64::from(n) / 10.0, false)).collect();
    events.extend([(2.1, true), (2.2, true)]);

    let rates = trace(&events);

    let (first, second) = (rates[20], rates[21]);
    assert_eq!(first.measured, second.measured);
    assert_close(first.bucket.fill_rate(), &(first.measured * 0.7).into());
    assert_close(second.bucket.fill_rate(), &(first.measured * 0.49).into());
}

#[test]
fn shared_cubic_vectors_match() {
    for vector in vectors("cubic") {
        let number = |name: &str| vector["input"][name].as_f64().unwrap();
        let mut cubic = Cubic::new(number("starting_max_rate"), number("start_time"));

        for (event, expected) in vector["input"]["events"]
            .as_array()
            .unwrap()
            .iter()
            .zip(vector["output"]["rates"].as_array().unwrap())
        {
            let at = event[1].as_f64().unwrap();
            let rate = match event[0].as_str().unwrap() {
                "success" => cubic.answered(at),
                _ => cubic.throttled(event[2].as_f64().unwrap(), at),
            };
            assert_close(rate, expected);
        }

        if let Some(k) = vector["output"].get("k") {
            assert_close(cubic.k_and_w_max().0, k);
            assert_close(cubic.k_and_w_max().1, &vector["output"]["w_max"]);
        }
    }
}

#[test]
fn shared_clocker_vectors_match() {
    for vector in vectors("rate_clocker") {
        let mut clocker = RateClocker::new(vector["input"]["t0"].as_f64().unwrap());
        for expected in vector["output"].as_array().unwrap() {
            let rate = clocker.record(expected[0].as_f64().unwrap());
            assert_close(rate, &expected[1]);
        }
    }
}

#[test]
fn shared_bucket_vectors_match() {
    for vector in vectors("token_bucket") {
        let input = &vector["input"];
        let rate = input["max_rate"].as_f64().unwrap();
        let mut bucket = TokenBucket::new(rate, 0.0);
        if let Some(sleep) = vector["output"].get("sleep_amount") {
            let wait = bucket.take(0.0).unwrap_err();
            assert_close(wait.as_secs_f64(), sleep);
            continue;
        }
        let steps = input["steps"].as_array().unwrap().iter();
        let rows = vector["output"].as_array().unwrap();
        let after = |bucket: &TokenBucket, row: &Value| {
            assert_close(bucket.fill_rate(), &row[1]);
            assert_close(bucket.max_capacity(), &row[2]);
            if let Some(capacity) = row.get(3) {
                assert_close(bucket.capacity(), capacity);
            }
        };
        // The first row is `[rate, capacity, tokens]` at the start.
        assert_close(bucket.fill_rate(), &rows[0][0]);
        assert_close(bucket.max_capacity(), &rows[0][1]);
        assert_close(bucket.capacity(), &rows[0][2]);
        for (step, row) in steps.zip(&rows[1..]) {
            let at = row[0].as_f64().unwrap();
            match step.as_str().unwrap().split(' ').collect::<Vec<_>>()[..] {
                [_, "refill"] => bucket.refill(at),
                [_, "set", rate, ..] => bucket.set_rate(rate.parse().unwrap(), at),
                _ => panic!("{step} is unknown"),
            }
            after(&bucket, row);
        }
    }
}

#[test]
fn shared_limiter_vectors_match() {
    for vector in vectors("adaptive_limiter") {
        let events: Vec<_> = vector["input"]["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| (event[0].as_f64().unwrap(), event[1] == 1))
            .collect();

        for (rates, expected) in trace(&events)
            .iter()
            .zip(vector["output"].as_array().unwrap())
        {
            assert_close(rates.measured, &expected["measured"]);
            assert_close(rates.bucket.fill_rate(), &expected["fill_rate"]);
            assert_close(rates.bucket.max_capacity(), &expected["capacity"]);
            assert_eq!(rates.is_on, expected["enabled"], "{expected}");
        }
    }
}

/// Starts so many that wait for a token, and gives the time at which each had one.
async fn line_up(
    limiter: &AdaptiveLimiter,
    number: usize,
) -> Vec<tokio::task::JoinHandle<Duration>> {
    let began = Instant::now();
    let mut line = Vec::new();
    for _ in 0..number {
        let limiter = limiter.clone();
        line.push(tokio::spawn(async move {
            limiter.acquire().await;
            began.elapsed()
        }));
        tokio::task::yield_now().await;
    }
    line
}

async fn times(line: Vec<tokio::task::JoinHandle<Duration>>) -> Vec<Duration> {
    let mut times = Vec::new();
    for waiting in line {
        times.push(waiting.await.unwrap());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn limiter_is_off_until_the_first_throttle() {
    let limiter = AdaptiveLimiter::new();
    limiter.answered();

    let line = line_up(&limiter, 100).await;

    assert_eq!(limiter.expected_wait(), None);
    assert_eq!(times(line).await, vec![Duration::ZERO; 100]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_is_let_in_first() {
    let limiter = AdaptiveLimiter::new();
    limiter.throttled();
    assert_eq!(limiter.expected_wait(), Some(secs(2)));

    let line = line_up(&limiter, 4).await;

    assert_eq!(times(line).await, [2, 4, 6, 8].map(secs));
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_gives_its_place_back() {
    let limiter = AdaptiveLimiter::new();
    limiter.throttled();
    let mut line = line_up(&limiter, 4).await;
    tokio::time::sleep(secs(1)).await;

    let (first, third) = (line.remove(0), line.remove(1));
    first.abort();
    third.abort();

    assert_eq!(times(line).await, [2, 4].map(secs));
    assert!(format!("{limiter:?}").contains("waiting: 0"), "{limiter:?}");
}

#[tokio::test(start_paused = true)]
async fn wait_follows_a_rate_that_rises() {
    let limiter = AdaptiveLimiter::new();
    limiter.throttled();
    let line = line_up(&limiter, 3).await;
    for _ in 0..10 {
        tokio::time::sleep(millis(150)).await;
        limiter.answered();
    }

    let times = times(line).await;

    assert!(times[0] < secs(2), "{times:?}");
    assert!(times[2] < secs(4), "{times:?}");
    assert!(times.is_sorted(), "{times:?}");
}
