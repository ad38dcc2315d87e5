//! Hooks: code that is asked at an event and may write to it. Observers are told and cannot answer.

mod callbacks;
mod registry;

use std::{error, fmt, sync::Arc};

use async_trait::async_trait;

pub(crate) use callbacks::Slots;
pub use registry::{HookHandle, HookRegistry, OrderedHooks};

use crate::{AgentEvent, ConfigError};

// The places of hooks that build on what others did, in the order in which they are asked. Others have
// place 0.

/// Before a call, of a hook that has to know which model is called: behind those that choose it. Waits may
/// still be declared, and calls refused, behind it.
pub(crate) const BEHIND_THE_CHOICE: i32 = 1;

/// Before a call, of a strategy whose wait is the last: what it lets go is sent at once, so that what it
/// learns of the calls that it let go is true, and their order is theirs at the provider.
pub(crate) const BEHIND_ALL_WAITS: i32 = i32::MAX - 1;

/// Before a call, where no other part refuses any more: what is drawn is then spent, and need not be given
/// back unless a hook of a user's refuses at this very place.
pub(crate) const BEHIND_ALL_REFUSALS: i32 = i32::MAX;

/// Behind a call, of a hook that looks at what the strategy decided.
///
/// Hooks of the user's are registered behind those of the model, and so asked before them here as well:
/// a budget has its say before a list of models goes on to the next.
pub(crate) const BEHIND_THE_STRATEGY: i32 = 1;

/// A named set of hooks that belong together.
///
/// A retry strategy, a logger or a guard is one value that registers its hooks on every agent it is
/// given to. Implement it for a type of your own; every [`crate::RetryStrategy`] that is `Clone`
/// has it already.
///
/// ```
/// use steadfast_core::{AfterModelCallEvent, HookProvider, HookRegistry};
///
/// struct RetryBlankAnswers;
///
/// impl HookProvider for RetryBlankAnswers {
///     fn register_hooks(&self, hooks: &mut HookRegistry) {
///         hooks.on(|event: &mut AfterModelCallEvent| {
///             if event.attempt() < 3 && event.response().is_some_and(|r| r.is_blank()) {
///                 event.retry = true;
///             }
///         });
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` provides no hooks",
    note = "implement `HookProvider` for it, or `RetryStrategy` if it only decides about retries (it must then be `Clone`)",
    note = "to switch retries off, give `NoopRetryStrategy`",
    note = "several providers are given one by one: `.hooks(first).hooks(second)`",
    note = "a single closure is registered with `.on(|event: &mut AfterModelCallEvent| ..)`"
)]
pub trait HookProvider: Send + Sync + 'static {
    /// Registers the hooks. Called once for each agent, when it is built.
    fn register_hooks(&self, hooks: &mut HookRegistry);

    /// Checks the provider's own configuration.
    ///
    /// Called once for each agent, when it is built.
    ///
    /// # Errors
    ///
    /// A value that cannot work, with the name of its field; building the agent then fails with it.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// Providers that are chosen at run time.
impl HookProvider for Box<dyn HookProvider> {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        (**self).register_hooks(hooks);
    }

    fn validate(&self) -> Result<(), ConfigError> {
        (**self).validate()
    }
}

impl HookProvider for Arc<dyn HookProvider> {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        (**self).register_hooks(hooks);
    }

    fn validate(&self) -> Result<(), ConfigError> {
        (**self).validate()
    }
}

/// Code that is asked at an event of one type.
///
/// Closures are shorter: see [`HookRegistry::on`] and [`HookRegistry::on_async`]. An `impl` needs the
/// attribute `#[async_trait]`, which is re-exported here.
///
/// # Cancel safety
///
/// The future is dropped at its next await when the run is cancelled or reaches its deadline. Hooks
/// that are asked after that run to their end: those that close what was cut short, and those of
/// the run's own end.
///
/// ```
/// use steadfast_core::{BeforeModelCallEvent, Hook, HookError, async_trait};
///
/// struct Politeness;
///
/// #[async_trait]
/// impl Hook<BeforeModelCallEvent> for Politeness {
///     async fn call(&self, _event: &mut BeforeModelCallEvent) -> Result<(), HookError> {
///         tokio::task::yield_now().await;
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no hook of `{E}`",
    note = "implement `Hook<{E}>` for it; a closure is registered with `.on(..)` or `.on_async(..)`"
)]
pub trait Hook<E: HookEvent>: Send + Sync + 'static {
    /// Answers the event by writing to it, or by leaving it as it is.
    ///
    /// # Errors
    ///
    /// An error ends the run, once, as a hook error; the hooks of this event are not asked again.
    async fn call(&self, event: &mut E) -> Result<(), HookError>;
}

