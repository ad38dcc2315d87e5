//! Events for people: the answer on standard output, everything else as lines of status.
//!
//! On a terminal text is shown while it comes and erased when its attempt is discarded; elsewhere
//! only the text of the result is written, so that nothing is ever taken back. Which of the two it
//! is, and what a line looks like, the output knows.

mod live_text;
mod waiting;
mod wording;

use std::{borrow::Cow, io, time::Duration};

use steadfast::{
    AgentEvent, AttemptDiscardedEvent, ContentBlock, DiscardReason, EventLoopThrottleEvent,
    Message, ResultEvent, Role, StopReason, TextDeltaEvent, ToolFinishedEvent, ToolStartedEvent,
};
use tokio::time::Instant;

pub(crate) use self::wording::duration;
use self::{live_text::LiveText, waiting::Waiting, wording::Cause};
use crate::{
    output::Output,
    styled_line::{Mark, StyledLine, harmless, shortened},
};

/// How much of a text is quoted when it is taken back, and of a sentence for the model.
const QUOTED_COLUMNS: usize = 50;

/// Shows a run to a person.
#[derive(Debug, Default)]
pub(crate) struct TextView {
    showing: Showing,
    /// An attempt that was discarded, as long as no line has said what comes of it.
    discarded: Option<(u32, Cause)>,
    /// How many characters the attempt has said that were not shown.
    unshown: usize,
    thinking: bool,
    /// The time of the latest event, by the clock of the run.
    at: Duration,
}

/// What the last line of the terminal is, if it is not finished.
#[derive(Debug, Default)]
enum Showing {
    #[default]
    Nothing,
    Text(LiveText),
    Waiting(Waiting),
}

impl TextView {
    /// Shows one event.
    pub(crate) fn show(&mut self, event: &AgentEvent, output: &mut Output) -> io::Result<()> {
        self.at = event.scope().at;
        match event {
            AgentEvent::AttemptStarted(_) => self.attempt_started(output)?,
            AgentEvent::ModelSwitched(event) => {
                self.settle(output)?;
                let line = StyledLine::marked(Mark::Noted).plain(&format!("asking {}", event.to()));
                let before = format!(" instead of {}", event.from());
                output.status.line(&line.dim(&before));
            }
            AgentEvent::TextDelta(event) => self.text(event, output)?,
            AgentEvent::ReasoningDelta(_) => self.reasoning(output)?,
            AgentEvent::AttemptDiscarded(event) => self.attempt_discarded(event, output)?,
            AgentEvent::EventLoopThrottle(event) => self.throttled(event, output)?,
            AgentEvent::Message(event) => self.message(event.message(), output)?,
            AgentEvent::ToolStarted(event) => self.tool_started(event, output)?,
            AgentEvent::ToolFinished(event) => self.tool_finished(event, output)?,
            AgentEvent::ForceStop(event) => {
                self.settle(output)?;
                let place = format!(" in turn {}, attempt {}", event.turn(), event.attempt());
                let line = StyledLine::marked(Mark::Ended)
                    .plain("force stop")
                    .dim(&place);
                let after = format!(", after {}", duration(event.at()));
                output.status.line(&line.dim(&after));
            }
            AgentEvent::Result(event) => self.result(event, output)?,
            _ => {}
        }
        Ok(())
    }

    /// Returns whether something on the terminal changes without an event.
    pub(crate) const fn is_ticking(&self) -> bool {
        matches!(self.showing, Showing::Waiting(_))
    }

    /// Shows how much of a wait is left, or that it is over: no event says so where the wait was for
    /// the call of the same attempt.
    pub(crate) fn tick(&mut self, output: &mut Output) -> io::Result<()> {
        let now = Instant::now();
        match &self.showing {
            Showing::Waiting(waiting) if waiting.is_over(now) => self.settle(output)?,
            Showing::Waiting(waiting) => output.status.rewrite(&waiting.countdown(now)),
            Showing::Nothing | Showing::Text(_) => {}
        }
        Ok(())
    }

    /// Finishes the line that the terminal is on.
    pub(crate) fn settle(&mut self, output: &mut Output) -> io::Result<()> {
        match std::mem::take(&mut self.showing) {
            Showing::Nothing => {}
            Showing::Text(text) => {
                if !text.is_at_line_start() {
                    output.data.write("\n")?;
                }
                if output.is_one_terminal() {
                    output.data.write("\n")?;
                }
            }
            Showing::Waiting(waiting) => {
                output.status.line(&waiting.end(Instant::now(), self.at));
            }
        }
        Ok(())
    }

    fn attempt_started(&mut self, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        (self.unshown, self.thinking) = (0, false);
        if let Some((attempt, cause)) = self.discarded.take() {
            let line = StyledLine::marked(Mark::Failed)
                .plain(&format!("attempt {attempt}: "))
                .strong(&cause.kind)
                .plain(", trying again");
            let words = cause.words.map(|words| format!(": {words}"));
            output.status.line(&line.dim(&words.unwrap_or_default()));
        }
        Ok(())
    }

    fn text(&mut self, event: &TextDeltaEvent, output: &mut Output) -> io::Result<()> {
        if !output.data.is_live() {
            self.unshown += event.text().chars().count();
            return Ok(());
        }
        let piece = harmless(event.text());
        if piece.is_empty() {
            return Ok(());
        }
        if !matches!(self.showing, Showing::Text(_)) {
            self.settle(output)?;
            let mut text = LiveText::new(output.data.extent());
            // A blank line between status and text; it is erased together with the text.
            if output.is_one_terminal() && output.status.is_used() {
                text.push("\n");
                output.data.write("\n")?;
            }
            self.showing = Showing::Text(text);
        }
        if let Showing::Text(text) = &mut self.showing {
            text.push(&piece);
        }
        output.data.write(&piece)
    }

