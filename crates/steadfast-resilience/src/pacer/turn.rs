//! Waiting for one's turn; the line knows whose it is.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    Pacer,
    history::SendId,
    line::{Found, Place},
};

/// A place in the line. Dropping it gives the place back, and what it was let go with.
pub(super) struct Turn<'a> {
    pacer: &'a Pacer,
    /// None once its turn came.
    place: Option<Place>,
    /// Only who is first waits for the clock.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Turn<'a> {
    pub(super) const fn new(pacer: &'a Pacer, place: Place) -> Self {
        Self {
            pacer,
            place: Some(place),
            timer: None,
        }
    }
}

impl Future for Turn<'_> {
    type Output = SendId;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SendId> {
        let this = &mut *self;
        let Some(place) = this.place else {
            // Asked again after its turn.
            return Poll::Pending;
        };
        loop {
            match this.pacer.look(place, cx.waker()) {
                Found::LetGo(id) => {
                    this.place = None;
                    this.timer = None;
                    // Those behind may go as well, and the next one needs a timer.
                    this.pacer.advance();
                    return Poll::Ready(id);
                }
                Found::First(seconds) => {
                    /// A wait that cannot be told is looked at again after so long.
                    const LONGEST: Duration = Duration::from_secs(60 * 60);
                    let wait = Duration::try_from_secs_f64(seconds.max(1e-6)).unwrap_or(LONGEST);
                    // A timer polls the clock of its own runtime, so it is made where it is polled.
                    let timer = this.timer.insert(Box::pin(sleep(wait)));
                    ready!(timer.as_mut().poll(cx));
                }
                Found::Behind => {
                    this.timer = None;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.pacer.leave(place);
        }
    }
}
