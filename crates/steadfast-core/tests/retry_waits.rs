//! How long a wait is: the server's hint, jitter, caps, and the deadline that it must not reach.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, FailedAttempt, HookProvider, Jitter, ModelError,
    ModelErrorKind, ModelRetryStrategy, RetryDecision, RetryStrategy, TokioRuntime, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::{Told, told};

fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    Agent::builder().model(ScriptedModel::new(replies))
}

/// Runs a prompt of an agent with this strategy against these replies.
async fn run(
    strategy: impl HookProvider,
    replies: impl IntoIterator<Item = Reply>,
) -> Option<Told> {
    let agent = builder(replies).retry_strategy(strategy).build();
    Some(told(agent.ok()?.prompt("?")).await)
}

/// The waits of a run as its viewer saw them: declared, then passed.
fn waits(told: &Told) -> Vec<String> {
    let trace = told.trace().into_iter();
    let is_wait = |line: &String| line.starts_with('+') || line.contains(" waits ");
    trace.filter(is_wait).collect()
}

fn throttles(count: usize) -> impl Iterator<Item = Reply> {
    std::iter::repeat_with(Reply::throttled).take(count)
}

/// The error of a server that says when to come back.
fn hinted(seconds: u64) -> Reply {
    Reply::throttled_for(secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn longer_hint_wins_and_never_adds_attempts() {
    let strategy = ModelRetryStrategy::new()
        .max_attempts(4)
        .max_delay(secs(10));

    let told = run(strategy, [hinted(30), hinted(1), hinted(600), hinted(5)])
        .await
        .unwrap();

    let expected = [
        "1.1 waits 30s by Hint",
        "+30s",
        "1.2 waits 8s by Backoff",
        "+8s",
        "1.3 waits 600s by Hint",
        "+600s",
    ];
    assert_eq!(waits(&told), expected);
    assert_eq!(told.outcome.unwrap_err().attempts(), 4);
}

#[tokio::test(start_paused = true)]
async fn hint_beyond_max_hint_ends_at_once_and_says_when_to_come_back() {
    for strategy in [
        ModelRetryStrategy::new(),
        ModelRetryStrategy::new().jitter(Jitter::Full),
    ] {
        let told = run(strategy, [hinted(601), Reply::text("never")])
            .await
            .unwrap();

        assert_eq!(waits(&told), [""; 0]);
        let error = told.outcome.unwrap_err();
        assert_eq!(error.retry_after(), Some(secs(601)));
        let gave_up =
            "gave up since the server asks for a longer wait than `max_hint` allows (600s)";
        assert_eq!(error.failure().gave_up(), Some(gave_up));
        assert_eq!(error.hint(), Some(format!("{gave_up}; come back in 601s")));
    }
}

#[tokio::test(start_paused = true)]
async fn wait_that_reaches_the_deadline_is_not_begun() {
    // Nothing waits longer than it must: an attempt at the deadline itself could not be finished.
    for (reply, deadline, comes_back) in [
        (hinted(60), secs(59), secs(60)),
        (hinted(60), secs(60), secs(60)),
        (Reply::throttled(), secs(3), secs(4)),
    ] {
        let agent = builder([reply, Reply::text("never")])
            .deadline(deadline)
            .build()
            .unwrap();

        let told = told(agent.prompt("?")).await;

        assert_eq!(told.trace().last().unwrap(), "force_stop deadline");
        assert_eq!(waits(&told), [""; 0]);
        let error = told.outcome.unwrap_err();
        assert_eq!(error.retry_after(), Some(comes_back));
        let model_error = error.model_error().map(ModelError::kind);
        assert_eq!(model_error, Some(ModelErrorKind::Throttled));
    }
}

#[tokio::test(start_paused = true)]
async fn wait_that_ends_before_the_deadline_is_waited() {
    let agent = builder([Reply::throttled(), Reply::text("Yes.")])
        .deadline(millis(4_001))
        .build()
        .unwrap();

    let result = told(agent.prompt("?")).await.outcome.unwrap();

    assert_eq!(result.waited(), secs(4));
}

/// Strands 18: at the loop. Design section 5: jitter, then the cap.
#[tokio::test(start_paused = true)]
async fn jittered_waits_keep_their_bounds_and_follow_the_seed() {
    let delays = async |jitter, seed| {
        let strategy = ModelRetryStrategy::new()
            .max_attempts(20)
            .max_delay(secs(60))
            .jitter(jitter);
        let agent = builder(throttles(20))
            .retry_strategy(strategy)
            .build()
            .unwrap();
        let runtime = TokioRuntime::seeded(seed);
        waits(&told(agent.prompt("?").on_runtime(&runtime)).await)
    };

    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
        let one = delays(jitter, 1).await;
        assert_eq!(one, delays(jitter, 1).await);
        assert_ne!(one, delays(jitter, 2).await);
        assert_eq!(one.iter().filter(|line| line.contains("waits")).count(), 19);
    }
}

#[tokio::test(start_paused = true)]
async fn no_computed_delay_exceeds_the_cap_and_no_hint_is_shortened() {
    for jitter in [
        Jitter::None,
        Jitter::Full,
        Jitter::Equal,
        Jitter::Decorrelated,
    ] {
        let strategy = ModelRetryStrategy::new()
            .max_attempts(50)
            .max_delay(secs(60))
            .jitter(jitter);
        let seen = Seen::of(strategy);
        let replies = throttles(20).chain(std::iter::repeat_with(|| hinted(90)).take(20));

        run(seen.clone(), replies).await.unwrap();

        let delays = seen.delays.lock().unwrap().clone();
        assert_eq!(delays.len(), 40);
        assert!(
            delays[..20].iter().all(|delay| *delay <= secs(60)),
            "{delays:?}"
        );
        assert!(
            delays[20..].iter().all(|delay| *delay >= secs(90)),
            "{delays:?}"
        );
        assert!(
            delays[20..].iter().all(|delay| *delay <= secs(99)),
            "{delays:?}"
        );
    }
}

/// A strategy that notes what it was told and what it answered.
#[derive(Clone)]
struct Seen {
    inner: ModelRetryStrategy,
    facts: Arc<Mutex<Vec<String>>>,
    delays: Arc<Mutex<Vec<Duration>>>,
}

impl Seen {
    fn of(inner: ModelRetryStrategy) -> Self {
        Self {
            inner,
            facts: Arc::default(),
            delays: Arc::default(),
        }
    }
}

impl RetryStrategy for Seen {
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        let fact = format!(
            "attempt {} after {} waits and {:?}, last {:?}, output {}",
            attempt.attempt(),
            attempt.waits(),
            attempt.elapsed(),
            attempt.last_delay(),
            attempt.output_started(),
        );
        let decision = self.inner.decide(attempt);
        if let (Ok(mut facts), Ok(mut delays)) = (self.facts.lock(), self.delays.lock()) {
            facts.push(fact);
            if let RetryDecision::Retry { delay, .. } = decision {
                delays.push(delay);
            }
        }
        decision
    }
}

