//! The registry: one list of callbacks for each event type, ordered when the agent is built.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_core::future::BoxFuture;

use super::{
    AsyncHookEvent, Hook, HookEvent, HookProvider, IntoHookResult, Observable,
    callbacks::{AsyncClosure, Callback, Entry, HookObject, Slots},
    sealed,
};

/// The hooks and observers of an agent, or a set that is to be given to one.
///
/// Hooks of `Before` events are asked in order of registration, hooks of `After` events in reverse,
/// so that what was opened first is closed last; [`HookRegistry::order`] overrides this. The retry
/// strategy is registered first, and so asked last.
///
/// A registry is itself a [`HookProvider`]: fill one to keep the handles that unregister.
///
/// ```
/// use steadfast_core::{Agent, AfterModelCallEvent, HookRegistry, testing::ScriptedModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut hooks = HookRegistry::new();
/// let handle = hooks.on(|event: &mut AfterModelCallEvent| println!("attempt {}", event.attempt()));
/// let agent = Agent::builder().model(ScriptedModel::new([])).hooks(hooks).build()?;
/// handle.unregister();
/// # Ok(())
/// # }
/// ```
#[derive(Default, Clone)]
pub struct HookRegistry {
    slots: Slots,
    max_attempts: Option<u32>,
}

impl HookRegistry {
    /// Makes an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a closure that answers at once. It may return a `Result`.
    ///
    /// ```
    /// use steadfast_core::{BeforeToolCallEvent, HookError, HookRegistry};
    ///
    /// let mut hooks = HookRegistry::new();
    /// hooks.on(|event: &mut BeforeToolCallEvent| {
    ///     if event.tool_use.name == "delete_everything" {
    ///         return Err(HookError::new("never"));
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn on<E, R>(&mut self, hook: impl Fn(&mut E) -> R + Send + Sync + 'static) -> HookHandle
    where
        E: HookEvent,
        R: IntoHookResult,
    {
        self.order(0).on(hook)
    }

    /// Registers a closure that may await. What it captures it clones into the future.
    ///
    /// ```
    /// use steadfast_core::{AfterModelCallEvent, HookRegistry, millis};
    ///
    /// let mut hooks = HookRegistry::new();
    /// hooks.on_async(|event: &mut AfterModelCallEvent| {
    ///     Box::pin(async move {
    ///         tokio::task::yield_now().await;
    ///         if event.error().is_some() && event.attempt() < 3 {
    ///             event.retry_after(millis(200));
    ///         }
    ///     })
    /// });
    /// ```
    pub fn on_async<E, R>(
        &mut self,
        hook: impl for<'a> Fn(&'a mut E) -> BoxFuture<'a, R> + Send + Sync + 'static,
    ) -> HookHandle
    where
        E: AsyncHookEvent,
        R: IntoHookResult + 'static,
    {
        self.order(0).on_async(hook)
    }

    /// Registers a hook that is a type of its own.
    pub fn add<E: AsyncHookEvent>(&mut self, hook: impl Hook<E>) -> HookHandle {
        self.order(0).add(hook)
    }

    /// Registers an observer.
    ///
    /// Of [`AgentEvent`](crate::AgentEvent) or of one hook event.
    ///
    /// An observer is told after the hooks had their say, and cannot write. It runs inside the
    /// loop, so it should be quick.
    ///
    /// ```
    /// use steadfast_core::{AgentEvent, HookRegistry};
    ///
    /// let mut hooks = HookRegistry::new();
    /// hooks.observe(|event: &AgentEvent| println!("{event:?}"));
    /// ```
    pub fn observe<E: Observable>(
        &mut self,
        observer: impl Fn(&E) + Send + Sync + 'static,
    ) -> HookHandle {
        let entry = Entry::new(0, Callback::Observer(Arc::new(observer)));
        self.push(entry)
    }

    /// Registers with a place of its own.
    ///
    /// Lower numbers are asked first, at `Before` and `After` events alike; without this the number
    /// is 0.
    pub const fn order(&mut self, order: i32) -> OrderedHooks<'_> {
        OrderedHooks {
            registry: self,
            order,
        }
    }

    /// Says how many calls of the model a turn has at most, for whom it is told: see
    /// [`ModelRequest::max_attempts`](crate::ModelRequest::max_attempts). The first word counts.
    ///
    /// A [`RetryStrategy`](crate::RetryStrategy) says so by itself.
    pub const fn tell_max_attempts(&mut self, max_attempts: u32) {
        if self.max_attempts.is_none() {
            self.max_attempts = Some(max_attempts);
        }
    }

    /// Returns how many calls a turn has at most, if anybody said so.
    pub(crate) const fn max_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    fn push<E: sealed::Slot>(&mut self, entry: Entry<E>) -> HookHandle {
        let handle = HookHandle {
            active: entry.active_flag(),
        };
        E::slot_mut(&mut self.slots).push(entry);
        handle
    }

    /// Puts every list into the order in which it is asked, and gives the lists up.
    pub(crate) fn seal(mut self) -> Slots {
        self.slots.sort();
        self.slots
    }
}

/// A registry is a provider of what was registered on it.
impl HookProvider for HookRegistry {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        hooks.slots.extend(&self.slots);
        if let Some(max_attempts) = self.max_attempts {
            hooks.tell_max_attempts(max_attempts);
        }
    }
}

impl fmt::Debug for HookRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRegistry")
            .field("callbacks", &self.slots.len())
            .finish()
    }
}

/// A registry with a place for what is registered next.
///
/// See [`HookRegistry::order`].
#[derive(Debug)]
pub struct OrderedHooks<'a> {
    registry: &'a mut HookRegistry,
    order: i32,
}

impl OrderedHooks<'_> {
    /// Registers as [`HookRegistry::on`] does, at this place.
    pub fn on<E, R>(self, hook: impl Fn(&mut E) -> R + Send + Sync + 'static) -> HookHandle
    where
        E: HookEvent,
        R: IntoHookResult,
    {
        let call = move |event: &mut E| hook(event).into_hook_result();
        self.registry
            .push(Entry::new(self.order, Callback::Sync(Arc::new(call))))
    }

    /// Registers as [`HookRegistry::on_async`] does, at this place.
    pub fn on_async<E, R>(
        self,
        hook: impl for<'a> Fn(&'a mut E) -> BoxFuture<'a, R> + Send + Sync + 'static,
    ) -> HookHandle
    where
        E: AsyncHookEvent,
        R: IntoHookResult + 'static,
    {
        let hook = Arc::new(AsyncClosure::new(hook));
        self.registry
            .push(Entry::new(self.order, Callback::Async(hook)))
    }

    /// Registers as [`HookRegistry::add`] does, at this place.
    #[expect(
        clippy::should_implement_trait,
        reason = "the same name as on the registry"
    )]
    pub fn add<E: AsyncHookEvent>(self, hook: impl Hook<E>) -> HookHandle {
        self.registry.push(Entry::new(
            self.order,
            Callback::Async(Arc::new(HookObject(hook))),
        ))
    }
}

/// Unregisters a hook or observer. Dropping it does nothing.
#[derive(Debug, Clone)]
pub struct HookHandle {
    active: Arc<AtomicBool>,
}

impl HookHandle {
    /// Unregisters: from the next event on, the callback is not asked by any agent.
    pub fn unregister(&self) {
        self.active.store(false, Ordering::Relaxed);
    }
}
