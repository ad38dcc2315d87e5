//! A limiter that real threads share: the clock is real, and what is counted does not depend on it.

use std::{error::Error, thread};

use steadfast_resilience::{Cost, Limiter, LimiterError, millis};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn threads_take_exactly_what_there_is() -> TestResult {
    // AE-21.
    let limiter = Limiter::builder().per_day(1.0).burst(1_000).build()?;

    let taken: usize = thread::scope(|scope| {
        let take = || {
            (0..1_000)
                .filter(|_| limiter.try_acquire(Cost::request()).is_ok())
                .count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });

    assert_eq!(taken, 1_000);
    assert!(limiter.available().requests < 1.0);
    Ok(())
}

/// Permits travel from task to task; some who wait give up, and some permits are given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_when_many_give_up() -> TestResult {
    // AE-21.
    let limiter = Limiter::builder().concurrency(3).build()?;
    let mut tasks = Vec::new();
    for number in 0..400 {
        let limiter = limiter.clone();
        tasks.push(tokio::spawn(async move {
            let permit = limiter.acquire(Cost::request()).await;
            tokio::task::yield_now().await;
            match permit {
                Ok(permit) if number % 3 == 0 => permit.give_back(),
                other => drop(other),
            }
        }));
    }

    for task in tasks.iter().step_by(5) {
        task.abort();
    }
    for task in tasks {
        let _ = task.await;
    }

    let left = limiter.available();
    assert_eq!((left.places, left.waiting), (Some(3), 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_that_are_settled_go_to_others_exactly() -> TestResult {
    // Next to nothing refills, so every token must come from a settlement.
    let limiter = Limiter::builder()
        .tokens_per_minute(0.001)
        .token_burst(1_000)
        .build()?;

    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                let permit = limiter.acquire(Cost::request().tokens(500)).await?;
                tokio::task::yield_now().await;
                permit.settle(2);
                Ok::<_, LimiterError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }

    // 200 calls of 2 tokens, and what rounding keeps back.
    let left = limiter.available().tokens;
    assert!((599.0..=601.0).contains(&left), "{left}");
    Ok(())
}

/// The timers are real here: what is checked is the order of the limit, not the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_on_many_threads_all_go_and_not_too_early() -> TestResult {
    // AE-21.
    let limiter = Limiter::builder().per_second(2_000.0).burst(10).build()?;
    let began = std::time::Instant::now();

    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.acquire(Cost::request()).await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await??;
    }

    // Fifty beyond the burst, at two in a millisecond.
    assert!(began.elapsed() >= millis(25), "{:?}", began.elapsed());
    assert_eq!(limiter.available().waiting, 0);
    Ok(())
}
