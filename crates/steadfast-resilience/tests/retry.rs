//! Retries of futures: what is called again, after which wait, and what comes back in the end.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{pending, ready},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use steadfast_resilience::{Backoff, Jitter, Retry, RetryEvent, Wait, millis, secs};
use tokio::time::{Instant, timeout};

/// An error of the kinds that the tests tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    Busy,
    AskedToWait(Duration),
    BadKey,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("busy"),
            Self::AskedToWait(hint) => write!(f, "come back in {hint:?}"),
            Self::BadKey => f.write_str("bad key"),
        }
    }
}

fn doubling() -> Retry<Failure> {
    Retry::new(Backoff::exponential(secs(1)))
}

/// Remembers the events of a retry.
fn heard<E>(retry: Retry<E>) -> (Retry<E>, Arc<Mutex<Vec<RetryEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let retry = retry.on_retry(move |event| {
        if let Ok(mut events) = told.lock() {
            events.push(event.clone());
        }
    });
    (retry, events)
}

/// Fails for ever. Returns when the calls began, after the first, and what came back.
async fn exhaust(retry: &Retry<Failure>, failure: Failure) -> (Vec<Duration>, Failure) {
    let began = Instant::now();
    let calls = RefCell::new(Vec::new());
    let answer = retry
        .run(|| {
            calls.borrow_mut().push(began.elapsed());
            ready(Err::<(), _>(failure.clone()))
        })
        .await;
    (calls.into_inner(), answer.err().unwrap_or(Failure::BadKey))
}

/// Fails for ever; each number is the wait before a further call. Nothing is waited after the last.
async fn check(retry: &Retry<Failure>, waits: &[Duration]) {
    let began = Instant::now();
    let (calls, error) = exhaust(retry, Failure::Busy).await;

    let mut at = Duration::ZERO;
    let mut expected = vec![at];
    for wait in waits {
        at += *wait;
        expected.push(at);
    }
    assert_eq!((calls, error), (expected, Failure::Busy));
    assert_eq!(began.elapsed(), at, "a wait behind the last call");
}