/// Strands 15.
#[tokio::test(start_paused = true)]
async fn strategy_is_told_what_the_loop_counted() {
    let seen = Seen::of(ModelRetryStrategy::new().initial_delay(secs(1)));
    let slow_failure = Reply::text("half")
        .then_fail(ModelErrorKind::Server)
        .after(secs(10));
    let replies = [
        Reply::throttled(),
        slow_failure,
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    run(seen.clone(), replies).await.unwrap();

    let expected = [
        "attempt 1 after 0 waits and 0ns, last None, output false",
        "attempt 2 after 1 waits and 11s, last Some(1s), output true",
        "attempt 3 after 2 waits and 13s, last Some(2s), output false",
    ];
    assert_eq!(*seen.facts.lock().unwrap(), expected);
}

/// Strands 15: a hook that claims the first attempt changes nothing of what is counted.
#[tokio::test(start_paused = true)]
async fn strategy_that_is_asked_late_is_told_what_came_before() {
    let seen = Seen::of(ModelRetryStrategy::new());
    let agent = builder([
        Reply::throttled().after(secs(2)),
        Reply::throttled().after(secs(3)),
        Reply::text("Yes."),
    ])
    .retry_strategy(seen.clone())
    .on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() == 1)
    .build()
    .unwrap();

    told(agent.prompt("?")).await.outcome.unwrap();

    let expected = ["attempt 2 after 0 waits and 5s, last None, output false"];
    assert_eq!(*seen.facts.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn hint_as_long_as_the_backoff_changes_nothing() {
    let strategy = ModelRetryStrategy::new().max_attempts(2);

    let told = run(strategy, [hinted(4)]).await.unwrap();

    assert_eq!(waits(&told), ["1.1 waits 4s by Backoff", "+4s"]);
}
