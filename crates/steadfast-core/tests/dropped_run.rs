//! A run that is dropped on the way: no hook is asked, observers are told, nothing else suffers.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, Agent, AgentBuilder, AgentEvent,
    AttemptDiscardedEvent, BeforeModelCallEvent, ForceStopEvent, Runtime, StepName, StepOutcome,
    Stopped, TokioRuntime, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::sleep;

/// What observers were told of the ends of runs: the run's place and how it ended.
#[derive(Clone, Default)]
struct Endings(Arc<Mutex<Vec<String>>>);

impl Endings {
    fn observe(&self, builder: AgentBuilder) -> AgentBuilder {
        let endings = Arc::clone(&self.0);
        builder.observe(move |event: &AgentEvent| {
            let how = match event {
                AgentEvent::RunDropped(_) => "dropped",
                AgentEvent::Result(_) => "result",
                AgentEvent::ForceStop(_) => "force_stop",
                _ => return,
            };
            let place = event.scope();
            let line = format!("{}.{} {how}", place.turn, place.attempt);
            endings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        })
    }

    fn seen(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Counts the hooks that are asked when something ends.
fn closing_hooks(builder: AgentBuilder, asked: &Arc<AtomicUsize>) -> AgentBuilder {
    let count = || {
        let asked = Arc::clone(asked);
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (a, b, c, d) = (count(), count(), count(), count());
    builder
        .on(move |_: &mut AfterModelCallEvent| a())
        .on(move |_: &mut AttemptDiscardedEvent| b())
        .on(move |_: &mut AfterInvocationEvent| c())
        .on(move |_: &mut ForceStopEvent| d())
}

/// Strands 63.
#[tokio::test(start_paused = true)]
async fn dropped_stream_asks_no_hook_and_observers_see_it() {
    let endings = Endings::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let model = ScriptedModel::new([Reply::text("half").then_hang(), Reply::text("Yes.")]);
    let builder = endings.observe(Agent::builder().model(model));
    let agent = closing_hooks(builder, &asked).build().unwrap();
    let mut stream = agent.prompt("One?").stream();
    for _ in 0..4 {
        stream.next().await.unwrap();
    }

    drop(stream);

    assert_eq!(endings.seen(), ["1.1 dropped"]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(agent.prompt("Two?").await.unwrap().text(), "Yes.");
    assert_eq!(endings.seen(), ["1.1 dropped", "1.1 result"]);
}

/// Strands 63.
#[tokio::test(start_paused = true)]
async fn dropped_future_and_aborted_task_are_seen_too() {
    let endings = Endings::default();
    let model = ScriptedModel::always(Reply::hang());
    let agent = endings.observe(Agent::builder().model(model));
    let agent = agent.build().unwrap();

    let late = tokio::time::timeout(secs(1), agent.prompt("?").into_future()).await;
    let task = agent.prompt("?").spawn();
    sleep(millis(1)).await;
    drop(task);
    sleep(millis(1)).await;

    assert!(late.is_err());
    assert_eq!(endings.seen(), ["1.1 dropped", "1.1 dropped"]);
}

#[tokio::test(start_paused = true)]
async fn run_that_never_began_or_has_ended_is_not_dropped() {
    let endings = Endings::default();
    let model = ScriptedModel::always(Reply::text("Yes."));
    let agent = endings.observe(Agent::builder().model(model));
    let agent = agent.build().unwrap();

    drop(agent.prompt("never polled").stream());
    let mut stream = agent.prompt("read to its last event").stream();
    while stream.next().await.is_some() {}
    drop(stream);

    assert_eq!(endings.seen(), ["1.1 result"]);
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_hook_is_a_dropped_run() {
    let endings = Endings::default();
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::text("Yes.")))
        .on(|event: &mut BeforeModelCallEvent| assert!(event.attempt() > 1, "a bug in a hook"));
    let agent = endings.observe(agent).build().unwrap();

    let run = AssertUnwindSafe(agent.prompt("?").into_future());
    let panicked = run.catch_unwind().await;

    assert!(panicked.is_err());
    assert_eq!(endings.seen(), ["1.1 dropped"]);
}

#[tokio::test(start_paused = true)]
async fn panic_of_an_observer_at_the_drop_stays_there() {
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::hang()))
        .on(|event: &mut BeforeModelCallEvent| assert!(event.attempt() > 1, "a bug in a hook"))
        .observe(|event: &AgentEvent| {
            assert!(
                !matches!(event, AgentEvent::RunDropped(_)),
                "a bug in an observer"
            );
        })
        .build()
        .unwrap();

    let run = AssertUnwindSafe(agent.prompt("?").into_future());
    let panicked = run.catch_unwind().await.unwrap_err();

    let message = panicked.downcast_ref::<&str>();
    assert_eq!(message, Some(&"a bug in a hook"));
}

/// Strands 63: nobody who leaves holds up anybody else.
#[tokio::test(start_paused = true)]
async fn abandoned_stream_holds_no_other_run_up() {
    let model = ScriptedModel::new([
        Reply::text("half").then_hang(),
        Reply::text("Two.").after(secs(2)),
        Reply::text("Three."),
    ]);
    let agent = Agent::builder().model(model).build().unwrap();
    let mut abandoned = agent.prompt("One?").stream();
    for _ in 0..4 {
        abandoned.next().await.unwrap();
    }
    let under_way = agent.prompt("Two?").spawn();
    sleep(secs(1)).await;

    let beside = agent.prompt("Three?").await.unwrap();
    drop(abandoned);
    let under_way = under_way.await.unwrap();

    assert_eq!((beside.text(), beside.duration()), ("Three.", secs(0)));
    assert_eq!((under_way.text(), under_way.duration()), ("Two.", secs(2)));
}

/// A runtime whose journal takes a while to write.
struct SlowJournal(TokioRuntime);

impl Runtime for SlowJournal {
    fn record<'a>(
        &'a self,
        _name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move {
            let outcome = work.await;
            sleep(secs(1)).await;
            Ok(outcome)
        })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.0.sleep_until(name, until)
    }

    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_after_the_result() {
    let endings = Endings::default();
    let model = ScriptedModel::always(Reply::text("Yes."));
    let agent = endings.observe(Agent::builder().model(model));
    let agent = agent.build().unwrap();
    let runtime = SlowJournal(TokioRuntime::new());
    let mut stream = agent.prompt("?").on_runtime(&runtime).stream();
    while !matches!(stream.next().await, Some(AgentEvent::Result(_))) {}

    drop(stream);

    assert_eq!(endings.seen(), ["1.1 result"]);
}
