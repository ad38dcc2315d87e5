//! One strategy in one storm, in virtual time: tokio's clock stands still while somebody computes and
//! jumps to the next timer otherwise. So an hour takes a moment, and the same seed gives the same storm.

use std::sync::Arc;

use steadfast::Model;

use super::{
    crowd::Crowd, ledger::Ledger, provider::Provider, strategies::Strategy, tally::Tally,
    world::World,
};
use crate::refusal::Refusal;

/// Lets the agents of a world live with one strategy and says what happened.
///
/// It has a runtime of its own, so it must not be called on one.
pub(super) fn trial(strategy: &Strategy, world: &World, seed: u64) -> Result<Tally, Refusal> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| {
        Refusal::new(
            format!("the storm cannot start: {error}"),
            "look at the limits on threads and open files",
        )
    })?;
    runtime.block_on(async {
        let crowd = Crowd {
            world: Arc::new(world.clone()),
            seed,
            ledger: Ledger::open(),
        };
        let provider = Provider::open(world, seed, crowd.ledger.clone());
        let line = |agent| -> Arc<dyn Model> { Arc::new(provider.line(agent)) };
        crowd.live(strategy, line).await?;
        Ok(crowd.ledger.close())
    })
}
