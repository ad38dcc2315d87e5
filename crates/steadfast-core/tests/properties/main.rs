//! What holds for every run, tried on runs of every shape: each property states its law.
//!
//! Runs are drawn from a fixed seed, so that only a change of the code can make a test fail.
//! `PROPTEST_RNG_SEED` draws others, and `PROPTEST_CASES` more of them.

mod bracket;
mod dropped;
mod fleet;
#[path = "../support/laws.rs"]
mod laws;
mod paced;
mod replay;
mod scenario;
mod stored;
mod strategy;
mod watched;
mod world;

use std::{cell::RefCell, collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use paced::Paced;
use proptest::{
    prelude::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use scenario::{Policy, Scenario, Stop};
use steadfast_core::{
    AgentEvent, CancellationToken, ContentBlock, Message, Role, StopReason, millis,
};
use world::{World, stream};

/// What became of a property on one value: an assertion that fails panics, which is caught.
type Held = Result<(), TestCaseError>;

fn broken(law: &str) -> TestCaseError {
    TestCaseError::fail(law.to_owned())
}

/// Tries a property on so many values.
///
/// Nothing is written to disk when it fails: the shrunk value is printed, and the seed is known.
fn holds<S: Strategy>(cases: u32, strategy: S, property: impl Fn(&S::Value) -> Held) {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if !cases_are_set() {
        config.cases = cases;
    }
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(2_026);
    }
    let outcome = TestRunner::new(config).run(&strategy, |value| property(&value));
    assert!(
        outcome.is_ok(),
        "{}",
        outcome.err().map(|e| e.to_string()).unwrap_or_default()
    );
}

fn cases_are_set() -> bool {
    std::env::var_os("PROPTEST_CASES").is_some()
}

/// Runs in paused time.
fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
    }
}

/// Design 2.3 and 5: the deltas of the attempts that were not discarded are the text of the messages
/// in the history; every attempt ends in exactly one of message and discard, with numbers without
/// gaps; every wait is told, and only if a retry follows; tools start after a complete message and
/// every call is answered directly after; what a hook opened it can close, and nothing that lets a call
/// in is held longer than its attempt; exactly one of result and force stop is told, last.
/// Section 3: what a conversation keeps of it.
#[test]
fn every_run_obeys_the_laws() {
    let met = RefCell::new(BTreeSet::new());
    holds(2_000, scenario::stopped_scenario(), |(scenario, stop)| {
        let mut met = met.borrow_mut();
        paused(obeys(scenario, *stop, &mut met))
    });

    // Or the runs above prove little.
    let met = met.into_inner();
    let missing: Vec<_> = TO_BE_MET
        .iter()
        .filter(|kind| !met.contains(**kind))
        .collect();
    assert!(
        missing.is_empty() || cases_are_set(),
        "{missing:?} in {met:?}"
    );
}

/// What so many runs must have come across.
const TO_BE_MET: [&str; 33] = [
    "reasoning_delta",
    "event_loop_throttle hint",
    "event_loop_throttle backoff",
    "event_loop_throttle hook",
    "event_loop_throttle pacer",
    "message end_turn",
    "message tool_use",
    "message pause_turn",
    "message pause_turn opaque",
    "message tool_use opaque",
    "message max_tokens",
    "tool_finished true",
    "tool_finished false",
    "attempt_discarded model_error",
    "attempt_discarded retried_by_hook",
    "attempt_discarded hook_error",
    "attempt_discarded deadline",
    "attempt_discarded cancelled",
    "result end_turn",
    "result stop_sequence",
    "result max_tokens",
    "result refusal",
    "result content_filtered",
    "result guardrail_intervened",
    "result limit_turns",
    "result limit_tokens",
    "result cancelled",
    "force_stop hook",
    "force_stop deadline",
    "force_stop attempt_cap",
    "force_stop timeout",
    "force_stop protocol",
    "force_stop quota_exhausted",
];

