//! A list of models as one. Which errors are retried on the same model is the strategy's business,
//! and every call is an attempt of the loop: nothing is called behind its back.

use std::{
    fmt, iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_resilience::{millis, secs};
use tokio::time::Instant;

use super::{CalledModel, Model, ModelError, ModelErrorKind, ModelRequest, ModelStream};
use crate::{
    event::DecidedBy,
    hook::{BEHIND_THE_STRATEGY, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent, WaitPlan},
};

/// How long a model that failed is left out, unless it asks for more.
const SET_ASIDE: Duration = secs(60);

/// The longest that a server's hint has a model left out.
const LONGEST_ASIDE: Duration = secs(24 * 60 * 60);

/// A list of models as one: where one cannot answer, the next is called.
///
/// The agent's attempts go to the first model of the list that is not set aside. A model is set aside
/// when a call of it fails in a way that another model may not:
///
/// | error | what follows |
/// |---|---|
/// | quota exhausted, overloaded, server, network, timeout, truncated, auth, not found | the next model, at once |
/// | throttled | the retry strategy waits, and when it gives up the next model |
/// | any other | stands: it lies in the request, or would be the same elsewhere |
///
/// It is called again after 60 seconds ([`set_aside_for`](Self::set_aside_for)), or after the server's
/// hint where that is longer: one call tries whether it answers, while others still go elsewhere. An
/// answer brings it back.
///
/// Each call is an attempt of its own and takes back what the one before has said. A turn goes on at
/// once as often as there are other models; from then on the retry strategy decides alone, whose
/// `max_attempts` counts the calls of all models: one that is called after the strategy gave up has
/// one call. A call of a model with another name is told as
/// [`AgentEvent::ModelSwitched`](crate::AgentEvent::ModelSwitched). A hook that asked for a retry or
/// claimed that there is to be none is respected. Clones share what is set aside, so one list may
/// serve many agents, which learn from each other. Hooks that a model of the list would bring are
/// not registered: a list within a list goes on to no other model.
///
/// ```
/// use steadfast_core::{
///     Agent, AgentEvent, Fallback, ModelErrorKind, testing::{Reply, ScriptedModel},
/// };
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let first = ScriptedModel::new([Reply::fail(ModelErrorKind::QuotaExhausted)]);
/// let second = ScriptedModel::new([Reply::text("Yes."), Reply::text("Still yes.")]);
///
/// let agent = Agent::builder().model(Fallback::new(first.clone()).then(second)).build()?;
///
/// assert_eq!(agent.prompt("Umbrella?").await?.text(), "Yes.");
/// assert_eq!(agent.prompt("And now?").await?.text(), "Still yes.");
/// assert_eq!(first.calls(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Fallback {
    first: Arc<Entry>,
    others: Vec<Arc<Entry>>,
    set_aside: Duration,
}

struct Entry {
    model: Arc<dyn Model>,
    /// Until when it is left out; none while it answers.
    aside: Mutex<Option<Instant>>,
}

impl Fallback {
    /// Begins a list with the model that is preferred.
    pub fn new(first: impl Model) -> Self {
        Self {
            first: Entry::of(first),
            others: Vec::new(),
            set_aside: SET_ASIDE,
        }
    }

    /// Adds the model that is called where those before it cannot answer.
    pub fn then(mut self, next: impl Model) -> Self {
        self.others.push(Entry::of(next));
        self
    }

    /// Sets how long a model that failed is left out; 60 seconds without this.
    ///
    /// A server's hint counts where it is longer, up to a day.
    pub fn set_aside_for(mut self, time: Duration) -> Self {
        // With no time at all the next attempt would go to the same model again.
        self.set_aside = time.clamp(millis(1), LONGEST_ASIDE);
        self
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        iter::once(&self.first).chain(&self.others)
    }

    /// The model that is to be called now.
    fn choose(&self) -> &Arc<dyn Model> {
        let now = Instant::now();
        let called = self.entries().find(|entry| {
            let mut aside = entry.aside();
            match *aside {
                None => true,
                Some(until) if until <= now => {
                    // One call tries it; the others wait for what becomes of that.
                    *aside = now.checked_add(self.set_aside);
                    true
                }
                Some(_) => false,
            }
        });
        // Where all are set aside, the one that is back first has the best chance.
        let soonest = || self.entries().min_by_key(|entry| *entry.aside());
        &called.or_else(soonest).unwrap_or(&self.first).model
    }

