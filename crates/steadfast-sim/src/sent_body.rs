//! The body of an answer as hyper sends it: a list of actions and an ending.
//!
//! Closing and resetting happen only after everything before them has been handed to the
//! operating system, so a fault strikes at a byte, not at a guess.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio_util::sync::CancellationToken;

use crate::socket::Link;

/// How long a client has to read what was sent before a reset, which discards unread bytes.
const TIME_TO_READ: Duration = Duration::from_millis(10);

/// One thing that is done while a body is sent.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Send(Bytes),
    /// Waits until everything so far is with the operating system.
    Flush,
    Pause(Duration),
}

/// What happens after the last action.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// The body ends in good order.
    Finish,
    /// The connection closes without the body's end.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing happens any more.
    Hang,
    /// The same bytes are sent again and again.
    Repeat(Bytes, Duration),
}

/// Ends a connection on purpose; nobody sees it but hyper.
#[derive(Debug, thiserror::Error)]
#[error("the fault script closed the connection")]
pub(crate) struct Disconnect;

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of one answer.
pub(crate) struct SentBody {
    actions: VecDeque<Action>,
    ending: Ending,
    waiting: Option<Wait>,
    link: Arc<Link>,
    stopping: CancellationToken,
}

impl SentBody {
    pub(crate) fn new(
        actions: Vec<Action>,
        ending: Ending,
        link: Arc<Link>,
        stopping: CancellationToken,
    ) -> Self {
        let mut actions = VecDeque::from(actions);
        match ending {
            Ending::Cut => actions.push_back(Action::Flush),
            Ending::Reset => actions.extend([Action::Flush, Action::Pause(TIME_TO_READ)]),
            Ending::Finish | Ending::Hang | Ending::Repeat(..) => {}
        }
        Self {
            actions,
            ending,
            waiting: None,
            link,
            stopping,
        }
    }

    fn flushed(&self) -> Wait {
        let link = Arc::clone(&self.link);
        Box::pin(async move { link.flushed().await })
    }

    fn stopped(&self) -> Wait {
        Box::pin(self.stopping.clone().cancelled_owned())
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Disconnect;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        loop {
            if let Some(wait) = &mut self.waiting {
                ready!(wait.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.actions.pop_front() {
                Some(Action::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Action::Flush) => self.waiting = Some(self.flushed()),
                // Even a sleep of no length waits for the timer's next tick.
                Some(Action::Pause(Duration::ZERO)) => {}
                Some(Action::Pause(pause)) => {
                    self.waiting = Some(Box::pin(tokio::time::sleep(pause)));
                }
                None => match self.ending.clone() {
                    Ending::Finish => return Poll::Ready(None),
                    Ending::Cut => return Poll::Ready(Some(Err(Disconnect))),
                    Ending::Reset => {
                        self.link.reset_when_closed();
                        return Poll::Ready(Some(Err(Disconnect)));
                    }
                    Ending::Hang => {
                        self.waiting = Some(self.stopped());
                        self.ending = Ending::Cut;
                    }
                    Ending::Repeat(..) if self.stopping.is_cancelled() => {
                        return Poll::Ready(Some(Err(Disconnect)));
                    }
                    Ending::Repeat(bytes, interval) => self
                        .actions
                        .extend([Action::Send(bytes), Action::Pause(interval)]),
                },
            }
        }
    }
}

/// Meets the ending of a request that gets no answer at all.
pub(crate) async fn end_without_answer(
    ending: Ending,
    link: &Link,
    stopping: &CancellationToken,
) -> Result<Infallible, Disconnect> {
    match ending {
        Ending::Reset => link.reset_when_closed(),
        Ending::Hang | Ending::Repeat(..) => stopping.cancelled().await,
        Ending::Cut | Ending::Finish => {}
    }
    Err(Disconnect)
}
