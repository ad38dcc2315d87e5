//! The event before a model call: what its hooks see and declare. The loop does what they declared.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::permit::{Admission, CallsMade, DeclaredWait};
use crate::{
    event::{CallRole, EventScope, scoped},
    history::History,
    model::{CalledModel, Model, ModelError, ModelErrorKind, ModelRequest},
};

scoped!(BeforeModelCallEvent);

/// The model is about to be called. Happens for every attempt.
///
/// A limiter that is shared by several agents has its calls wait their turn here: see
/// [`wait_for`](Self::wait_for).
#[derive(Debug)]
pub struct BeforeModelCallEvent {
    pub(crate) scope: EventScope,
    pub(crate) elapsed: Duration,
    pub(crate) turn_began: Instant,
    pub(crate) request: ModelRequest,
    pub(crate) model: CalledModel,
    pub(crate) waits: Vec<DeclaredWait>,
    pub(crate) admissions: Vec<Admission>,
    pub(crate) calls: CallsMade,
    pub(crate) refusal: Option<Box<ModelError>>,
    pub(crate) hedge: Option<Duration>,
    /// Set to a text to answer with it instead of calling the model.
    pub cancel: Option<String>,
}

impl BeforeModelCallEvent {
    /// Returns the messages that the model will be asked with.
    #[must_use]
    pub const fn history(&self) -> &History {
        self.request.history()
    }

    /// Returns what the model will be asked: the messages, the system prompt, the tools and the settings.
    #[must_use]
    pub const fn request(&self) -> &ModelRequest {
        &self.request
    }

