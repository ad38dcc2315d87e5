//! Pacers of a scenario: what their waits take, and what they let a call in with.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use steadfast_core::{AgentEvent, BeforeModelCallEvent, HookRegistry};
use tokio::time::Instant;

use crate::{scenario::PacedWait, world::Log};

/// A turn and an attempt.
type Place = (u32, u32);

/// The waits of an agent's runs.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    /// How many waits the latest attempt was given.
    declared: AtomicUsize,
    /// How many permits are held, also by those who wait.
    permits: AtomicUsize,
    latest: Mutex<Latest>,
}

/// The latest run.
#[derive(Debug, Default)]
struct Latest {
    began: Option<Instant>,
    /// When the waits of an attempt were over that took time, since the run began.
    ends: BTreeMap<Place, Vec<Duration>>,
    /// Whether one of them is under way.
    waits: bool,
}

impl Paced {
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the waits of an attempt of the latest run were over, since it began: the first one first.
    pub(crate) fn ends(&self, place: Place) -> Vec<Duration> {
        self.lock().ends.get(&place).cloned().unwrap_or_default()
    }

    /// Checks that a call that is made holds everything that let it in.
    pub(crate) fn check_held(&self) {
        let [declared, permits] =
            [&self.declared, &self.permits].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(permits, declared, "a call holds what let it in");
    }

    /// Checks that nothing is held.
    pub(crate) fn check_given_back(&self) {
        assert_eq!(self.permits.load(Ordering::Relaxed), 0, "a permit leaks");
    }
}

/// What lets a call in, from when it is asked for.
struct Permit(Arc<Log>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.paced.permits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A wait that is under way.
struct Waiting(Arc<Log>, Place);

impl Waiting {
    fn begin(log: Arc<Log>, place: Place) -> Self {
        let others_wait = std::mem::replace(&mut log.paced.lock().waits, true);
        assert!(!others_wait, "waits are made one after the other");
        Self(log, place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut latest = self.0.paced.lock();
        latest.waits = false;
        let end = latest.began.map(|began| began.elapsed());
        latest
            .ends
            .entry(self.1)
            .or_default()
            .push(end.unwrap_or_default());
    }
}

/// Has a call wait.
pub(crate) fn declare(event: &mut BeforeModelCallEvent, wait: PacedWait, log: &Arc<Log>) {
    log.paced.declared.fetch_add(1, Ordering::Relaxed);
    log.paced.permits.fetch_add(1, Ordering::Relaxed);
    let permit = Permit(Arc::clone(log));
    let (log, place) = (Arc::clone(log), (event.turn(), event.attempt()));
    event.wait_for(wait.expected, async move {
        if wait.real != Some(Duration::ZERO) {
            let _waiting = Waiting::begin(log, place);
            match wait.real {
                Some(real) => tokio::time::sleep(real).await,
                None => std::future::pending().await,
            }
        }
        permit
    });
}

/// Looks where attempts begin: nothing is held of earlier ones.
pub(crate) fn observe(hooks: &mut HookRegistry, log: &Arc<Log>) {
    let log = Arc::clone(log);
    hooks.observe(move |event: &AgentEvent| match event {
        AgentEvent::RunStarted(_) => {
            *log.paced.lock() = Latest {
                began: Some(Instant::now()),
                ..Latest::default()
            };
        }
        AgentEvent::AttemptStarted(_) => {
            log.paced.check_given_back();
            log.paced.declared.store(0, Ordering::Relaxed);
        }
        _ => {}
    });
}
