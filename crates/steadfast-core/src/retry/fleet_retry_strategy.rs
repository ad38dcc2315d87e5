//! The strategy of many agents that call one provider: a pacer for each model, and retries that keep
//! their place in its line. How the limit is learned is the pacer's business.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use steadfast_resilience::{Backoff, ConfigError, Jitter, Pacer, Pass, millis, secs};
use tokio::time::{Instant, timeout_at};

use super::{FailedAttempt, RetryDecision};
use crate::{
    event::{CallRole, DecidedBy},
    hook::{BEHIND_ALL_WAITS, HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent, CallsMade, ModelCallAcceptedEvent},
    model::{ModelError, ModelErrorKind, RateLimits},
};

/// How often a failure is tried again in one turn that is no throttle and no overload.
const OTHER_RETRIES: u32 = 3;

/// The strategy for many agents that share a provider's limit, whatever it is.
///
/// All agents with one value of it, or with clones, share a [`Pacer`] for each model: it learns how many
/// calls the provider accepts, and lets them go in the order of their age. Give each API key a value
/// of its own.
///
/// | what happened | what follows |
/// |---|---|
/// | throttled | the call goes back to its place in the line; the others wait too |
/// | overloaded | the same; one call every few seconds tries whether it is over, more seldom the longer it lasts |
/// | server, network, timeout, truncated | 3 retries in a turn, after up to 0.5, 1 and 2 s, or the server's hint |
/// | anything else | the error stands |
///
/// A call is given up on after 15 minutes in its turn ([`give_up_after`](Self::give_up_after)), at the
/// run's deadline, and at the loop's hard cap of attempts. A server that asks to wait for longer than
/// [`max_hint`](Self::max_hint) ends the run with an error that says when to come back, as does a wait
/// beyond the deadline.
///
/// The wait before a call is told as a throttle event of a pacer. Where nothing is throttled, there is
/// none: only the first calls of a burst wait for the first answers, since nothing is known then. It is
/// the last wait before the call, behind those for limiters, so that a call that is let go is sent at
/// once. While calls wait, and while the provider is known to have a limit, no call is hedged.
///
/// ```
/// use steadfast_core::{Agent, FleetRetryStrategy, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let model = ScriptedModel::new([Reply::throttled(), Reply::text("Rain."), Reply::text("Sun.")]);
/// let fleet = FleetRetryStrategy::new();
/// let agent = Agent::builder().model(model).retry_strategy(fleet.clone()).build()?;
///
/// let answers = tokio::join!(agent.prompt("Oslo?"), agent.prompt("Rome?"));
///
/// assert!(answers.0.is_ok() && answers.1.is_ok());
/// println!("{:?} calls a second", fleet.pacer(agent.model_name()).rate());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FleetRetryStrategy {
    /// By the model's name.
    lanes: Arc<Mutex<HashMap<String, Pacer>>>,
    seed: Option<u64>,
    max_hint: Duration,
    give_up_after: Duration,
}

/// What an attempt holds, under a name that is nobody else's. Dropped before the call, it gives back
/// what was taken.
struct FleetPass {
    /// None if its time was over in the line.
    pass: Mutex<Option<Pass>>,
    calls: CallsMade,
}

impl FleetPass {
    fn pass(&self) -> MutexGuard<'_, Option<Pass>> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the call may be made.
    fn admits(&self) -> Result<(), ModelError> {
        match *self.pass() {
            Some(_) => Ok(()),
            None => Err(still_waiting()),
        }
    }
}

impl Drop for FleetPass {
    fn drop(&mut self) {
        if let Some(pass) = self.pass().take()
            && !self.calls.includes(CallRole::First)
        {
            pass.give_back();
        }
    }
}

impl FleetRetryStrategy {
    /// Makes a strategy that knows nothing of any limit.
    pub fn new() -> Self {
        Self {
            lanes: Arc::default(),
            seed: None,
            max_hint: secs(600),
            give_up_after: secs(15 * 60),
        }
    }

    /// Fixes the random numbers of its pacers, for tests.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the longest wait that a server may ask for; beyond it the error stands. 10 minutes without
    /// this.
    pub const fn max_hint(mut self, max_hint: Duration) -> Self {
        self.max_hint = max_hint;
        self
    }

