//! A pacer against a provider whose limit it does not know.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use steadfast_resilience::{Pacer, Pass, millis, secs};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// A provider that lets so many calls a second go, and refuses the others after 50 ms.
#[derive(Clone)]
struct Provider(Arc<Mutex<Bucket>>);

struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
    refused: u32,
}

impl Provider {
    fn new(rate: f64, burst: f64) -> Self {
        Self(Arc::new(Mutex::new(Bucket {
            rate,
            burst,
            level: burst,
            at: Instant::now(),
            refused: 0,
        })))
    }

    async fn accepts(&self) -> bool {
        let accepts = {
            let mut bucket = self.0.lock().unwrap();
            let passed = bucket.at.elapsed().as_secs_f64();
            bucket.level = (bucket.level + passed * bucket.rate).min(bucket.burst);
            bucket.at = Instant::now();
            let accepts = bucket.level >= 1.0;
            match accepts {
                true => bucket.level -= 1.0,
                false => bucket.refused += 1,
            }
            accepts
        };
        sleep(millis(50)).await;
        accepts
    }

    fn refused(&self) -> u32 {
        self.0.lock().unwrap().refused
    }
}

/// Makes a call until it is answered, a second after it was accepted.
async fn answered(pacer: Pacer, provider: Provider) {
    let born = Instant::now();
    loop {
        let mut pass = pacer.admit(born).await;
        if provider.accepts().await {
            pass.accepted();
            sleep(millis(950)).await;
            return;
        }
        pass.throttled(None);
    }
}

async fn free(pacer: &Pacer) -> Pass {
    timeout(Duration::ZERO, pacer.admit(Instant::now()))
        .await
        .expect("nothing holds it back")
}

#[tokio::test(start_paused = true)]
async fn two_hundred_calls_are_all_answered_in_about_the_time_that_it_takes() {
    let provider = Provider::new(20.0, 20.0);
    let pacer = Pacer::with_seed(1);
    let began = Instant::now();

    let mut calls = JoinSet::new();
    for _ in 0..200 {
        calls.spawn(answered(pacer.clone(), provider.clone()));
    }
    calls.join_all().await;

    // 20 at once and 180 more at 20 a second, and a second for the last.
    let took = began.elapsed().as_secs_f64() / 10.0;
    assert!((0.95..=1.1).contains(&took), "{took} of the ideal");
    assert!(
        provider.refused() <= 16,
        "{} were refused",
        provider.refused()
    );
    let rate = pacer.rate().unwrap();
    assert!((18.0..=23.0).contains(&rate), "{rate} a second");
}

