//! The callbacks behind a registry, and how they are asked. Registering is not here.

use std::{
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_core::future::BoxFuture;
use tokio::time::timeout_at;

use super::{AsyncHookEvent, Hook, HookError, HookEvent, IntoHookResult, sealed::Slot};
use crate::{
    event::{
        AgentEvent, AttemptDiscardedEvent, EventLoopThrottleEvent, ForceStopEvent,
        MessageAddedEvent,
    },
    hook_event::{
        AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent,
        AgentInitializedEvent, BeforeInvocationEvent, BeforeModelCallEvent, BeforeToolCallEvent,
        BeforeToolsEvent, ModelCallAcceptedEvent,
    },
    interrupt::{Grace, Interrupt, Watch},
};

type SyncHook<E> = dyn Fn(&mut E) -> Result<(), HookError> + Send + Sync;
type Observer<E> = dyn Fn(&E) + Send + Sync;

/// The three forms of a callback.
///
/// Sync hooks stay apart so that asking them allocates nothing.
pub(crate) enum Callback<E> {
    Sync(Arc<SyncHook<E>>),
    Async(Arc<dyn AsyncCallback<E>>),
    Observer(Arc<Observer<E>>),
}

impl<E> Clone for Callback<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Sync(hook) => Self::Sync(Arc::clone(hook)),
            Self::Async(hook) => Self::Async(Arc::clone(hook)),
            Self::Observer(observer) => Self::Observer(Arc::clone(observer)),
        }
    }
}

/// An async hook of either form.
///
/// Without the bounds of [`Hook`], so that a list of callbacks can be named for any event.
pub(crate) trait AsyncCallback<E>: Send + Sync {
    fn call<'a>(&'a self, event: &'a mut E) -> BoxFuture<'a, Result<(), HookError>>;
}

/// A hook that is a type of its own.
pub(crate) struct HookObject<H>(pub(crate) H);

impl<E: HookEvent, H: Hook<E>> AsyncCallback<E> for HookObject<H> {
    fn call<'a>(&'a self, event: &'a mut E) -> BoxFuture<'a, Result<(), HookError>> {
        self.0.call(event)
    }
}

/// A closure that answers with a boxed future.
pub(crate) struct AsyncClosure<F, R> {
    hook: F,
    result: PhantomData<fn() -> R>,
}

impl<F, R> AsyncClosure<F, R> {
    pub(crate) const fn new(hook: F) -> Self {
        Self {
            hook,
            result: PhantomData,
        }
    }
}

impl<E, R, F> AsyncCallback<E> for AsyncClosure<F, R>
where
    E: AsyncHookEvent,
    R: IntoHookResult + 'static,
    F: for<'a> Fn(&'a mut E) -> BoxFuture<'a, R> + Send + Sync,
{
    fn call<'a>(&'a self, event: &'a mut E) -> BoxFuture<'a, Result<(), HookError>> {
        let answer = (self.hook)(event);
        Box::pin(async move { answer.await.into_hook_result() })
    }
}

/// One registered callback.
pub(crate) struct Entry<E> {
    order: i32,
    active: Arc<AtomicBool>,
    callback: Callback<E>,
}

impl<E> Clone for Entry<E> {
    fn clone(&self) -> Self {
        Self {
            order: self.order,
            active: Arc::clone(&self.active),
            callback: self.callback.clone(),
        }
    }
}

impl<E> Entry<E> {
    pub(crate) fn new(order: i32, callback: Callback<E>) -> Self {
        Self {
            order,
            active: Arc::new(AtomicBool::new(true)),
            callback,
        }
    }

    pub(crate) fn active_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.active)
    }

    fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }
}

/// The callbacks of one event type.
pub struct Callbacks<E>(Vec<Entry<E>>);

impl<E> Default for Callbacks<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Clone for Callbacks<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> fmt::Debug for Callbacks<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} callbacks", self.0.len())
    }
}

impl<E> Callbacks<E> {
    pub(crate) fn push(&mut self, entry: Entry<E>) {
        self.0.push(entry);
    }

    fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Sorts into the order of asking: by number, and inside one number as registered or reversed.
    /// Both sorts are stable.
    fn sort(&mut self, reversed: bool) {
        if reversed {
            self.0.reverse();
        }
        self.0.sort_by_key(|entry| entry.order);
        self.0.shrink_to_fit();
    }