    /// Sets how long after the first attempt of a turn its error stands. 15 minutes without this.
    pub const fn give_up_after(mut self, give_up_after: Duration) -> Self {
        self.give_up_after = give_up_after;
        self
    }

    /// Returns the pacer of a model, by the name that events use, such as `openai:gpt-5`.
    ///
    /// An agent says the name of its model: [`Agent::model_name`](crate::Agent::model_name). The pacer says
    /// how fast calls go and how many wait; calls that no agent makes can go through it too.
    ///
    /// ```
    /// use steadfast_core::{Agent, FleetRetryStrategy, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = FleetRetryStrategy::new();
    /// let model = ScriptedModel::new([Reply::text("Rain.")]);
    /// let agent = Agent::builder().model(model).retry_strategy(fleet.clone()).build()?;
    /// agent.prompt("Oslo?").await?;
    ///
    /// let pacer = fleet.pacer(agent.model_name());
    /// assert_eq!((pacer.waiting(), pacer.rate()), (0, None)); // nothing was throttled
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn pacer(&self, model: &str) -> Pacer {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pacer) = lanes.get(model) {
            return pacer.clone();
        }
        let pacer = self.seed.map_or_else(Pacer::new, Pacer::with_seed);
        lanes.insert(model.to_owned(), pacer.clone());
        pacer
    }

    /// Decides about one failed attempt; what it means for the pacer is learned apart from this.
    ///
    /// ```
    /// use steadfast_core::{FailedAttempt, FleetRetryStrategy, ModelError, ModelErrorKind, RetryDecision};
    ///
    /// let fleet = FleetRetryStrategy::new();
    /// let throttled = ModelError::new(ModelErrorKind::Throttled, "slow down");
    /// let decision = fleet.decide(&FailedAttempt::new(&throttled, 50));
    /// assert!(matches!(decision, RetryDecision::Retry { delay, .. } if delay.is_zero()));
    /// ```
    pub fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        // A wait for a circuit is no retry of a failure.
        let attempt = &attempt.only_behind_calls();
        let error = attempt.error();
        if let Some(give_up) = self.stands(attempt) {
            return give_up;
        }
        match error.kind() {
            // The line is where it waits.
            ModelErrorKind::Throttled | ModelErrorKind::Overloaded => RetryDecision::Retry {
                delay: Duration::ZERO,
                decided_by: DecidedBy::Pacer,
                drawn: None,
            },
            _ if attempt.waits() >= OTHER_RETRIES => RetryDecision::give_up_because(format!(
                "gave up after {OTHER_RETRIES} retries of failures that were no throttle"
            )),
            _ => attempt.retry_with(&backoff()),
        }
    }

    /// Decides about a call that a hook refused, such as an open circuit: the line knows nothing of it,
    /// so it is waited for outside.
    fn decide_about_refusal(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        self.stands(attempt)
            .unwrap_or_else(|| attempt.retry_with(&backoff()))
    }

    /// Why an error is not tried again, whatever came before.
    fn stands(&self, attempt: &FailedAttempt<'_>) -> Option<RetryDecision> {
        let error = attempt.error();
        if !error.is_transient() {
            return Some(RetryDecision::give_up());
        }
        if attempt.elapsed() >= self.give_up_after {
            return Some(RetryDecision::give_up_because(format!(
                "gave up after {:?}, all that `give_up_after` allows",
                self.give_up_after
            )));
        }
        let hint = error.retry_after().filter(|hint| *hint > self.max_hint)?;
        Some(RetryDecision::give_up_because(format!(
            "the server asks to wait {hint:?}, longer than `max_hint`, {:?}",
            self.max_hint
        )))
    }

    /// Has the call wait its turn, with the age that it has.
    ///
    /// That is the age of its turn, also of one that was stored and goes on elsewhere. Of a run that had
    /// stopped and is resumed the attempts count anew, and so does their age: it comes as a new call.
    fn admit(&self, event: &mut BeforeModelCallEvent) {
        let pacer = self.pacer(event.model());
        let born = event.turn_began;
        let until = Instant::now().checked_add(self.give_up_after.saturating_sub(event.elapsed()));
        let limits = pacer.clone();
        let pass = Arc::new(FleetPass {
            pass: Mutex::default(),
            calls: event.calls.clone(),
        });
        let (line, held) = (pacer.clone(), Arc::clone(&pass));
        event.wait_again_in_line(
            move || line.expected_wait(born).unwrap_or_default(),
            async move {
                let passed = within(until, pacer.admit(born)).await;
                *held.pass() = passed;
                held
            },
        );
        event.admit_if(move |role| match role {
            CallRole::First => pass.admits(),
            // It would go beside the line, past the limit that the line has found.
            CallRole::Hedge if limits.is_limited() => Err(no_hedge()),
            CallRole::Hedge => Ok(()),
        });
    }

    /// Learns from a call that was accepted, long before its answer is complete.
    fn learn_early(event: &mut ModelCallAcceptedEvent) {
        let limits = event.rate_limits().copied();
        if let Some(held) = event.permit(|_: &Arc<FleetPass>| true)
            && let Some(pass) = &mut *held.pass()
        {
            tell(pass, limits);
            pass.accepted();
        }
    }

    /// Learns from every answer, whoever decides about it.
    fn learn(&self, event: &mut AfterModelCallEvent) {
        let held = event.take_permit(|_: &Arc<FleetPass>| true);
        let Some(pass) = held.and_then(|held| held.pass().take()) else {
            return;
        };
        match event.error() {
            // Somebody asked behind this one refused it, or the wait was cut short.
            _ if !event.called => pass.give_back(),
            Some(error) => self.learn_from(pass, error),
            // Dropping the pass ends the call.
            None => {}
        }
    }

    fn learn_from(&self, pass: Pass, error: &ModelError) {
        tell(&pass, error.rate_limits().copied());
        // Nobody waits for longer than is allowed, so the others are not made to either.
        let hint = error.retry_after().filter(|hint| *hint <= self.max_hint);
        match error.kind() {
            ModelErrorKind::Throttled => pass.throttled(hint),
            ModelErrorKind::Overloaded => pass.overloaded(hint),
            // It says nothing of the limit.
            _ => {}
        }
    }
}

