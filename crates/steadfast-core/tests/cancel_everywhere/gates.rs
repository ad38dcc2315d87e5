//! Gates: every await of a run passes one, so that each can be the place where something happens.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use steadfast_core::{CancellationToken, Runtime, StepName, StepOutcome, Stopped, TokioRuntime};
use tokio::time::Instant;

/// How an await goes on where the run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is never ready.
    Stuck,
    /// It is ready when it is polled again.
    Later,
    /// It is ready in the same poll.
    AtOnce,
}

/// Where a run is stopped, by the number of its await, and what the await does then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) number: usize,
    pub(crate) then: Then,
    /// Whether the runtime itself stops the run.
    pub(crate) by_runtime: bool,
    /// How long an await that cannot be cut short takes.
    pub(crate) late_until: Option<Instant>,
}

/// The gates of one run.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    state: Mutex<State>,
    /// Cancelled when the target is reached.
    pub(crate) reached: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    passed: Vec<String>,
    target: Option<Target>,
    /// Model calls and tool calls, by when they began.
    calls: Vec<Instant>,
    calls_when_reached: usize,
}

impl Gates {
    pub(crate) fn new(target: Option<Target>) -> Arc<Self> {
        let gates = Self::default();
        gates.lock().target = target;
        Arc::new(gates)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was awaited, in order.
    pub(crate) fn passed(&self) -> Vec<String> {
        self.lock().passed.clone()
    }

    /// Opens all gates that are still to come.
    pub(crate) fn open(&self) {
        self.lock().target = None;
    }

    /// Notes that a model or a tool was called.
    pub(crate) fn call(&self) {
        self.lock().calls.push(Instant::now());
    }

    pub(crate) fn calls(&self) -> Vec<Instant> {
        self.lock().calls.clone()
    }

    pub(crate) fn calls_when_reached(&self) -> usize {
        self.lock().calls_when_reached
    }

    /// Stops the run from outside a gate.
    pub(crate) fn reach(&self) {
        let mut state = self.lock();
        state.calls_when_reached = state.calls.len();
        drop(state);
        self.reached.cancel();
    }

    /// Counts an await; returns the target if this is it.
    fn count(&self, what: &str) -> Option<Target> {
        let mut state = self.lock();
        let number = state.passed.len();
        state.passed.push(what.to_owned());
        let target = state.target.filter(|target| target.number == number)?;
        drop(state);
        self.reach();
        Some(target)
    }

    /// An await of a hook, a model or a tool: it can be cut short.
    pub(crate) async fn pass(&self, what: &str) {
        match self.count(what).map(|target| target.then) {
            Some(Then::AtOnce) => {}
            Some(Then::Stuck) => std::future::pending().await,
            Some(Then::Later) | None => tokio::task::yield_now().await,
        }
    }

    /// An await of the runtime's own: nobody cuts it short, and it may stop the run.
    async fn pass_record(&self, what: &str) -> Result<(), Stopped> {
        let target = self.count(what);
        if target.is_some_and(|target| target.by_runtime) {
            return Err(Stopped::new("as the test wants"));
        }
        match target {
            Some(Target {
                late_until: Some(until),
                ..
            }) => tokio::time::sleep_until(until).await,
            Some(Target {
                then: Then::AtOnce, ..
            }) => {}
            _ => tokio::task::yield_now().await,
        }
        Ok(())
    }
}

/// A runtime whose records and waits pass gates.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) gates: Arc<Gates>,
    pub(crate) clock: TokioRuntime,
}

impl Runtime for Gated {
    fn record<'a>(
        &'a self,
        _name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move {
            self.gates.pass_record("record begins").await?;
            let outcome = work.await;
            self.gates.pass_record("record ends").await?;
            Ok(outcome)
        })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        Box::pin(async move {
            let what = match name.to_string().contains("wait-after") {
                true => "wait before a retry",
                false => "wait before a tool's retry",
            };
            match self.gates.count(what) {
                Some(target) if target.by_runtime => {
                    return Err(Stopped::new("as the test wants"));
                }
                Some(target) if target.then == Then::Stuck => std::future::pending().await,
                _ => {}
            }
            self.clock.sleep_until(name, until).await
        })
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}
