use super::*;

fn throttled() -> ModelError {
    ModelError::new(ModelErrorKind::Throttled, "slow down").with_status(429)
}

fn check(strategy: &ModelRetryStrategy, error: &ModelError, expected: &[RetryDecision]) {
    let decisions: Vec<_> = (1..)
        .zip(expected)
        .map(|(attempt, _)| strategy.decide(&FailedAttempt::new(error, attempt)))
        .map(|decision| match decision {
            // The words have a test of their own.
            RetryDecision::GiveUp { .. } => GIVE_UP,
            retry @ RetryDecision::Retry { .. } => retry,
        })
        .collect();
    assert_eq!(decisions, expected);
}

const GIVE_UP: RetryDecision = RetryDecision::give_up();

const fn after(seconds: u64) -> RetryDecision {
    RetryDecision::after(secs(seconds))
}

const fn hint(seconds: u64) -> RetryDecision {
    RetryDecision::after_hint(secs(seconds))
}

#[test]
fn defaults_are_the_promised_ones() {
    // Design section 5; ST-1; scenario 1.
    let all = [after(4), after(8), after(16), after(32), after(64), GIVE_UP];
    check(&ModelRetryStrategy::new(), &throttled(), &all);
    check(&ModelRetryStrategy::default(), &throttled(), &all);
}

#[test]
fn three_attempts_from_two_seconds_wait_two_and_four() {
    // ST-2.
    let strategy = ModelRetryStrategy::new()
        .max_attempts(3)
        .initial_delay(secs(2))
        .max_delay(secs(60));
    check(&strategy, &throttled(), &[after(2), after(4), GIVE_UP]);
}

#[test]
fn one_attempt_is_no_retry() {
    // Scenario 21.
    check(
        &ModelRetryStrategy::new().max_attempts(1),
        &throttled(),
        &[GIVE_UP],
    );
}

#[test]
fn zero_attempts_are_refused_by_name() {
    // Scenario 16.
    let error = RetryStrategy::validate(&ModelRetryStrategy::new().max_attempts(0)).unwrap_err();
    assert_eq!(error.field(), "max_attempts");
}

#[test]
fn exactly_the_transient_kinds_are_retried() {
    use ModelErrorKind as Kind;
    let transient = [
        Kind::Throttled,
        Kind::Overloaded,
        Kind::Server,
        Kind::Network,
        Kind::Timeout,
        Kind::Truncated,
    ];
    let terminal = [
        Kind::ContextOverflow,
        Kind::TooLarge,
        Kind::QuotaExhausted,
        Kind::Auth,
        Kind::InvalidRequest,
        Kind::NotFound,
        Kind::Unsupported,
        Kind::ContentFiltered,
        Kind::Protocol,
    ];
    for kind in transient {
        check(
            &ModelRetryStrategy::new(),
            &ModelError::new(kind, ""),
            &[after(4)],
        );
    }
    for kind in terminal {
        check(
            &ModelRetryStrategy::new(),
            &ModelError::new(kind, ""),
            &[GIVE_UP],
        );
    }
}

#[test]
fn longer_hint_wins_and_shorter_hint_does_not() {
    let strategy = ModelRetryStrategy::new();
    check(
        &strategy,
        &throttled().with_retry_after(secs(10)),
        &[hint(10), hint(10), after(16)],
    );
    let all = [after(4), after(8), after(16), after(32), after(64), GIVE_UP];
    check(&strategy, &throttled().with_retry_after(secs(1)), &all);
}

#[test]
fn hint_may_exceed_max_delay_but_not_max_hint() {
    let strategy = ModelRetryStrategy::new().max_delay(secs(5));
    check(
        &strategy,
        &throttled().with_retry_after(secs(600)),
        &[hint(600)],
    );
    check(
        &strategy,
        &throttled().with_retry_after(secs(601)),
        &[GIVE_UP],
    );
    let patient = ModelRetryStrategy::new()
        .max_hint(secs(1))
        .max_delay(secs(30));
    check(
        &patient,
        &throttled().with_retry_after(secs(30)),
        &[hint(30)],
    );
    check(
        &patient,
        &throttled().with_retry_after(secs(31)),
        &[GIVE_UP],
    );
}

#[test]
fn hint_never_adds_attempts() {
    let strategy = ModelRetryStrategy::new().max_attempts(2);
    check(
        &strategy,
        &throttled().with_retry_after(secs(9)),
        &[hint(9), GIVE_UP],
    );
}

#[test]
fn jitter_only_lengthens_a_hint() {
    let strategy = ModelRetryStrategy::new().jitter(Jitter::Full);
    let error = throttled().with_retry_after(secs(100));
    for random in [0, u64::MAX / 2, u64::MAX] {
        let attempt = FailedAttempt::new(&error, 1).with_random(random);
        let RetryDecision::Retry { delay, .. } = strategy.decide(&attempt) else {
            panic!("not retried")
        };
        assert!(delay >= secs(100) && delay <= secs(110), "{delay:?}");
    }
}

#[test]
fn server_overrules_the_kind() {
    let strategy = ModelRetryStrategy::new();
    check(&strategy, &throttled().with_should_retry(false), &[GIVE_UP]);
    let invalid = ModelError::new(ModelErrorKind::InvalidRequest, "").with_should_retry(true);
    check(&strategy, &invalid, &[after(4)]);
}

#[test]
fn strategy_narrows_to_throttles_or_to_a_predicate() {
    // Scenario 14.
    let server = ModelError::new(ModelErrorKind::Server, "");
    check(
        &ModelRetryStrategy::new().throttles_only(),
        &server,
        &[GIVE_UP],
    );
    check(
        &ModelRetryStrategy::new().throttles_only(),
        &throttled(),
        &[after(4)],
    );
    let odd = ModelRetryStrategy::new().retry_if(|error| error.kind() == ModelErrorKind::Protocol);
    check(
        &odd,
        &ModelError::new(ModelErrorKind::Protocol, ""),
        &[after(4), after(8)],
    );
    check(&odd, &throttled(), &[GIVE_UP]);
}

#[test]
fn what_might_have_been_mended_says_why_it_was_not() {
    let why = |strategy: &ModelRetryStrategy, error: &ModelError, attempt| match strategy
        .decide(&FailedAttempt::new(error, attempt))
    {
        RetryDecision::GiveUp { why } => why.map(|why| why.into_owned()),
        RetryDecision::Retry { .. } => panic!("retried"),
    };
    let strategy = ModelRetryStrategy::new();
    let once = ModelRetryStrategy::new().max_attempts(1);
    let late = throttled().with_retry_after(secs(601));
    let terminal = ModelError::new(ModelErrorKind::Auth, "no");

    for (strategy, error, attempt, expected) in [
        (
            &strategy,
            &throttled(),
            6,
            Some("gave up after 6 attempts, all that `max_attempts` allows"),
        ),
        (
            &once,
            &throttled(),
            1,
            Some("gave up after 1 attempt, all that `max_attempts` allows"),
        ),
        (
            &strategy,
            &late,
            2,
            Some("gave up since the server asks for a longer wait than `max_hint` allows (600s)"),
        ),
        (&strategy, &terminal, 6, None),
    ] {
        assert_eq!(why(strategy, error, attempt).as_deref(), expected);
    }
}
