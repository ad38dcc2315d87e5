//! What hooks declare for the time before a call, and what comes of it: waits, admissions, permits, and
//! which calls were made. The loop makes the waits and asks the admissions.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_core::future::BoxFuture;

use crate::{event::CallRole, model::ModelError};

/// What is held until an attempt has ended.
pub(crate) type Held = Box<dyn Any + Send>;

type Guess = dyn Fn() -> Duration + Send + Sync;

/// A wait before the call, as a hook declared it.
pub(crate) struct DeclaredWait {
    expected: Duration,
    /// Guesses again, where other waits come before it.
    guess: Option<Box<Guess>>,
    /// Whether it waits out what the attempt before has failed with.
    pub(crate) waits_out_failure: bool,
    /// Behind a lock that is never taken: events are shared with observers, and a future is not.
    until: Mutex<BoxFuture<'static, Held>>,
}

impl DeclaredWait {
    pub(crate) fn new(
        expected: Duration,
        until: impl Future<Output: Send + 'static> + Send + 'static,
    ) -> Self {
        let until = async move {
            let permit: Held = Box::new(until.await);
            permit
        };
        Self {
            expected,
            guess: None,
            waits_out_failure: false,
            until: Mutex::new(Box::pin(until)),
        }
    }

    /// Guesses how long it takes when it begins, instead of when it was declared.
    pub(crate) fn guessing(mut self, guess: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.guess = Some(Box::new(guess));
        self
    }

    /// Learns that time has passed since it was declared.
    pub(crate) fn guess_again(&mut self) {
        if let Some(guess) = &self.guess {
            self.expected = guess();
        }
    }

    pub(crate) const fn expected(&self) -> Duration {
        self.expected
    }

    /// Gives what is to be held during the attempt, if that needs no wait.
    pub(crate) async fn pass_at_once(&mut self) -> Option<Held> {
        let until = self.until.get_mut().unwrap_or_else(PoisonError::into_inner);
        poll_fn(|cx| match until.as_mut().poll(cx) {
            Poll::Ready(held) => Poll::Ready(Some(held)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Waits, and gives what is to be held during the attempt.
    pub(crate) async fn pass(self) -> Held {
        self.until
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .await
    }
}

impl fmt::Debug for DeclaredWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclaredWait")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

type Ask = dyn FnMut(CallRole) -> Result<Held, ModelError> + Send;

/// A question right before a call: what is held during the attempt, or why it is not made.
pub(crate) struct Admission(
    // Behind a lock that is never taken, as above.
    Mutex<Box<Ask>>,
);

impl Admission {
    pub(crate) fn new<T: Send + 'static>(
        mut admit: impl FnMut(CallRole) -> Result<T, ModelError> + Send + 'static,
    ) -> Self {
        let ask = move |role| {
            let held: Held = Box::new(admit(role)?);
            Ok(held)
        };
        Self(Mutex::new(Box::new(ask)))
    }

    pub(crate) fn ask(&mut self, role: CallRole) -> Result<Held, ModelError> {
        let ask = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        ask(role)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

/// Which calls of an attempt were made: what was taken for one that was not is given back.
///
/// What is held shares it, since an attempt may be dropped at any moment, and nobody is asked then.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallsMade(Arc<Made>);

#[derive(Debug, Default)]
struct Made {
    first: AtomicBool,
    hedge: AtomicBool,
}

impl CallsMade {
    /// Notes that a call is made. What was given for it is then used, whatever becomes of the attempt.
    pub(crate) fn note(&self, role: CallRole) {
        self.of(role).store(true, Ordering::Relaxed);
    }

    pub(crate) fn includes(&self, role: CallRole) -> bool {
        self.of(role).load(Ordering::Relaxed)
    }

    fn of(&self, role: CallRole) -> &AtomicBool {
        match role {
            CallRole::First => &self.0.first,
            CallRole::Hedge => &self.0.hedge,
        }
    }
}

/// What the waits before a call and its admissions have given.
#[derive(Default)]
pub(crate) struct Permits(
    // Behind a lock that is never taken, as above.
    Mutex<Vec<Held>>,
);

impl Permits {
    pub(crate) fn add(&mut self, held: impl IntoIterator<Item = Held>) {
        self.all().extend(held);
    }

    /// Takes the latest of a type that is accepted.
    pub(crate) fn take<T: 'static>(&mut self, is_mine: impl Fn(&T) -> bool) -> Option<T> {
        let permits = self.all();
        let is_mine = |held: &Held| held.downcast_ref().is_some_and(&is_mine);
        let place = permits.iter().rposition(is_mine)?;
        permits.remove(place).downcast().ok().map(|permit| *permit)
    }

    /// Finds the latest of a type that is accepted.
    pub(crate) fn find<T: 'static>(&mut self, is_mine: impl Fn(&T) -> bool) -> Option<&mut T> {
        let permits = self.all().iter_mut().rev();
        let mut of_type = permits.filter_map(|held| held.downcast_mut());
        of_type.find(|permit: &&mut T| is_mine(permit))
    }

    fn all(&mut self) -> &mut Vec<Held> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permits")
    }
}
