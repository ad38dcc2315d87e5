//! A run that can be stopped where its gates say, and what must hold once it was. Where it is stopped
//! is not decided here.

use std::{error::Error, future::IntoFuture as _, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use steadfast_core::{
    AgentEvent, AgentResult, CancellationToken, Conversation, Message, Prompt, Role, Run, RunError,
    StopReason, TokioRuntime, millis, secs,
};
use tokio::time::Instant;

use crate::{
    gates::{Gated, Gates, Target},
    laws::{self, Seen},
    rich_run::{self, Told, answer},
};

pub(crate) type Checked = Result<(), Box<dyn Error>>;
pub(crate) type Outcome = Result<AgentResult, RunError>;

/// How a run is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Awaited,
    Streamed,
    Spawned,
}

pub(crate) const WAYS: [Way; 3] = [Way::Awaited, Way::Streamed, Way::Spawned];

/// Far behind the end of a run that nobody stops.
pub(crate) const DEADLINE: Duration = secs(1_000);

/// A conversation, its runtime, and what is awaited and told.
pub(crate) struct Scene {
    pub(crate) conversation: Conversation,
    /// How many messages there were before the run.
    before: usize,
    pub(crate) way: Way,
    pub(crate) runtime: &'static Gated,
    pub(crate) gates: Arc<Gates>,
    pub(crate) told: Arc<Told>,
}

impl Scene {
    pub(crate) fn new(way: Way, target: Option<Target>) -> Result<Self, Box<dyn Error>> {
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
    pub(crate) async fn run(&mut self, stop: Stop) -> Option<Outcome> {
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

    pub(crate) fn messages(&self) -> Vec<Arc<Message>> {
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
pub(crate) enum Stop {
    Never,
    Cancel,
    Deadline,
    Drop,
    Runtime,
}

/// What is awaited in a run that nobody stops.
pub(crate) async fn awaits() -> Result<Vec<String>, Box<dyn Error>> {
    let mut scene = Scene::new(Way::Awaited, None)?;
    let outcome = scene.run(Stop::Never).await;
    let result = outcome.ok_or("it is not dropped")??;
    assert_eq!(result.text(), answer());
    laws::check_events(&scene.told.seen());
    Ok(scene.gates.passed())
}

/// Whether this await belongs to the runtime, which nobody cuts short.
pub(crate) fn is_record(await_name: &str) -> bool {
    await_name.starts_with("record")
}

/// How many messages a stopped run leaves: its finished turns, and nothing of the one that was cut.
///
/// A run that is cancelled while tools run closes that turn, so it is finished when it ends.
pub(crate) fn left_by(seen: &[Seen]) -> usize {
    let told = laws::told_messages(&laws::events(seen));
    laws::finished(&told)
}

/// Whether the last answer was told: then the run has come to its end, whatever comes after.
pub(crate) fn has_answered(seen: &[Seen]) -> bool {
    let told = laws::told_messages(&laws::events(seen));
    let is_last = |message: &Arc<Message>| {
        message.role == Role::Assistant && message.stop_reason == Some(StopReason::EndTurn)
    };
    told.iter().any(is_last)
}

/// Checks a scene whose run was stopped: it is at its end, nothing is called any more, the history is
/// what it should be, and the conversation, the agent and the run go on.
pub(crate) async fn check_left(scene: &mut Scene, left: usize, stopped: Option<Run>) -> Checked {
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
    assert_eq!(scene.told.permits(), 0, "a pacer's permit is given back");
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
pub(crate) fn check_end(scene: &Scene, stopped_at: Instant) {
    let took = stopped_at.elapsed();
    assert!(took <= millis(5), "{took:?}");
    check_closed(&scene.told);
}

/// Checks a run that has ended in good order, however it was stopped: what was told of it, and that
/// what its hooks began was ended.
pub(crate) fn check_closed(told: &Told) {
    laws::check_events(&told.seen());
    for bracket in [&told.attempts, &told.tool_calls] {
        let [opened, closed] = bracket.counts();
        assert_eq!(opened, closed, "what a hook opened is closed");
    }
    assert_eq!(told.permits(), 0, "a pacer's permit is given back");
}

/// Checks what is told of a run that was dropped: its drop, once and last, if its beginning was told
/// and its end was not.
pub(crate) async fn check_dropped(scene: &Scene) {
    // A task that is aborted ends at its next turn.
    tokio::task::yield_now().await;
    let seen = scene.told.seen();
    if seen.is_empty() {
        return;
    }
    match has_ended(&seen) {
        true => laws::check_events(&seen),
        false => laws::check_dropped(&seen),
    }
}

/// Whether an end was told.
pub(crate) fn has_ended(seen: &[Seen]) -> bool {
    let is_end =
        |(_, event): &Seen| matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_));
    seen.iter().any(is_end)
}
