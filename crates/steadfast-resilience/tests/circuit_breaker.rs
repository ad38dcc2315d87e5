//! A circuit breaker: when a circuit opens, who tries it, when it closes, and what is told of it.

use std::{
    error::Error,
    future::pending,
    sync::{Arc, Barrier, Mutex, PoisonError},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use steadfast_resilience::{
    CircuitBreaker, CircuitBreakerBuilder, CircuitError, CircuitState, millis, secs,
};
use tokio::{
    runtime::Handle,
    time::{advance, timeout},
};

type TestResult = Result<(), Box<dyn Error>>;

fn after_three() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().consecutive_failures(3)
}

/// Makes calls that fail at once. Says how many of them were made.
fn fail(breaker: &CircuitBreaker, key: &str, calls: usize) -> usize {
    (0..calls)
        .filter_map(|_| breaker.begin(key).ok())
        .map(|call| call.failed())
        .count()
}

fn refused_for(breaker: &CircuitBreaker, key: &str) -> Option<Duration> {
    breaker.check(key).err().and_then(|open| open.retry_after())
}

#[tokio::test(start_paused = true)]
async fn opens_after_so_many_failures_in_a_row_and_refuses_at_once() -> TestResult {
    // AT-12.
    let breaker = after_three().build()?;

    assert_eq!(fail(&breaker, "a", 100), 3);

    assert_eq!(breaker.state("a"), CircuitState::Open);
    assert_eq!(refused_for(&breaker, "a"), Some(secs(30)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn success_in_between_begins_the_row_anew() -> TestResult {
    let breaker = after_three().build()?;
    fail(&breaker, "a", 2);

    breaker.begin("a")?.succeeded();
    fail(&breaker, "a", 2);

    assert_eq!(breaker.state("a"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_call_try_and_its_success_closes() -> TestResult {
    // AT-12.
    let breaker = after_three().build()?;
    fail(&breaker, "a", 3);
    advance(secs(30)).await;
    assert_eq!(breaker.state("a"), CircuitState::HalfOpen);

    let trial = breaker.begin("a")?;
    let refused = breaker.begin("a").err();

    assert!(trial.is_trial());
    assert_eq!(
        refused.map(|refused| refused.to_string()),
        Some("the circuit of `a` is half-open, and another call tries it".to_owned())
    );
    trial.succeeded();
    assert_eq!(breaker.state("a"), CircuitState::Closed);
    assert_eq!(fail(&breaker, "a", 2), 2);
    assert_eq!(breaker.state("a"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_failed_trial_doubles_the_time_up_to_a_limit() -> TestResult {
    let breaker = after_three()
        .open_for(secs(10))
        .max_open_for(secs(60))
        .build()?;
    fail(&breaker, "a", 3);
    let mut times = Vec::new();

    for _ in 0..5 {
        let time = refused_for(&breaker, "a").unwrap_or_default();
        times.push(time);
        advance(time).await;
        assert_eq!(fail(&breaker, "a", 2), 1);
    }

    assert_eq!(times, [10, 20, 40, 60, 60].map(secs));
    advance(secs(60)).await;
    breaker.begin("a")?.succeeded();
    fail(&breaker, "a", 3);
    assert_eq!(refused_for(&breaker, "a"), Some(secs(10)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropped_trial_gives_its_place_back() -> TestResult {
    let breaker = after_three().build()?;
    fail(&breaker, "a", 3);
    advance(secs(30)).await;

    let hung = breaker.call("a", pending::<Result<(), ()>>);
    assert!(timeout(millis(1), hung).await.is_err());
    drop(breaker.begin("a")?);

    assert_eq!(breaker.call("a", async || Ok::<_, ()>(7)).await, Ok(7));
    assert_eq!(breaker.state("a"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trial_that_never_ends_keeps_its_place_only_so_long() -> TestResult {
    let breaker = after_three().open_for(secs(10)).build()?;
    fail(&breaker, "a", 3);
    advance(secs(10)).await;
    let slow = breaker.begin("a")?;

    advance(millis(9_999)).await;
    assert!(breaker.begin("a").is_err());
    advance(millis(1)).await;
    let next = breaker.begin("a")?;
    assert!(next.is_trial());

    // The slow one may still have the first word.
    drop(next);
    slow.succeeded();
    assert_eq!(breaker.state("a"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trial_that_lost_its_place_does_not_give_away_the_next_ones() -> TestResult {
    let breaker = after_three().open_for(secs(10)).build()?;
    fail(&breaker, "a", 3);
    advance(secs(10)).await;
    let slow = breaker.begin("a")?;
    advance(secs(10)).await;
    let next = breaker.begin("a")?;

    drop(slow);

    assert!(breaker.begin("a").is_err());
    drop(next);
    assert!(breaker.begin("a").is_ok());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_time_before_say_nothing() -> TestResult {
    let breaker = after_three().build()?;
    let mut early = Vec::new();
    for _ in 0..10 {
        early.push(breaker.begin("a")?);
    }
    fail(&breaker, "a", 3);

    early.pop().ok_or("one")?.succeeded();
    assert_eq!(breaker.state("a"), CircuitState::Open);
    advance(secs(30)).await;
    let trial = breaker.begin("a")?;
    early.pop().ok_or("one")?.failed();
    assert_eq!(breaker.state("a"), CircuitState::HalfOpen);
    trial.succeeded();
    early.into_iter().for_each(|call| call.failed());

    assert_eq!(breaker.state("a"), CircuitState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn share_of_failures_opens_where_no_row_forms() -> TestResult {
    let breaker = CircuitBreaker::builder()
        .failure_rate(0.5)
        .min_calls(10)
        .build()?;
    for _ in 0..4 {
        breaker.begin("a")?.succeeded();
        breaker.begin("a")?.failed();
    }
    breaker.begin("a")?.failed();
    assert_eq!(breaker.state("a"), CircuitState::Closed);

    breaker.begin("a")?.failed();

    assert_eq!(breaker.state("a"), CircuitState::Open);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn share_looks_at_the_latest_calls_only() -> TestResult {
    let breaker = CircuitBreaker::builder()
        .failure_rate(0.5)
        .min_calls(4)
        .window(secs(60))
        .build()?;
    for _ in 0..100 {
        breaker.begin("a")?.succeeded();
    }
    fail(&breaker, "a", 50);
    assert_eq!(breaker.state("a"), CircuitState::Closed);

    advance(secs(62)).await;
    fail(&breaker, "a", 3);
    assert_eq!(breaker.state("a"), CircuitState::Closed);
    fail(&breaker, "a", 1);

    assert_eq!(breaker.state("a"), CircuitState::Open);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn rate_alone_has_no_limit_of_a_row() -> TestResult {
    let breaker = CircuitBreaker::builder().failure_rate(0.5).build()?;

    fail(&breaker, "a", 19);
    assert_eq!(breaker.state("a"), CircuitState::Closed);

    let both = CircuitBreaker::builder()
        .failure_rate(0.5)
        .consecutive_failures(6);
    assert_eq!(fail(&both.build()?, "a", 19), 6);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_circuit_of_its_own_and_clones_share_them() -> TestResult {
    let breaker = after_three().build()?;

    fail(&breaker.clone(), "a", 3);

    assert_eq!(breaker.state("a"), CircuitState::Open);
    assert_eq!(breaker.state("b"), CircuitState::Closed);
    assert!(breaker.begin("b").is_ok());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn default_is_five_in_a_row_and_30_to_300_seconds() {
    let breaker = CircuitBreaker::default();
    assert_eq!(fail(&breaker, "a", 9), 5);
    let mut times = Vec::new();

    for _ in 0..6 {
        let time = refused_for(&breaker, "a").unwrap_or_default();
        times.push(time);
        advance(time).await;
        fail(&breaker, "a", 1);
    }

    assert_eq!(times, [30, 60, 120, 240, 300, 300].map(secs));
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_once_and_in_order() -> TestResult {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let breaker = after_three()
        .on_change(move |change| {
            let mut told = tell.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(change.to_string());
        })
        .build()?;

    fail(&breaker, "a", 9);
    advance(secs(30)).await;
    fail(&breaker, "a", 9);
    advance(secs(60)).await;
    drop(breaker.begin("a")?);
    breaker.begin("a")?.succeeded();

    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let expected = [
        "the circuit of `a` is open for 30s",
        "the circuit of `a` is half-open",
        "the circuit of `a` is open for 60s",
        "the circuit of `a` is half-open",
        "the circuit of `a` is closed",
    ];
    assert_eq!(*told, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn callback_may_ask_the_breaker() -> TestResult {
    let breaker = Arc::new(Mutex::new(None::<CircuitBreaker>));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (asked, noted) = (Arc::clone(&breaker), Arc::clone(&seen));
    let built = after_three()
        .on_change(move |change| {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let state = asked.as_ref().map(|breaker| breaker.state(change.key()));
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push(state);
        })
        .build()?;
    *breaker.lock().unwrap_or_else(PoisonError::into_inner) = Some(built.clone());

    fail(&built, "a", 3);

    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*seen, [Some(CircuitState::Open)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_no_failures_say_nothing() -> TestResult {
    let breaker = after_three().open_for(secs(1)).build()?;
    let answer = async |status: u16| {
        let is_failure = |status: &u16| *status >= 500;
        let call = || async { Err::<(), _>(status) };
        breaker.call_counting("a", is_failure, call).await
    };

    for status in [503, 503, 400, 503] {
        assert_eq!(answer(status).await, Err(CircuitError::Failed(status)));
    }
    assert_eq!(breaker.state("a"), CircuitState::Open);
    advance(secs(1)).await;
    assert_eq!(answer(400).await, Err(CircuitError::Failed(400)));
    assert_eq!(breaker.state("a"), CircuitState::HalfOpen);
    assert_eq!(answer(503).await, Err(CircuitError::Failed(503)));

    assert_eq!(breaker.state("a"), CircuitState::Open);
    Ok(())
}

#[test]
fn configurations_that_cannot_work_are_refused_by_name() {
    let check = |builder: CircuitBreakerBuilder, field: &str| {
        let refused = builder.build().err();
        let refused = refused.map(|error| error.field().to_owned());
        assert_eq!(refused.as_deref(), Some(field));
    };
    let builder = CircuitBreaker::builder;

    check(builder().consecutive_failures(0), "consecutive_failures");
    for rate in [f64::NAN, 0.0, -0.5, 1.01, f64::INFINITY] {
        check(builder().failure_rate(rate), "failure_rate");
    }
    check(builder().min_calls(0), "min_calls");
    check(builder().window(Duration::ZERO), "window");
    check(builder().open_for(Duration::ZERO), "open_for");
    check(builder().max_open_for(secs(29)), "max_open_for");
}

#[tokio::test(start_paused = true)]
async fn longest_durations_are_bounded_and_not_wrapped() -> TestResult {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .failure_rate(1.0)
        .window(Duration::MAX)
        .open_for(Duration::MAX)
        .build()?;

    fail(&breaker, "a", 1);
    advance(secs(1_000)).await;

    assert_eq!(breaker.state("a"), CircuitState::Open);
    Ok(())
}

fn kept(breaker: &CircuitBreaker) -> usize {
    let states = format!("{breaker:?}");
    [": Closed", ": Open", ": HalfOpen"]
        .iter()
        .map(|state| states.matches(state).count())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn keys_without_failures_are_not_kept() -> TestResult {
    let breaker = CircuitBreaker::builder().failure_rate(0.5).build()?;

    for number in 0..5_000 {
        breaker.begin(&number.to_string())?.succeeded();
    }

    assert!(kept(&breaker) <= 1_024, "{}", kept(&breaker));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keys_that_failed_long_ago_are_not_kept() -> TestResult {
    // One fails in a row and no more, one opens, and one opens by its share.
    for builder in [
        after_three(),
        after_three().consecutive_failures(1),
        CircuitBreaker::builder().failure_rate(0.5).min_calls(1),
    ] {
        let breaker = builder.build()?;

        for number in 0..5_000 {
            fail(&breaker, &number.to_string(), 1);
            advance(secs(1)).await;
        }

        // Those of ten minutes, twice the longest time that a circuit is open, are six hundred.
        assert!(kept(&breaker) <= 1_300, "{}", kept(&breaker));
        assert_eq!(breaker.state("0"), CircuitState::Closed);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keys_that_failed_lately_are_kept_however_many_there_are() -> TestResult {
    let breaker = after_three().consecutive_failures(1).build()?;

    for number in 0..5_000 {
        fail(&breaker, &number.to_string(), 1);
    }

    assert_eq!(kept(&breaker), 5_000);
    assert_eq!(breaker.state("0"), CircuitState::Open);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn call_begun_before_its_circuit_was_forgotten_counts() -> TestResult {
    let breaker = after_three().consecutive_failures(1).build()?;
    fail(&breaker, "a", 1);
    advance(secs(30)).await;
    breaker.begin("a")?.succeeded();
    let call = breaker.begin("a")?;
    advance(secs(601)).await;
    for number in 0..1_100 {
        fail(&breaker, &number.to_string(), 1);
    }
    assert!(!format!("{breaker:?}").contains("\"a\""));

    call.failed();

    assert_eq!(breaker.state("a"), CircuitState::Open);
    Ok(())
}

/// However many threads look at the same moment, one of them tries. They share the paused clock.
#[tokio::test(start_paused = true)]
async fn one_thread_tries_a_circuit_that_is_half_open() -> TestResult {
    let runtime = Handle::current();
    for _ in 0..200 {
        let breaker = after_three().build()?;
        fail(&breaker, "a", 3);
        advance(secs(30)).await;
        let gate = Barrier::new(4);

        let begun: Vec<_> = thread::scope(|scope| {
            let begin = || {
                let _clock = runtime.enter();
                gate.wait();
                breaker.begin("a").ok()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().ok().flatten();
            threads.into_iter().filter_map(join).collect()
        });

        assert_eq!(begun.len(), 1);
    }
    Ok(())
}
