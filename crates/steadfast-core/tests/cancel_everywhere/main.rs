//! A run is stopped at each of its awaits in turn: by cancelling, by its deadline, by dropping it
//! and by its runtime. Each time it ends at once, in good order, and its agent answers again.

mod gates;
#[path = "../support/laws.rs"]
mod laws;
mod rich_run;

use std::{error::Error, future::IntoFuture as _, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use gates::{Gated, Gates, Target, Then};
use laws::Seen;
use rich_run::{Told, answer};
use serde_json::{Value, json};
use steadfast_core::{
    AfterModelCallEvent, Agent, AgentEvent, AgentResult, BeforeModelCallEvent, CancellationToken,
    ConfigError, Conversation, FunctionTool, Message, ModelRetryStrategy, Prompt, Role, Run,
    RunError, RunErrorKind, StopReason, TokioRuntime, ToolError, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

type Checked = Result<(), Box<dyn Error>>;
type Outcome = Result<AgentResult, RunError>;

/// How a run is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Awaited,
    Streamed,
    Spawned,
}

const WAYS: [Way; 3] = [Way::Awaited, Way::Streamed, Way::Spawned];

/// Far behind the end of a run that nobody stops.
const DEADLINE: Duration = secs(1_000);

/// A conversation, its runtime, and what is awaited and told.
struct Scene {
    conversation: Conversation,
    /// How many messages there were before the run.
    before: usize,
    way: Way,
    runtime: &'static Gated,
    gates: Arc<Gates>,
    told: Arc<Told>,
}

impl Scene {
    fn new(way: Way, target: Option<Target>) -> Result<Self, Box<dyn Error>> {
        let gates = Gates::new(target);
        // A spawned run has no conversation; the others go on from one.
        let before = match way {
            Way::Spawned => Vec::new(),
            _ => vec![Message::user("I am Ada."), Message::assistant("Hi.")],
        };
        let (agent, told) = rich_run::agent(&gates, before.len() / 2)?;
        let runtime = Gated {
            gates: Arc::clone(&gates),
            clock: TokioRuntime::seeded(7),
        };
        Ok(Self {
            before: before.len(),
            way,
            conversation: agent.conversation().with_messages(before),
            // A task of its own needs what lives as long.
            runtime: Box::leak(Box::new(runtime)),
            gates,
            told,
        })
    }

    /// Runs a prompt, or drops it where the gates are reached and it is to be dropped.
    async fn run(&mut self, stop: Stop) -> Option<Outcome> {
        let cancel = match stop {
            Stop::Cancel => self.gates.reached.clone(),
            _ => CancellationToken::new(),
        };
        let (runtime, agent) = (self.runtime, self.conversation.agent().clone());
        let run: BoxFuture<'_, Outcome> = match self.way {
            Way::Spawned => Box::pin(prepared(agent.prompt("Weather?"), cancel, runtime).spawn()),
            way => {
                let prompt = prepared(self.conversation.prompt("Weather?"), cancel, runtime);
                match way {
                    Way::Streamed => Box::pin(collected(prompt)),
                    _ => Box::pin(prompt.into_future()),
                }
            }
        };
        let reached = self.gates.reached.clone();
        let dropped = async move {
            match stop {
                Stop::Drop => reached.cancelled().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = run => Some(outcome),
            () = dropped => None,
        }
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        self.conversation.history().iter().cloned().collect()
    }
}

fn prepared<'a>(
    prompt: Prompt<'a>,
    cancel: CancellationToken,
    runtime: &'static Gated,
) -> Prompt<'a> {
    prompt
        .deadline(DEADLINE)
        .cancel_on(cancel)
        .on_runtime(runtime)
}

/// A run whose viewer sees every event.
async fn collected(prompt: Prompt<'_>) -> Outcome {
    let mut stream = prompt.stream();
    while stream.next().await.is_some() {}
    stream.result().await
}

/// What stops a run where the gates are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Never,
    Cancel,
    Deadline,
    Drop,
    Runtime,
}

