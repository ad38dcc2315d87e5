//! A run is stopped at each of its awaits in turn: by cancelling, by its deadline, by dropping it
//! and by its runtime. Each time it ends at once, in good order, and its agent answers again.

mod clock;
mod gates;
#[path = "../support/laws.rs"]
mod laws;
mod rich_run;
mod scene;
mod threads;

use std::{sync::Arc, time::Duration};

use gates::{Gates, Target, Then};
use laws::Seen;
use scene::{
    Checked, DEADLINE, Scene, Stop, WAYS, Way, awaits, check_dropped, check_end, check_left,
    has_answered, has_ended, is_record, left_by,
};
use steadfast_core::{AgentEvent, CancellationToken, RunErrorKind, StopReason};
use tokio::time::Instant;

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
        "pacer",
        "wait before a retry",
        "wait before a tool's retry",
        "record begins",
        "record ends",
    ] {
        assert!(awaits.iter().any(|name| name == kind), "{kind}");
    }
    Ok(())
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
            check_dropped(&scene).await;
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
            let seen = scene.told.seen();
            // Only the very last record, of the end itself, comes after it was told.
            assert!(!has_ended(&seen) || has_answered(&seen), "{at}");
            let dropped = |(_, event): &Seen| matches!(event, AgentEvent::RunDropped(_));
            assert!(!seen.iter().any(dropped), "{at}");
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
                check_dropped(&scene).await;
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
