//! A circuit breaker in an agent: which errors tell against a provider, and how a refusal looks. When a
//! circuit opens is decided in `steadfast-resilience`.

use std::{fmt, sync::Arc};

use steadfast_resilience::{CircuitBreaker, CircuitCall, CircuitOpen};

use crate::{
    event::CallRole,
    hook::{BEHIND_THE_CHOICE, HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent},
    model::{ModelError, ModelErrorKind},
};

/// Refuses calls of a model that keeps failing, for all agents that share the breaker.
///
/// Its circuits are those of the models' names, as [`BeforeModelCallEvent::model`] gives them. While one
/// is open an attempt fails at once, without a call: with the kind
/// [`Overloaded`](ModelErrorKind::Overloaded), the code `circuit_open` and, as its `retry_after`, the time
/// until the next trial. So a retry strategy waits for that time, and a [`Fallback`](crate::Fallback) goes
/// on to its next model. It is looked at before a limiter's queue is joined, and again behind all waits,
/// where a trial begins: none is held in a queue. [`Agent::model_name`](crate::Agent::model_name) says
/// which circuit is an agent's.
///
/// A hedge is a call of its own: it is made while the circuit is closed, and never beside a trial.
///
/// A failure is what tells against the provider: server, overloaded, network, timeout and truncated. An
/// error of the request says nothing about it. Nor does a throttle: a provider that throttles is well, and
/// a circuit that opens would keep out those whom it lets in. A run that is cancelled, or ends at its
/// deadline, says nothing either. [`ModelCircuitBreaker`] counts otherwise.
///
/// ```
/// use steadfast_core::{
///     Agent, CircuitBreaker, CircuitState, ModelErrorKind, NoopRetryStrategy, secs,
///     testing::{Reply, ScriptedModel},
/// };
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
/// let model = ScriptedModel::always(Reply::fail(ModelErrorKind::Server));
/// let agent = Agent::builder()
///     .model(model.clone())
///     .hooks(breaker.clone())
///     .retry_strategy(NoopRetryStrategy)
///     .build()?;
///
/// for _ in 0..10 {
///     assert!(agent.prompt("Umbrella?").await.is_err());
/// }
/// assert_eq!(model.calls(), 2);
/// assert_eq!(breaker.state(agent.model_name()), CircuitState::Open);
///
/// let error = agent.prompt("Umbrella?").await.unwrap_err();
/// assert_eq!(error.model_error().and_then(|error| error.code()), Some("circuit_open"));
/// assert_eq!(error.retry_after(), Some(secs(30)));
/// # Ok(())
/// # }
/// ```
impl HookProvider for CircuitBreaker {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        ModelCircuitBreaker::new(self.clone()).register_hooks(hooks);
    }
}

/// A [`CircuitBreaker`] for an agent that says itself which errors are failures of a model.
///
/// Without that, give the agent the breaker itself. Clones share the circuits.
///
/// ```
/// use steadfast_core::{
///     Agent, CircuitBreaker, CircuitState, ModelCircuitBreaker, ModelErrorKind, NoopRetryStrategy,
///     testing::{Reply, ScriptedModel},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
/// // A key that was withdrawn: no agent of the process need try it again.
/// let of_keys = ModelCircuitBreaker::new(breaker.clone())
///     .counting(|error| error.kind() == ModelErrorKind::Auth);
///
/// let agent = Agent::builder()
///     .model(ScriptedModel::always(Reply::fail(ModelErrorKind::Auth)))
///     .hooks(of_keys)
///     .retry_strategy(NoopRetryStrategy)
///     .build()?;
/// for _ in 0..2 {
///     assert!(agent.prompt("Umbrella?").await.is_err());
/// }
/// assert_eq!(breaker.state("scripted"), CircuitState::Open);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ModelCircuitBreaker {
    breaker: CircuitBreaker,
    is_failure: Arc<dyn Fn(&ModelError) -> bool + Send + Sync>,
}

impl ModelCircuitBreaker {
    /// Counts what tells against a provider: server, overloaded, network, timeout and truncated.
    pub fn new(breaker: CircuitBreaker) -> Self {
        Self {
            breaker,
            is_failure: Arc::new(tells_against_the_provider),
        }
    }

    /// Counts the errors that the predicate accepts, and no other.
    pub fn counting(
        mut self,
        is_failure: impl Fn(&ModelError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_failure = Arc::new(is_failure);
        self
    }

    fn admit(&self, event: &mut BeforeModelCallEvent) {
        let key = event.model().to_owned();
        if let Err(open) = self.breaker.check(&key) {
            event.fail_with(refusal(&open));
            return;
        }
        let breaker = self.breaker.clone();
        event.admit_if(move |role| {
            let call = breaker.begin(&key).map_err(|open| refusal(&open))?;
            // One call tries the circuit, also if it takes so long that its place is free again.
            match role {
                CallRole::Hedge if call.is_trial() => Err(no_second_trial()),
                CallRole::First | CallRole::Hedge => Ok(call),
            }
        });
    }

    fn conclude(&self, event: &mut AfterModelCallEvent) {
        let is_mine = |call: &CircuitCall| call.is_of(&self.breaker);
        let Some(call) = event.take_permit(is_mine) else {
            return;
        };
        // Of two calls nobody knows how the one ended that lost.
        while event.take_permit(is_mine).is_some() {}
        match (event.response(), event.error()) {
            (Some(_), _) => call.succeeded(),
            (None, Some(error)) if (self.is_failure)(error) => call.failed(),
            _ => drop(call),
        }
    }
}

impl HookProvider for ModelCircuitBreaker {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let breaker = self.clone();
        hooks
            .order(BEHIND_THE_CHOICE)
            .on(move |event: &mut BeforeModelCallEvent| breaker.admit(event));
        let breaker = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| breaker.conclude(event));
    }
}

impl fmt::Debug for ModelCircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelCircuitBreaker")
            .field(&self.breaker)
            .finish()
    }
}

fn tells_against_the_provider(error: &ModelError) -> bool {
    use ModelErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::Server | Kind::Overloaded | Kind::Network | Kind::Timeout | Kind::Truncated
    )
}

/// The error that keeps a trial from being hedged.
fn no_second_trial() -> ModelError {
    let why = "one call tries whether there is an answer, and is not made twice";
    ModelError::new(ModelErrorKind::Overloaded, why)
}

/// The error of an attempt whose call was refused.
fn refusal(open: &CircuitOpen) -> ModelError {
    let error = ModelError::new(ModelErrorKind::Overloaded, open.to_string())
        .with_code("circuit_open")
        .with_why("a circuit breaker refused the call");
    match open.retry_after() {
        Some(time) => error.with_retry_after(time),
        None => error,
    }
}
