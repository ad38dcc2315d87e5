//! Building an agent: every wrong value is refused here, by the name of its field.

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;

use super::{Agent, AgentParts, Toolbox};
use crate::{
    ConfigError,
    hook::{
        AsyncHookEvent, Hook, HookEvent, HookProvider, HookRegistry, IntoHookResult, Observable,
    },
    hook_event::AgentInitializedEvent,
    limits::{FailedTurnPolicy, Limits, Timeouts},
    model::{Model, ModelSettings, RequestFrame},
    retry::ModelRetryStrategy,
    tool::Tool,
};

/// Puts an agent together.
///
/// Only the model is required. Without [`retry_strategy`](Self::retry_strategy) it is
/// [`ModelRetryStrategy`] with its defaults; a run may take 50 turns.
#[must_use]
pub struct AgentBuilder {
    name: String,
    model: Option<Arc<dyn Model>>,
    system: Option<String>,
    tools: Vec<Arc<dyn Tool>>,
    retry: Box<dyn HookProvider>,
    providers: Vec<Box<dyn HookProvider>>,
    settings: ModelSettings,
    limits: Limits,
    timeouts: Timeouts,
    failed_turn: FailedTurnPolicy,
}

impl AgentBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "agent".to_owned(),
            model: None,
            system: None,
            tools: Vec::new(),
            retry: Box::new(ModelRetryStrategy::new()),
            providers: Vec::new(),
            settings: ModelSettings::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            failed_turn: FailedTurnPolicy::default(),
        }
    }

    /// Sets the agent's name, for logs.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the model. Required.
    pub fn model(mut self, model: impl Model) -> Self {
        self.model = Some(Arc::new(model));
        self
    }

    /// Sets the system prompt.
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.system = Some(system.into());
        self
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: impl Tool) -> Self {
        self.tools.push(Arc::new(tool));
        self
    }

    /// Adds tools that are chosen at run time.
    pub fn tools(mut self, tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Sets what decides about retries, instead of the default.
    ///
    /// A [`RetryStrategy`](crate::RetryStrategy), or hooks of any other kind. It is asked after all
    /// user hooks.
    pub fn retry_strategy(mut self, strategy: impl HookProvider) -> Self {
        self.retry = Box::new(strategy);
        self
    }

    /// Adds the hooks of a provider.
    pub fn hooks(mut self, provider: impl HookProvider) -> Self {
        self.providers.push(Box::new(provider));
        self
    }

    /// Adds a hook; see [`HookRegistry::on`].
    pub fn on<E, R>(self, hook: impl Fn(&mut E) -> R + Send + Sync + 'static) -> Self
    where
        E: HookEvent,
        R: IntoHookResult,
    {
        self.with_registry(|hooks| {
            hooks.on(hook);
        })
    }

    /// Adds a hook that may await; see [`HookRegistry::on_async`].
    pub fn on_async<E, R>(
        self,
        hook: impl for<'a> Fn(&'a mut E) -> BoxFuture<'a, R> + Send + Sync + 'static,
    ) -> Self
    where
        E: AsyncHookEvent,
        R: IntoHookResult + 'static,
    {
        self.with_registry(|hooks| {
            hooks.on_async(hook);
        })
    }

    /// Adds a hook that is a type of its own; see [`HookRegistry::add`].
    #[expect(
        clippy::should_implement_trait,
        reason = "the same name as on the registry"
    )]
    pub fn add<E: AsyncHookEvent>(self, hook: impl Hook<E>) -> Self {
        self.with_registry(|hooks| {
            hooks.add(hook);
        })
    }

    /// Adds an observer; see [`HookRegistry::observe`].
    pub fn observe<E: Observable>(self, observer: impl Fn(&E) + Send + Sync + 'static) -> Self {
        self.with_registry(|hooks| {
            hooks.observe(observer);
        })
    }

    fn with_registry(self, fill: impl FnOnce(&mut HookRegistry)) -> Self {
        let mut hooks = HookRegistry::new();
        fill(&mut hooks);
        self.hooks(hooks)
    }

    /// Sets how the model is to answer; a prompt may set its own.
    pub fn settings(mut self, settings: ModelSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the most turns of a run; 50 without this.
    ///
    /// A run that reaches it ends with the result so far and the stop reason `limit_turns`.
    pub const fn max_turns(mut self, max_turns: u32) -> Self {
        self.limits.max_turns = max_turns;
        self
    }

    /// Sets the most tokens of a run, all attempts counted; none without this.
    ///
    /// A run that reaches it ends after the turn with the stop reason `limit_tokens`.
    pub const fn max_total_tokens(mut self, tokens: u64) -> Self {
        self.limits.max_total_tokens = Some(tokens);
        self
    }

    /// Sets the hard cap on attempts of one turn, whatever hooks ask for.
    ///
    /// 100 without this. An attempt counts also if its call was refused, as by a circuit breaker.
    pub const fn max_attempts_per_turn(mut self, attempts: u32) -> Self {
        self.limits.max_attempts_per_turn = attempts;
        self
    }

    /// Sets the hard cap on runs of a tool for one call, whatever hooks ask for.
    ///
    /// 10 without this.
    pub const fn max_tool_tries(mut self, tries: u32) -> Self {
        self.limits.max_tool_tries = tries;
        self
    }

    /// Sets how long a run may take, waits included; none without this.
    ///
    /// A retry that would come later is not waited for.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = Some(deadline);
        self
    }

    /// Sets how long a model may take to begin its answer; 120 seconds without this.
    pub const fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.first_byte = timeout;
        self
    }

    /// Sets how long a model may be silent within its answer.
    ///
    /// 120 seconds without this. Keep-alives do not count as an answer.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle = timeout;
        self
    }

    /// Keeps the failed turn of a failed run in a conversation's history.
    ///
    /// Its open tool calls are answered with an error.
    pub const fn keep_failed_turn(mut self) -> Self {
        self.failed_turn = FailedTurnPolicy::KeepTurn;
        self
    }

    /// Keeps nothing of a failed run in a conversation, not even finished turns.
    pub const fn roll_back_all(mut self) -> Self {
        self.failed_turn = FailedTurnPolicy::RollBackAll;
        self
    }

    /// Builds the agent.
    ///
    /// # Errors
    ///
    /// A wrong value, with the name of its field; a missing model; two tools of one name; an error
    /// of a hook on [`AgentInitializedEvent`].
    pub fn build(self) -> Result<Agent, ConfigError> {
        let model = self.model.ok_or_else(|| {
            ConfigError::new("model", "is missing")
                .with_hint("give the builder one with `.model(..)`")
        })?;
        self.limits.validate()?;
        self.timeouts.validate()?;
        let mut tools = Toolbox::default();
        let mut specs = Vec::with_capacity(self.tools.len());
        for tool in self.tools {
            let spec = tool.spec();
            spec.validate()?;
            if tools.find(&spec.name).is_some() {
                return Err(ConfigError::new(
                    "tool",
                    format!("`{}` was given twice", spec.name),
                ));
            }
            tools.0.push((spec.name.clone(), tool));
            specs.push(spec);
        }
        let mut frame = RequestFrame {
            system: self.system,
            tools: specs,
            settings: self.settings,
            max_attempts: None,
        };
        frame.validate()?;
        let mut hooks = HookRegistry::new();
        // Registered first, so that with `After` events reversed it is asked last; the model's hooks
        // are asked right before it, when all others have had their say.
        self.retry.validate()?;
        self.retry.register_hooks(&mut hooks);
        model.register_hooks(&mut hooks);
        for provider in &self.providers {
            provider.validate()?;
            provider.register_hooks(&mut hooks);
        }
        frame.max_attempts = hooks.max_attempts();
        let agent = Agent(Arc::new(AgentParts {
            name: self.name,
            model,
            tools,
            hooks: hooks.seal(),
            frame: Arc::new(frame),
            limits: self.limits,
            timeouts: self.timeouts,
            failed_turn: self.failed_turn,
        }));
        let mut event = AgentInitializedEvent {
            agent: agent.clone(),
        };
        agent
            .0
            .hooks
            .ask_now(&mut event)
            .map_err(|error| ConfigError::new("hooks", format!("refused the agent: {error}")))?;
        Ok(agent)
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("name", &self.name)
            .field("tools", &self.tools.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
