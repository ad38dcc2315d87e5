//! The default strategy as arithmetic: what it answers to any failed attempt.

use std::time::Duration;

use proptest::{
    option,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
};
use steadfast_core::{
    DecidedBy, FailedAttempt, Jitter, ModelError, ModelRetryStrategy, RetryDecision, RetryStrategy,
    millis,
};

use crate::{holds, scenario::KINDS};

/// Delays of every size: the edges, and what people write.
fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        6 => (0..900_000_u64).prop_map(millis),
    ]
}

/// A strategy's configuration.
#[derive(Debug, Clone)]
struct Configured {
    max_attempts: u32,
    initial: Duration,
    max_delay: Duration,
    max_hint: Duration,
    jitter: Jitter,
}

fn configured() -> impl Strategy<Value = Configured> {
    let jitter = select(
        &[
            Jitter::None,
            Jitter::Full,
            Jitter::Equal,
            Jitter::Decorrelated,
        ][..],
    );
    (1..9_u32, delay(), delay(), delay(), jitter).prop_map(
        |(max_attempts, initial, max_delay, max_hint, jitter)| Configured {
            max_attempts,
            initial,
            max_delay,
            max_hint,
            jitter,
        },
    )
}

/// A failed attempt.
#[derive(Debug, Clone)]
struct Failed {
    error: ModelError,
    attempt: u32,
    last: Option<Duration>,
    random: u64,
}

fn failed() -> impl Strategy<Value = Failed> {
    let should_retry = option::weighted(0.3, any::<bool>());
    let error = (select(&KINDS[..]), option::of(delay()), should_retry).prop_map(
        |(kind, hint, should_retry)| {
            ModelError::new(kind, "scripted")
                .with_retry_after(hint)
                .with_should_retry(should_retry)
        },
    );
    let attempt = prop_oneof![4 => 1..12_u32, 1 => 1..=u32::MAX];
    (error, attempt, option::of(delay()), any::<u64>()).prop_map(
        |(error, attempt, last, random)| Failed {
            error,
            attempt,
            last,
            random,
        },
    )
}

/// Design 5: only what is transient is tried again, at most so many calls; a computed delay is never
/// above the cap; a hint is never shortened, never lengthened by more than a tenth, and ends the run
/// where it is beyond what a server may ask.
#[test]
fn default_strategy_keeps_its_caps_and_the_servers_word() {
    holds(3_000, (configured(), failed()), |(configured, failed)| {
        let strategy = ModelRetryStrategy::new()
            .max_attempts(configured.max_attempts)
            .initial_delay(configured.initial)
            .max_delay(configured.max_delay)
            .max_hint(configured.max_hint)
            .jitter(configured.jitter);
        let mut attempt =
            FailedAttempt::new(&failed.error, failed.attempt).with_random(failed.random);
        if let Some(last) = failed.last {
            attempt = attempt.with_last_delay(last);
        }

        let decision = strategy.decide(&attempt);

        assert_eq!(strategy.decide(&attempt), decision, "it keeps no state");
        let hint = failed.error.retry_after().unwrap_or_default();
        let most = configured.max_hint.max(configured.max_delay);
        let retried =
            failed.error.is_transient() && failed.attempt < configured.max_attempts && hint <= most;
        match decision {
            RetryDecision::Retry {
                delay, decided_by, ..
            } => {
                assert!(retried);
                assert!(delay >= hint, "a hint is never shortened");
                let longest = match decided_by {
                    DecidedBy::Hint => hint.saturating_add(hint / 10),
                    _ => configured.max_delay,
                };
                assert!(delay <= longest, "{delay:?}, at most {longest:?}");
            }
            _ => assert!(!retried),
        }
        Ok(())
    });
}
