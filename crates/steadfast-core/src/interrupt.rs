//! What cuts work short: cancellation, the deadline, silence. It watches; it decides nothing.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Why work was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancelled,
    Deadline,
    Silence,
}

/// How long hooks may still await once an interrupt has come: 5 ms, for all hooks of a run together.
#[derive(Default)]
pub(crate) struct Grace(OnceLock<Instant>);

impl Grace {
    const LENGTH: Duration = Duration::from_millis(5);

    /// Returns when it ends; it begins when this is asked first.
    pub(crate) fn end(&self) -> Instant {
        *self.0.get_or_init(|| Instant::now() + Self::LENGTH)
    }
}

/// Watches for interrupts while work is pending.
///
/// Timers and wakers are made only when work first has to wait: a model that answers at once costs
/// none of them.
pub(crate) struct Watch {
    cancel: Option<CancellationToken>,
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    deadline: Option<Instant>,
    deadline_timer: Option<Pin<Box<Sleep>>>,
    silence: Option<Silence>,
}

/// How long the other side may say nothing.
///
/// It is counted only while someone waits for it: a slow consumer is not a silent server.
struct Silence {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The limit of silence while nobody listens.
pub(crate) struct PausedSilence {
    silence: Option<Silence>,
    at: Instant,
}

impl Watch {
    pub(crate) const fn new(cancel: Option<CancellationToken>, deadline: Option<Instant>) -> Self {
        Self {
            cancel,
            cancelled: None,
            deadline,
            deadline_timer: None,
            silence: None,
        }
    }

    /// Starts to count silence against a limit, anew if something was said.
    pub(crate) fn limit_silence(&mut self, limit: Duration) {
        match &mut self.silence {
            Some(silence) => {
                silence.limit = limit;
                silence.since = None;
            }
            none => {
                *none = Some(Silence {
                    limit,
                    since: None,
                    timer: None,
                });
            }
        }
    }

    /// Stops counting silence.
    pub(crate) fn allow_silence(&mut self) {
        self.silence = None;
    }

    /// Takes the limit of silence away while nobody listens.
    pub(crate) fn pause_silence(&mut self) -> PausedSilence {
        PausedSilence {
            silence: self.silence.take(),
            at: Instant::now(),
        }
    }

    /// Listens again, and goes on with the count where it was.
    pub(crate) fn resume_silence(&mut self, paused: PausedSilence) {
        let not_heard = paused.at.elapsed();
        self.silence = paused.silence.map(|silence| Silence {
            since: silence.since.and_then(|since| since.checked_add(not_heard)),
            ..silence
        });
    }

    /// Returns an interrupt that has already happened.
    pub(crate) fn check(&self) -> Result<(), Interrupt> {
        if self
            .cancel
            .as_ref()
            .is_some_and(CancellationToken::is_cancelled)
        {
            return Err(Interrupt::Cancelled);
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Err(Interrupt::Deadline);
        }
        Ok(())
    }

    /// Does the work until it is done or an interrupt comes. The work is dropped then.
    pub(crate) async fn race<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        self.check()?;
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_interrupt(cx).map(Err),
        })
        .await
    }

    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if let Some(token) = &self.cancel {
            let waiting = self
                .cancelled
                .get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
            if waiting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Interrupt::Cancelled);
            }
        }
        if let Some(deadline) = self.deadline {
            let timer = self
                .deadline_timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Interrupt::Deadline);
            }
        }
        match &mut self.silence {
            Some(silence) => silence.poll(cx).map(|()| Interrupt::Silence),
            None => Poll::Pending,
        }
    }
}

impl Silence {
    /// One timer serves a whole stream: it is set anew only when it fires too early.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(until) = since.checked_add(self.limit) else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        // A limit that became shorter moves the timer forward.
        if timer.deadline() > until {
            timer.as_mut().reset(until);
            return timer.as_mut().poll(cx);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secs;

    fn silent(limit: Duration) -> Watch {
        let mut watch = Watch::new(None, None);
        watch.limit_silence(limit);
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_word() {
        let mut watch = silent(secs(10));
        for _ in 0..5 {
            watch.race(tokio::time::sleep(secs(9))).await.unwrap();
            watch.limit_silence(secs(10));
        }
        let began = Instant::now();

        let interrupted = watch.race(std::future::pending::<()>()).await;

        assert_eq!(interrupted, Err(Interrupt::Silence));
        assert_eq!(began.elapsed(), secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_consumer_is_not_a_silent_server() {
        let mut watch = silent(secs(10));
        watch.race(tokio::time::sleep(secs(1))).await.unwrap();
        watch.limit_silence(secs(10));
        tokio::time::sleep(secs(3_600)).await;

        let heard = watch.race(tokio::time::sleep(secs(9))).await;

        assert_eq!(heard, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_goes_on_where_it_was_paused() {
        let mut watch = silent(secs(10));
        watch.race(tokio::time::sleep(secs(6))).await.unwrap();
        let paused = watch.pause_silence();
        watch.race(tokio::time::sleep(secs(3_600))).await.unwrap();
        watch.resume_silence(paused);
        let began = Instant::now();

        let interrupted = watch.race(std::future::pending::<()>()).await;

        assert_eq!(interrupted, Err(Interrupt::Silence));
        assert_eq!(began.elapsed(), secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_counts_at_once() {
        let mut watch = silent(secs(100));
        watch.race(tokio::time::sleep(secs(1))).await.unwrap();
        watch.limit_silence(secs(5));
        let began = Instant::now();

        let interrupted = watch.race(std::future::pending::<()>()).await;

        assert_eq!(interrupted, Err(Interrupt::Silence));
        assert_eq!(began.elapsed(), secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn cancellation_and_deadline_end_the_wait_at_once() {
        let token = CancellationToken::new();
        let mut watch = Watch::new(Some(token.clone()), Some(Instant::now() + secs(7)));
        let began = Instant::now();
        assert_eq!(
            watch.race(std::future::pending::<()>()).await,
            Err(Interrupt::Deadline)
        );
        assert_eq!(began.elapsed(), secs(7));

        token.cancel();
        let after = watch.race(std::future::ready(())).await;
        assert_eq!(after, Err(Interrupt::Cancelled));
    }
}
