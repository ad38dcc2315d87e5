//! Runs that are dropped on the way: every observer is told, and nothing is held any longer.

use std::future::IntoFuture as _;

use steadfast_core::AgentEvent;

use crate::{
    Held, TICK, holds, laws, paused,
    scenario::{self, Scenario, Stop},
    world::World,
};

/// Design 2.3: a run that is dropped tells observers that it was, once and last, unless its end was
/// told; and whatever limits its calls has back what it gave.
#[test]
fn dropped_run_is_told_and_holds_nothing() {
    holds(600, scenario::stopped_scenario(), |(scenario, stop)| {
        paused(is_dropped(scenario, *stop))
    });
}

async fn is_dropped(scenario: &Scenario, stop: Stop) -> Held {
    let world = World::new(scenario)?;
    let Some(left) = stop.deadline.or(stop.cancel) else {
        return Ok(());
    };

    let ended = tokio::time::timeout(left, world.agent.prompt("Go.").into_future()).await;

    let told = world.log.told();
    let seen: Vec<_> = (told.iter().map(|event| (event.scope().at, event.clone()))).collect();
    match ended {
        Ok(_) => laws::check_events(&seen),
        Err(_) => laws::check_dropped(&seen),
    }
    world.log.paced.check_given_back();
    let last = told.last().map(|event| event.scope().at);
    assert!(last <= Some(left + TICK), "{told:#?}");
    let drops = |event: &&AgentEvent| matches!(event, AgentEvent::RunDropped(_));
    assert_eq!(
        told.iter().filter(drops).count(),
        usize::from(ended.is_err())
    );
    Ok(())
}
