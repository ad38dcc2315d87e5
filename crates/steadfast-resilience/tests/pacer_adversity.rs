//! A pacer and providers that are worse than a token bucket.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use steadfast_resilience::{Pacer, Pass, millis, secs};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep, timeout},
};

/// A bucket of ten calls a second, and ten at once.
#[derive(Clone)]
struct Provider(Arc<Mutex<(f64, Instant)>>);

impl Provider {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((10.0, Instant::now()))))
    }

    fn accepts(&self) -> bool {
        let mut bucket = self.0.lock().unwrap();
        let level = (bucket.0 + 10.0 * bucket.1.elapsed().as_secs_f64()).min(10.0);
        let accepts = level >= 1.0;
        *bucket = (if accepts { level - 1.0 } else { level }, Instant::now());
        accepts
    }

    /// How many calls it would accept at once.
    fn left(&self) -> u64 {
        self.0.lock().unwrap().0 as u64
    }
}

/// Has so many callers call at once, and says how many seconds that takes.
async fn storm(callers: u32, pacer: &Pacer, provider: &Provider) -> f64 {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let (pacer, provider) = (pacer.clone(), provider.clone());
        calls.spawn(async move {
            let born = Instant::now();
            loop {
                let mut pass = pacer.admit(born).await;
                let accepts = provider.accepts();
                sleep(millis(50)).await;
                if accepts {
                    return pass.accepted();
                }
                pass.throttled(None);
            }
        });
    }
    calls.join_all().await;
    began.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn hour_of_calm_is_no_evidence_of_a_low_limit() {
    let (pacer, provider) = (Pacer::with_seed(1), Provider::new());
    storm(100, &pacer, &provider).await;
    for _ in 0..60 {
        sleep(secs(60)).await;
        storm(1, &pacer, &provider).await;
    }

    let took = storm(300, &pacer, &provider).await;

    // Ten at once, and 29 seconds for the others.
    assert!((28.0..35.0).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn overloaded_provider_that_answers_slowly_gets_one_call_until_it_accepts() {
    let pacer = Pacer::with_seed(1);
    let refused = pacer.admit(Instant::now()).await;
    sleep(millis(50)).await;
    refused.overloaded(None);
    let mut trial = pacer.admit(Instant::now()).await;

    let early = timeout(secs(5), pacer.admit(Instant::now())).await;
    assert!(
        early.is_err(),
        "a second call goes while the first is unanswered"
    );
    trial.accepted();

    timeout(secs(5), pacer.admit(Instant::now()))
        .await
        .unwrap()
        .accepted();
}

#[tokio::test(start_paused = true)]
async fn server_that_always_says_now_is_asked_ever_more_seldom() {
    for hint in [Duration::ZERO, millis(5)] {
        let pacer = Pacer::with_seed(1);
        let (born, mut calls) = (Instant::now(), 0);
        while born.elapsed() < secs(60) {
            let pass = pacer.admit(born).await;
            sleep(millis(50)).await;
            pass.throttled(Some(hint));
            calls += 1;
        }

        assert!(calls < 40, "{calls} calls in a minute after {hint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn told_rate_that_rises_is_followed() {
    let pacer = Pacer::with_seed(1);
    for rate in [10.0, 10.0, 50.0, 50.0] {
        let mut pass = pacer.admit(Instant::now()).await;
        sleep(millis(50)).await;
        pass.told_limit(0, Some(rate));
        pass.accepted();
    }

    assert_eq!(pacer.rate(), Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn budget_of_a_day_does_not_take_the_place_of_a_told_rate() {
    let pacer = Pacer::with_seed(1);
    for (left, rate) in [
        (0, 20.0),
        (0, 20.0),
        (14_000, 1.0 / 6.0),
        (14_000, 1.0 / 6.0),
    ] {
        let mut pass = pacer.admit(Instant::now()).await;
        sleep(millis(50)).await;
        pass.told_limit(left, Some(rate));
        pass.accepted();
    }

    assert_eq!(pacer.rate(), Some(20.0));
}

/// Has so many callers call at once a provider that refuses nothing, and says how long that takes.
async fn accepted(callers: u32, pacer: &Pacer) -> Duration {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let pacer = pacer.clone();
        calls.spawn(async move {
            let mut pass = pacer.admit(began).await;
            sleep(millis(50)).await;
            pass.accepted();
        });
    }
    calls.join_all().await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn told_rate_is_tried_once_nothing_is_told_any_more() {
    let pacer = Pacer::with_seed(1);
    for _ in 0..2 {
        let mut pass = pacer.admit(Instant::now()).await;
        sleep(millis(50)).await;
        pass.told_limit(0, Some(5.0));
        pass.accepted();
    }
    assert_eq!(pacer.rate(), Some(5.0));

    let took = accepted(1_000, &pacer).await;

    // At five a second they take 200 seconds.
    assert!(took < secs(90), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn limit_of_long_ago_is_none_today() {
    let pacer = Pacer::with_seed(1);
    let refused = pacer.admit(Instant::now()).await;
    sleep(millis(50)).await;
    refused.overloaded(None);
    sleep(secs(600)).await;

    let took = accepted(500, &pacer).await;

    assert!(took < secs(10), "{took:?}");
}

/// Has so many callers call a provider at once that says with each answer that so many calls come back in
/// a second, and how many are left. Returns how many calls were refused.
async fn told_storm(callers: u32, rate: f64, left: Option<u64>, hint: Option<Duration>) -> u64 {
    let (pacer, provider) = (Pacer::with_seed(1), Provider::new());
    let refused = Arc::new(AtomicU64::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let (pacer, provider, refused) = (pacer.clone(), provider.clone(), Arc::clone(&refused));
        calls.spawn(async move {
            let born = Instant::now();
            loop {
                let mut pass = pacer.admit(born).await;
                let accepts = provider.accepts();
                let left = left.unwrap_or_else(|| provider.left());
                sleep(millis(50)).await;
                pass.told_limit(left, Some(rate));
                if accepts {
                    return pass.accepted();
                }
                refused.fetch_add(1, Ordering::Relaxed);
                pass.throttled(hint);
            }
        });
    }
    let done = timeout(secs(60), calls.join_all()).await;
    assert!(done.is_ok(), "{callers} calls are not done in a minute");
    refused.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn limit_of_a_day_does_not_slow_calls() {
    // Of 14,400 a day one comes back every six seconds.
    let refused = told_storm(300, 1.0 / 6.0, Some(14_000), None).await;

    assert!(refused <= 20, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn rate_that_is_not_what_limits_is_not_believed() {
    let refused = told_storm(300, 600.0, None, None).await;

    assert!(refused <= 20, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn rate_is_not_believed_for_the_calm_behind_a_closed_gate() {
    let refused = told_storm(300, 30.0, None, Some(secs(1))).await;

    assert!(refused <= 20, "{refused}");
}

/// Has four hundred callers call a provider at once that refuses one call in ten, however fast they come.
/// Returns how many seconds that takes.
async fn bad_weather(seed: u64, refuse: fn(Pass)) -> f64 {
    let pacer = Pacer::with_seed(seed);
    let (began, rng) = (
        Instant::now(),
        Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
    );
    let mut calls = JoinSet::new();
    for _ in 0..400 {
        let (pacer, rng) = (pacer.clone(), Arc::clone(&rng));
        calls.spawn(async move {
            loop {
                let mut pass = pacer.admit(began).await;
                let accepts = rng.lock().unwrap().u8(..10) > 0;
                sleep(millis(50)).await;
                if accepts {
                    return pass.accepted();
                }
                refuse(pass);
            }
        });
    }
    calls.join_all().await;
    began.elapsed().as_secs_f64()
}

/// The median of several storms of it.
async fn usual_bad_weather(refuse: fn(Pass)) -> f64 {
    let mut times = Vec::new();
    for seed in 1..=21 {
        times.push(bad_weather(seed, refuse).await);
    }
    times.sort_unstable_by(f64::total_cmp);
    *times.get(10).unwrap()
}

#[tokio::test(start_paused = true)]
async fn throttles_at_random_are_no_limit() {
    let took = usual_bad_weather(|pass| pass.throttled(None)).await;

    // Held at the rate at which the first was refused, they take two minutes.
    assert!(took <= 30.0, "{took} s");
}

#[tokio::test(start_paused = true)]
async fn overloads_at_random_are_no_outage() {
    let took = usual_bad_weather(|pass| pass.overloaded(None)).await;

    assert!(took <= 30.0, "{took} s");
}

#[tokio::test(start_paused = true)]
async fn limit_behind_bad_weather_is_found_where_calls_fail_for_other_reasons_too() {
    for seed in 1..=10 {
        let (pacer, mut rng) = (Pacer::with_seed(seed), fastrand::Rng::with_seed(seed));
        for number in 0..2_000 {
            let mut pass = pacer.admit(Instant::now()).await;
            sleep(millis(50)).await;
            match rng.u8(..10) {
                0 => pass.throttled(None),
                // The connection broke.
                1 if number > 1_900 => drop(pass),
                _ => pass.accepted(),
            }
        }
        let (began, mut refused) = (Instant::now(), 0);

        while began.elapsed() < secs(60) {
            let pass = pacer.admit(Instant::now()).await;
            sleep(millis(50)).await;
            pass.throttled(None);
            refused += 1;
        }

        // Not one after the other, which are 1,200.
        assert!(refused <= 60, "{refused} with the seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn provider_that_refuses_late_holds_nobody_for_long() {
    let pacer = Pacer::with_seed(1);
    let mut stream = pacer.admit(Instant::now()).await;
    stream.accepted();
    sleep(secs(600)).await;
    stream.overloaded(None);
    let trial = pacer.admit(Instant::now()).await;

    let next = timeout(secs(30), pacer.admit(Instant::now())).await;

    assert!(next.is_ok(), "one call that hangs holds all");
    drop((trial, next));
}
