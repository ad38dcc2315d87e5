//! A limiter in an agent: what an attempt reserves, and what it is settled with. Whose turn it is, is
//! decided in `steadfast-resilience`.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_resilience::{Cost, Limiter, LimiterError, Permit};

use crate::{
    event::CallRole,
    hook::{BEHIND_THE_CHOICE, HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent, CallsMade},
    model::{ModelError, ModelErrorKind},
};

/// The output that is reserved where the settings limit none, in tokens.
const OUTPUT: u64 = 1_024;

/// Has each attempt of all agents that share the limiter wait its turn.
///
/// An attempt that may not go at once waits before its call, told as a throttle event of a pacer. It
/// takes one request and, where the limiter limits tokens, an estimate of them: the size of the request
/// ([`ModelRequest::estimated_input_tokens`](crate::ModelRequest::estimated_input_tokens)) and the output
/// limit of the settings, or 1,024 tokens where none is set. Behind the call it is settled with what the
/// provider says was used. A call that was refused used nothing; where nobody knows, such as after a
/// timeout, the estimate stands. A call that is not made, since a hook answers, a breaker refuses or the
/// run is cancelled in the queue, gives everything back.
///
/// A hedge takes as much once more, and is not made if it had to wait.
///
/// Of several limiters an agent waits for one after the other, in the order in which they were given, and
/// holds what the first has given while it waits for the second. Give them to all agents in one order:
/// otherwise two runs may wait for each other until a deadline.
///
/// The wait counts against the run's deadline: one that would not end before it ends the run at once, with
/// an error that says when to come back. A request that can never fit fails with the kind
/// [`TooLarge`](ModelErrorKind::TooLarge), which no strategy retries.
///
/// [`ModelLimiter`] estimates otherwise, or limits some models only.
///
/// ```
/// use steadfast_core::{Agent, Limiter, secs, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::builder().per_minute(60.0).burst(1).concurrency(8).build()?;
/// let agent = || {
///     let model = ScriptedModel::new([Reply::text("Yes.")]);
///     Agent::builder().model(model).hooks(limiter.clone()).build()
/// };
/// let (first, second) = (agent()?, agent()?);
///
/// let (first, second) = tokio::join!(first.prompt("Umbrella?"), second.prompt("Umbrella?"));
/// assert_eq!((first?.waited(), second?.waited()), (secs(0), secs(1)));
/// # Ok(())
/// # }
/// ```
impl HookProvider for Limiter {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        ModelLimiter::new(self.clone()).register_hooks(hooks);
    }
}

type Estimate = dyn Fn(&BeforeModelCallEvent) -> u64 + Send + Sync;
type IsLimited = dyn Fn(&str) -> bool + Send + Sync;

/// A [`Limiter`] for an agent that says itself what an attempt takes, or which models are limited.
///
/// Without that, give the agent the limiter itself. Clones share the limiter.
///
/// ```
/// use steadfast_core::{Agent, Fallback, Limiter, ModelLimiter, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
/// let of_one_provider = ModelLimiter::new(limiter.clone())
///     .only_for(|model| model.starts_with("scripted"))
///     .estimate(|event| event.request().estimated_input_tokens() + 4_000);
///
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::text("Yes.")]))
///     .hooks(of_one_provider)
///     .build()?;
/// agent.prompt("Umbrella?").await?;
/// assert!(limiter.available().tokens < 6_000.0); // the scripted model does not say what it used
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ModelLimiter {
    limiter: Limiter,
    estimate: Arc<Estimate>,
    is_limited: Option<Arc<IsLimited>>,
}