    /// Concludes from a call before the strategy is asked: what waiting does not mend goes on at once.
    fn conclude(&self, event: &mut AfterModelCallEvent) {
        let Some(entry) = self.called_in(event) else {
            return;
        };
        match &event.outcome {
            Some(Ok(_)) => *entry.aside() = None,
            Some(Err(error)) if is_of_one_model(error) => {
                self.set_aside(entry, error);
                if !event.is_claimed() && self.may_move_on(entry, event) {
                    event.move_on();
                }
            }
            _ => {}
        }
    }

    /// Concludes from a throttled call once the strategy was asked: the next model is called if this
    /// one is not waited for.
    fn conclude_throttled(&self, event: &mut AfterModelCallEvent) {
        let Some(entry) = self.called_in(event) else {
            return;
        };
        let (Some(error), Some(attempt)) = (event.error(), event.failed_attempt()) else {
            return;
        };
        let is_by_hook = |plan: WaitPlan| plan.decided_by == DecidedBy::Hook;
        let is_waited_for = event.retry
            && event
                .plan
                .is_none_or(|plan| is_by_hook(plan) || !attempt.is_too_late(plan.delay));
        if error.kind() != ModelErrorKind::Throttled || event.gave_up || is_waited_for {
            return;
        }
        self.set_aside(entry, error);
        if self.may_move_on(entry, event) {
            event.move_on();
        }
    }

    /// The model of this list that was called, or whose call a hook refused.
    fn called_in(&self, event: &AfterModelCallEvent) -> Option<&Arc<Entry>> {
        let is_known = event.called || event.error().is_some();
        self.entries()
            .find(|entry| is_known && event.model.is(&entry.model))
    }

    /// Leaves a model out for a time; for a longer one if another call has learnt of it.
    fn set_aside(&self, entry: &Entry, error: &ModelError) {
        let hint = error.retry_after().unwrap_or_default().min(LONGEST_ASIDE);
        let until = Instant::now().checked_add(hint.max(self.set_aside));
        let mut aside = entry.aside();
        *aside = until.max(*aside);
    }

    /// Whether another model may be called at once.
    ///
    /// Each turn goes through the list once; a model whose time is over while the others fail is the
    /// strategy's to wait for.
    fn may_move_on(&self, from: &Arc<Entry>, event: &AfterModelCallEvent) -> bool {
        let now = Instant::now();
        let moves = usize::try_from(event.facts.moves);
        let is_left = moves.is_ok_and(|moves| moves < self.others.len());
        is_left
            && self
                .entries()
                .any(|next| !Arc::ptr_eq(next, from) && next.answers(now))
    }
}

impl Entry {
    fn of(model: impl Model) -> Arc<Self> {
        Arc::new(Self {
            model: Arc::new(model),
            aside: Mutex::new(None),
        })
    }

    fn aside(&self) -> MutexGuard<'_, Option<Instant>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self, now: Instant) -> bool {
        self.aside().is_none_or(|until| until <= now)
    }
}

/// Whether another model may answer at once what this one did not.
fn is_of_one_model(error: &ModelError) -> bool {
    use ModelErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::QuotaExhausted
            | Kind::Overloaded
            | Kind::Server
            | Kind::Network
            | Kind::Timeout
            | Kind::Truncated
            | Kind::Auth
            | Kind::NotFound
    )
}

/// Outside an agent it is the model that is to be called now; only an agent goes on to the next.
#[async_trait]
impl Model for Fallback {
    /// Returns the name of the first model.
    fn name(&self) -> &str {
        self.first.model.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.choose().stream(request).await
    }

    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let before = self.clone();
        hooks.on(move |event: &mut BeforeModelCallEvent| {
            event.model = CalledModel(Arc::clone(before.choose()));
        });
        let after = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| after.conclude(event));
        let last = self.clone();
        hooks
            .order(BEHIND_THE_STRATEGY)
            .on(move |event: &mut AfterModelCallEvent| last.conclude_throttled(event));
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries().map(|entry| entry.model.name());
        f.debug_list().entries(names).finish()
    }
}