/// An event by its stored type and what tells it from others of the type.
fn kind(event: &AgentEvent) -> Option<String> {
    let stored = serde_json::to_value(event).ok()?;
    let details = [
        "/reason",
        "/decided_by",
        "/ok",
        "/error/kind",
        "/stop_reason",
        "/message/stop_reason",
    ];
    let detail = details.iter().find_map(|detail| stored.pointer(detail));
    let mut kind = format!("{} {}", stored.get("type")?, detail.unwrap_or_default());
    if let AgentEvent::Message(added) = event
        && (added.message().content.iter())
            .any(|block| matches!(block, ContentBlock::Opaque { .. }))
    {
        kind += " opaque";
    }
    Some(kind.replace('"', "").replace(" null", ""))
}

async fn obeys(scenario: &Scenario, stop: Stop, met: &mut BTreeSet<String>) -> Held {
    let world = World::new(scenario)?;
    let mut conversation = world.agent.conversation();
    for _ in 0..2 {
        let before: Vec<Arc<Message>> = conversation.history().iter().cloned().collect();
        let told_before = world.log.told_count();
        let token = CancellationToken::new();
        let later = token.clone();
        let cancel = stop.cancel;
        let canceller = tokio::spawn(async move {
            match cancel {
                Some(cancel) => tokio::time::sleep(cancel).await,
                None => std::future::pending().await,
            }
            later.cancel();
        });
        let mut prompt = conversation.prompt("Go.").cancel_on(token);
        if let Some(deadline) = stop.deadline {
            prompt = prompt.deadline(deadline);
        }

        let (seen, outcome) = stream(prompt).await;

        canceller.abort();
        laws::check_events(&seen);
        check_waits(&seen, &world.log.paced);
        world.log.check_closed();
        let events = laws::events(&seen);
        met.extend(events.iter().filter_map(kind));
        let observed = world.log.told().split_off(told_before);
        assert_eq!(observed, events, "observers and stream");
        let told = laws::told_messages(&events);
        let stopped = match (&outcome, events.last()) {
            (Ok(result), Some(AgentEvent::Result(told))) => {
                assert_eq!(told.result(), result.summary());
                result.stop_reason() == StopReason::Cancelled
            }
            (Err(error), Some(AgentEvent::ForceStop(last))) => {
                assert_eq!(last.failure(), error.failure());
                let tail = error.run().history().tail();
                assert_eq!(tail, told, "what is told is history");
                true
            }
            _ => return Err(broken("the last event tells the outcome")),
        };
        let mut after: Vec<Arc<Message>> = conversation.history().iter().cloned().collect();
        laws::check_history(&after);
        let mut left = after.split_off(before.len().min(after.len()));
        assert_eq!(after, before, "what was before stays");
        if let Ok(result) = &outcome {
            assert_eq!(result.messages(), left);
        }
        assert_eq!(left.len(), kept(scenario.policy, stopped, &told));
        // What a policy closes an open turn with is told to nobody.
        left.truncate(told.len());
        assert_eq!(told.get(..left.len()), Some(&*left));
        check_time(&seen, stop);
    }
    Ok(())
}