/// What is awaited in a run that nobody stops.
async fn awaits() -> Result<Vec<String>, Box<dyn Error>> {
    let mut scene = Scene::new(Way::Awaited, None)?;
    let outcome = scene.run(Stop::Never).await;
    let result = outcome.ok_or("it is not dropped")??;
    assert_eq!(result.text(), answer());
    laws::check_events(&scene.told.seen());
    Ok(scene.gates.passed())
}

/// Whether this await belongs to the runtime, which nobody cuts short.
fn is_record(await_name: &str) -> bool {
    await_name.starts_with("record")
}

#[tokio::test(start_paused = true)]
async fn rich_run_awaits_wherever_a_run_can() -> Checked {
    let awaits = awaits().await?;

    assert!(awaits.len() >= 40, "{}", awaits.len());
    for kind in [
        "BeforeInvocationEvent",
        "AfterInvocationEvent",
        "MessageAddedEvent",
        "BeforeModelCallEvent",
        "AfterModelCallEvent",
        "BeforeToolsEvent",
        "AfterToolsEvent",
        "BeforeToolCallEvent",
        "AfterToolCallEvent",
        "EventLoopThrottleEvent",
        "AttemptDiscardedEvent",
        "model",
        "delta",
        "tool",
        "wait before a retry",
        "wait before a tool's retry",
        "record begins",
        "record ends",
    ] {
        assert!(awaits.iter().any(|name| name == kind), "{kind}");
    }
    Ok(())
}

/// How many messages a stopped run leaves: its finished turns, and nothing of the one that was cut.
///
/// A run that is cancelled while tools run closes that turn, so it is finished when it ends.
fn left_by(seen: &[Seen]) -> usize {
    let told = laws::told_messages(&laws::events(seen));
    laws::finished(&told)
}

/// Whether the last answer was told: then the run has come to its end, whatever comes after.
fn has_answered(seen: &[Seen]) -> bool {
    let told = laws::told_messages(&laws::events(seen));
    let is_last = |message: &Arc<Message>| {
        message.role == Role::Assistant && message.stop_reason == Some(StopReason::EndTurn)
    };
    told.iter().any(is_last)
}

/// Checks a scene whose run was stopped: it is at its end, nothing is called any more, the history is
/// what it should be, and the conversation, the agent and the run go on.
async fn check_left(scene: &mut Scene, left: usize, stopped: Option<Run>) -> Checked {
    let calls = scene.gates.calls().len();
    // A task that is aborted ends at its next turn.
    tokio::task::yield_now().await;
    let told = scene.told.seen().len();
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(
        scene.gates.calls().len(),
        calls,
        "nothing is called any more"
    );
    assert_eq!(scene.told.seen().len(), told, "nothing is told any more");
    let left = if scene.way == Way::Spawned { 0 } else { left };
    assert_eq!(scene.messages().len(), scene.before + left);
    laws::check_history(&scene.messages());

    scene.gates.open();
    if let Some(run) = stopped {
        // A tool that has answered is not run again.
        let resumed = scene
            .conversation
            .agent()
            .resume(run)
            .deadline(DEADLINE)
            .on_runtime(scene.runtime);
        let went_on = resumed.await?;
        assert_eq!(went_on.text(), answer());
        laws::check_history(went_on.messages());
    }
    scene.told.clear();
    let next = scene.conversation.prompt("And now?").await?;
    assert_eq!(
        (next.stop_reason(), next.text()),
        (StopReason::EndTurn, &*answer())
    );
    laws::check_events(&scene.told.seen());
    laws::check_history(&scene.messages());
    Ok(())
}

/// Checks the end of a run that was stopped in good order at this moment.
fn check_end(scene: &Scene, stopped_at: Instant) {
    let took = stopped_at.elapsed();
    assert!(took <= millis(5), "{took:?}");
    laws::check_events(&scene.told.seen());
}

