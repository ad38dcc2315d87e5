//! Hedging in an agent: for every attempt, after the same delay. The attempt does it.

use std::time::Duration;

use crate::{
    hook::{HookProvider, HookRegistry},
    hook_event::BeforeModelCallEvent,
};

/// Has the model called a second time where it says nothing for a while; the first of the two answers.
///
/// For whom a late answer is worse than the price of a few calls twice. Choose a delay that most calls
/// keep to: with what nineteen of twenty need there is one more call for each twenty. Nothing is ever
/// shown twice, since a hedge is made only while nothing was said, and tools run only once the answer is
/// complete. But both calls reach the provider: do not hedge a model whose provider runs tools with
/// effects by itself.
///
/// It is told as [`AgentEvent::HedgeStarted`](crate::AgentEvent::HedgeStarted) and
/// [`AgentEvent::HedgeWon`](crate::AgentEvent::HedgeWon). An attempt that is hedged stays one attempt;
/// its usage is that of the call that answered, and what the other has cost nobody knows. A
/// [`RetryBudget`](steadfast_resilience::RetryBudget) of the same agent draws for a hedge, a
/// [`Limiter`](steadfast_resilience::Limiter) has to let it go at once, and a
/// [`CircuitBreaker`](steadfast_resilience::CircuitBreaker) allows none beside a trial, and a
/// [`FleetRetryStrategy`](crate::FleetRetryStrategy) none at a provider that has shown a limit; otherwise
/// there is none.
///
/// A hook may hedge some attempts only: [`BeforeModelCallEvent::hedge_after`]. For any other future
/// there is [`hedge`](steadfast_resilience::hedge()).
///
/// ```
/// use steadfast_core::{Agent, Hedge, RetryBudget, secs, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ScriptedModel::new([Reply::hang(), Reply::text("Yes.").after(secs(2))]);
/// let agent = Agent::builder()
///     .model(model.clone())
///     .hooks(Hedge::after(secs(5)))
///     .hooks(RetryBudget::default())
///     .build()?;
///
/// let answer = agent.prompt("Umbrella?").await?;
/// assert_eq!((answer.text(), answer.duration()), ("Yes.", secs(5 + 2)));
/// assert_eq!((answer.attempts(), model.calls()), (1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Hedge {
    delay: Duration,
}

impl Hedge {
    /// Calls a second time after this delay.
    pub const fn after(delay: Duration) -> Self {
        Self { delay }
    }
}

impl HookProvider for Hedge {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let delay = self.delay;
        hooks.on(move |event: &mut BeforeModelCallEvent| event.hedge_after(delay));
    }
}
