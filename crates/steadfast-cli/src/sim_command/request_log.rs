//! Lines about requests on their way from the simulator to whoever reads them. A reader that does
//! not keep up holds up nobody and costs a bounded amount of memory: what does not fit is counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::styled_line::{Mark, StyledLine};

/// How many lines wait for their reader.
const CAPACITY: usize = 1024;

/// The end that lines go into.
#[derive(Debug)]
pub(super) struct RequestLogger {
    lines: mpsc::Sender<StyledLine>,
    left_out: Arc<AtomicU64>,
}

/// The end that lines come out of.
#[derive(Debug)]
pub(super) struct RequestLog {
    lines: mpsc::Receiver<StyledLine>,
    left_out: Arc<AtomicU64>,
}

/// Makes the two ends of a log.
pub(super) fn request_log() -> (RequestLogger, RequestLog) {
    let (tx, rx) = mpsc::channel(CAPACITY);
    let left_out = Arc::new(AtomicU64::new(0));
    let logger = RequestLogger {
        lines: tx,
        left_out: Arc::clone(&left_out),
    };
    (
        logger,
        RequestLog {
            lines: rx,
            left_out,
        },
    )
}

impl RequestLogger {
    /// Adds a line, or counts it where there is no room. It does not wait.
    pub(super) fn add(&self, line: StyledLine) {
        // Nobody listens any more once the command has ended.
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl RequestLog {
    /// Waits for lines and takes all that there are; nothing once the log is closed and read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken if the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<StyledLine>> {
        let mut lines = Vec::new();
        self.lines.recv_many(&mut lines, CAPACITY).await;
        // There was no room for them as long as these lines waited, so that they came after them.
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => {}
            1 => lines.push(noted("1 request is not shown")),
            more => lines.push(noted(&format!("{more} requests are not shown"))),
        }
        (!lines.is_empty()).then_some(lines)
    }

    /// Takes no more lines; those that wait can still be read.
    pub(super) fn close(&mut self) {
        self.lines.close();
    }
}

fn noted(text: &str) -> StyledLine {
    StyledLine::marked(Mark::Noted).dim(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(added: usize, lines: usize, last: &str) {
        let (logger, mut log) = request_log();
        for number in 1..=added {
            logger.add(StyledLine::new().plain(&number.to_string()));
        }
        log.close();

        let shown = log.next().await.unwrap_or_default();

        assert_eq!(shown.len(), lines, "{added} requests");
        let shown = shown.last().map(|line| line.render(false, None));
        assert_eq!(shown.as_deref(), Some(last), "{added} requests");
        assert!(log.next().await.is_none(), "{added} requests");
    }

    #[tokio::test]
    async fn lines_beyond_the_capacity_are_counted() {
        check(1, 1, "1").await;
        check(CAPACITY, CAPACITY, "1024").await;
        check(CAPACITY + 1, CAPACITY + 1, "· 1 request is not shown").await;
        check(CAPACITY + 500, CAPACITY + 1, "· 500 requests are not shown").await;
    }
}
