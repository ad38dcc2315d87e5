//! What observers and viewers are told of attempts and waits, and when; and that the panic of one
//! observer keeps nothing from the others.

use std::{
    future::IntoFuture as _,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use steadfast_core::{
    Agent, AgentBuilder, AgentEvent, BeforeModelCallEvent, ConfigError, ModelError, ModelErrorKind,
    ModelRetryStrategy, Role, Runtime, StepName, StepOutcome, Stopped, TokioRuntime, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

/// Tells an event, and of a wait all that whoever shows it needs.
fn line(began: Instant, event: &AgentEvent) -> String {
    match event {
        AgentEvent::EventLoopThrottle(event) => format!(
            "{:?}: attempt {} of {:?}, waits {:?} from {:?} on: {}",
            began.elapsed(),
            event.attempt(),
            event.max_attempts(),
            event.delay(),
            event.at(),
            event.error().map(ToString::to_string).unwrap_or_default(),
        ),
        other => {
            let stored = serde_json::to_value(other).unwrap_or_default();
            let name = stored.get("type").and_then(serde_json::Value::as_str);
            name.unwrap_or_default().to_owned()
        }
    }
}

/// Strands 52, 54.
#[tokio::test(start_paused = true)]
async fn viewer_and_observer_see_each_wait_when_it_begins() {
    let began = Instant::now();
    let observed: Arc<Mutex<Vec<String>>> = Arc::default();
    let observing = Arc::clone(&observed);
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::throttled(),
            Reply::throttled(),
            Reply::text("Yes."),
        ]))
        .retry_strategy(ModelRetryStrategy::new().initial_delay(secs(1)))
        .observe(move |event: &AgentEvent| observing.lock().unwrap().push(line(began, event)))
        .build()
        .unwrap();

    let mut events = agent.prompt("?").stream();
    let mut viewed = Vec::new();
    while let Some(event) = events.next().await {
        viewed.push(line(began, &event));
    }

    let error = ModelError::new(ModelErrorKind::Throttled, "rate limit reached").with_status(429);
    let expected = [
        "run_started",
        "message",
        "attempt_started",
        "attempt_discarded",
        &format!("0ns: attempt 1 of Some(6), waits 1s from 0ns on: {error}"),
        "attempt_started",
        "attempt_discarded",
        &format!("1s: attempt 2 of Some(6), waits 2s from 1s on: {error}"),
        "attempt_started",
        "text_delta",
        "message",
        "result",
    ];
    assert_eq!(viewed, expected);
    assert_eq!(*observed.lock().unwrap(), expected);
}

