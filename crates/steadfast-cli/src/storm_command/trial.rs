//! One strategy in one storm: real agents on tokio's clock, which stands still while somebody computes
//! and jumps to the next timer otherwise. So an hour takes a moment, and the same seed gives the same
//! storm.

use std::{sync::Arc, time::Duration};

use steadfast::{Agent, HookProvider, ModelSettings, TokioRuntime};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    chance::{Chance, Draw},
    provider::{Line, Provider},
    strategies::Strategy,
    tally::{Done, Tally},
    world::{ANSWER_TOKENS, LONGEST, World},
};
use crate::refusal::Refusal;

/// Lets the agents of a world go with one strategy, in virtual time, and says what happened.
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
    runtime.block_on(storm(strategy, world, seed))
}

async fn storm(strategy: &Strategy, world: &World, seed: u64) -> Result<Tally, Refusal> {
    let provider = Provider::open(world, seed);
    let strategies = strategy.hand_out(world, seed)?;
    let beginnings = world.beginnings(seed);
    let mut agents = JoinSet::new();
    for (number, (strategy, begins)) in (0..).zip(strategies.into_iter().zip(beginnings)) {
        let line = provider.line(number);
        let agent = agent(Arc::clone(&line), strategy)?;
        let life = Life {
            provider: Arc::clone(&provider),
            line,
            agent,
            number,
            begins,
            runtime: TokioRuntime::seeded(Chance::of(seed, Draw::Agent, &[number.into()]).bits()),
        };
        agents.spawn(life.live(seed));
    }
    // Agents that are still at it then are dropped with the runtime.
    let all = async { while agents.join_next().await.is_some() {} };
    let ran_away = provider.ran_away();
    let _ = timeout(LONGEST, first(all, ran_away)).await;
    agents.abort_all();
    Ok(provider.tally())
}

/// Builds an agent whose strategy decides alone how often it calls.
fn agent(line: Arc<Line>, strategy: Arc<dyn HookProvider>) -> Result<Agent, Refusal> {
    let agent = Agent::builder()
        .model(line)
        .retry_strategy(strategy)
        .settings(ModelSettings::new().max_tokens(ANSWER_TOKENS))
        .max_attempts_per_turn(u32::MAX)
        .build()?;
    Ok(agent)
}

/// One agent in the storm.
struct Life {
    provider: Arc<Provider>,
    line: Arc<Line>,
    agent: Agent,
    number: u32,
    begins: Duration,
    runtime: TokioRuntime,
}

impl Life {
    /// Comes, makes its calls one after the other, and thinks in between. A call is a prompt of its
    /// conversation; an agent whose call fails gives up.
    async fn live(self, seed: u64) {
        let Self {
            provider,
            line,
            agent,
            number,
            begins,
            runtime,
        } = self;
        let world = provider.world();
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
            line.begin(call);
            let asked = Instant::now();
            let prompt = world.prompt(seed, number, call);
            let answered = conversation.prompt(prompt).on_runtime(&runtime).await;
            let took = asked.elapsed();
            if answered.is_err() {
                return provider.note(|tally| {
                    tally.failed_calls += 1;
                    tally.failed_agents += 1;
                });
            }
            provider.note(|tally| tally.calls.push(took));
        }
        let done = Done {
            at: provider.now(),
            took: came.elapsed(),
        };
        provider.note(|tally| tally.done.push(done));
    }
}

/// Waits for the first of two, in this order.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        std::task::Poll::Ready(()) => std::task::Poll::Ready(()),
        std::task::Poll::Pending => other.as_mut().poll(cx),
    })
    .await;
}
