//! The book of one storm, in which its provider and its agents write. It decides nothing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::tally::{MOST_REQUESTS, Tally};

/// The time of a storm and what happened in it. Clones are the same book.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Arc<Book>);

#[derive(Debug)]
struct Book {
    began: Instant,
    tally: Mutex<Tally>,
    ran_away: Notify,
}

impl Ledger {
    /// Opens it: the storm begins now.
    pub(super) fn open() -> Self {
        Self(Arc::new(Book {
            began: Instant::now(),
            tally: Mutex::default(),
            ran_away: Notify::new(),
        }))
    }

    /// Returns how long the storm has lasted.
    pub(super) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Enters a request and what came of it.
    pub(super) fn request(&self, sent: Duration, accepted: bool) {
        let mut tally = self.tally();
        tally.request(sent, accepted);
        if tally.requests() >= MOST_REQUESTS {
            self.0.ran_away.notify_one();
        }
    }

    /// Enters something else.
    pub(super) fn note(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.tally());
    }

    /// Waits until there have been more requests than any storm should have.
    pub(super) async fn ran_away(&self) {
        self.0.ran_away.notified().await;
    }

    /// Returns what has happened, and begins anew with nothing.
    pub(super) fn close(&self) -> Tally {
        std::mem::take(&mut *self.tally())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