/// Strands 64: what a span of each attempt would show.
#[tokio::test(start_paused = true)]
async fn each_attempt_begins_once_and_ends_once_and_says_how() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let seeing = Arc::clone(&seen);
    let replies = [
        Reply::throttled().after(secs(1)),
        Reply::text("half").then_cut(),
        Reply::text("Yes.").after(secs(2)),
    ];
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies))
        .observe(move |event: &AgentEvent| {
            let attempt = event.scope().attempt;
            let told = match event {
                AgentEvent::AttemptStarted(_) => format!("{attempt} began"),
                AgentEvent::AttemptDiscarded(event) => {
                    let kind = event.error().map(ModelError::kind);
                    format!("{attempt} failed: {kind:?}")
                }
                AgentEvent::Message(event) if event.message().role == Role::Assistant => {
                    format!("{attempt} answered")
                }
                _ => return,
            };
            let at = event.scope().at.as_secs();
            seeing.lock().unwrap().push(format!("{at}s: {told}"));
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let expected = [
        "0s: 1 began",
        "1s: 1 failed: Some(Throttled)",
        "5s: 2 began",
        "5s: 2 failed: Some(Truncated)",
        "13s: 3 began",
        "15s: 3 answered",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// The name of an event, as it is stored.
fn name(event: &AgentEvent) -> String {
    let stored = serde_json::to_value(event).unwrap_or_default();
    let name = stored.get("type").and_then(serde_json::Value::as_str);
    name.unwrap_or_default().to_owned()
}

/// The names of what one observer was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn observe(&self, builder: AgentBuilder) -> AgentBuilder {
        let telling = self.clone();
        builder.observe(move |event: &AgentEvent| telling.lock().push(name(event)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Observers around one that has a bug.
#[derive(Default)]
struct Around {
    before: Told,
    after: Told,
}

impl Around {
    fn agent(
        &self,
        buggy: impl Fn(&AgentEvent) + Send + Sync + 'static,
    ) -> Result<Agent, ConfigError> {
        let builder = Agent::builder().model(ScriptedModel::always(Reply::text("Yes.")));
        let builder = self.before.observe(builder).observe(buggy);
        self.after.observe(builder).build()
    }

    fn check_told(&self, expected: &[&str]) {
        assert_eq!(*self.before.lock(), expected);
        assert_eq!(*self.after.lock(), expected);
    }
}

/// Runs a prompt; returns what it panicked with, which comes to whoever awaits it.
async fn panic_of_a_run(agent: &Agent) -> Option<&'static str> {
    let run = AssertUnwindSafe(agent.prompt("?").into_future());
    let panicked = run.catch_unwind().await.err()?;
    panicked.downcast_ref().copied()
}

/// Unwinds as a panic does, and prints nothing.
fn unwind(what: &'static str) {
    resume_unwind(Box::new(what));
}

fn bug() {
    unwind("a bug in an observer");
}

#[tokio::test(start_paused = true)]
async fn others_are_told_all_when_an_observer_panics_twice() {
    let counted = Mutex::new(0);
    let around = Around::default();
    let agent = around.agent(move |event| {
        let mut count = match counted.lock() {
            Ok(count) => count,
            Err(_poisoned) => return bug(),
        };
        *count += 1;
        if matches!(event, AgentEvent::TextDelta(_)) {
            bug();
        }
    });

    let panicked = panic_of_a_run(&agent.unwrap()).await;

    assert_eq!(panicked, Some("a bug in an observer"));
    around.check_told(&[
        "run_started",
        "message",
        "attempt_started",
        "text_delta",
        "run_dropped",
    ]);
}

#[tokio::test(start_paused = true)]
async fn others_are_told_the_end_at_which_an_observer_panics() {
    let around = Around::default();
    let agent = around.agent(|event| {
        if matches!(event, AgentEvent::Result(_)) {
            bug();
        }
    });

    let panicked = panic_of_a_run(&agent.unwrap()).await;

    assert_eq!(panicked, Some("a bug in an observer"));
    around.check_told(&[
        "run_started",
        "message",
        "attempt_started",
        "text_delta",
        "message",
        "result",
    ]);
}

#[tokio::test(start_paused = true)]
async fn first_of_two_panics_is_the_one_that_goes_on() {
    let bug = |what: &'static str| {
        move |event: &AgentEvent| {
            if matches!(event, AgentEvent::TextDelta(_)) {
                unwind(what);
            }
        }
    };
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::text("Yes.")))
        .observe(bug("the first"))
        .observe(bug("the second"))
        .build()
        .unwrap();

    let panicked = panic_of_a_run(&agent).await;

    assert_eq!(panicked, Some("the first"));
}

#[tokio::test(start_paused = true)]
async fn panic_of_an_observer_ends_only_its_run() {
    let panicked_once = AtomicBool::new(false);
    let around = Around::default();
    let agent = around.agent(move |event| {
        let is_delta = matches!(event, AgentEvent::TextDelta(_));
        if is_delta && !panicked_once.swap(true, Ordering::Relaxed) {
            bug();
        }
    });
    let agent = agent.unwrap();
    panic_of_a_run(&agent).await;
    around.after.lock().clear();

    let result = agent.prompt("Again?").await.unwrap();

    assert_eq!(result.text(), "Yes.");
    let last = around.after.lock().pop();
    assert_eq!(last.as_deref(), Some("result"));
}

/// A runtime whose clock is gone once this is set.
struct LostClock(TokioRuntime, Arc<AtomicBool>);

impl Runtime for LostClock {
    fn record<'a>(
        &'a self,
        _name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move { Ok(work.await) })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.0.sleep_until(name, until)
    }

    fn now(&self) -> SystemTime {
        if self.1.load(Ordering::Relaxed) {
            unwind("the clock is gone");
        }
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

#[tokio::test(start_paused = true)]
async fn drop_of_a_run_needs_no_clock() {
    let lost = Arc::new(AtomicBool::new(false));
    let losing = Arc::clone(&lost);
    let seen: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let seeing = Arc::clone(&seen);
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::text("never")))
        .on_async(move |_: &mut BeforeModelCallEvent| {
            let losing = Arc::clone(&losing);
            Box::pin(async move {
                tokio::time::sleep(secs(2)).await;
                losing.store(true, Ordering::Relaxed);
                unwind("a bug in a hook");
            })
        })
        .observe(move |event: &AgentEvent| {
            let at = event.scope().at.as_secs();
            seeing.lock().unwrap().push((name(event), at));
        })
        .build()
        .unwrap();
    let runtime = LostClock(TokioRuntime::new(), lost);

    let run = AssertUnwindSafe(agent.prompt("?").on_runtime(&runtime).into_future());
    let panicked = run.catch_unwind().await.unwrap_err();

    assert_eq!(panicked.downcast_ref(), Some(&"a bug in a hook"));
    let told = seen.lock().unwrap().pop();
    assert_eq!(told, Some(("run_dropped".to_owned(), 0)));
}
