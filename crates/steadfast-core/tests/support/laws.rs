//! The laws of every run, as design sections 2.3, 2.4, 3 and 5 state them: checked on what was told
//! and on what stays. How the run came about is not known here.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use steadfast_core::{
    AgentEvent, ContentBlock, DecidedBy, EventLoopThrottleEvent, EventScope, Message, ModelError,
    Role, RunErrorKind, StopReason,
};

/// An attempt's place in its run: turn and number.
type Place = (u32, u32);

const fn place(scope: &EventScope) -> Place {
    (scope.turn, scope.attempt)
}

/// An event, and when a viewer saw it.
pub(crate) type Seen = (Duration, AgentEvent);

/// The events alone.
pub(crate) fn events(seen: &[Seen]) -> Vec<AgentEvent> {
    seen.iter().map(|(_, event)| event.clone()).collect()
}

/// Checks all that was told of one run, from its beginning to its end.
pub(crate) fn check_events(seen: &[Seen]) {
    let events = events(seen);
    check_ends(&events);
    let mut ledger = Ledger::default();
    for (_, event) in seen {
        ledger.take(event);
    }
    ledger.close();
    check_texts(&events);
}

/// Checks all that an observer was told of a run that was dropped: what was open then has no end.
pub(crate) fn check_dropped(seen: &[Seen]) {
    let events = events(seen);
    let is_drop = |event: &&AgentEvent| matches!(event, AgentEvent::RunDropped(_));
    let is_end =
        |event: &&AgentEvent| matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_));
    assert!(is_started(events.first()), "{events:#?}");
    assert!(events.last().as_ref().is_some_and(is_drop), "{events:#?}");
    assert_eq!(events.iter().filter(is_drop).count(), 1, "{events:#?}");
    assert_eq!(events.iter().filter(is_end).count(), 0, "{events:#?}");
    let mut ledger = Ledger::default();
    for (_, event) in seen {
        ledger.take(event);
    }
}

fn is_started(event: Option<&AgentEvent>) -> bool {
    matches!(event, Some(AgentEvent::RunStarted(_)))
}

/// The first event is the run's beginning; exactly one of `result` and `force_stop` is the last.
fn check_ends(events: &[AgentEvent]) {
    let is_start = |event: &&AgentEvent| is_started(Some(*event));
    let is_end =
        |event: &&AgentEvent| matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_));
    assert!(is_started(events.first()), "{events:#?}");
    assert!(events.last().as_ref().is_some_and(is_end), "{events:#?}");
    assert_eq!(events.iter().filter(is_start).count(), 1, "{events:#?}");
    assert_eq!(events.iter().filter(is_end).count(), 1, "{events:#?}");
}

/// What is told of an attempt's second call.
#[derive(Debug, Default, PartialEq)]
enum Hedge {
    #[default]
    None,
    Started,
    Won,
}

/// What is open while a run is told.
#[derive(Default)]
struct Ledger {
    clock: Duration,
    turn: u32,
    /// The latest attempt of the turn.
    attempts: u32,
    attempts_of_run: u32,
    open: bool,
    /// Whether the attempt began with the latest event, or waits since: only then a pacer's wait is told
    /// in it.
    fresh: bool,
    /// What the attempt before failed with, if no wait was told for it yet.
    waited_out: Option<ModelError>,
    /// Why the latest attempt was taken back, and whether a wait before another was told since.
    discarded: Option<Option<ModelError>>,
    throttle: bool,
    /// Whether the open attempt has said something, and how many calls of it are told.
    said: bool,
    hedge: Hedge,
    /// Whether the latest answer was paused by its provider.
    paused: bool,
    /// The calls of the turn's message that have no result in the history yet.
    calls: Vec<String>,
    running: BTreeMap<String, u32>,
}

