//! Replays: what is recorded is not done again, and what follows is what would have followed.

use proptest::prelude::any;
use serde_json::Value;
use steadfast_core::{
    AgentEvent, AgentResult, CancellationToken, ContentBlock, History, Message, RunError,
    RunErrorKind, Step, secs,
    testing::{Journal, JournalRuntime},
};

use crate::{
    Held, broken, holds, paused,
    scenario::{self, Scenario, Stop},
    watched::{self, Watched},
    world::{World, stream},
};

type Outcome = Result<AgentResult, RunError>;

/// What a run came to, without what depends on when it happened.
fn came_to(outcome: &Outcome) -> String {
    match outcome {
        Ok(result) => format!(
            "{:?} {:?} {:?} {} {} {:?}",
            result.stop_reason(),
            result.text(),
            result.usage(),
            result.attempts(),
            result.turns(),
            result.messages()
        ),
        Err(error) => {
            let messages: Vec<_> = error.run().history().iter().collect();
            format!("{:?} {messages:?}", error.failure())
        }
    }
}

/// An event without what depends on when it happened.
fn timeless(event: &AgentEvent) -> Option<Value> {
    let mut stored = serde_json::to_value(event).ok()?;
    for field in [
        "at_ms",
        "delay_ms",
        "duration_ms",
        "waited_ms",
        "decided_by",
    ] {
        stored.as_object_mut()?.remove(field);
    }
    Some(stored)
}

/// Design 2.4: any prefix of the recorded outcomes leads to the same run, in which nothing of the
/// prefix is done, asked or told again, and which goes on from there as the whole run did.
#[test]
fn any_prefix_of_outcomes_replays_to_the_same_run() {
    holds(300, scenario::scenario(), |scenario| {
        paused(replays_from_every_prefix(scenario))
    });
}

async fn replays_from_every_prefix(scenario: &Scenario) -> Held {
    let journal = Journal::new();
    let world = World::new(scenario)?;
    let runtime = Watched::new(JournalRuntime::new(&journal), &world);
    let (_, whole) = stream(world.agent.prompt("Go.").on_runtime(&runtime)).await;
    let (told, units) = (world.log.told(), runtime.done());
    let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
    assert_eq!(journal.names(), names);
    let first = watched::first_step(&world, &journal).await;
    let mut run = first.ok_or_else(|| broken("a run that is stopped is in the error"))?;

    for (number, unit) in units.iter().enumerate() {
        if number > 0 {
            assert_eq!(watched::apply(&mut run, unit.outcome.clone()), Ok(()));
        }
        // Calls that are under way together come to rest one after the other: no single run.
        if matches!(run.step(), Step::Tools(_)) {
            continue;
        }
        let prefix = || journal.prefix(number + 1);
        let again = World::new(scenario)?;
        let stopping = JournalRuntime::new(&prefix()).stop_after(0);
        let stopped = again.agent.prompt("Go.").on_runtime(&stopping).await;
        if run.step() == Step::Done {
            assert_eq!(came_to(&stopped), came_to(&whole));
        } else if let Err(error) = &stopped {
            assert_eq!(error.kind(), RunErrorKind::Stopped);
            assert_eq!(error.run(), &run, "after {}", unit.name);
        } else {
            assert_eq!(came_to(&stopped), "stopped");
        }
        assert_eq!(again.log.done(), [0; 4], "after {}", unit.name);

        let going_on = Watched::new(JournalRuntime::new(&prefix()), &again);
        let (_, ended) = stream(again.agent.prompt("Go.").on_runtime(&going_on)).await;
        assert_eq!(came_to(&ended), came_to(&whole), "after {}", unit.name);
        let begun = going_on.begun();
        assert!(
            begun.iter().all(|name| !names
                .iter()
                .take(number + 1)
                .any(|recorded| recorded == name)),
            "{begun:?}"
        );
        let rest = told.get(unit.told..).unwrap_or_default();
        let rest: Vec<_> = rest.iter().map(timeless).collect();
        let after: Vec<_> = again.log.told().iter().map(timeless).collect();
        // Calls that run together may finish in another order: they begin anew together.
        if !names
            .iter()
            .skip(number)
            .any(|name| name.contains("/tool-1/"))
        {
            assert_eq!(after, rest, "after {}", unit.name);
        }
    }
    assert_eq!(run.step(), Step::Done);
    Ok(())
}