#[tokio::test(start_paused = true)]
async fn cancelling_at_any_await_ends_the_run_in_good_order() -> Checked {
    for (number, name) in awaits().await?.into_iter().enumerate() {
        for (way, then) in WAYS
            .into_iter()
            .flat_map(|way| THENS.map(|then| (way, then)))
        {
            let target = Target {
                number,
                then,
                by_runtime: false,
                late_until: None,
            };
            let mut scene = Scene::new(way, Some(target))?;
            let watching = watch(&scene.gates);

            let outcome = scene.run(Stop::Cancel).await;

            let result = outcome.ok_or("it is not dropped")??;
            check_end(&scene, watching.await?);
            let at = format!("{number} {name} {way:?} {then:?}");
            assert_eq!(
                scene.gates.calls().len(),
                scene.gates.calls_when_reached(),
                "{at}"
            );
            let seen = scene.told.seen();
            let stop_reason = match has_answered(&seen) {
                true => StopReason::EndTurn,
                false => StopReason::Cancelled,
            };
            assert_eq!(result.stop_reason(), stop_reason, "{at}");
            let left = left_by(&seen);
            assert_eq!(result.messages().len(), left, "{at}");
            check_left(&mut scene, left, result.into_run()).await?;
        }
    }
    Ok(())
}

const THENS: [Then; 3] = [Then::Stuck, Then::Later, Then::AtOnce];

/// Learns when the gates are reached.
fn watch(gates: &Arc<Gates>) -> tokio::task::JoinHandle<Instant> {
    let reached = gates.reached.clone();
    tokio::spawn(async move {
        reached.cancelled().await;
        Instant::now()
    })
}