impl ModelLimiter {
    /// Limits all models, and estimates an attempt by its request and its output limit.
    pub fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            estimate: Arc::new(estimate),
            is_limited: None,
        }
    }

    /// Says how many tokens an attempt will probably use.
    ///
    /// Count as the provider does. Some count the output limit beforehand, some only what is written, and
    /// some leave out what they read from a cache.
    pub fn estimate(
        mut self,
        estimate: impl Fn(&BeforeModelCallEvent) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.estimate = Arc::new(estimate);
        self
    }

    /// Limits the calls of the models whose names are accepted, and no others.
    ///
    /// For a [`Fallback`](crate::Fallback) over several providers: each has a limiter of its own.
    pub fn only_for(mut self, is_limited: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.is_limited = Some(Arc::new(is_limited));
        self
    }

    /// Has the attempt wait for what it needs.
    fn reserve(&self, event: &mut BeforeModelCallEvent, limits_tokens: bool, id: &Arc<()>) {
        let is_free = |is_limited: &Arc<IsLimited>| !is_limited(event.model());
        if event.is_decided() || self.is_limited.as_ref().is_some_and(is_free) {
            return;
        }
        let tokens = if limits_tokens {
            (self.estimate)(event)
        } else {
            0
        };
        let cost = Cost::request().tokens(tokens);
        if let Err(error) = self.limiter.check(cost) {
            event.fail_with(never_fits(&error));
            return;
        }
        let taken = {
            let (calls, by) = (event.calls.clone(), Arc::clone(id));
            move |role, permit| Taken {
                permit,
                role,
                calls: calls.clone(),
                by: Arc::clone(&by),
            }
        };
        let (line, limiter, first) = (self.limiter.clone(), self.limiter.clone(), taken.clone());
        // Nothing is taken here: what is taken out of turn is what another run may wait for.
        event.wait_in_line(
            move || whole_millis(line.expected_wait(cost).unwrap_or_default()),
            async move { first(CallRole::First, limiter.acquire_owned(cost).await.ok()) },
        );
        let limiter = self.limiter.clone();
        // A hedge that had to wait would come too late to be of use.
        event.hedge_if(move || match limiter.try_acquire(cost) {
            Ok(permit) => Ok(taken(CallRole::Hedge, Some(permit.into_owned()))),
            Err(_) => Err("it would have to wait for a limiter"),
        });
    }
}

impl HookProvider for ModelLimiter {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        // By this, what is taken of one limiter of an agent is told from what is taken of another.
        let id = Arc::new(());
        let limits_tokens = self.limiter.limits_tokens();
        let (limiter, own) = (self.clone(), Arc::clone(&id));
        hooks
            .order(BEHIND_THE_CHOICE)
            .on(move |event: &mut BeforeModelCallEvent| {
                limiter.reserve(event, limits_tokens, &own);
            });
        hooks.on(move |event: &mut AfterModelCallEvent| {
            let is_mine = |taken: &Taken| Arc::ptr_eq(&taken.by, &id);
            if let Some(taken) = event.take_permit(is_mine) {
                taken.settle(event);
            }
            // Of two calls one has told what it used; for the hedge the estimate stands.
            let is_my_hedge = |taken: &Option<Taken>| taken.as_ref().is_some_and(is_mine);
            drop(event.take_permit(is_my_hedge));
        });
    }
}

impl fmt::Debug for ModelLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelLimiter").field(&self.limiter).finish()
    }
}

/// What was taken for a call. Dropped, it gives everything back if the call was not made; if it was, the
/// estimate stands.
struct Taken {
    permit: Option<Permit<'static>>,
    role: CallRole,
    calls: CallsMade,
    /// Of which limiter of the agent.
    by: Arc<()>,
}

impl Taken {
    fn settle(mut self, event: &AfterModelCallEvent) {
        if event.called
            && let Some(tokens) = used(event)
            && let Some(permit) = self.permit.take()
        {
            permit.settle(tokens);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && !self.calls.includes(self.role)
        {
            permit.give_back();
        }
    }
}

/// Timers are no finer, so a wait ends with a whole millisecond.
fn whole_millis(wait: Duration) -> Duration {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// How many tokens a call has used; none if nobody knows.
fn used(event: &AfterModelCallEvent) -> Option<u64> {
    let reported = event.usage().total();
    if reported > 0 {
        return Some(reported);
    }
    let refused = event.error().is_some_and(is_refusal) && !event.output_started();
    refused.then_some(0)
}

/// Whether the provider did not work on the request, as far as the error tells.
fn is_refusal(error: &ModelError) -> bool {
    use ModelErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::Network | Kind::Timeout | Kind::Truncated | Kind::Server | Kind::Protocol
    )
}

fn estimate(event: &BeforeModelCallEvent) -> u64 {
    let request = event.request();
    let output = request.settings().max_tokens.map_or(OUTPUT, u64::from);
    request.estimated_input_tokens().saturating_add(output)
}

/// The error of an attempt for which no wait is long enough.
fn never_fits(error: &LimiterError) -> ModelError {
    let message = format!("more than the limiter ever lets through: {error}");
    ModelError::new(ModelErrorKind::TooLarge, message)
        .with_code("limiter")
        .with_why("a limiter refused the call")
}
