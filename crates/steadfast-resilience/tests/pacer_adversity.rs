//! A pacer and providers that are worse than a token bucket.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::sync::{Arc, Mutex};

use steadfast_resilience::{Pacer, millis, secs};
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