/// Every wait was told, is as long as it was told to be, and counts as what it was.
fn check_waits(seen: &[laws::Seen], paced: &Paced) {
    let mut discarded = None;
    // Since when, how long, and when it was told.
    let mut throttle: Option<(Duration, Duration, Duration)> = None;
    let mut waited = Duration::ZERO;
    let mut waits_in_attempt = 0;
    for (told_at, event) in seen {
        let at = event.scope().at;
        match event {
            AgentEvent::AttemptStarted(_) => {
                match (discarded, throttle) {
                    (Some(_), Some((since, delay, told_at))) => {
                        // Hooks that are asked before it is told may take longer than the wait.
                        let ends = (since + delay).max(told_at);
                        assert!(at <= ends + TICK, "a longer wait: {event:?}");
                        assert!(at >= since + delay, "a shorter wait: {event:?}");
                        waited += delay;
                    }
                    (Some(discarded), None) => assert_eq!(at, discarded, "{event:?}"),
                    (None, _) => {}
                }
                (discarded, throttle) = (None, None);
                waits_in_attempt = 0;
            }
            // Its hooks may have awaited before it was told.
            AgentEvent::AttemptDiscarded(_) => discarded = Some(*told_at),
            AgentEvent::EventLoopThrottle(event) => match discarded {
                Some(_) => throttle = Some((at, event.delay(), *told_at)),
                // A pacer's wait lasts as long as it takes.
                None => {
                    let ends = paced.ends((event.turn(), event.attempt()));
                    let end = ends.get(waits_in_attempt).copied();
                    waited += end.unwrap_or_default().saturating_sub(at);
                    waits_in_attempt += 1;
                }
            },
            AgentEvent::Result(end) => {
                // The last wait may have been cut short, and hooks have their grace after it.
                let cut =
                    throttle.map_or(Duration::ZERO, |(since, delay, _)| delay.min(at - since));
                let told = end.result().waited();
                assert!(told <= waited + cut, "{told:?}, not {waited:?} and {cut:?}");
                let least = (waited + cut).saturating_sub(GRACE + TICK);
                assert!(told >= least, "{told:?}, not {waited:?} and {cut:?}");
                if throttle.is_none() {
                    assert_eq!(told, waited, "{event:?}");
                }
            }
            _ => {}
        }
    }
}

/// How many messages a conversation keeps of a run (design section 3).
fn kept(policy: Policy, stopped: bool, told: &[Arc<Message>]) -> usize {
    match policy {
        _ if !stopped => told.len(),
        Policy::RollBackAll => 0,
        Policy::RollBackTurn => laws::finished(told),
        Policy::KeepTurn => {
            let open =
                |last: &Arc<Message>| last.role == Role::Assistant && laws::calls_tools(last);
            told.len() + usize::from(told.last().is_some_and(open))
        }
    }
}

/// A stop ends a run within milliseconds (design section 5): at once, but for its hooks, which together
/// have a few.
fn check_time(seen: &[laws::Seen], stop: Stop) {
    let ended = seen.last().map(|(at, _)| *at).unwrap_or_default();
    let stopped = [stop.deadline, stop.cancel].into_iter().flatten().min();
    if let Some(stopped) = stopped {
        assert!(
            ended <= stopped + GRACE + TICK,
            "{ended:?} after {stopped:?}: {seen:#?}"
        );
    }
}

/// What the hooks of a run may await after a stop.
const GRACE: Duration = millis(5);

/// The step of tokio's clock.
const TICK: Duration = millis(1);

/// Design 2: a hook that would retry for ever is stopped by the caps, whatever the others answer.
#[test]
fn no_answers_of_hooks_make_the_loop_spin() {
    holds(1_500, scenario::stubborn(), |scenario| {
        paused(async {
            let world = World::new(scenario)?;
            let limits = &scenario.limits;

            let (seen, _) = stream(world.agent.prompt("Go.")).await;

            laws::check_events(&seen);
            check_waits(&seen, &world.log.paced);
            world.log.check_closed();
            let [calls, ..] = world.log.done();
            let cap = usize::try_from(limits.max_turns * limits.max_attempts).unwrap_or_default();
            let hedges = |seen: &&laws::Seen| matches!(seen.1, AgentEvent::HedgeStarted(_));
            let twice = seen.iter().filter(hedges).count();
            assert!(
                calls <= cap + twice,
                "{calls} calls, at most {cap} and {twice}"
            );
            let attempts = |seen: &&laws::Seen| matches!(seen.1, AgentEvent::AttemptStarted(_));
            assert!(seen.iter().filter(attempts).count() <= cap);
            for (_, event) in &seen {
                assert!(event.scope().turn <= limits.max_turns, "{event:?}");
                assert!(event.scope().attempt <= limits.max_attempts, "{event:?}");
            }
            Ok(())
        })
    });
}
