//! The agents of a storm: real ones, each with its strategy, against whatever provider they are given.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use serde_json::json;
use steadfast::{Agent, HookProvider, Model, ModelSettings, TokioRuntime};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    ledger::Ledger,
    strategies::Strategy,
    tally::Done,
    world::{ANSWER_TOKENS, World},
};
use crate::refusal::Refusal;

/// What all agents of a storm have in common.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    pub(super) world: Arc<World>,
    pub(super) seed: u64,
    pub(super) ledger: Ledger,
}

impl Crowd {
    /// Lets all agents live with one strategy, until the last is done or the world's time is over. Who
    /// is still at it then is dropped.
    pub(super) async fn live(
        &self,
        strategy: &Strategy,
        model: impl Fn(u32) -> Arc<dyn Model>,
    ) -> Result<(), Refusal> {
        let strategies = strategy.hand_out(&self.world, self.seed)?;
        let beginnings = self.world.beginnings(self.seed);
        let mut agents = JoinSet::new();
        for number in self.world.order(self.seed) {
            let place = number as usize;
            let (Some(strategy), Some(begins)) = (strategies.get(place), beginnings.get(place))
            else {
                continue;
            };
            let agent = agent(number, model(number), Arc::clone(strategy))?;
            agents.spawn(self.clone().one_life(agent, number, *begins));
        }
        let all = async { while agents.join_next().await.is_some() {} };
        // That it took too long, the tally shows.
        let _ = timeout(self.world.longest, first(all, self.ledger.ran_away())).await;
        agents.shutdown().await;
        Ok(())
    }

    /// Comes, makes all calls one after the other, and thinks in between. A call is a prompt of one
    /// conversation; an agent whose call fails gives up.
    async fn one_life(self, agent: Agent, number: u32, begins: Duration) {
        let Self {
            world,
            seed,
            ledger,
        } = self;
        let runtime = TokioRuntime::seeded(world.jitter(seed, number));
        if !begins.is_zero() {
            sleep_until(Instant::now() + begins).await;
        }
        let came = Instant::now();
        let mut conversation = agent.conversation();
        for call in 0..world.calls {
            let thinking = world.thinking(seed, number, call);
            if !thinking.is_zero() {
                sleep(thinking).await;
            }
            let asked = Instant::now();
            let prompt = world.prompt(seed, number, call);
            let answered = conversation.prompt(prompt).on_runtime(&runtime).await;
            let took = asked.elapsed();
            if answered.is_err() {
                return ledger.note(|tally| {
                    tally.failed_calls += 1;
                    tally.failed_agents += 1;
                });
            }
            ledger.note(|tally| tally.calls.push(took));
        }
        let done = Done {
            at: ledger.now(),
            took: came.elapsed(),
        };
        ledger.note(|tally| tally.done.push(done));
    }
}

/// Builds an agent whose strategy decides alone how often it calls. It says who it is in the field that
/// vendors have for that.
fn agent(
    number: u32,
    model: Arc<dyn Model>,
    strategy: Arc<dyn HookProvider>,
) -> Result<Agent, Refusal> {
    let settings = ModelSettings::new()
        .max_tokens(ANSWER_TOKENS)
        .extra("user", json!(number.to_string()));
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(strategy)
        .settings(settings)
        .max_attempts_per_turn(u32::MAX)
        .build()?;
    Ok(agent)
}

/// Waits for the first of two, and looks at them in this order.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await;
}