#[tokio::test(start_paused = true)]
async fn four_attempts_of_one_second_take_seven() {
    // AT-1, AT-7.
    check(&doubling().max_attempts(4).unwrap(), &[1, 2, 4].map(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn base_and_attempts_are_configurable() {
    // AT-2.
    let halves = |base, attempts| {
        Retry::new(Backoff::exponential(millis(base)))
            .max_attempts(attempts)
            .unwrap()
    };
    check(&halves(1_500, 3), &[1_500, 3_000].map(millis)).await;
    check(&halves(500, 5), &[500, 1_000, 2_000, 4_000].map(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn every_backoff_is_waited_as_it_is_computed() {
    // AT-19.
    let six = |backoff| Retry::new(backoff).max_attempts(6).unwrap();
    check(&six(Backoff::linear(secs(2))), &[2, 4, 6, 8, 10].map(secs)).await;
    check(&six(Backoff::constant(secs(5))), &[secs(5); 5]).await;
    let capped = Backoff::exponential(secs(16)).max_delay(secs(60));
    check(&six(capped), &[16, 32, 60, 60, 60].map(secs)).await;
    check(
        &six(Backoff::constant(Duration::ZERO)),
        &[Duration::ZERO; 5],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_no_retry() {
    // AE-13.
    check(&doubling().max_attempts(1).unwrap(), &[]).await;
}

#[test]
fn no_attempt_at_all_is_refused_by_name() {
    // AE-13, AT-13.
    let error = doubling().max_attempts(0).unwrap_err();

    assert_eq!(error.field(), "max_attempts");
}

#[tokio::test(start_paused = true)]
async fn success_comes_back_at_once() {
    // AT-3.
    let (retry, events) = heard(doubling());
    let calls = Cell::new(0);
    let began = Instant::now();

    let answer = retry
        .run(|| {
            calls.set(calls.get() + 1);
            ready(Ok("answer"))
        })
        .await;

    assert_eq!(answer, Ok("answer"));
    assert_eq!((calls.get(), began.elapsed()), (1, Duration::ZERO));
    assert!(events.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refused_error_comes_back_from_the_first_call() {
    // AE-8.
    let (retry, events) = heard(doubling().retry_if(|error| *error == Failure::Busy));

    let (calls, error) = exhaust(&retry, Failure::BadKey).await;

    assert_eq!((calls.len(), error), (1, Failure::BadKey));
    assert!(events.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn last_error_is_returned_and_not_the_first() {
    // AT-4.
    let call = Cell::new(0);

    let answer = doubling()
        .run(|| {
            call.set(call.get() + 1);
            ready(Err::<(), _>(Failure::AskedToWait(secs(call.get()))))
        })
        .await;

    assert_eq!(answer, Err(Failure::AskedToWait(secs(3))));
}

#[tokio::test(start_paused = true)]
async fn event_says_all_before_the_wait_it_announces() {
    // AE-10, AT-11.
    let began = Instant::now();
    let (retry, events) = heard(
        doubling()
            .operation_type("llm")
            .operation_name("gpt-4")
            .step_id("step-7")
            .error_kind(|error| format!("{error:?}"))
            .request_id(|_| Some("req-1".to_owned())),
    );
    let told = Rc::new(RefCell::new(Vec::new()));

    let answer = retry
        .run(|| {
            told.borrow_mut()
                .push((events.lock().unwrap().len(), began.elapsed()));
            ready(Err::<(), _>(Failure::Busy))
        })
        .await;

    assert_eq!(answer, Err(Failure::Busy));
    let before = told.take();
    assert_eq!(before, [(0, secs(0)), (1, secs(1)), (2, secs(3))]);
    let events = events.lock().unwrap();
    let [first, second] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((first.attempt(), second.attempt()), (1, 2));
    assert_eq!((first.max_attempts(), second.max_attempts()), (3, 3));
    assert_eq!((first.delay(), second.delay()), (secs(1), secs(2)));
    let between = second.timestamp().duration_since(first.timestamp());
    assert_eq!(between.unwrap(), secs(1));
    assert_eq!(
        (first.operation_type(), first.operation_name()),
        ("llm", "gpt-4")
    );
    assert_eq!((first.error(), first.error_kind()), ("busy", "Busy"));
    assert_eq!(
        (first.step_id(), first.request_id()),
        (Some("step-7"), Some("req-1"))
    );
}

#[tokio::test(start_paused = true)]
async fn error_kind_is_the_type_unless_told() {
    let (retry, events) = heard(doubling());

    exhaust(&retry, Failure::Busy).await;

    let events = events.lock().unwrap();
    assert_eq!(events[0].error_kind(), "retry::Failure");
    assert_eq!(events[0].request_id(), None);
}

#[tokio::test(start_paused = true)]
async fn wait_that_reaches_the_deadline_is_not_begun() {
    let ten = |deadline| doubling().max_attempts(10).unwrap().deadline(deadline);
    check(&ten(secs(30)), &[1, 2, 4, 8].map(secs)).await;
    check(&ten(secs(7)), &[1, 2].map(secs)).await;
    check(&ten(millis(7_001)), &[1, 2, 4].map(secs)).await;
    check(&ten(Duration::ZERO), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn deadline_counts_the_calls_too() {
    let retry = doubling().max_attempts(10).unwrap().deadline(secs(10));
    let began = Instant::now();

    let answer = retry
        .run(|| async {
            tokio::time::sleep(secs(4)).await;
            Err::<(), _>(Failure::Busy)
        })
        .await;

    // Calls from 0 to 4 and from 5 to 9; the wait of 2 would end at 11.
    assert_eq!((answer, began.elapsed()), (Err(Failure::Busy), secs(9)));
}

fn hinted() -> Retry<Failure> {
    doubling().hint(|error| match error {
        Failure::AskedToWait(hint) => Some(*hint),
        _ => None,
    })
}

async fn check_hint(retry: &Retry<Failure>, hint: Duration, waited: Option<Duration>) {
    let (calls, error) = exhaust(retry, Failure::AskedToWait(hint)).await;

    assert_eq!(calls.get(1).copied(), waited);
    assert_eq!(error, Failure::AskedToWait(hint));
}

#[tokio::test(start_paused = true)]
async fn longer_of_hint_and_backoff_is_waited() {
    check_hint(&hinted(), secs(9), Some(secs(9))).await;
    check_hint(&hinted(), millis(9), Some(secs(1))).await;
    check(&hinted(), &[1, 2].map(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn hint_that_has_passed_leaves_the_backoff() {
    check_hint(&hinted(), Duration::ZERO, Some(secs(1))).await;
}

#[tokio::test(start_paused = true)]
async fn hint_of_a_year_ends_the_operation_at_once() {
    let year = secs(365 * 86_400);
    check_hint(&hinted(), secs(600), Some(secs(600))).await;
    check_hint(&hinted(), millis(600_001), None).await;
    check_hint(&hinted(), Duration::MAX, None).await;
    check_hint(&hinted().max_hint(year), year, Some(year)).await;
    check_hint(&hinted().max_hint(secs(5)), secs(6), None).await;
}

#[tokio::test(start_paused = true)]
async fn hint_may_ask_for_what_the_backoff_may_wait() {
    let backoff = Backoff::exponential(secs(1)).max_delay(secs(900));
    let retry = Retry::new(backoff).hint(|error| match error {
        Failure::AskedToWait(hint) => Some(*hint),
        _ => None,
    });

    check_hint(&retry, secs(900), Some(secs(900))).await;
}

#[tokio::test(start_paused = true)]
async fn seed_fixes_the_waits_and_another_changes_them() {
    // AE-7.
    let spread = Retry::new(Backoff::constant(secs(8)).jitter(Jitter::Quarter));
    let first = exhaust(&spread.clone().seed(7), Failure::Busy).await;
    let again = exhaust(&spread.clone().seed(7), Failure::Busy).await;
    let other = exhaust(&spread.clone().seed(8), Failure::Busy).await;

    assert_eq!(first, again);
    assert_ne!(first, other);
    let [_, second, third] = first.0[..] else {
        panic!("{first:?}");
    };
    assert_ne!(second, third - second, "each wait draws anew");
}

#[tokio::test(start_paused = true)]
async fn decorrelated_jitter_looks_at_the_wait_before() {
    let backoff = Backoff::exponential(secs(1))
        .max_delay(secs(10_000))
        .jitter(Jitter::Decorrelated);
    let (retry, events) = heard(Retry::new(backoff).max_attempts(50).unwrap().seed(3));

    exhaust(&retry, Failure::Busy).await;

    let events = events.lock().unwrap();
    let delays: Vec<Duration> = events.iter().map(RetryEvent::delay).collect();
    for pair in delays.windows(2) {
        let widest = Wait::after(1).last_delay(pair[0]).random(u64::MAX);
        assert!(pair[1] <= backoff.delay(&widest), "{pair:?}");
    }
    assert!(delays.iter().any(|delay| *delay > secs(20)), "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn dropped_wait_makes_no_further_call() {
    // AE-29, AT-15.
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    let retry = doubling();
    let run = retry.run(move || {
        counted.set(counted.get() + 1);
        ready(Err::<(), _>(Failure::Busy))
    });
    let began = Instant::now();

    timeout(millis(500), run).await.unwrap_err();

    assert_eq!(began.elapsed(), millis(500));
    assert_eq!((calls.get(), Rc::strong_count(&calls)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn call_is_dropped_before_the_wait() {
    let held = Rc::new(());
    let (retry, alive) = (doubling(), held.clone());
    let run = retry.run(|| {
        let alive = alive.clone();
        async move {
            let _held_by_the_call = alive;
            Err::<(), _>(Failure::Busy)
        }
    });
    let mut run = Box::pin(run);

    timeout(millis(500), &mut run).await.unwrap_err();

    assert_eq!(Rc::strong_count(&held), 2);
}

#[tokio::test(start_paused = true)]
async fn call_that_hangs_is_left_to_its_caller() {
    let retry = doubling().deadline(secs(1));

    let answer = timeout(secs(60), retry.run(pending::<Result<(), Failure>>)).await;

    assert!(answer.is_err());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_attempts_do_not_overflow() {
    // AE-30.
    let backoff = Backoff::exponential(secs(1)).max_delay(secs(60));
    for backoff in [
        backoff,
        Backoff::linear(secs(1)),
        Backoff::constant(secs(1)),
    ] {
        let retry = Retry::new(backoff).max_attempts(10_000).unwrap();
        let (retry, events) = heard(retry);

        let (calls, _) = exhaust(&retry, Failure::Busy).await;

        let events = events.lock().unwrap();
        let last = events.last().unwrap();
        assert_eq!((calls.len(), events.len()), (10_000, 9_999));
        assert_eq!(last.attempt(), 9_999);
        assert_eq!(last.delay(), backoff.delay(&Wait::after(9_998)));
    }
}

#[tokio::test(start_paused = true)]
async fn million_attempts_are_made_and_no_more() {
    let mut calls = 0_u32;
    let retry = Retry::new(Backoff::exponential(Duration::ZERO));
    let retry = retry.max_attempts(1_000_000).unwrap();

    let answer = retry.run(|| {
        calls += 1;
        ready(Err::<(), _>("down"))
    });

    // Nothing waits, so one poll is enough.
    assert_eq!(answer.now_or_never(), Some(Err("down")));
    assert_eq!(calls, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn endless_wait_is_told_and_can_be_dropped() {
    let (retry, events) = heard(Retry::new(Backoff::constant(Duration::MAX)));

    let answer = timeout(secs(86_400), retry.run(|| ready(Err::<(), _>("down")))).await;

    assert!(answer.is_err());
    assert_eq!(events.lock().unwrap()[0].delay(), Duration::MAX);
}

#[test]
fn futures_of_a_retry_can_be_spawned() {
    const fn sendable<T: Send>(_: &T) {}
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Retry<Rc<()>>>();
    shared::<RetryEvent>();

    let retry = doubling();

    sendable(&retry.run(|| ready(Ok(()))));
}
