//! Waiting for one's turn; the queue knows whose it is.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Found, Gate, Place, Queue};
use crate::sync::{Sleep, sleep};

/// Through what a turn reaches its queue.
pub(crate) trait Handle {
    type Gate: Gate;
    /// What its user gets.
    type Right;

    fn queue(&self) -> &Queue<Self::Gate>;

    fn right(&self, right: <Self::Gate as Gate>::Right) -> Self::Right;
}

/// A place in a queue. Dropping it gives the place back, and what it was let go with.
pub(crate) struct Turn<H: Handle> {
    handle: H,
    /// None once its turn came.
    place: Option<Place>,
    /// Only who is first waits for the clock.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<H: Handle> Turn<H> {
    pub(crate) fn begin(handle: H, place: Place) -> Self {
        let turn = Self {
            handle,
            place: Some(place),
            timer: None,
        };
        // Who waits first may be free to go, and its future be left alone.
        turn.handle.queue().advance();
        turn
    }

    pub(crate) const fn handle(&self) -> &H {
        &self.handle
    }
}

/// What it pins, it pins in a box.
impl<H: Handle> Unpin for Turn<H> {}

impl<H: Handle> Future for Turn<H> {
    type Output = H::Right;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H::Right> {
        let this = self.get_mut();
        let Some(place) = this.place else {
            // Asked again after its turn.
            return Poll::Pending;
        };
        loop {
            match this.handle.queue().look(place, cx.waker()) {
                Found::LetGo(right) => {
                    this.place = None;
                    this.timer = None;
                    let right = this.handle.right(right);
                    // Those behind may go as well, and the next one needs a timer.
                    this.handle.queue().advance();
                    return Poll::Ready(right);
                }
                Found::First(Some(wait)) => {
                    // A timer polls the clock of its own runtime, so it is made where it is polled.
                    let timer = this.timer.insert(Box::pin(sleep(wait)));
                    ready!(timer.as_mut().poll(cx));
                }
                Found::First(None) | Found::Behind => {
                    this.timer = None;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<H: Handle> Drop for Turn<H> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.handle.queue().leave(place);
        }
    }
}