#[tokio::test(start_paused = true)]
async fn deadline_at_any_await_ends_the_run_in_good_order() -> Checked {
    // The first await comes before the run begins, from which the deadline counts.
    for (number, name) in awaits().await?.into_iter().enumerate().skip(1) {
        for way in WAYS {
            let deadline = Instant::now() + DEADLINE;
            let target = Target {
                number,
                then: Then::Stuck,
                by_runtime: false,
                late_until: is_record(&name).then_some(deadline),
            };
            let mut scene = Scene::new(way, Some(target))?;

            let outcome = scene.run(Stop::Deadline).await;

            check_end(&scene, deadline);
            let at = format!("{number} {name} {way:?}");
            let calls = scene.gates.calls();
            assert!(calls.iter().all(|call| *call < deadline), "{at}");
            let seen = scene.told.seen();
            let run = match (outcome.ok_or("it is not dropped")?, has_answered(&seen)) {
                (Ok(result), true) => {
                    assert_eq!(result.stop_reason(), StopReason::EndTurn, "{at}");
                    None
                }
                (Err(error), false) => {
                    assert_eq!(error.kind(), RunErrorKind::Deadline, "{at}");
                    Some(error.into_run())
                }
                (outcome, _) => return Err(format!("{at}: {outcome:?}").into()),
            };
            let left = left_by(&seen);
            check_left(&mut scene, left, run).await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn run_dropped_at_any_await_leaves_the_history_as_it_was() -> Checked {
    for (number, name) in awaits().await?.into_iter().enumerate() {
        for way in WAYS {
            let target = Target {
                number,
                then: Then::Stuck,
                by_runtime: false,
                late_until: is_record(&name).then(|| Instant::now() + DEADLINE),
            };
            let mut scene = Scene::new(way, Some(target))?;

            let outcome = scene.run(Stop::Drop).await;

            assert!(outcome.is_none(), "{number} {name} {way:?}");
            check_left(&mut scene, 0, None).await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn run_stopped_by_its_runtime_at_any_step_goes_on() -> Checked {
    let stops = |name: &String| is_record(name) || name.starts_with("wait");
    let awaits = awaits().await?.into_iter().enumerate();
    for (number, name) in awaits.filter(|(_, name)| stops(name)) {
        for way in WAYS {
            let target = Target {
                number,
                then: Then::Stuck,
                by_runtime: true,
                late_until: None,
            };
            let mut scene = Scene::new(way, Some(target))?;
            let watching = watch(&scene.gates);

            let outcome = scene.run(Stop::Runtime).await;

            let at = format!("{number} {name} {way:?}");
            let error = outcome
                .ok_or("it is not dropped")?
                .err()
                .ok_or("it is stopped")?;
            assert_eq!(error.kind(), RunErrorKind::Stopped, "{at}");
            assert_eq!(watching.await?.elapsed(), Duration::ZERO, "{at}");
            assert_eq!(
                scene.gates.calls().len(),
                scene.gates.calls_when_reached(),
                "{at}"
            );
            // It goes on elsewhere: nobody is told that it has ended.
            let ended = |(_, event): &Seen| {
                matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_))
            };
            let told_end = scene.told.seen().iter().any(ended);
            // Only the very last record, of the end itself, comes after it was told.
            assert!(!told_end || has_answered(&scene.told.seen()), "{at}");
            check_left(&mut scene, 0, Some(error.into_run())).await?;
        }
    }
    Ok(())
}

/// A viewer of a stream stops it between two events: also while the run waits for a slow viewer.
#[tokio::test(start_paused = true)]
async fn viewer_cancels_or_drops_after_any_event() -> Checked {
    let mut scene = Scene::new(Way::Streamed, None)?;
    scene.run(Stop::Never).await;
    let events = scene.told.seen().len();
    for number in 1..=events {
        for drops in [false, true] {
            let mut scene = Scene::new(Way::Streamed, None)?;
            let token = CancellationToken::new();
            let prompt = scene.conversation.prompt("Weather?");
            let mut stream = prompt
                .cancel_on(token.clone())
                .on_runtime(scene.runtime)
                .stream();
            for _ in 0..number {
                stream.next().await;
            }
            let calls = scene.gates.calls().len();
            let stopped = Instant::now();

            if drops {
                drop(stream);
                check_left(&mut scene, 0, None).await?;
                continue;
            }
            token.cancel();
            let result = stream.result().await?;

            assert_eq!(scene.gates.calls().len(), calls, "after event {number}");
            check_end(&scene, stopped);
            let left = left_by(&scene.told.seen());
            assert_eq!(result.messages().len(), left);
            check_left(&mut scene, left, result.into_run()).await?;
        }
    }
    Ok(())
}

/// An agent that answers after two retries and two tools, and in which no time passes.
fn timeless_agent() -> Result<Agent, ConfigError> {
    let replies = [
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::tool_calls([("look", json!({})), ("look", json!({}))]),
        Reply::text("Rain."),
    ];
    let look = FunctionTool::new("look", "", |_: Value| async {
        tokio::task::yield_now().await;
        Ok::<_, ToolError>("seen")
    });
    Agent::builder()
        .model(ScriptedModel::new(replies))
        .tool(look)
        .retry_strategy(ModelRetryStrategy::new().initial_delay(Duration::ZERO))
        .on_async(|_: &mut BeforeModelCallEvent| Box::pin(tokio::task::yield_now()))
        .on_async(|_: &mut AfterModelCallEvent| Box::pin(tokio::task::yield_now()))
        .build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_from_another_thread_ends_the_run_in_good_order() {
    // Everything is ready at once, and a yield lets the other thread in.
    let run = |yields: usize| {
        let token = CancellationToken::new();
        let later = token.clone();
        tokio::spawn(async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            later.cancel();
        });
        tokio::spawn(async move {
            let mut conversation = timeless_agent().unwrap().conversation();
            let began = Instant::now();
            let mut stream = conversation.prompt("Go.").cancel_on(token).stream();
            let mut seen = Vec::new();
            while let Some(event) = stream.next().await {
                seen.push((began.elapsed(), event));
            }
            let stop_reason = stream.result().await.unwrap().stop_reason();
            (seen, stop_reason, conversation)
        })
    };
    let runs: Vec<_> = (0..200).map(|number| run(number % 20)).collect();

    for run in runs {
        let (seen, stop_reason, conversation) = run.await.unwrap();
        let ends = [StopReason::EndTurn, StopReason::Cancelled];
        assert!(ends.contains(&stop_reason), "{stop_reason:?}");
        laws::check_events(&seen);
        laws::check_history(conversation.history().iter());
    }
}
