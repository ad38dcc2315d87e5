//! Signals that ask the program to end: Ctrl-C, and the one that service managers send.

use std::io;

use steadfast::CancellationToken;
use tokio::task::JoinHandle;

use crate::{ending::Ending, refusal::Refusal};

/// Cancels a token at the first signal and ends the process at the second.
#[derive(Debug)]
#[must_use = "signals are listened to until this is dropped"]
pub(crate) struct StopSignal {
    token: CancellationToken,
    listener: JoinHandle<()>,
}

impl StopSignal {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, Refusal> {
        let mut signals = Signals::new().map_err(|error| {
            Refusal::new(
                format!("cannot listen to signals: {error}"),
                "look at the limits of this process",
            )
        })?;
        let token = CancellationToken::new();
        let cancelled = token.clone();
        // A task of its own: the main one may hang in a write to a terminal that is held.
        let listener = tokio::spawn(async move {
            signals.next().await;
            cancelled.cancel();
            signals.next().await;
            end_at_once();
        });
        Ok(Self { token, listener })
    }

    /// Returns what is cancelled by the first signal.
    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for StopSignal {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[expect(
    clippy::exit,
    reason = "whoever asks twice does not want to wait for good order"
)]
fn end_at_once() {
    std::process::exit(Ending::Cancelled.status().into());
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
