//! The agent: a model, its tools and hooks, put together once and shared. It holds no history.

mod builder;

use std::{fmt, sync::Arc};

pub use builder::AgentBuilder;

use crate::{
    conversation::Conversation,
    hook::Slots,
    input::Input,
    limits::{FailedTurnPolicy, Limits, Timeouts},
    model::{Model, RequestFrame},
    prompt::Prompt,
    run::Run,
    tool::Tool,
};

/// An agent: a model with tools, hooks and limits, ready to be prompted.
///
/// Immutable, cheap to clone, and shared between tasks as it is. `agent.prompt(..)` starts from an
/// empty history; [`Agent::conversation`] remembers.
///
/// ```
/// use steadfast_core::{Agent, ModelRetryStrategy, secs, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let model = ScriptedModel::new([Reply::throttled(), Reply::text("Yes: it will rain.")]);
/// let agent = Agent::builder()
///     .model(model)
///     .retry_strategy(ModelRetryStrategy::new().max_attempts(3).initial_delay(secs(2)).max_delay(secs(60)))
///     .build()?;
/// let answer = agent.prompt("Should I take an umbrella to Oslo?").await?;
/// assert_eq!(answer.text(), "Yes: it will rain.");
/// assert_eq!(answer.waited(), secs(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Agent(pub(crate) Arc<AgentParts>);

/// What an agent is made of.
pub(crate) struct AgentParts {
    pub(crate) name: String,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) tools: Toolbox,
    pub(crate) hooks: Slots,
    pub(crate) frame: Arc<RequestFrame>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) failed_turn: FailedTurnPolicy,
}

/// The tools of an agent, found by the names they had when it was built.
#[derive(Default)]
pub(crate) struct Toolbox(Vec<(String, Arc<dyn Tool>)>);

impl Toolbox {
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, tool)| tool)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Agent {
    /// Starts to build an agent.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::new()
    }

    /// Prompts the agent with an empty history.
    ///
    /// Nothing happens until the prompt is awaited, streamed or spawned. It owns what it needs.
    pub fn prompt(&self, input: impl Into<Input>) -> Prompt<'static> {
        Prompt::new(self.clone(), input.into())
    }

    /// Starts a conversation: a history of its own that every prompt goes on from.
    pub fn conversation(&self) -> Conversation {
        Conversation::new(self.clone())
    }

    /// Goes on with a run that stopped without a result, or was stored on its way.
    ///
    /// It goes on where it stopped: what was finished is not done again. A run that has its result
    /// gives it once more.
    pub fn resume(&self, run: Run) -> Prompt<'static> {
        Prompt::resume(self.clone(), run)
    }

    /// Returns the agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the model's name.
    #[must_use]
    pub fn model_name(&self) -> &str {
        self.0.model.name()
    }

    /// Returns the names of the tools, in the order in which they were given.
    #[must_use]
    pub fn tool_names(&self) -> Vec<&str> {
        self.0.tools.names()
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("name", &self.name())
            .field("model", &self.model_name())
            .field("tools", &self.tool_names())
            .finish_non_exhaustive()
    }
}
