//! A runtime that records in a journal and remembers which units were really done in this life.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use steadfast_core::{
    Run, Runtime, Step, StepMismatch, StepName, StepOutcome, Stopped,
    testing::{Journal, JournalRuntime},
};

use crate::world::{Log, World};

/// A unit that was done in this life.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) outcome: StepOutcome,
    /// How many events had been told when it was done.
    pub(crate) told: usize,
}

pub(crate) struct Watched {
    journal: JournalRuntime,
    log: Arc<Log>,
    begun: Mutex<Vec<String>>,
    done: Mutex<Vec<Unit>>,
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    pub(crate) fn new(journal: JournalRuntime, world: &World) -> Self {
        Self {
            journal,
            log: Arc::clone(&world.log),
            begun: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// The names of the units that were begun in this life.
    pub(crate) fn begun(&self) -> Vec<String> {
        lock(&self.begun).clone()
    }

    /// The units that were done in this life, in order.
    pub(crate) fn done(&self) -> Vec<Unit> {
        lock(&self.done).clone()
    }
}

impl Runtime for Watched {
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        let watched = async move {
            lock(&self.begun).push(name.to_string());
            let outcome = work.await;
            lock(&self.done).push(Unit {
                name: name.to_string(),
                outcome: outcome.clone(),
                told: self.log.told_count(),
            });
            outcome
        };
        self.journal.record(name, Box::pin(watched))
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.journal.sleep_until(name, until)
    }

    fn now(&self) -> SystemTime {
        self.journal.now()
    }

    fn random(&self) -> u64 {
        self.journal.random()
    }
}

/// The run at its first step: it is stopped there.
pub(crate) async fn first_step(world: &World, journal: &Journal) -> Option<Run> {
    let stopping = JournalRuntime::new(&journal.prefix(1)).stop_after(0);
    let stopped = world.agent.prompt("Go.").on_runtime(&stopping).await;
    Some(stopped.err()?.into_run())
}

/// Gives a run the next recorded outcome, and before it what is not recorded because it follows.
pub(crate) fn apply(run: &mut Run, outcome: StepOutcome) -> Result<(), StepMismatch> {
    if matches!(run.step(), Step::Tools(_)) && !matches!(outcome, StepOutcome::Tool(_)) {
        run.apply(StepOutcome::ToolsStopped)?;
    }
    run.apply(outcome)
}
