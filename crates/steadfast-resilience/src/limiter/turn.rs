//! Waiting for one's turn; the queue knows whose it is.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{Cost, Limiter, Permit, allowance::Hold, queue::Found};
use crate::sync::{Sleep, sleep};

/// A place in the queue. Dropping it gives the place back, and what it was let go with.
pub(crate) struct Turn<'a> {
    limiter: Cow<'a, Limiter>,
    /// None once its turn came.
    ticket: Option<u64>,
    /// Only who is first waits for the clock.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Turn<'a> {
    pub(super) fn begin(limiter: Cow<'a, Limiter>, ticket: u64, cost: Cost) -> Self {
        let turn = Self {
            limiter,
            ticket: Some(ticket),
            timer: None,
        };
        // Who waits first may be free to go, and its future be left alone.
        turn.limiter.advance();
        tracing::debug!(
            requests = cost.request_count(),
            tokens = cost.token_count(),
            expected_wait = ?turn.expected_wait(),
            "waiting for a limiter"
        );
        turn
    }

    /// Guesses how long it waits, behind those who wait now.
    pub(crate) fn expected_wait(&self) -> Duration {
        self.limiter.wait_of_all()
    }
}

impl<'a> Future for Turn<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'a>> {
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
                    let permit = Permit::new(this.limiter.clone(), taken);
                    // Those behind may go as well, and the next one needs a timer.
                    this.limiter.advance();
                    return Poll::Ready(permit);
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
