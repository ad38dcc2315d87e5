//! A runtime that keeps a journal in memory, stops where a test wants, and replays.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use futures_core::future::BoxFuture;

use crate::{
    run::{StepName, StepOutcome},
    runtime::{Runtime, Stopped, TokioRuntime},
};

/// Recorded outcomes, in the order in which they happened, in their stored form.
///
/// It keeps the wall clock too, which goes on while no process runs: tokio's clock, that a test may
/// pause and advance.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    entries: Arc<Mutex<Vec<(String, String)>>>,
    clock: Arc<TokioRuntime>,
}

impl Journal {
    /// Makes an empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the names of the records, oldest first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.entries()
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Returns a journal of its own that holds the first records of this one.
    ///
    /// It has the same clock.
    #[must_use]
    pub fn prefix(&self, records: usize) -> Self {
        let entries = self.entries();
        let first = entries.iter().take(records).cloned().collect();
        Self {
            entries: Arc::new(Mutex::new(first)),
            clock: Arc::clone(&self.clock),
        }
    }

    fn find(&self, name: &str) -> Option<String> {
        let entries = self.entries();
        let found = entries.iter().find(|(known, _)| known == name)?;
        Some(found.1.clone())
    }
}

/// A runtime that records outcomes as JSON and replays what its journal holds.
///
/// ```
/// use steadfast_core::{Agent, RunErrorKind, testing::{Journal, JournalRuntime, Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ScriptedModel::new([Reply::text("Yes.")]);
/// let agent = Agent::builder().model(model.clone()).build()?;
/// let journal = Journal::new();
///
/// // The process "dies" after three records: the start, the beginning and the attempt.
/// let dying = JournalRuntime::new(&journal).stop_after(3);
/// let error = agent.prompt("Umbrella?").on_runtime(&dying).await.unwrap_err();
/// assert_eq!(error.kind(), RunErrorKind::Stopped);
///
/// let next = JournalRuntime::new(&journal);
/// assert_eq!(agent.prompt("Umbrella?").on_runtime(&next).await?.text(), "Yes.");
/// assert_eq!(model.calls(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JournalRuntime {
    journal: Journal,
    random: TokioRuntime,
    new_records: AtomicUsize,
    stop_after: Option<usize>,
}

impl JournalRuntime {
    /// Makes a runtime on a journal, with a fixed seed.
    #[must_use]
    pub fn new(journal: &Journal) -> Self {
        Self {
            journal: journal.clone(),
            random: TokioRuntime::seeded(7),
            new_records: AtomicUsize::new(0),
            stop_after: None,
        }
    }

    /// Stops the run after so many new records.
    #[must_use]
    pub const fn stop_after(mut self, records: usize) -> Self {
        self.stop_after = Some(records);
        self
    }

    /// Returns how many outcomes were recorded anew.
    #[must_use]
    pub fn new_records(&self) -> usize {
        self.new_records.load(Ordering::Relaxed)
    }

    fn check_stop(&self) -> Result<(), Stopped> {
        match self.stop_after {
            Some(limit) if self.new_records() >= limit => Err(Stopped::new(format!(
                "after {limit} records, as the test wants"
            ))),
            _ => Ok(()),
        }
    }
}

impl Runtime for JournalRuntime {
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move {
            let name = name.to_string();
            let unreadable =
                |error: serde_json::Error| Stopped::new(format!("record `{name}`: {error}"));
            if let Some(stored) = self.journal.find(&name) {
                return serde_json::from_str(&stored).map_err(unreadable);
            }
            self.check_stop()?;
            let outcome = work.await;
            let stored = serde_json::to_string(&outcome).map_err(unreadable)?;
            self.journal.entries().push((name.clone(), stored));
            self.new_records.fetch_add(1, Ordering::Relaxed);
            self.check_stop()?;
            Ok(outcome)
        })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        Box::pin(async move {
            // A wait whose end is recorded is over, whatever this process's clock says.
            if self.journal.find(&name.to_string()).is_some() {
                return Ok(());
            }
            self.check_stop()?;
            self.journal.clock.sleep_until(name, until).await
        })
    }

    fn now(&self) -> SystemTime {
        self.journal.clock.now()
    }

    fn random(&self) -> u64 {
        self.random.random()
    }
}
