//! A wait before the next attempt: the line that says why, for how long, and what is left of it.

use std::time::Duration;

use steadfast::{DecidedBy, EventLoopThrottleEvent};
use tokio::time::Instant;

use super::wording::{Cause, duration, remaining};
use crate::styled_line::{Mark, StyledLine};

/// A wait that goes on.
#[derive(Debug)]
pub(crate) struct Waiting {
    attempt: String,
    cause: Cause,
    decided_by: &'static str,
    delay: Duration,
    began: Instant,
}

impl Waiting {
    pub(crate) fn new(event: &EventLoopThrottleEvent, now: Instant) -> Self {
        let attempt = match event.max_attempts() {
            Some(most) => format!("attempt {} of {most}: ", event.attempt()),
            None => format!("attempt {}: ", event.attempt()),
        };
        Self {
            attempt,
            cause: event.error().map_or_else(Cause::hook, Cause::of),
            decided_by: decider(event.decided_by()),
            delay: event.delay(),
            began: now,
        }
    }

    /// The line for a terminal, with what is left.
    pub(crate) fn countdown(&self, now: Instant) -> StyledLine {
        let left = self.delay.saturating_sub(self.waited(now));
        let delay = duration(self.delay);
        let line = self.failed().plain(", next try in ");
        self.explained(
            line.live(&remaining(left, self.delay))
                .dim(&format!(" ({delay} by {})", self.decided_by)),
        )
    }

    /// The line for where nothing can be written again.
    pub(crate) fn announcement(&self) -> StyledLine {
        let line = self.failed().plain(", next try in ");
        self.reasoned(line.plain(&duration(self.delay)))
    }

    /// The line that stays on a terminal.
    pub(crate) fn end(&self, now: Instant) -> StyledLine {
        let waited = self.waited(now);
        let line = self.failed().plain(", waited ");
        // A wait that was cut short says so; a timer that was a little early does not count.
        let line = if waited + Duration::from_millis(20) < self.delay {
            line.plain(&format!("{} of ", duration(waited)))
        } else {
            line
        };
        self.reasoned(line.plain(&duration(self.delay)))
    }

    fn failed(&self) -> StyledLine {
        StyledLine::marked(Mark::Failed)
            .plain(&self.attempt)
            .strong(&self.cause.kind)
    }

    fn reasoned(&self, line: StyledLine) -> StyledLine {
        self.explained(line.dim(&format!(" ({})", self.decided_by)))
    }

    /// Adds the words of the provider. They come last, where a narrow window loses least.
    fn explained(&self, line: StyledLine) -> StyledLine {
        match &self.cause.words {
            Some(words) => line.dim(&format!(": {words}")),
            None => line,
        }
    }

    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// Says who decided how long to wait.
const fn decider(decided_by: DecidedBy) -> &'static str {
    match decided_by {
        DecidedBy::Hint => "server hint",
        DecidedBy::Backoff => "backoff",
        DecidedBy::Pacer => "the shared pacer",
        DecidedBy::Hook => "a hook",
        _ => "somebody else",
    }
}