/// An event at which hooks are asked. Sealed: the events are Steadfast's.
#[diagnostic::on_unimplemented(
    message = "hooks are not asked at `{Self}`",
    note = "`AgentEvent` is told, not asked: use `.observe(|event: &AgentEvent| ..)`"
)]
pub trait HookEvent: sealed::Slot + Send + Sync + Sized + 'static {
    /// Whether hooks are asked in reverse order, as at all `After` events.
    const REVERSED: bool;

    /// The name of the event's type, for errors.
    const NAME: &'static str;
}

/// A hook event whose hooks may await.
///
/// All but [`crate::AgentInitializedEvent`], which happens inside `build()`.
pub trait AsyncHookEvent: HookEvent {}

/// What observers can be told.
///
/// [`AgentEvent`], or any hook event after its hooks had their say.
pub trait Observable: sealed::Slot + Sized + 'static {}

impl Observable for AgentEvent {}
impl<E: HookEvent> Observable for E {}

pub(crate) mod sealed {
    use super::callbacks::{Callbacks, Slots};

    /// An event type's own place in the registry.
    pub trait Slot: Sized {
        /// Finds the place.
        fn slot(slots: &Slots) -> &Callbacks<Self>;
        /// Finds the place, to register.
        fn slot_mut(slots: &mut Slots) -> &mut Callbacks<Self>;
        /// Repairs what one callback left contradictory, before the next is asked.
        fn settle(&mut self) {}
    }
}

/// What a hook closure may return: nothing, or a `Result`.
///
/// An error ends the run.
#[diagnostic::on_unimplemented(
    message = "a hook cannot return `{Self}`",
    note = "it returns nothing, or a `Result<(), E>` whose error converts into `HookError`",
    note = "a closure that awaits is registered with `.on_async(|event| Box::pin(async move {{ .. }}))`"
)]
pub trait IntoHookResult {
    /// Converts.
    ///
    /// # Errors
    ///
    /// The hook's own error.
    fn into_hook_result(self) -> Result<(), HookError>;
}

impl IntoHookResult for () {
    fn into_hook_result(self) -> Result<(), HookError> {
        Ok(())
    }
}

impl<E: Into<HookError>> IntoHookResult for Result<(), E> {
    fn into_hook_result(self) -> Result<(), HookError> {
        self.map_err(Into::into)
    }
}

/// Why a hook failed. Any error converts into it, so that `?` works in a hook.
///
/// ```
/// use steadfast_core::HookError;
///
/// let error = HookError::new("the budget is spent");
/// assert_eq!(error.to_string(), "the budget is spent");
/// ```
#[derive(Clone)]
pub struct HookError(Arc<dyn error::Error + Send + Sync>);

impl HookError {
    /// Makes an error of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn error::Error + Send + Sync>::from(
            sentence.into(),
        )))
    }

    pub(crate) fn into_source(self) -> Arc<dyn error::Error + Send + Sync> {
        self.0
    }
}

// Not an `Error` itself, so that every error converts into it.
impl<E: error::Error + Send + Sync + 'static> From<E> for HookError {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookError({:?})", self.0.to_string())
    }
}
