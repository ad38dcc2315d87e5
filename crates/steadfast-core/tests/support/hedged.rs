//! An agent that hedges.

use steadfast_core::{Agent, AgentBuilder, Hedge, NoopRetryStrategy, secs, testing::ScriptedModel};

/// Hedges after five seconds, and makes one attempt.
pub(crate) fn hedged(model: &ScriptedModel) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .hooks(Hedge::after(secs(5)))
}
