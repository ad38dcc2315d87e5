//! The retry strategy by itself: its arithmetic, what it is asked, and that it keeps nothing.

mod support;

use std::{
    future::IntoFuture as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, AgentEvent, FailedAttempt, HookProvider,
    HookRegistry, Jitter, ModelError, ModelErrorKind, ModelRetryStrategy, NoopRetryStrategy,
    RetryDecision, RetryStrategy, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;

fn throttled() -> ModelError {
    ModelError::new(ModelErrorKind::Throttled, "slow down").with_status(429)
}

/// Asks about one attempt; the waits before it follow from its number.
fn delay(strategy: &impl RetryStrategy, attempt: u32) -> Option<Duration> {
    match strategy.decide(&FailedAttempt::new(&throttled(), attempt)) {
        RetryDecision::Retry { delay, .. } => Some(delay),
        _ => None,
    }
}

/// Checks the delays after attempts 1, 2, 3 and so on, in seconds; none where the error stands.
fn check(strategy: &ModelRetryStrategy, expected: &[Option<u64>]) {
    let delays: Vec<_> = (1..)
        .zip(expected)
        .map(|(attempt, _)| delay(strategy, attempt))
        .collect();

    let expected: Vec<_> = expected.iter().map(|seconds| seconds.map(secs)).collect();
    assert_eq!(delays, expected);
}

/// Strands 1.
#[test]
fn defaults_are_6_attempts_4_seconds_and_at_most_240() {
    let six = [Some(4), Some(8), Some(16), Some(32), Some(64), None];
    check(&ModelRetryStrategy::new(), &six);
    check(&ModelRetryStrategy::default(), &six);

    let more = ModelRetryStrategy::new().max_attempts(9);
    let nine = [4, 8, 16, 32, 64, 128, 240, 240].map(Some);
    check(&more, &[&nine[..], &[None]].concat());
}

/// Strands 2, 3, 5.
#[test]
fn delay_doubles_up_to_its_cap() {
    let strategy = |initial, max| {
        ModelRetryStrategy::new()
            .max_attempts(20)
            .initial_delay(secs(initial))
            .max_delay(secs(max))
    };

    let eleven = [2, 4, 8, 16, 32, 32, 32, 32, 32, 32, 32].map(Some);
    check(&strategy(2, 32), &eleven);
    check(&strategy(10, 50), &[10, 20, 40, 50, 50].map(Some));
    check(&strategy(4, 2), &[2, 2, 2, 2].map(Some));
}

/// Strands 16.
#[test]
fn no_attempt_at_all_is_refused_and_one_is_not() {
    let none = ModelRetryStrategy::new().max_attempts(0);
    let one = ModelRetryStrategy::new().max_attempts(1);

    let refused = RetryStrategy::validate(&none).unwrap_err();

    assert_eq!(
        refused.to_string(),
        "`max_attempts` must be at least 1, got `0`"
    );
    assert!(RetryStrategy::validate(&one).is_ok());
}

/// Strands 17.
#[test]
fn delay_of_the_thousandth_attempt_is_the_cap() {
    let strategy = ModelRetryStrategy::new()
        .max_attempts(u32::MAX)
        .initial_delay(millis(500));
    let uncapped = strategy.clone().max_delay(Duration::MAX);

    for attempt in [32, 33, 64, 65, 1_025, 1_101, u32::MAX - 1] {
        assert_eq!(delay(&strategy, attempt), Some(secs(240)), "{attempt}");
    }
    assert_eq!(delay(&uncapped, 1_101), Some(Duration::MAX));
}

/// Strands 18.
#[test]
fn jitter_keeps_its_bounds() {
    let plain = ModelRetryStrategy::new()
        .max_attempts(20)
        .max_delay(secs(60));
    let jittered = |jitter, attempt, last: Option<Duration>, random| {
        let error = throttled();
        let mut failed = FailedAttempt::new(&error, attempt).with_random(random);
        if let Some(last) = last {
            failed = failed.with_last_delay(last);
        }
        match plain.clone().jitter(jitter).decide(&failed) {
            RetryDecision::Retry { delay, .. } => delay,
            other => panic!("{other:?}"),
        }
    };

    for random in (0..=64).map(|step| (u64::MAX / 64).saturating_mul(step)) {
        for attempt in 1..=9 {
            let raw = delay(&plain, attempt).unwrap();
            assert_eq!(jittered(Jitter::None, attempt, None, random), raw);
            assert!(jittered(Jitter::Full, attempt, None, random) <= raw);
            let equal = jittered(Jitter::Equal, attempt, None, random);
            assert!((raw / 2..=raw).contains(&equal), "{equal:?} of {raw:?}");
        }
        assert!(jittered(Jitter::Decorrelated, 1, None, random) <= secs(4));
        for last in [secs(1), secs(5), secs(19), secs(21), secs(60)] {
            let bound = (last * 3).clamp(secs(4), secs(60));
            let next = jittered(Jitter::Decorrelated, 2, Some(last), random);
            assert!((secs(4)..=bound).contains(&next), "{next:?} after {last:?}");
        }
    }
}

/// Strands 18: the bounds are not met by answering always the same.
#[test]
fn jitter_reaches_both_ends_of_its_range() {
    for (jitter, low, high) in [
        (Jitter::Full, secs(0), secs(8)),
        (Jitter::Equal, secs(4), secs(8)),
        (Jitter::Decorrelated, secs(4), secs(15)),
    ] {
        let strategy = ModelRetryStrategy::new().jitter(jitter);
        let error = throttled();
        let at = |random| {
            let failed = FailedAttempt::new(&error, 2).with_last_delay(secs(5));
            match strategy.decide(&failed.with_random(random)) {
                RetryDecision::Retry { delay, .. } => delay,
                other => panic!("{other:?}"),
            }
        };

        assert_eq!(at(0), low, "{jitter:?}");
        assert!(at(u64::MAX) > high - millis(1), "{jitter:?}");
        assert!(at(u64::MAX) <= high, "{jitter:?}");
    }
}

/// Strands 6, 7, 10, 27: what was asked before changes no answer.
#[test]
fn same_attempt_gets_the_same_answer_however_often_it_is_asked() {
    let strategy = ModelRetryStrategy::new().max_attempts(3);

    let answers: Vec<_> = [1, 2, 3, 1, 1, 3, 2, 1]
        .map(|attempt| delay(&strategy, attempt))
        .into();

    let (first, second) = (Some(secs(4)), Some(secs(8)));
    let expected = [first, second, None, first, first, None, second, first];
    assert_eq!(answers, expected);
}

/// Strands 13: one callback, since there is no counter to set back when a run ends.
#[test]
fn strategy_registers_one_callback() {
    for strategy in [
        Box::new(ModelRetryStrategy::new()) as Box<dyn HookProvider>,
        Box::new(NoopRetryStrategy),
    ] {
        let mut hooks = HookRegistry::new();

        strategy.register_hooks(&mut hooks);

        assert_eq!(format!("{hooks:?}"), "HookRegistry { callbacks: 1 }");
    }
}

fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    Agent::builder().model(ScriptedModel::new(replies))
}