impl Ledger {
    fn take(&mut self, event: &AgentEvent) {
        let scope = event.scope();
        assert!(scope.at >= self.clock, "time goes back: {event:?}");
        self.clock = scope.at;
        if self.throttle {
            let follows = matches!(
                event,
                AgentEvent::AttemptStarted(_)
                    | AgentEvent::Result(_)
                    | AgentEvent::ForceStop(_)
                    | AgentEvent::RunDropped(_)
            );
            assert!(follows, "after a throttle event comes the retry: {event:?}");
        }
        if self.paused {
            let follows = matches!(
                event,
                AgentEvent::AttemptStarted(_)
                    | AgentEvent::Result(_)
                    | AgentEvent::ForceStop(_)
                    | AgentEvent::RunDropped(_)
            );
            assert!(follows, "a paused answer goes on by itself: {event:?}");
        }
        let fresh = mem::take(&mut self.fresh);
        match event {
            AgentEvent::RunStarted(_) => {}
            AgentEvent::AttemptStarted(_) => self.start(scope),
            AgentEvent::TextDelta(_) | AgentEvent::ReasoningDelta(_) => {
                // Outside of an attempt only a hook says something, and then says it whole.
                assert!(
                    !self.open || place(scope) == (self.turn, self.attempts),
                    "{event:?}"
                );
                let decided = self.hedge != Hedge::Started;
                assert!(!self.open || decided, "one of two calls answers: {event:?}");
                self.said = true;
            }
            AgentEvent::HedgeStarted(_) => {
                assert!(
                    self.open && !self.said,
                    "a hedge comes before output: {event:?}"
                );
                assert_eq!(place(scope), (self.turn, self.attempts), "{event:?}");
                assert_eq!(self.hedge, Hedge::None, "one hedge: {event:?}");
                self.hedge = Hedge::Started;
            }
            AgentEvent::HedgeWon(_) => {
                assert!(self.open && !self.said, "{event:?}");
                assert_eq!(place(scope), (self.turn, self.attempts), "{event:?}");
                assert_eq!(self.hedge, Hedge::Started, "{event:?}");
                self.hedge = Hedge::Won;
            }
            AgentEvent::AttemptDiscarded(discarded) => {
                assert!(self.open, "an attempt ends once: {event:?}");
                assert_eq!(place(scope), (self.turn, self.attempts), "{event:?}");
                self.open = false;
                self.discarded = Some(discarded.error().cloned());
            }
            AgentEvent::EventLoopThrottle(wait) => self.wait(scope, wait, fresh),
            AgentEvent::Message(added) => self.add(scope, added.message()),
            AgentEvent::ToolStarted(tool) => {
                let id = &tool.tool_use().id;
                assert!(!self.open, "tools start after the message: {event:?}");
                assert!(self.calls.contains(id), "no call of the message: {event:?}");
                let running = self.running.entry(id.clone()).or_default();
                *running += 1;
                assert_eq!(*running, 1, "a call runs once at a time: {event:?}");
            }
            AgentEvent::ToolFinished(tool) => {
                let running = self.running.entry(tool.id().to_owned()).or_default();
                assert_eq!(*running, 1, "it finishes what started: {event:?}");
                *running = 0;
            }
            AgentEvent::Result(end) => {
                assert_eq!(end.result().attempts(), self.attempts_of_run, "{event:?}");
                assert!(
                    self.calls.is_empty(),
                    "a result leaves no open call: {event:?}"
                );
                let ends_a_pause = matches!(
                    end.result().stop_reason(),
                    StopReason::LimitTurns | StopReason::LimitTokens | StopReason::Cancelled
                );
                assert!(!self.paused || ends_a_pause, "{event:?}");
            }
            AgentEvent::ForceStop(end) => {
                // A wait ends in a retry or is cancelled; a hook may still fail at the end.
                let by_hook = end.failure().kind() == RunErrorKind::Hook;
                assert!(!self.throttle || by_hook, "{event:?}");
            }
            AgentEvent::RunDropped(_) => {
                assert!(place(scope) >= (self.turn, 0), "{event:?}");
            }
            other => assert_eq!(format!("{other:?}"), "an event that this law knows"),
        }
    }

    /// A wait is told before a retry, or, once its attempt has begun, before the call: there by a
    /// pacer, and with an error only if that was retried at once.
    fn wait(&mut self, scope: &EventScope, wait: &EventLoopThrottleEvent, fresh: bool) {
        assert_eq!(place(scope), (self.turn, self.attempts), "{wait:?}");
        if self.open {
            assert!(fresh, "a wait comes first in its attempt: {wait:?}");
            assert_eq!(wait.decided_by(), DecidedBy::Pacer, "{wait:?}");
            if wait.error().is_some() {
                assert_eq!(wait.error(), self.waited_out.take().as_ref(), "{wait:?}");
            }
            self.fresh = true;
        } else {
            let waited_out = wait.error().cloned();
            assert_eq!(self.discarded, Some(waited_out), "{wait:?}");
            self.throttle = true;
        }
    }