#[tokio::test(start_paused = true)]
async fn provider_that_refuses_nothing_has_nobody_wait() {
    let pacer = Pacer::with_seed(1);

    for _ in 0..100 {
        let mut pass = free(&pacer).await;
        pass.accepted();
    }

    assert_eq!((pacer.rate(), pacer.waiting()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn refused_call_goes_before_those_that_are_younger() {
    let pacer = Pacer::with_seed(1);
    let born = Instant::now();
    let first = pacer.admit(born).await;
    sleep(millis(10)).await;
    first.throttled(None);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = JoinSet::new();
    for (name, born) in [("young", Instant::now()), ("old", born)] {
        let (pacer, order) = (pacer.clone(), Arc::clone(&order));
        calls.spawn(async move {
            let mut pass = pacer.admit(born).await;
            order.lock().unwrap().push(name);
            pass.accepted();
        });
    }
    calls.join_all().await;

    assert_eq!(*order.lock().unwrap(), ["old", "young"]);
}

#[tokio::test(start_paused = true)]
async fn refused_call_keeps_its_place_among_those_of_its_age() {
    let pacer = Pacer::with_seed(1);
    let born = Instant::now();
    let first = pacer.admit(born).await;
    let second = pacer.admit(born).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = JoinSet::new();
    let mut call = |name| {
        let (pacer, order) = (pacer.clone(), Arc::clone(&order));
        calls.spawn(async move {
            let mut pass = pacer.admit(born).await;
            order.lock().unwrap().push(name);
            pass.accepted();
        });
    };
    call("third");
    call("fourth");
    tokio::task::yield_now().await;

    sleep(millis(10)).await;
    second.throttled(None);
    call("second");
    first.throttled(None);
    call("first");
    calls.join_all().await;

    // Of two that were refused and are of one age, nobody can tell which comes back.
    let order = order.lock().unwrap();
    assert_eq!(order.get(2..), Some(&["third", "fourth"][..]), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn hint_closes_the_gate_for_all() {
    let pacer = Pacer::with_seed(1);
    let refused = free(&pacer).await;
    sleep(millis(50)).await;
    refused.throttled(Some(secs(7)));
    let began = Instant::now();

    let pass = pacer.admit(Instant::now()).await;

    let waited = began.elapsed();
    assert!((secs(7)..secs(9)).contains(&waited), "{waited:?}");
    drop(pass);
}

#[tokio::test(start_paused = true)]
async fn overloaded_provider_gets_one_call_every_few_seconds() {
    let pacer = Pacer::with_seed(1);
    let calls = Arc::new(AtomicU32::new(0));
    let mut agents = JoinSet::new();
    for _ in 0..50 {
        let (pacer, calls) = (pacer.clone(), Arc::clone(&calls));
        agents.spawn(async move {
            let born = Instant::now();
            loop {
                let mut pass = pacer.admit(born).await;
                calls.fetch_add(1, Ordering::Relaxed);
                sleep(millis(50)).await;
                if Instant::now() - born > secs(60) {
                    return pass.accepted();
                }
                pass.overloaded(None);
            }
        });
    }
    sleep(secs(30)).await;
    let in_half_a_minute = calls.load(Ordering::Relaxed);

    agents.join_all().await;

    assert!(
        (10..=20).contains(&in_half_a_minute),
        "{in_half_a_minute} calls"
    );
    assert!(calls.load(Ordering::Relaxed) <= 90);
}

#[tokio::test(start_paused = true)]
async fn provider_that_tells_its_limit_refuses_nothing() {
    let provider = Provider::new(5.0, 10.0);
    let pacer = Pacer::with_seed(1);
    let mut calls = JoinSet::new();
    for _ in 0..60 {
        let (pacer, provider) = (pacer.clone(), provider.clone());
        calls.spawn(async move {
            let born = Instant::now();
            loop {
                let mut pass = pacer.admit(born).await;
                let accepts = provider.accepts().await;
                let left = provider.0.lock().unwrap().level;
                pass.told_limit(left as u64, Some(5.0));
                if accepts {
                    return pass.accepted();
                }
                pass.throttled(None);
            }
        });
    }
    calls.join_all().await;

    assert_eq!(provider.refused(), 0);
}

#[tokio::test(start_paused = true)]
async fn provider_that_breaks_its_word_is_not_believed() {
    let provider = Provider::new(5.0, 5.0);
    let pacer = Pacer::with_seed(1);
    let (began, was_believed) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (pacer, provider) = (pacer.clone(), provider.clone());
        let was_believed = Arc::clone(&was_believed);
        calls.spawn(async move {
            let born = Instant::now();
            loop {
                let mut pass = pacer.admit(born).await;
                let accepts = provider.accepts().await;
                pass.told_limit(0, Some(15.0));
                if pacer.rate() == Some(15.0) {
                    was_believed.store(true, Ordering::Relaxed);
                }
                if accepts {
                    return pass.accepted();
                }
                pass.throttled(None);
            }
        });
    }
    calls.join_all().await;

    assert!(was_believed.load(Ordering::Relaxed));
    assert!(began.elapsed() < secs(27), "{:?}", began.elapsed());
    assert!(
        provider.refused() < 40,
        "{} were refused",
        provider.refused()
    );
}

#[tokio::test(start_paused = true)]
async fn call_that_leaves_the_line_gives_its_place_back() {
    let pacer = Pacer::with_seed(1);
    let refused = free(&pacer).await;
    sleep(millis(50)).await;
    refused.throttled(Some(secs(5)));
    let mut others = JoinSet::new();
    for _ in 0..10 {
        let pacer = pacer.clone();
        others.spawn(async move { pacer.admit(Instant::now()).await.accepted() });
    }
    sleep(secs(1)).await;
    assert_eq!(pacer.waiting(), 10);

    others.abort_all();
    while others.join_next().await.is_some() {}

    assert_eq!(pacer.waiting(), 0);
    drop(
        timeout(secs(10), pacer.admit(Instant::now()))
            .await
            .unwrap(),
    );
}

#[tokio::test(start_paused = true)]
async fn pass_that_was_never_used_counts_as_no_call() {
    let pacer = Pacer::with_seed(1);
    let refused = free(&pacer).await;
    sleep(millis(50)).await;
    refused.throttled(None);
    let pass = pacer.admit(Instant::now()).await;

    pass.give_back();

    drop(free(&pacer).await);
}

#[test]
fn threads_lose_no_turn() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let pacer = Pacer::with_seed(1);
    let done = Arc::new(AtomicU32::new(0));

    let all = runtime.block_on(async {
        let mut calls = JoinSet::new();
        for number in 0..400_u32 {
            let (pacer, done) = (pacer.clone(), Arc::clone(&done));
            calls.spawn(async move {
                let born = Instant::now();
                let mut pass = pacer.admit(born).await;
                if number > 200 && number % 97 == 0 {
                    pass.throttled(Some(millis(1)));
                    pass = pacer.admit(born).await;
                }
                tokio::task::yield_now().await;
                pass.accepted();
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        timeout(secs(60), calls.join_all()).await
    });

    assert!(
        all.is_ok(),
        "{} of 400 were let go",
        done.load(Ordering::Relaxed)
    );
    assert_eq!(pacer.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn call_that_fails_for_another_reason_ends_no_overload() {
    let pacer = Pacer::with_seed(1);
    let refused = free(&pacer).await;
    sleep(millis(50)).await;
    refused.overloaded(None);
    let trial = pacer.admit(Instant::now()).await;

    drop(trial);

    let second = pacer.admit(Instant::now()).await;
    let third = timeout(millis(50), pacer.admit(Instant::now())).await;
    assert!(third.is_err(), "one call goes at a time");
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn hint_of_a_year_counts_as_an_hour() {
    let pacer = Pacer::with_seed(1);
    let refused = free(&pacer).await;
    sleep(millis(50)).await;
    refused.throttled(Some(Duration::MAX));
    let began = Instant::now();

    let pass = pacer.admit(Instant::now()).await;

    let waited = began.elapsed();
    assert!((secs(3_600)..secs(5_500)).contains(&waited), "{waited:?}");
    drop(pass);
}
