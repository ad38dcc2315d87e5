//! A run as a viewer sees it: its events, one line each, checked against the laws of every run.

use std::{collections::BTreeMap, time::Duration};

use steadfast_core::{AgentEvent, AgentResult, ContentBlock, Message, Prompt, Role, RunError};
use tokio::time::Instant;

/// A run that was streamed to its end.
pub(crate) struct Told {
    events: Vec<(Duration, AgentEvent)>,
    pub(crate) outcome: Result<AgentResult, RunError>,
}

/// Streams a run to its end and checks what design section 2.3 and 5 promise of every run.
pub(crate) async fn told(prompt: Prompt<'_>) -> Told {
    let began = Instant::now();
    let mut stream = prompt.stream();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push((began.elapsed(), event));
    }
    let outcome = stream.result().await;
    let told = Told { events, outcome };
    told.check_last_event();
    told.check_attempts();
    told.check_tools();
    told.check_texts();
    told
}

impl Told {
    /// One line an event. Between two lines, the virtual time that passed for the viewer.
    pub(crate) fn trace(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut clock = Duration::ZERO;
        for (seen, event) in &self.events {
            if *seen > clock {
                lines.push(format!("+{:?}", *seen - clock));
                clock = *seen;
            }
            lines.push(line(event));
        }
        lines
    }

    /// Exactly one of `result` and `force_stop` is the last event, and it tells the outcome.
    fn check_last_event(&self) {
        let is_ending =
            |event: &AgentEvent| matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_));
        let endings = self.events.iter().filter(|(_, event)| is_ending(event));
        assert_eq!(endings.count(), 1, "{:#?}", self.trace());
        match (self.events.last(), &self.outcome) {
            (Some((_, AgentEvent::Result(told))), Ok(result)) => {
                assert_eq!(told.result(), result.summary())
            }
            (Some((_, AgentEvent::ForceStop(told))), Err(error)) => {
                assert_eq!(told.failure(), error.failure());
            }
            _ => assert_eq!(self.trace(), ["an ending that tells the outcome"]),
        }
    }

    /// Every attempt ends in exactly one of a message and a discard.
    fn check_attempts(&self) {
        let mut open: BTreeMap<(u32, u32), i32> = BTreeMap::new();
        for (_, event) in &self.events {
            let place = (event.scope().turn, event.scope().attempt);
            match event {
                AgentEvent::AttemptStarted(_) => *open.entry(place).or_default() += 1,
                AgentEvent::AttemptDiscarded(_) => *open.entry(place).or_default() -= 1,
                // An answer that a hook gives outside of an attempt closes none.
                AgentEvent::Message(event) if event.message().role == Role::Assistant => {
                    if let Some(count) = open.get_mut(&place).filter(|count| **count > 0) {
                        *count -= 1;
                    }
                }
                _ => {}
            }
        }
        assert!(
            open.values().all(|count| *count == 0),
            "{:#?}",
            self.trace()
        );
    }

    /// Every tool that started finished.
    fn check_tools(&self) {
        let mut open: BTreeMap<&str, i32> = BTreeMap::new();
        for (_, event) in &self.events {
            match event {
                AgentEvent::ToolStarted(event) => {
                    *open.entry(&event.tool_use().id).or_default() += 1
                }
                AgentEvent::ToolFinished(event) => *open.entry(event.id()).or_default() -= 1,
                _ => {}
            }
        }
        assert!(
            open.values().all(|count| *count == 0),
            "{:#?}",
            self.trace()
        );
    }

    /// The deltas that were not taken back are the texts of the messages, and of the history.
    fn check_texts(&self) {
        let mut shown: Vec<((u32, u32), String)> = Vec::new();
        let mut messages = String::new();
        for (_, event) in &self.events {
            let place = (event.scope().turn, event.scope().attempt);
            match event {
                AgentEvent::TextDelta(delta) => shown.push((place, delta.text().to_owned())),
                AgentEvent::AttemptDiscarded(_) => shown.retain(|(shown, _)| *shown != place),
                AgentEvent::Message(event) if event.message().role == Role::Assistant => {
                    messages += &event.message().text();
                }
                _ => {}
            }
        }
        let shown: String = shown.into_iter().map(|(_, text)| text).collect();
        assert_eq!(shown, messages, "{:#?}", self.trace());
        if let Err(error) = &self.outcome {
            let said = |message: &Message| message.role == Role::Assistant;
            let tail = error.run().history().tail().iter();
            let history: String = tail.filter(|m| said(m)).map(|m| m.text()).collect();
            assert!(
                history.ends_with(&shown),
                "{history:?}: {:#?}",
                self.trace()
            );
        }
    }
}

fn line(event: &AgentEvent) -> String {
    let place = format!("{}.{}", event.scope().turn, event.scope().attempt);
    match event {
        AgentEvent::RunStarted(_) => "run".to_owned(),
        AgentEvent::AttemptStarted(_) => format!("attempt {place}"),
        AgentEvent::ModelSwitched(event) => {
            format!("{place} from {} to {}", event.from(), event.to())
        }
        AgentEvent::HedgeStarted(event) => format!("{place} hedges after {:?}", event.delay()),
        AgentEvent::HedgeWon(event) => format!("{place} won by {:?}", event.winner()),
        AgentEvent::TextDelta(delta) => format!("{place} says {}", delta.text()),
        AgentEvent::ReasoningDelta(delta) => format!("{place} thinks {}", delta.text()),
        AgentEvent::AttemptDiscarded(event) => format!("{place} discarded {:?}", event.reason()),
        AgentEvent::EventLoopThrottle(event) => {
            format!(
                "{place} waits {:?} by {:?}",
                event.delay(),
                event.decided_by()
            )
        }
        AgentEvent::Message(event) => message_line(event.message()),
        AgentEvent::ToolStarted(event) => {
            format!("{} runs {}", event.tool_use().id, event.tool_use().name)
        }
        AgentEvent::ToolFinished(event) => {
            format!(
                "{} {}",
                event.id(),
                if event.ok() { "ok" } else { "failed" }
            )
        }
        AgentEvent::ForceStop(event) => format!("force_stop {}", event.failure().kind().name()),
        AgentEvent::Result(event) => format!("result {:?}", event.result().stop_reason()),
        other => format!("{other:?}"),
    }
}

/// A message as one line: who says what, and the calls or results that it carries.
pub(crate) fn message_line(message: &Message) -> String {
    let who = match message.role {
        Role::Assistant => "assistant",
        _ => "user",
    };
    let mut line = format!("{who}:");
    for block in &message.content {
        line += &match block {
            ContentBlock::Text { text } | ContentBlock::Refusal { text } => format!(" {text}"),
            ContentBlock::Reasoning(reasoning) => format!(" ({})", reasoning.text),
            ContentBlock::ToolUse(call) => format!(" {}={}", call.id, call.name),
            ContentBlock::ToolResult(result) => {
                let mark = if result.is_error { "!" } else { "=" };
                format!(" {}{mark}{}", result.id, result.text())
            }
            other => format!(" {other:?}"),
        };
    }
    line
}
