//! Waiting for one's turn; the queue knows whose it is.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    Limiter,
    allowance::{Hold, Taken},
    queue::Found,
};

/// A place in the queue. Dropping it gives the place back, and what it was let go with.
pub(super) struct Turn<'a> {
    limiter: &'a Limiter,
    /// None once its turn came.
    ticket: Option<u64>,
    /// Only who is first waits for the clock.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Turn<'a> {
    pub(super) const fn new(limiter: &'a Limiter, ticket: u64) -> Self {
        Self {
            limiter,
            ticket: Some(ticket),
            timer: None,
        }
    }
}

impl Future for Turn<'_> {
    type Output = Taken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken> {
        let this = &mut *self;
        let Some(ticket) = this.ticket else {
            // Asked again after its turn.
            return Poll::Pending;
        };
        loop {
            match this.limiter.look(ticket, cx.waker()) {
                Found::LetGo(taken) => {
                    this.ticket = None;
                    this.timer = None;
                    // Those behind may go as well, and the next one needs a timer.
                    this.limiter.advance();
                    return Poll::Ready(taken);
                }
                Found::First(Hold::For(nanos)) => {
                    // A timer polls the clock of its own runtime, so it is made where it is polled.
                    let timer = this
                        .timer
                        .insert(Box::pin(sleep(Duration::from_nanos(nanos))));
                    ready!(timer.as_mut().poll(cx));
                }
                Found::First(Hold::UntilRelease) | Found::Behind => {
                    this.timer = None;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.limiter.leave(ticket);
        }
    }
}
