//! A pacer and providers that are worse than a token bucket.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

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

/// Lets so many calls be under way at once, some for a third of a second, some for almost two.
#[derive(Clone)]
struct Crowded {
    places: Arc<Mutex<u32>>,
    served: Arc<AtomicU64>,
    refused: Arc<Mutex<u32>>,
}

impl Crowded {
    fn new(places: u32) -> Self {
        Self {
            places: Arc::new(Mutex::new(places)),
            served: Arc::default(),
            refused: Arc::default(),
        }
    }

    fn begin(&self) -> bool {
        let mut places = self.places.lock().unwrap();
        let is_free = *places > 0;
        match is_free {
            true => *places -= 1,
            false => *self.refused.lock().unwrap() += 1,
        }
        is_free
    }

    async fn serve(&self, pacer: &Pacer) {
        let born = Instant::now();
        loop {
            let mut pass = pacer.admit(born).await;
            let is_accepted = self.begin();
            sleep(millis(50)).await;
            if is_accepted {
                pass.accepted();
                let number = self.served.fetch_add(1, Ordering::Relaxed);
                sleep(millis(250 + number * 617 % 1_500)).await;
                *self.places.lock().unwrap() += 1;
                return;
            }
            pass.throttled(None);
        }
    }

    /// Has so many callers call at once.
    async fn crowd(&self, callers: u32, pacer: &Pacer) {
        let mut calls = JoinSet::new();
        for _ in 0..callers {
            let (provider, pacer) = (self.clone(), pacer.clone());
            calls.spawn(async move { provider.serve(&pacer).await });
        }
        calls.join_all().await;
    }

    fn refused(&self) -> u32 {
        *self.refused.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn limit_of_concurrency_is_not_forgotten_while_nobody_needs_it() {
    let (pacer, provider) = (Pacer::with_seed(1), Crowded::new(8));
    provider.crowd(150, &pacer).await;
    assert_eq!(pacer.rate(), None, "concurrency was not found");
    for _ in 0..120 {
        provider.crowd(1, &pacer).await;
    }
    let before = provider.refused();

    provider.crowd(100, &pacer).await;

    let refused = provider.refused() - before;
    assert!(refused <= 10, "{refused} of 100 were refused");
}

#[tokio::test(start_paused = true)]
async fn hint_closes_the_gate_where_concurrency_is_limited_too() {
    let (pacer, provider) = (Pacer::with_seed(1), Crowded::new(8));
    provider.crowd(150, &pacer).await;
    assert_eq!(pacer.rate(), None, "concurrency was not found");
    let mut passes = Vec::new();
    while let Ok(mut pass) = timeout(Duration::ZERO, pacer.admit(Instant::now())).await {
        pass.accepted();
        passes.push(pass);
    }
    assert!(passes.len() >= 8, "{} places", passes.len());
    sleep(millis(50)).await;
    let began = Instant::now();

    passes.pop().unwrap().throttled(Some(secs(60)));
    drop(passes);
    let pass = pacer.admit(Instant::now()).await;

    assert!(began.elapsed() >= secs(60), "{:?}", began.elapsed());
    drop(pass);
}

#[tokio::test(start_paused = true)]
async fn limit_of_concurrency_that_refuses_even_one_call_is_none() {
    let (pacer, provider) = (Pacer::with_seed(1), Crowded::new(1));
    provider.crowd(60, &pacer).await;

    let (born, mut calls) = (Instant::now(), 0);
    while born.elapsed() < secs(300) {
        let pass = pacer.admit(born).await;
        sleep(millis(50)).await;
        pass.throttled(None);
        calls += 1;
    }

    assert!(calls < 60, "{calls} calls in five minutes");
}
