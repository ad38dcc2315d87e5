//! A circuit breaker: what keeps failing is left alone for a time. It waits for nothing and calls nothing
//! again; what a failure is, its caller says.

mod builder;
mod call;
mod error;
mod lane;
mod state;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use lane::{Lane, Moment, Rules};

pub use builder::CircuitBreakerBuilder;
pub use call::CircuitCall;
pub use error::{CircuitError, CircuitOpen};
pub use state::{CircuitChange, CircuitState};

/// Refuses calls of what keeps failing, at once and for a time, so that neither side waits for nothing.
///
/// It holds a circuit for each key, such as a provider and model. A circuit is *closed* at first: calls
/// go. It *opens* after so many failures in a row, or when too many of the latest calls fail: calls are
/// refused. Once its time is over it is *half-open*: one call tries whether there is an answer, and the
/// others are still refused. The trial's success closes it; its failure opens it again, for twice the time
/// as before, up to a limit. A trial that is dropped gives its place to the next call, as does one that
/// takes longer than the circuit was open.
///
/// Of more than a thousand circuits, those are forgotten that have not failed for long.
///
/// Without options: 5 failures in a row, 30 seconds, at most 300. Clones share the circuits, across
/// tasks, threads and agents. Changes of state are told to [`on_change`](CircuitBreakerBuilder::on_change)
/// and by `tracing`. Its clock never goes back, and it has no task: time is looked at when somebody calls.
///
/// ```
/// use steadfast_resilience::{CircuitBreaker, CircuitError, CircuitState, secs};
///
/// # async fn search(broken: bool) -> Result<&'static str, &'static str> {
/// #     if broken { Err("status 503") } else { Ok("a page") }
/// # }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder()
///     .consecutive_failures(2)
///     .open_for(secs(10))
///     .on_change(|change| println!("{change}"))
///     .build()?;
///
/// for _ in 0..2 {
///     let failed = breaker.call("search", || search(true)).await;
///     assert_eq!(failed, Err(CircuitError::Failed("status 503")));
/// }
/// assert_eq!(breaker.state("search"), CircuitState::Open);
///
/// let refused = breaker.call("search", || search(false)).await.unwrap_err(); // nothing was called
/// assert_eq!(refused.to_string(), "the circuit of `search` is open for another 10s");
///
/// tokio::time::advance(secs(10)).await;
/// assert_eq!(breaker.call("search", || search(false)).await, Ok("a page"));
/// assert_eq!(breaker.state("search"), CircuitState::Closed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CircuitBreaker(Arc<Shared>);

type OnChange = Arc<dyn Fn(&CircuitChange) + Send + Sync>;

struct Shared {
    rules: Rules,
    on_change: Option<OnChange>,
    /// When the breaker's clock began.
    epoch: Instant,
    lanes: Mutex<Lanes>,
}

/// The circuits of which there is something to know.
#[derive(Default)]
struct Lanes {
    by_key: HashMap<String, Lane>,
    /// How many calls have asked to begin.
    calls: u64,
    /// With how many circuits those are looked for that can be forgotten.
    many: usize,
}

/// Fewer circuits than this are all kept.
const MANY_LANES: usize = 1_024;

