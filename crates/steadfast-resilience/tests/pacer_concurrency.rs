//! A pacer and providers that limit how many calls are under way, or seem to.

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

/// Lets so many calls be under way at once, some for a third of a second, some for almost two.
#[derive(Clone)]
struct Crowded {
    places: Arc<Mutex<u32>>,
    served: Arc<AtomicU64>,
    refused: Arc<Mutex<u32>>,
    hint: Option<Duration>,
}

impl Crowded {
    fn new(places: u32) -> Self {
        Self {
            places: Arc::new(Mutex::new(places)),
            served: Arc::default(),
            refused: Arc::default(),
            hint: None,
        }
    }

    const fn with_hint(mut self, hint: Duration) -> Self {
        self.hint = Some(hint);
        self
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
            pass.throttled(self.hint);
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
async fn limit_of_concurrency_is_found_where_refusals_say_when_to_come_back() {
    for hint in [1, 5] {
        let provider = Crowded::new(20).with_hint(secs(hint));
        let pacer = Pacer::with_seed(1);
        let began = Instant::now();

        provider.crowd(600, &pacer).await;

        // Thirty seconds, if nobody were refused.
        let took = began.elapsed();
        assert!(took <= secs(60), "{took:?} with hints of {hint} s");
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