    /// Tells all observers, also if one of them panics; the first panic goes on afterwards.
    fn observe(&self, event: &E) {
        let mut panicked = None;
        for entry in &self.0 {
            if let Callback::Observer(observer) = &entry.callback
                && entry.is_active()
            {
                // What the panic leaves half done is the observer's own.
                let told = catch_unwind(AssertUnwindSafe(|| observer(event)));
                panicked = panicked.or(told.err());
            }
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }
}

/// The lists of an agent, one for each event type: finding one is a field access.
macro_rules! slots {
    ($($field:ident: $event:ty, reversed: $reversed:literal $(, settle: $settle:expr)?;)+) => {
        /// All callbacks of an agent, by event type.
        #[derive(Debug, Default, Clone)]
        pub struct Slots {
            agent_events: Callbacks<AgentEvent>,
            $($field: Callbacks<$event>,)+
        }

        impl Slots {
            pub(crate) fn sort(&mut self) {
                self.agent_events.sort(false);
                $(self.$field.sort($reversed);)+
            }

            pub(crate) fn extend(&mut self, other: &Self) {
                self.agent_events.extend(&other.agent_events);
                $(self.$field.extend(&other.$field);)+
            }

            pub(crate) fn len(&self) -> usize {
                self.agent_events.0.len() $(+ self.$field.0.len())+
            }
        }

        $(
            impl HookEvent for $event {
                const REVERSED: bool = $reversed;
                const NAME: &'static str = stringify!($event);
            }

            impl Slot for $event {
                fn slot(slots: &Slots) -> &Callbacks<Self> {
                    &slots.$field
                }

                fn slot_mut(slots: &mut Slots) -> &mut Callbacks<Self> {
                    &mut slots.$field
                }

                $(fn settle(&mut self) {
                    $settle(self);
                })?
            }
        )+
    };
}

slots! {
    agent_initialized: AgentInitializedEvent, reversed: false;
    before_invocation: BeforeInvocationEvent, reversed: false;
    after_invocation: AfterInvocationEvent, reversed: true;
    message_added: MessageAddedEvent, reversed: false;
    before_model_call: BeforeModelCallEvent, reversed: false;
    model_call_accepted: ModelCallAcceptedEvent, reversed: false;
    after_model_call: AfterModelCallEvent, reversed: true, settle: AfterModelCallEvent::drop_stale_delay;
    before_tools: BeforeToolsEvent, reversed: false;
    after_tools: AfterToolsEvent, reversed: true;
    before_tool_call: BeforeToolCallEvent, reversed: false;
    after_tool_call: AfterToolCallEvent, reversed: true, settle: AfterToolCallEvent::drop_stale_delay;
    throttle: EventLoopThrottleEvent, reversed: false;
    attempt_discarded: AttemptDiscardedEvent, reversed: false;
    force_stop: ForceStopEvent, reversed: false;
}

impl Slot for AgentEvent {
    fn slot(slots: &Slots) -> &Callbacks<Self> {
        &slots.agent_events
    }

    fn slot_mut(slots: &mut Slots) -> &mut Callbacks<Self> {
        &mut slots.agent_events
    }
}

impl AsyncHookEvent for BeforeInvocationEvent {}
impl AsyncHookEvent for AfterInvocationEvent {}
impl AsyncHookEvent for MessageAddedEvent {}
impl AsyncHookEvent for BeforeModelCallEvent {}
impl AsyncHookEvent for ModelCallAcceptedEvent {}
impl AsyncHookEvent for AfterModelCallEvent {}
impl AsyncHookEvent for BeforeToolsEvent {}
impl AsyncHookEvent for AfterToolsEvent {}
impl AsyncHookEvent for BeforeToolCallEvent {}
impl AsyncHookEvent for AfterToolCallEvent {}
impl AsyncHookEvent for EventLoopThrottleEvent {}
impl AsyncHookEvent for AttemptDiscardedEvent {}
impl AsyncHookEvent for ForceStopEvent {}

impl Slots {
    /// Asks the hooks of something that is about to happen, in order, then tells its observers. An
    /// interrupt ends the asking.
    pub(crate) async fn ask_before<E: HookEvent>(
        &self,
        event: &mut E,
        watch: &mut Watch,
    ) -> Result<Result<(), Interrupt>, HookError> {
        let callbacks = E::slot(self);
        for entry in callbacks.0.iter().filter(|entry| entry.is_active()) {
            match &entry.callback {
                Callback::Sync(hook) => hook(event)?,
                Callback::Async(hook) => match watch.race(hook.call(event)).await {
                    Ok(answer) => answer?,
                    Err(interrupt) => return Ok(Err(interrupt)),
                },
                Callback::Observer(_) => continue,
            }
            event.settle();
        }
        callbacks.observe(event);
        Ok(Ok(()))
    }

    /// Asks the hooks of something that has happened.
    ///
    /// All of them are asked, whatever interrupts, so that what a hook opened it can close; but
    /// once an interrupt has come they have only the run's [`Grace`] to await.
    pub(crate) async fn ask_after<E: HookEvent>(
        &self,
        event: &mut E,
        watch: &mut Watch,
        grace: &Grace,
    ) -> Result<Result<(), Interrupt>, HookError> {
        let callbacks = E::slot(self);
        let mut interrupted = watch.check();
        for entry in callbacks.0.iter().filter(|entry| entry.is_active()) {
            match (&entry.callback, interrupted) {
                (Callback::Sync(hook), _) => hook(event)?,
                (Callback::Async(hook), _) => {
                    let mut asked = hook.call(event);
                    if interrupted.is_ok() {
                        match watch.race(&mut asked).await {
                            Ok(answer) => answer?,
                            Err(interrupt) => interrupted = Err(interrupt),
                        }
                    }
                    // Boxed, because a timer is large and this is rare.
                    if interrupted.is_err()
                        && let Ok(answer) = Box::pin(timeout_at(grace.end(), asked)).await
                    {
                        answer?;
                    }
                }
                (Callback::Observer(_), _) => continue,
            }
            event.settle();
        }
        callbacks.observe(event);
        Ok(interrupted)
    }

    /// Asks hooks that cannot await, because their event happens outside any future.
    pub(crate) fn ask_now<E: HookEvent>(&self, event: &mut E) -> Result<(), HookError> {
        let callbacks = E::slot(self);
        for entry in callbacks.0.iter().filter(|entry| entry.is_active()) {
            if let Callback::Sync(hook) = &entry.callback {
                hook(event)?;
            }
        }
        callbacks.observe(event);
        Ok(())
    }

    /// Whether anyone would be asked or told.
    pub(crate) fn has<E: HookEvent>(&self) -> bool {
        !E::slot(self).0.is_empty()
    }

    /// Tells the observers of agent events.
    pub(crate) fn tell(&self, event: &AgentEvent) {
        self.agent_events.observe(event);
    }
}