/// The waits of a prompt's run as its viewer saw them: declared, then passed; and its end.
async fn waits(agent: &Agent) -> Vec<String> {
    let trace = told(agent.prompt("?")).await.trace().into_iter();
    let waits = trace.filter(|line| {
        let ends = line.starts_with("result ") || line.starts_with("force_stop ");
        ends || line.starts_with('+') || line.contains(" waits ")
    });
    waits.collect()
}

/// A strategy that counts how often it is asked.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl RetryStrategy for Asked {
    fn decide(&self, _attempt: &FailedAttempt<'_>) -> RetryDecision {
        self.0.fetch_add(1, Ordering::Relaxed);
        RetryDecision::after(secs(1))
    }
}

/// Strands 8, 9: it has nothing to set back after an answer, or after an attempt that was cut short.
#[tokio::test(start_paused = true)]
async fn strategy_is_asked_about_failures_only() {
    let asked = Asked::default();
    let seen: Arc<Mutex<Vec<(bool, bool, bool)>>> = Arc::default();
    let seeing = Arc::clone(&seen);
    let agent = builder([Reply::throttled(), Reply::text("Yes."), Reply::hang()])
        .retry_strategy(asked.clone())
        .observe(move |event: &AfterModelCallEvent| {
            let saw = (
                event.error().is_some(),
                event.response().is_some(),
                event.retry,
            );
            seeing.lock().unwrap().push(saw);
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();
    let cut_short = agent.prompt("?").spawn();
    tokio::time::sleep(secs(1)).await;
    cut_short.cancel();
    cut_short.await.unwrap();

    let expected = [
        (true, false, true),
        (false, true, false),
        (false, false, false),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(asked.0.load(Ordering::Relaxed), 1);
}

/// Strands 10.
#[tokio::test(start_paused = true)]
async fn next_run_begins_with_the_first_delay_however_the_last_one_ended() {
    let throttles = |count| (0..count).map(|_| Reply::throttled());
    let answered = throttles(2).chain([Reply::text("Yes.")]);
    let agent = builder(
        answered
            .chain(throttles(3))
            .chain(throttles(1))
            .chain(throttles(3)),
    )
    .retry_strategy(ModelRetryStrategy::new().max_attempts(3))
    .build()
    .unwrap();

    let answered = waits(&agent).await;
    let failed = waits(&agent).await;
    let aborted = tokio::time::timeout(secs(1), agent.prompt("?").into_future()).await;
    let last = waits(&agent).await;

    assert!(aborted.is_err());
    let each = [
        "1.1 waits 4s by Backoff",
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
    ];
    assert_eq!(answered, [&each[..], &["result EndTurn"]].concat());
    assert_eq!(failed, [&each[..], &["force_stop throttled"]].concat());
    assert_eq!(last, failed);
}

/// Strands 26: the one registered last is asked first, and the agent's own strategy last of all.
#[tokio::test(start_paused = true)]
async fn of_several_strategies_the_first_to_answer_wins() {
    let patient = ModelRetryStrategy::new().initial_delay(secs(50));
    let of_throttles = ModelRetryStrategy::new()
        .initial_delay(secs(3))
        .throttles_only();
    let of_odd = ModelRetryStrategy::new()
        .initial_delay(millis(500))
        .retry_if(|error| error.kind() == ModelErrorKind::Protocol);
    let replies = [
        Reply::throttled(),
        Reply::fail(ModelErrorKind::Protocol),
        Reply::fail(ModelErrorKind::Network),
        Reply::text("Yes."),
    ];

    let agent = builder(replies)
        .retry_strategy(patient)
        .hooks(of_throttles)
        .hooks(of_odd)
        .build()
        .unwrap();

    let waits = waits(&agent).await;

    // One wait a failure; the exponent is the turn's, whoever declared the waits before.
    let expected = [
        "1.1 waits 3s by Backoff",
        "+3s",
        "1.2 waits 1s by Backoff",
        "+1s",
        "1.3 waits 200s by Backoff",
        "+200s",
        "result EndTurn",
    ];
    assert_eq!(waits, expected);
}

/// The most calls that throttle events name, under a strategy.
async fn limit_shown(strategy: impl HookProvider) -> Vec<Option<u32>> {
    let replies = [Reply::throttled(), Reply::text("Yes.")];
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies))
        .retry_strategy(strategy)
        .build();
    let mut shown = Vec::new();
    if let Ok(agent) = agent {
        let mut events = agent.prompt("?").stream();
        while let Some(event) = events.next().await {
            if let AgentEvent::EventLoopThrottle(event) = event {
                shown.push(event.max_attempts());
            }
        }
    }
    shown
}

#[tokio::test(start_paused = true)]
async fn viewers_see_the_limit_of_a_strategy_that_has_one() {
    #[derive(Clone)]
    struct Endless;
    impl RetryStrategy for Endless {
        fn decide(&self, _: &FailedAttempt<'_>) -> RetryDecision {
            RetryDecision::after(secs(1))
        }
    }
    let three: Arc<dyn RetryStrategy> = Arc::new(ModelRetryStrategy::new().max_attempts(3));

    let shown = [limit_shown(three).await, limit_shown(Endless).await];

    assert_eq!(shown, [vec![Some(3)], vec![None]]);
}

#[test]
fn shared_strategy_is_checked_like_its_own_self() {
    let wrong: Arc<dyn RetryStrategy> = Arc::new(ModelRetryStrategy::new().max_attempts(0));

    let built = Agent::builder()
        .model(ScriptedModel::always(Reply::text("Yes.")))
        .retry_strategy(wrong)
        .build();

    assert_eq!(built.unwrap_err().field(), "max_attempts");
}

#[tokio::test(start_paused = true)]
async fn hook_asked_last_overrules_the_strategy_with_a_decision() {
    let model = ScriptedModel::always(Reply::throttled());
    let agent = Agent::builder()
        .model(model.clone())
        .hooks(Late)
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap_err();

    assert_eq!(model.calls(), 1);
}

/// Takes back what the strategy has decided.
struct Late;

impl HookProvider for Late {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        hooks.order(1).on(|event: &mut AfterModelCallEvent| {
            assert!(event.retry);
            event.decide(RetryDecision::give_up(), None);
        });
    }
}