    /// Returns the time since the first attempt of this turn began: how old the call is.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the name of the model that will be called.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.0.name()
    }

    /// Has this attempt call another model than the agent's.
    ///
    /// Observers are told of the change, as [`AgentEvent::ModelSwitched`](crate::AgentEvent). The next
    /// attempt begins with the agent's model again. The last writer wins. Hooks that the model would
    /// bring to an agent of its own are not registered; for models that stand in for each other there is
    /// [`Fallback`](crate::Fallback).
    ///
    /// ```
    /// use steadfast_core::{Agent, BeforeModelCallEvent, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let thorough = ScriptedModel::new([Reply::text("A long answer.")]);
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Short.")]))
    ///     .on(move |event: &mut BeforeModelCallEvent| {
    ///         if event.history().last().is_some_and(|message| message.text().len() > 100) {
    ///             event.use_model(thorough.clone());
    ///         }
    ///     })
    ///     .build()?;
    /// assert_eq!(agent.prompt("Why?").await?.text(), "Short.");
    /// assert_eq!(agent.prompt("Why? ".repeat(30)).await?.text(), "A long answer.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn use_model(&mut self, model: impl Model) {
        self.model = CalledModel(Arc::new(model));
    }

    /// Has the loop wait before it calls the model, until the future is done.
    ///
    /// A future that is done at once was no wait. Otherwise the loop tells it as a throttle event of a
    /// pacer, with the `expected` delay, which may be a guess, and waits; the time counts as waited. Hooks
    /// of that event are asked while it waits, and the call is made when both are done.
    /// What the future gives, such as a semaphore's permit, is held until the attempt has ended,
    /// however it ends; a hook behind the call may take it
    /// ([`AfterModelCallEvent::take_permit`](crate::AfterModelCallEvent::take_permit)).
    ///
    /// Several waits are made one after the other, in the order in which the hooks are asked: a future
    /// is first polled when those before it are done, and `expected` counts from then. So two runs that
    /// take the same places in the same order never wait for each other. Agents that share places must
    /// have their hooks in one order: if one run holds the first of two places and waits for the second,
    /// and another the other way round, both wait until a deadline. Take places in the future, not in
    /// the hook, and take last what counts calls that are sent.
    ///
    /// If the expected delay does not end before the run's deadline, the run ends at once, with an
    /// error that says when to come back. The future is dropped if the run is cancelled, if its
    /// deadline passes, and, without being polled, if another hook answers in the model's place or has
    /// the attempt fail, or if a wait before it came to no end. What those before it have given is
    /// dropped then too.
    ///
    /// ```
    /// use steadfast_core::{Agent, BeforeModelCallEvent, secs, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Yes.")]))
    ///     .on(|event: &mut BeforeModelCallEvent| {
    ///         event.wait_for(secs(2), tokio::time::sleep(secs(2)));
    ///     })
    ///     .build()?;
    /// assert_eq!(agent.prompt("Umbrella?").await?.waited(), secs(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(
        &mut self,
        expected: Duration,
        until: impl Future<Output: Send + 'static> + Send + 'static,
    ) {
        self.waits.push(DeclaredWait::new(expected, until));
    }

    /// The same for a line whose length changes: how long it takes is guessed when the wait begins.
    pub(crate) fn wait_in_line(
        &mut self,
        expected: impl Fn() -> Duration + Send + Sync + 'static,
        until: impl Future<Output: Send + 'static> + Send + 'static,
    ) {
        let mut wait = DeclaredWait::new(expected(), until);
        // Without others before it, it begins now.
        if !self.waits.is_empty() {
            wait = wait.guessing(expected);
        }
        self.waits.push(wait);
    }

    /// The same for a line in which what was refused waits to be tried again: its wait is told with the
    /// error of the attempt before, if no other was.
    pub(crate) fn wait_again_in_line(
        &mut self,
        expected: impl Fn() -> Duration + Send + Sync + 'static,
        until: impl Future<Output: Send + 'static> + Send + 'static,
    ) {
        self.wait_in_line(expected, until);
        if let Some(wait) = self.waits.last_mut() {
            wait.waits_out_failure = true;
        }
    }

    /// Has the attempt fail with this error, as if the model had said it: it is not called.
    ///
    /// Hooks and strategy decide about the error as about any other, so that a retry waits for its
    /// `retry_after`, and a [`Fallback`](crate::Fallback) goes on to its next model. The first error
    /// stands. A hook that answers in the model's place ([`cancel`](Self::cancel)) has the last word.
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, BeforeModelCallEvent, ModelError, ModelErrorKind, RunErrorKind, testing::ScriptedModel,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = ScriptedModel::new([]);
    /// let agent = Agent::builder()
    ///     .model(model.clone())
    ///     .on(|event: &mut BeforeModelCallEvent| {
    ///         if event.history().len() > 400 {
    ///             event.fail_with(ModelError::new(ModelErrorKind::TooLarge, "more than we ever send"));
    ///         }
    ///     })
    ///     .build()?;
    /// let error = agent.prompt(vec![steadfast_core::Message::user("?"); 401]).await.unwrap_err();
    /// assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::TooLarge));
    /// assert_eq!(model.calls(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail_with(&mut self, error: ModelError) {
        self.refusal.get_or_insert_with(|| Box::new(error));
    }

    /// Asks once more when all waits are over, right before the call: whether it is made.
    ///
    /// What a hook learns before a long wait may be wrong after it. An error has the attempt fail with
    /// it, as [`fail_with`](Self::fail_with) does. What else it gives is held until the attempt has
    /// ended, like the permit of a wait, or dropped at once if somebody asked later refuses. It is not
    /// asked if the call is not made for another reason.
    ///
    /// A hedge is asked for again, as [`CallRole::Hedge`]: an error then means that there is none. It is
    /// written to the log.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use steadfast_core::{
    ///     Agent, BeforeModelCallEvent, ModelError, ModelErrorKind, NoopRetryStrategy, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let is_night = Arc::new(AtomicBool::new(false));
    /// let asked = Arc::clone(&is_night);
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::always(Reply::text("Yes.")))
    ///     .retry_strategy(NoopRetryStrategy)
    ///     .on(move |event: &mut BeforeModelCallEvent| {
    ///         let is_night = Arc::clone(&asked);
    ///         event.admit_if(move |_| match is_night.load(Ordering::Relaxed) {
    ///             true => Err(ModelError::new(ModelErrorKind::Overloaded, "we sleep")),
    ///             false => Ok(()),
    ///         });
    ///     })
    ///     .build()?;
    /// assert!(agent.prompt("Umbrella?").await.is_ok());
    /// is_night.store(true, Ordering::Relaxed);
    /// assert!(agent.prompt("Umbrella?").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn admit_if<T: Send + 'static>(
        &mut self,
        admit: impl FnMut(CallRole) -> Result<T, ModelError> + Send + 'static,
    ) {
        self.admissions.push(Admission::new(admit));
    }

    /// Asks about a hedge only, and not about the first call: what is held for it, or why it is not made.
    pub(crate) fn hedge_if<T: Send + 'static>(
        &mut self,
        mut admit: impl FnMut() -> Result<T, &'static str> + Send + 'static,
    ) {
        self.admit_if(move |role| match role {
            CallRole::First => Ok(None),
            CallRole::Hedge => match admit() {
                Ok(held) => Ok(Some(held)),
                Err(why) => Err(ModelError::new(ModelErrorKind::Overloaded, why)),
            },
        });
    }

    /// Has the model called a second time in this attempt, if it has said nothing for so long.
    ///
    /// The first of the two calls that says something answers, and the other is dropped. What counts is
    /// text, thoughts or a tool call, not that the server has begun. A call that fails before the time
    /// is over is not hedged: that is for the strategy. Of two calls one may fail; if both do, the later
    /// error is the attempt's. It stays one attempt, whose usage is that of the call that answered: what
    /// the other has cost nobody knows. The last writer wins. See [`Hedge`](crate::Hedge).
    pub const fn hedge_after(&mut self, delay: Duration) {
        self.hedge = Some(delay);
    }

    /// Whether a hook has already said that the model is not called.
    pub(crate) const fn is_decided(&self) -> bool {
        self.cancel.is_some() || self.refusal.is_some()
    }

    /// Returns the longest delay that was declared so far, in whatever order the waits are made; none if no
    /// hook has declared a wait.
    ///
    /// It is as much a guess as they are. A line that lets the call go at once declares zero, as that of a
    /// [`FleetRetryStrategy`](crate::FleetRetryStrategy) does for every call.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.waits.iter().map(DeclaredWait::expected).max()
    }
}
