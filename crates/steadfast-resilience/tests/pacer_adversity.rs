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

#[tokio::test(start_paused = true)]
async fn throttles_at_random_are_no_limit() {
    let mut times = Vec::new();
    for seed in 1..=21 {
        times.push(bad_weather(seed, |pass| pass.throttled(None)).await);
    }
    times.sort_unstable_by(f64::total_cmp);

    // Held at the rate at which the first was refused, they take two minutes.
    assert!(times[10] <= 30.0, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn overloads_at_random_are_no_outage() {
    let mut times = Vec::new();
    for seed in 1..=21 {
        times.push(bad_weather(seed, |pass| pass.overloaded(None)).await);
    }
    times.sort_unstable_by(f64::total_cmp);

    assert!(times[10] <= 30.0, "{times:?}");
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
async fn limit_of_concurrency_is_found_by_few_refusals() {
    for places in [4, 8, 20] {
        let (pacer, provider) = (Pacer::with_seed(1), Crowded::new(places));

        provider.crowd(15 * places, &pacer).await;

        assert_eq!(pacer.rate(), None, "{places} places were not found");
        let refused = provider.refused();
        assert!(refused <= 12, "{refused} refused for {places} places");
    }
}

#[tokio::test(start_paused = true)]
async fn rate_that_looks_like_one_place_is_not_taken_for_it() {
    for seed in 1..=20 {
        let pacer = Pacer::with_seed(seed);
        let last = Arc::new(Mutex::new(None::<Instant>));
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..100 {
            let (pacer, last) = (pacer.clone(), Arc::clone(&last));
            calls.spawn(async move {
                loop {
                    let mut pass = pacer.admit(began).await;
                    let now = Instant::now();
                    // Twenty a second, and never two at once.
                    let accepts = {
                        let mut last = last.lock().unwrap();
                        let accepts = last.is_none_or(|last| now - last >= millis(50));
                        if accepts {
                            *last = Some(now);
                        }
                        accepts
                    };
                    sleep(millis(50)).await;
                    if accepts {
                        pass.accepted();
                        sleep(millis(250 + number * 617 % 1_500)).await;
                        return;
                    }
                    pass.throttled(None);
                }
            });
        }

        calls.join_all().await;

        // Five seconds and the last call; one after the other would take a minute and a half.
        let took = began.elapsed();
        assert!(took <= secs(15), "{took:?} with the seed {seed}");
    }
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