impl CircuitBreaker {
    /// Begins the configuration of a breaker.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::default()
    }

    fn with(rules: Rules, on_change: Option<OnChange>) -> Self {
        Self(Arc::new(Shared {
            rules,
            on_change,
            epoch: Instant::now(),
            lanes: Mutex::default(),
        }))
    }

    /// Makes a call unless its circuit is open. Every error is a failure.
    ///
    /// # Errors
    ///
    /// [`CircuitError::Open`] if nothing was called, and [`CircuitError::Failed`] with the call's own
    /// error.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped is dropped; it counts neither as a failure nor as a success.
    pub async fn call<T, E, Fut>(
        &self,
        key: &str,
        operation: impl FnOnce() -> Fut,
    ) -> Result<T, CircuitError<E>>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_counting(key, |_| true, operation).await
    }

    /// Makes a call unless its circuit is open. What the predicate accepts is a failure.
    ///
    /// Any other error says nothing about the other side, as a request that was wrong: it counts neither
    /// as a failure nor as a success.
    ///
    /// ```
    /// use steadfast_resilience::{CircuitBreaker, CircuitState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    /// let is_failure = |status: &u16| *status >= 500;
    ///
    /// let _ = breaker.call_counting("search", is_failure, || async { Err::<(), _>(404) }).await;
    /// assert_eq!(breaker.state("search"), CircuitState::Closed);
    /// let _ = breaker.call_counting("search", is_failure, || async { Err::<(), _>(503) }).await;
    /// assert_eq!(breaker.state("search"), CircuitState::Open);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    pub async fn call_counting<T, E, Fut>(
        &self,
        key: &str,
        is_failure: impl FnOnce(&E) -> bool,
        operation: impl FnOnce() -> Fut,
    ) -> Result<T, CircuitError<E>>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        let call = self.begin(key).map_err(CircuitError::Open)?;
        match operation().await {
            Ok(value) => {
                call.succeeded();
                Ok(value)
            }
            Err(error) => {
                if is_failure(&error) {
                    call.failed();
                }
                Err(CircuitError::Failed(error))
            }
        }
    }

    /// Begins a call that says itself how it ended, such as a stream.
    ///
    /// ```
    /// use steadfast_resilience::CircuitBreaker;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let breaker = CircuitBreaker::default();
    /// let call = breaker.begin("search")?;
    /// // …
    /// call.succeeded(); // or `failed`; dropped, it counts as neither
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CircuitOpen`] if the circuit is open, or half-open and another call tries it.
    pub fn begin(&self, key: &str) -> Result<CircuitCall, CircuitOpen> {
        let (begun, change) = {
            let mut lanes = self.lanes();
            let now = self.now();
            lanes.calls += 1;
            let call = lanes.calls;
            match lanes.by_key.get_mut(key) {
                Some(lane) => lane.begin(Moment {
                    time: now,
                    calls: call,
                }),
                // Nothing is known of it, so it is closed. A lane is made once there is something to know.
                None => {
                    let is_trial = false;
                    (Ok(lane::Begun { call, is_trial }), None)
                }
            }
        };
        self.tell(key, change);
        match begun {
            Ok(begun) => Ok(CircuitCall::new(self.clone(), key, begun)),
            Err(refused) => Err(CircuitOpen::new(key, refused)),
        }
    }

    /// Says whether a call would be refused now, without beginning one.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn check(&self, key: &str) -> Result<(), CircuitOpen> {
        let lanes = self.lanes();
        let now = self.now();
        match lanes.by_key.get(key).and_then(|lane| lane.refusal(now)) {
            None => Ok(()),
            Some(refused) => Err(CircuitOpen::new(key, refused)),
        }
    }

    /// Returns the state of a circuit. Half-open it is from the moment on at which a call may try it.
    ///
    /// The circuits of agents have the names of their models: `breaker.state(agent.model_name())`.
    #[must_use]
    pub fn state(&self, key: &str) -> CircuitState {
        let lanes = self.lanes();
        let now = self.now();
        lanes
            .by_key
            .get(key)
            .map_or(CircuitState::Closed, |lane| lane.state_at(now))
    }

    /// Notes how a call ended.
    fn ended(&self, key: &str, begun: lane::Begun, ended: lane::Ended) {
        let change = {
            let mut lanes = self.lanes();
            let now = Moment {
                time: self.now(),
                calls: lanes.calls,
            };
            let rules = &self.0.rules;
            match lanes.by_key.get_mut(key) {
                Some(lane) => lane.ended(rules, begun, ended, now),
                None if ended == lane::Ended::Failed || rules.rate.is_some() => {
                    lanes.make_room(rules, now.time);
                    let lane = lanes.by_key.entry(key.to_owned()).or_default();
                    lane.ended(rules, begun, ended, now)
                }
                // A circuit that was always closed stays so.
                None => None,
            }
        };
        self.tell(key, change);
    }

    /// Tells a change, without holding the lock.
    fn tell(&self, key: &str, change: Option<lane::Change>) {
        let Some(lane::Change { from, to, open_for }) = change else {
            return;
        };
        let change = CircuitChange::new(key, from, to, open_for);
        change.trace();
        if let Some(on_change) = &self.0.on_change {
            on_change(&change);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the clock began. Asked while the lock is held, so that it never goes back.
    fn now(&self) -> Duration {
        self.0.epoch.elapsed()
    }
}

impl Lanes {
    /// Forgets what can be forgotten, once there are many. It looks again when they are twice as many as
    /// it had to keep, so that one more costs the same however many there are.
    fn make_room(&mut self, rules: &Rules, now: Duration) {
        if self.by_key.len() < self.many.max(MANY_LANES) {
            return;
        }
        self.by_key
            .retain(|_, lane| !lane.is_forgettable(rules, now));
        self.many = self.by_key.len().saturating_mul(2);
    }
}

/// 5 failures in a row, 30 seconds, at most 300.
impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::with(Rules::default(), None)
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = self.lanes();
        let now = self.now();
        let states = lanes
            .by_key
            .iter()
            .map(|(key, lane)| (key, lane.state_at(now)));
        f.debug_map().entries(states).finish()
    }
}