    /// Attempts are numbered from 1 without gaps, in turns that do not go back.
    fn start(&mut self, scope: &EventScope) {
        assert!(!self.open, "one attempt at a time: {scope:?}");
        assert!(self.calls.is_empty(), "calls are answered first: {scope:?}");
        if scope.turn == self.turn {
            assert_eq!(scope.attempt, self.attempts + 1, "{scope:?}");
        } else {
            assert!(scope.turn > self.turn && scope.attempt == 1, "{scope:?}");
        }
        (self.turn, self.attempts) = place(scope);
        self.attempts_of_run += 1;
        self.open = true;
        self.said = false;
        self.hedge = Hedge::None;
        self.fresh = true;
        let failed = self.discarded.take().flatten();
        self.waited_out = failed.filter(|_| !self.throttle);
        self.throttle = false;
        self.paused = false;
    }

    fn add(&mut self, scope: &EventScope, message: &Message) {
        if message.role == Role::Assistant {
            assert!(
                self.calls.is_empty(),
                "calls are answered first: {message:?}"
            );
            if self.open {
                assert_eq!(place(scope), (self.turn, self.attempts), "{message:?}");
            }
            self.open = false;
            self.discarded = None;
            self.paused = message.stop_reason == Some(StopReason::PauseTurn);
            self.calls = message.tool_uses().map(|call| call.id.clone()).collect();
        } else {
            assert!(!self.open, "{message:?}");
            let answered = result_ids(message);
            if !answered.is_empty() {
                assert_eq!(answered, self.calls, "results in the model's order");
                assert!(
                    self.running.values().all(|count| *count == 0),
                    "{message:?}"
                );
                self.calls.clear();
            }
        }
    }

    fn close(&self) {
        assert!(!self.open, "every attempt ends");
        assert!(
            self.running.values().all(|count| *count == 0),
            "every tool that started finished: {:?}",
            self.running
        );
    }
}

/// The deltas that were not taken back are the texts of the messages.
fn check_texts(events: &[AgentEvent]) {
    let mut shown: Vec<(Place, &str)> = Vec::new();
    let mut said = String::new();
    for event in events {
        match event {
            AgentEvent::TextDelta(delta) => shown.push((place(event.scope()), delta.text())),
            AgentEvent::AttemptDiscarded(_) => {
                shown.retain(|(shown, _)| *shown != place(event.scope()));
            }
            AgentEvent::Message(added) if added.message().role == Role::Assistant => {
                said += &added.message().text();
            }
            _ => {}
        }
    }
    let shown: String = shown.into_iter().map(|(_, text)| text).collect();
    assert_eq!(shown, said, "{events:#?}");
}

/// The messages that were told, in order: what the run has added to the history.
pub(crate) fn told_messages(events: &[AgentEvent]) -> Vec<Arc<Message>> {
    let told = events.iter().filter_map(|event| match event {
        AgentEvent::Message(added) => Some(Arc::clone(added.message())),
        _ => None,
    });
    told.collect()
}

fn result_ids(message: &Message) -> Vec<String> {
    let results = message.content.iter().filter_map(|block| match block {
        ContentBlock::ToolResult(result) => Some(result.id.clone()),
        _ => None,
    });
    results.collect()
}

/// Whether a message asks for tools.
pub(crate) fn calls_tools(message: &Message) -> bool {
    message.tool_uses().next().is_some()
}

/// A history that providers accept: every call is answered directly after, in the model's order, and
/// nothing is answered that was not asked.
pub(crate) fn check_history<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) {
    let mut open: Vec<String> = Vec::new();
    for (number, message) in messages.into_iter().enumerate() {
        let answered = result_ids(message);
        assert!(number > 0 || message.role == Role::User, "{message:?}");
        assert_eq!(answered, open, "message {number}: {message:?}");
        match message.role {
            Role::Assistant => open = message.tool_uses().map(|call| call.id.clone()).collect(),
            _ => {
                assert!(!calls_tools(message), "{message:?}");
                open.clear();
            }
        }
    }
    assert!(open.is_empty(), "calls without results: {open:?}");
}

/// How many messages of a stopped run belong to turns that were finished.
pub(crate) fn finished(messages: &[Arc<Message>]) -> usize {
    let ends_turn = |message: &Arc<Message>| match message.role {
        Role::Assistant => !calls_tools(message),
        _ => !result_ids(message).is_empty(),
    };
    messages
        .iter()
        .rposition(ends_turn)
        .map_or(0, |last| last + 1)
}