/// Design 2.4: a whole record replays to the very same result, however the run was stopped, and also
/// if the replay is cancelled or late: nothing is done, asked or told again.
#[test]
fn whole_record_replays_to_the_very_same_result() {
    let cases = (scenario::scenario(), scenario::stop(), any::<bool>());
    holds(600, cases, |(scenario, stop, cancelled)| {
        paused(replays_whole(scenario, *stop, *cancelled))
    });
}

async fn replays_whole(scenario: &Scenario, stop: Stop, cancelled: bool) -> Held {
    let (world, again) = (World::new(scenario)?, World::new(scenario)?);
    let journal = Journal::new();
    let first = JournalRuntime::new(&journal);
    let mut prompt = world.agent.prompt("Go.").on_runtime(&first);
    if let Some(deadline) = stop.deadline {
        prompt = prompt.deadline(deadline);
    }
    let token = CancellationToken::new();
    let later = token.clone();
    let canceller = stop.cancel.map(|cancel| {
        tokio::spawn(async move {
            tokio::time::sleep(cancel).await;
            later.cancel();
        })
    });
    let (_, whole) = stream(prompt.cancel_on(token)).await;
    if let Some(canceller) = canceller {
        canceller.abort();
    }
    tokio::time::advance(secs(3_600)).await;

    let token = CancellationToken::new();
    if cancelled {
        token.cancel();
    }
    let replaying = JournalRuntime::new(&journal);
    let mut prompt = again
        .agent
        .prompt("Go.")
        .on_runtime(&replaying)
        .cancel_on(token);
    if let Some(deadline) = stop.deadline {
        prompt = prompt.deadline(deadline);
    }
    let (seen, replayed) = stream(prompt).await;

    assert_eq!(again.log.done(), [0; 4]);
    assert!(seen.is_empty());
    match (&whole, &replayed) {
        (Err(whole), Err(replayed)) => {
            assert_eq!(whole.failure(), replayed.failure());
            assert_eq!(whole.run(), replayed.run());
        }
        (Ok(whole), Ok(replayed)) => assert_eq!(whole, replayed),
        _ => assert_eq!(came_to(&replayed), came_to(&whole)),
    }
    Ok(())
}

/// Design 2.4: a process that dies after every few records does each recorded unit once, and its run
/// ends as one that nothing stopped.
#[test]
fn run_ends_the_same_however_often_it_is_stopped() {
    holds(
        600,
        (scenario::scenario(), 1..4_usize),
        |(scenario, records)| paused(lives_on(scenario, *records)),
    );
}

/// What a conversation keeps, however the calls of its last turn fell together.
///
/// Of the calls beside one that failed, those count as answered that had an answer by then: they begin
/// anew together in each life, so that their answers may come in another order.
fn certain<'a>(outcome: &Outcome, kept: &'a History) -> Vec<&'a Message> {
    let mut kept: Vec<&Message> = kept.iter().map(AsRef::as_ref).collect();
    let answers = |message: &&Message| {
        matches!(
            message.content.as_slice(),
            [ContentBlock::ToolResult(_), _, ..]
        )
    };
    if outcome.is_err() && kept.last().is_some_and(answers) {
        kept.pop();
    }
    kept
}

async fn lives_on(scenario: &Scenario, records: usize) -> Held {
    let (world, mortal) = (World::new(scenario)?, World::new(scenario)?);
    let mut conversation = world.agent.conversation();
    let runtime = JournalRuntime::new(&Journal::new());
    let whole = conversation.prompt("Go.").on_runtime(&runtime).await;

    let journal = Journal::new();
    for _ in 0..2_000 {
        let recorded = journal.names();
        let dying = JournalRuntime::new(&journal).stop_after(records);
        let runtime = Watched::new(dying, &mortal);
        let mut remembered = mortal.agent.conversation();
        let life = remembered.prompt("Go.").on_runtime(&runtime).await;
        mortal.log.paced.check_given_back();
        let begun = runtime.begun();
        assert!(
            begun.iter().all(|name| !recorded.contains(name)),
            "{begun:?}"
        );
        if life
            .as_ref()
            .is_err_and(|error| error.kind() == RunErrorKind::Stopped)
        {
            assert!(
                remembered.history().is_empty(),
                "a stopped run leaves nothing yet"
            );
            continue;
        }
        assert_eq!(came_to(&life), came_to(&whole));
        assert_eq!(
            certain(&life, remembered.history()),
            certain(&whole, conversation.history())
        );
        return Ok(());
    }
    Err(broken("the run does not end"))
}