const fn backoff() -> Backoff {
    Backoff::exponential(millis(500))
        .max_delay(secs(20))
        .jitter(Jitter::Full)
}

/// Waits until then and no longer, if there is a then. What is there at once touches no timer.
async fn within<T>(until: Option<Instant>, wait: impl Future<Output = T>) -> Option<T> {
    let mut wait = pin!(wait);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
        return Some(done);
    }
    match until {
        Some(until) => timeout_at(until, wait).await.ok(),
        None => Some(wait.await),
    }
}

/// The provider's limit did not let the call go in time.
fn still_waiting() -> ModelError {
    let why = "the call waited for the provider's limit, and others went before it";
    ModelError::new(ModelErrorKind::Throttled, why)
}

/// Where calls wait for a limit, a second call of one takes the place of another's first.
fn no_hedge() -> ModelError {
    let why = "calls wait for the provider's limit, so none is made twice";
    ModelError::new(ModelErrorKind::Throttled, why)
}

/// Hands on what a provider said of its limit of requests.
fn tell(pass: &Pass, limits: Option<RateLimits>) {
    if let Some(requests) = limits.and_then(|limits| limits.requests) {
        pass.told_limit(requests.remaining, requests.per_second());
    }
}

impl Default for FleetRetryStrategy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FleetRetryStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetRetryStrategy")
            .field("max_hint", &self.max_hint)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}

/// A provider of its own, because a strategy alone is not asked before a call.
impl HookProvider for FleetRetryStrategy {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let fleet = self.clone();
        hooks
            .order(BEHIND_ALL_WAITS)
            .on(move |event: &mut BeforeModelCallEvent| fleet.admit(event));
        hooks.on(Self::learn_early);
        let fleet = self.clone();
        hooks.on(move |event: &mut AfterModelCallEvent| {
            fleet.learn(event);
            if event.is_claimed() {
                return;
            }
            let Some(attempt) = event.failed_attempt() else {
                return;
            };
            let decision = match event.called {
                true => fleet.decide(&attempt),
                false => fleet.decide_about_refusal(&attempt),
            };
            match decision {
                // Its wait is told when it takes its place in the line.
                RetryDecision::Retry { delay, .. } if delay.is_zero() => event.retry = true,
                decision => event.decide(decision, None),
            }
        });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (field, time) in [
            ("max_hint", self.max_hint),
            ("give_up_after", self.give_up_after),
        ] {
            if time.is_zero() {
                return Err(ConfigError::new(field, "must be longer than 0 s"));
            }
        }
        Ok(())
    }
}