    fn reasoning(&mut self, output: &mut Output) -> io::Result<()> {
        let has_begun = std::mem::replace(&mut self.thinking, true);
        if !has_begun && !matches!(self.showing, Showing::Text(_)) {
            self.settle(output)?;
            output
                .status
                .line(&StyledLine::marked(Mark::Noted).dim("thinking"));
        }
        Ok(())
    }

    fn attempt_discarded(
        &mut self,
        event: &AttemptDiscardedEvent,
        output: &mut Output,
    ) -> io::Result<()> {
        let attempt = event.attempt();
        if let Showing::Text(text) = std::mem::take(&mut self.showing) {
            take_back(&text, event, output)?;
        } else if self.unshown > 0 {
            let line = StyledLine::marked(Mark::TakenBack)
                .plain(&format!("attempt {attempt}: what it said is discarded"))
                .dim(&format!(" ({} characters, not printed)", self.unshown));
            output.status.line(&line);
        }
        self.unshown = 0;
        self.discarded = Some((attempt, Cause::of_discarded(event)));
        Ok(())
    }

    fn throttled(&mut self, event: &EventLoopThrottleEvent, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        // The line of the wait says why.
        self.discarded = None;
        let now = Instant::now();
        let waiting = Waiting::new(event, now);
        if output.status.is_live() {
            output.status.rewrite(&waiting.countdown(now));
            self.showing = Showing::Waiting(waiting);
        } else {
            output.status.line(&waiting.announcement());
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        match message.role {
            // Text that is not the answer is on the way to it; a terminal has shown it already.
            Role::Assistant if !output.data.is_live() && is_on_the_way(message) => {
                for line in harmless(&message.text()).lines() {
                    output.status.line(&StyledLine::new().plain(line));
                }
            }
            Role::User => {
                for block in &message.content {
                    if let ContentBlock::ToolResult(result) = block
                        && result.is_error
                    {
                        let told = shortened(&result.text(), QUOTED_COLUMNS);
                        let line = StyledLine::marked(Mark::Noted)
                            .dim(&format!("the model is told of {}: {told}", result.name));
                        output.status.line(&line);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tool_started(&mut self, event: &ToolStartedEvent, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        let call = event.tool_use();
        let line = StyledLine::marked(Mark::Began)
            .strong(&call.name)
            .plain(" ");
        output
            .status
            .line(&line.plain(&wording::arguments(&call.input)));
        Ok(())
    }

    fn tool_finished(&mut self, event: &ToolFinishedEvent, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        let (mark, outcome) = if event.ok() {
            (Mark::Worked, " ok")
        } else {
            (Mark::Failed, " failed")
        };
        let line = StyledLine::marked(mark).strong(event.name()).plain(outcome);
        let time = format!(", {}", duration(event.duration()));
        output.status.line(&line.dim(&time));
        Ok(())
    }

    fn result(&mut self, event: &ResultEvent, output: &mut Output) -> io::Result<()> {
        self.settle(output)?;
        let result = event.result();
        let reason = result.stop_reason();
        if !output.data.is_live() && reason != StopReason::Cancelled && !result.text().is_empty() {
            let text = if output.data.is_terminal() {
                Cow::Owned(harmless(result.text()))
            } else {
                Cow::Borrowed(result.text())
            };
            let end = if text.ends_with('\n') { "" } else { "\n" };
            output.data.write(&format!("{text}{end}"))?;
        }
        let mark = match reason {
            StopReason::EndTurn | StopReason::StopSequence => Mark::Worked,
            _ => Mark::Ended,
        };
        let line = StyledLine::marked(mark)
            .plain(&wording::stop(reason))
            .plain(": ");
        output.status.line(&line.dim(&wording::totals(result)));
        Ok(())
    }
}

/// Says whether the run goes on after an answer: with tools, or because the provider paused.
fn is_on_the_way(message: &Message) -> bool {
    message.stop_reason == Some(StopReason::PauseTurn) || message.tool_uses().next().is_some()
}

/// Takes back what an attempt has shown: erases it, or says that it does not count.
fn take_back(
    text: &LiveText,
    event: &AttemptDiscardedEvent,
    output: &mut Output,
) -> io::Result<()> {
    let goes_on = !matches!(
        event.reason(),
        DiscardReason::Cancelled | DiscardReason::Deadline | DiscardReason::HookError
    );
    let line = StyledLine::marked(Mark::TakenBack);
    let erasure = text.erasure(output.data.extent());
    let line = match erasure.filter(|_| goes_on) {
        Some(erasure) => {
            output.data.write(&erasure)?;
            let quoted = shortened(text.text().trim(), QUOTED_COLUMNS);
            line.plain(&format!("attempt {}: taken back ", event.attempt()))
                .dim(&format!("“{quoted}”"))
        }
        // What is not replaced by anything is left for whoever was reading it.
        None => {
            if !text.is_at_line_start() {
                output.data.write("\n")?;
            }
            line.plain(&format!("attempt {}: the text above", event.attempt()))
                .plain(" is taken back")
        }
    };
    output.status.line(&line);
    Ok(())
}

#[cfg(test)]
mod tests;
