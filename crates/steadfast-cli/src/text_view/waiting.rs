//! A wait, before the next attempt or before the call of this one: the line that says why, for how
//! long, and what is left of it. That it is over, others say.

use std::time::Duration;

use steadfast::{DecidedBy, EventLoopThrottleEvent};
use tokio::time::Instant;

use super::wording::{Cause, duration, remaining};
use crate::styled_line::{Mark, StyledLine};

/// A wait that goes on.
#[derive(Debug)]
pub(crate) struct Waiting {
    attempt: String,
    /// Why the attempt failed; none if it has not called the model yet.
    cause: Option<Cause>,
    decided_by: &'static str,
    delay: Duration,
    /// When it began, by the clock of the run.
    at: Duration,
    /// When it was first shown, which may be later.
    began: Instant,
}

impl Waiting {
    pub(crate) fn new(event: &EventLoopThrottleEvent, now: Instant) -> Self {
        let attempt = match event.max_attempts() {
            Some(most) => format!("attempt {} of {most}: ", event.attempt()),
            None => format!("attempt {}: ", event.attempt()),
        };
        let cause = match (event.error(), event.decided_by()) {
            // It is before the call: what put the call back was told with the attempt before.
            (_, DecidedBy::Pacer) => None,
            (Some(error), _) => Some(Cause::of(error)),
            (None, _) => Some(Cause::hook()),
        };
        Self {
            attempt,
            cause,
            decided_by: decider(event.decided_by()),
            delay: event.delay(),
            at: event.at(),
            began: now,
        }
    }

    /// The line for a terminal, with what is left.
    pub(crate) fn countdown(&self, now: Instant) -> StyledLine {
        let left = self.delay.saturating_sub(self.waited(now));
        let delay = duration(self.delay);
        let line = self.began(", next try in ", "calls the model in ");
        self.explained(
            line.live(&remaining(left, self.delay))
                .dim(&format!(" ({delay} by {})", self.decided_by)),
        )
    }

    /// The line for where nothing can be written again.
    pub(crate) fn announcement(&self) -> StyledLine {
        let line = self.began(", next try in ", "calls the model in ");
        self.reasoned(line.plain(&duration(self.delay)))
    }

    /// The line that stays on a terminal; `at` is the time of the latest event of the run.
    pub(crate) fn end(&self, now: Instant, at: Duration) -> StyledLine {
        // A view that was late has seen less of the wait than there was.
        let waited = self.waited(now).max(at.saturating_sub(self.at));
        let line = self.began(", waited ", "waited ");
        // A wait that was cut short says so; a timer that was a little early does not count.
        let line = if waited + Duration::from_millis(20) < self.delay {
            line.plain(&format!("{} of ", duration(waited)))
        } else {
            line
        };
        let line = line.plain(&duration(self.delay));
        self.reasoned(match self.cause {
            Some(_) => line,
            None => line.plain(" before the call"),
        })
    }

    /// Begins the line: with what failed, or with nothing that did.
    fn began(&self, after_failure: &str, before_call: &str) -> StyledLine {
        match &self.cause {
            Some(cause) => StyledLine::marked(Mark::Failed)
                .plain(&self.attempt)
                .strong(&cause.kind)
                .plain(after_failure),
            None => StyledLine::marked(Mark::Noted)
                .plain(&self.attempt)
                .plain(before_call),
        }
    }

    fn reasoned(&self, line: StyledLine) -> StyledLine {
        self.explained(line.dim(&format!(" ({})", self.decided_by)))
    }

    /// Adds the words of the provider. They come last, where a narrow window loses least.
    fn explained(&self, line: StyledLine) -> StyledLine {
        match self.cause.as_ref().and_then(|cause| cause.words.as_ref()) {
            Some(words) => line.dim(&format!(": {words}")),
            None => line,
        }
    }

    /// Returns whether nothing is left of it.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.waited(now) >= self.delay
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
        DecidedBy::Pacer => "a shared pacer",
        DecidedBy::Hook => "a hook",
        _ => "somebody else",
    }
}
