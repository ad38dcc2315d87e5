//! What holds for every retry, whatever its configuration: it ends, in time, and says what it waits.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;

use std::{
    cell::RefCell,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{Backoff, Jitter, Retry, RetryEvent, RetryQuota};
use tokio::time::Instant;

/// Durations of whole milliseconds, since tokio's clock knows no shorter ones.
fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        8 => (0..600_000_u64).prop_map(Duration::from_millis),
    ]
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let kinds = prop_oneof![
        Just(Backoff::constant as fn(Duration) -> Backoff),
        Just(Backoff::linear as fn(Duration) -> Backoff),
        Just(Backoff::exponential as fn(Duration) -> Backoff),
    ];
    let jitter = prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Quarter),
        Just(Jitter::Decorrelated),
    ];
    (kinds, delay(), delay(), jitter)
        .prop_map(|(kind, initial, max, jitter)| kind(initial).max_delay(max).jitter(jitter))
}

/// Fails for ever. Returns when each call began, after the first.
fn exhaust(retry: &Retry<&'static str>) -> Vec<Duration> {
    let runtime = paused();
    let calls = RefCell::new(Vec::new());
    if let Ok(runtime) = runtime {
        let _failed = runtime.block_on(async {
            let began = Instant::now();
            let operation = || {
                calls.borrow_mut().push(began.elapsed());
                ready(Err::<(), _>("down"))
            };
            retry.run(operation).await
        });
    }
    calls.into_inner()
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn calls_are_bounded_and_waits_are_those_told(
        backoff in backoff(),
        max_attempts in 1..40_u32,
        deadline in proptest::option::of(delay()),
        tokens in proptest::option::of((0..30_u32, 1..4_u32)),
        hint in proptest::option::of(delay()),
        seed in any::<u64>(),
    ) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        let mut retry = Retry::new(backoff)
            .max_attempts(max_attempts)
            .unwrap()
            .hint(move |_| hint)
            .seed(seed)
            .on_retry(move |event| told.lock().unwrap().push(event.clone()));
        if let Some(deadline) = deadline {
            retry = retry.deadline(deadline);
        }
        let quota = tokens.map(|(capacity, cost)| (RetryQuota::new(capacity), cost));
        if let Some((quota, cost)) = &quota {
            retry = retry.quota(quota.clone(), *cost);
        }

        let calls = exhaust(&retry);

        let events: Vec<RetryEvent> = events.lock().unwrap().clone();
        let retries = u32::try_from(events.len()).unwrap();
        prop_assert_eq!(calls.len(), events.len() + 1);
        prop_assert!(retries < max_attempts);
        for (pair, event) in calls.windows(2).zip(&events) {
            let waited = pair[1] - pair[0];
            // Tokio's clock rounds a wait up to the next millisecond.
            prop_assert!(waited >= event.delay());
            prop_assert!(waited <= event.delay() + Duration::from_millis(2));
            prop_assert!(hint.is_none_or(|hint| event.delay() >= hint));
            let longest = hint.map_or(Duration::ZERO, |hint| hint + hint / 10);
            prop_assert!(event.delay() <= longest.max(backoff.longest()));
        }
        if let (Some(deadline), Some(last)) = (deadline, calls.last()) {
            prop_assert!(*last < deadline + Duration::from_millis(2) || events.is_empty());
        }
        if let (Some((quota, cost)), Some((capacity, _))) = (&quota, tokens) {
            prop_assert_eq!(quota.left(), capacity - retries * cost);
        }
    }
}
