//! The run: a state machine without IO. It knows what comes next and nothing of how it is done.

mod step;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration, time::SystemTime};

use serde::{Deserialize, Serialize};

pub(crate) use step::Unit;
pub use step::{
    AttemptOutcome, AttemptVerdict, Begun, RecordedWait, Step, StepMismatch, StepName, StepOutcome,
    ToolOutcome, ToolStep, ToolVerdict, ToolsBegun, ToolsFinished,
};

use crate::{
    agent_result::AgentResult,
    history::History,
    limits::{FailedTurnPolicy, Limits},
    message::{Message, Role, ToolResult, ToolUse},
    run_error::Failure,
    run_id::RunId,
    usage::{StopReason, Usage},
};

/// The version of a run's stored form.
const RUN_SCHEMA: u32 = 1;

/// One prompt on its way to a result.
///
/// [`Run::step`] only looks and says what is to be done; [`Run::apply`] takes the outcome and is
/// the only change. Neither reads a clock, draws a random number or calls anything, so the same
/// outcomes always lead to the same run: this is what makes a run testable, resumable and durable.
///
/// A run serialises. A stored run means that its next step has not happened yet; a wait is stored
/// as the wall-clock time at which it ends. The form embeds the whole history.
///
/// An agent drives its runs itself; a program meets one in [`crate::RunError::into_run`], and gives
/// it back to [`crate::Agent::resume`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    schema: u32,
    id: RunId,
    started: SystemTime,
    deadline: Option<SystemTime>,
    limits: Limits,
    history: History,
    /// How many messages of the history's tail belong to finished turns.
    finished: usize,
    /// How many prompts this run has begun: more than one only after `resume` of a hook.
    rounds: u32,
    turn: Turn,
    usage: Usage,
    attempts: u32,
    waited: Duration,
    phase: Phase,
}

/// What is counted within one turn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Turn {
    number: u32,
    /// Calls made; the next one has this number plus one.
    attempts: u32,
    waits: u32,
    last_delay: Option<Duration>,
    /// When its first attempt began.
    started: Option<SystemTime>,
}

impl Turn {
    const fn new(number: u32) -> Self {
        Self {
            number,
            attempts: 0,
            waits: 0,
            last_delay: None,
            started: None,
        }
    }

    /// The turn after this one.
    const fn next(self) -> Self {
        Self::new(self.number.saturating_add(1))
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    Begin {
        prompt: Vec<Message>,
    },
    Attempt,
    Wait(RecordedWait),
    BeginTools,
    Tools {
        slots: Vec<ToolSlot>,
    },
    FinishTools {
        results: Vec<ToolResult>,
        /// Set where nothing may follow: the run then ends with this.
        then: Option<StopReason>,
    },
    End {
        ending: Ending,
        /// What was being done when the run failed, to be done again on resume.
        unfinished: Option<Box<Self>>,
    },
    Done {
        ending: Ending,
        unfinished: Option<Box<Self>>,
        at: SystemTime,
    },
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Ending {
    Finished(StopReason),
    Failed(Failure),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum ToolSlot {
    Ready {
        tries: u32,
    },
    Waiting {
        tries: u32,
        wait: RecordedWait,
    },
    Done(ToolResult),
    /// Cut short, and to be done again if the run is resumed.
    Cancelled {
        tries: u32,
        result: ToolResult,
    },
}

impl ToolSlot {
    /// What the model may read of it, if anything.
    const fn result(&self) -> Option<&ToolResult> {
        match self {
            Self::Done(result) | Self::Cancelled { result, .. } => Some(result),
            Self::Ready { .. } | Self::Waiting { .. } => None,
        }
    }

    /// The results of all calls, once each has one.
    fn results(slots: &[Self]) -> Option<Vec<ToolResult>> {
        slots.iter().map(|slot| slot.result().cloned()).collect()
    }
}

/// What the model reads in place of a result when a call was not run.
const NOT_RUN_CUT: &str = "not run: the answer was cut at the output limit";
const NOT_RUN_FILTERED: &str = "not run: the answer was stopped before it was complete";
const NOT_RUN_STOPPED: &str = "not run: the run was stopped";

impl Run {
    pub(crate) fn new(
        id: RunId,
        started: SystemTime,
        limits: Limits,
        base: History,
        prompt: Vec<Message>,
    ) -> Self {
        Self {
            schema: RUN_SCHEMA,
            id,
            started,
            deadline: limits.deadline.and_then(|limit| started.checked_add(limit)),
            limits,
            history: base,
            finished: 0,
            rounds: 1,
            turn: Turn::new(1),
            usage: Usage::default(),
            attempts: 0,
            waited: Duration::ZERO,
            phase: Phase::Begin { prompt },
        }
    }

    /// Stands for a run that was lost with its task: nothing is known of it.
    pub(crate) fn lost() -> Self {
        let nothing = History::default();
        Self::new(
            RunId::default(),
            SystemTime::UNIX_EPOCH,
            Limits::default(),
            nothing,
            Vec::new(),
        )
    }

    /// Says what is to be done next. It only looks.
    #[must_use]
    pub fn step(&self) -> Step {
        match &self.phase {
            Phase::Begin { .. } => Step::Begin,
            Phase::Attempt => Step::Attempt {
                attempt: self.turn.attempts.saturating_add(1),
            },
            Phase::Wait(wait) => Step::Wait(*wait),
            Phase::BeginTools => Step::BeginTools,
            Phase::Tools { slots, .. } => Step::Tools(
                slots
                    .iter()
                    .enumerate()
                    .filter_map(|(slot, state)| match state {
                        ToolSlot::Ready { tries } => Some(ToolStep {
                            slot,
                            tries: tries.saturating_add(1),
                            wait: None,
                        }),
                        ToolSlot::Waiting { tries, wait } => Some(ToolStep {
                            slot,
                            tries: tries.saturating_add(1),
                            wait: Some(*wait),
                        }),
                        ToolSlot::Done(_) | ToolSlot::Cancelled { .. } => None,
                    })
                    .collect(),
            ),
            Phase::FinishTools { .. } => Step::FinishTools,
            Phase::End { .. } => Step::End,
            Phase::Done { .. } => Step::Done,
        }
    }

    /// Takes the outcome of a step. It is the only change of a run.
    ///
    /// # Errors
    ///
    /// An outcome of another step than the one that [`Run::step`] asks for; the run is then as it
    /// was.
    pub fn apply(&mut self, outcome: StepOutcome) -> Result<(), StepMismatch> {
        match (&mut self.phase, outcome) {
            (Phase::Begin { .. }, StepOutcome::Begun(begun)) => self.begin(begun),
            (Phase::Attempt, StepOutcome::Attempt(outcome)) => self.take_attempt(*outcome),
            (Phase::Wait(wait), StepOutcome::Waited) => {
                self.waited = self.waited.saturating_add(wait.delay);
                self.phase = Phase::Attempt;
            }
            (Phase::Wait(_), StepOutcome::WaitCancelled) => {
                self.end(Ending::Finished(StopReason::Cancelled))
            }
            (Phase::BeginTools, StepOutcome::ToolsBegun(begun)) => self.begin_tools(begun),
            (Phase::Tools { .. } | Phase::End { .. }, StepOutcome::Tool(outcome)) => {
                return self.take_tool(outcome);
            }
            (Phase::FinishTools { .. }, StepOutcome::ToolsFinished(finished)) => {
                self.finish_tools(finished)
            }
            (
                Phase::End { .. },
                StepOutcome::Ended {
                    at,
                    resume,
                    failure,
                },
            ) => self.close(at, resume, failure),
            (_, outcome) => {
                return Err(StepMismatch {
                    expected: self.step().kind(),
                    got: outcome.kind(),
                });
            }
        }
        Ok(())
    }

    fn begin(&mut self, begun: Begun) {
        if let Some(failure) = begun.failure {
            return self.end(Ending::Failed(failure));
        }
        if begun.cancelled {
            return self.end(Ending::Finished(StopReason::Cancelled));
        }
        for message in begun.messages {
            self.history.push(message);
        }
        match begun.answer {
            Some(answer) => {
                self.history.push(answer);
                self.finish_turn();
                self.end(Ending::Finished(StopReason::EndTurn));
            }
            None => self.phase = Phase::Attempt,
        }
    }

    fn take_attempt(&mut self, outcome: AttemptOutcome) {
        self.attempts = self.attempts.saturating_add(1);
        self.turn.attempts = self.turn.attempts.saturating_add(1);
        self.turn.started.get_or_insert(outcome.started);
        self.usage += outcome.usage;
        match outcome.verdict {
            AttemptVerdict::Answered { message } => self.take_answer(message),
            AttemptVerdict::Retry { wait: None } => {}
            AttemptVerdict::Retry { wait: Some(wait) } => {
                self.turn.waits = self.turn.waits.saturating_add(1);
                self.turn.last_delay = Some(wait.delay);
                self.phase = if wait.delay.is_zero() {
                    Phase::Attempt
                } else {
                    Phase::Wait(wait)
                };
            }
            AttemptVerdict::Failed(failure) => self.end(Ending::Failed(failure)),
            AttemptVerdict::Cancelled => self.end(Ending::Finished(StopReason::Cancelled)),
        }
    }

    fn take_answer(&mut self, message: Arc<Message>) {
        let stop_reason = message.stop_reason.unwrap_or(StopReason::EndTurn);
        let calls = message.tool_uses().next().is_some();
        let not_run = match stop_reason {
            StopReason::MaxTokens => NOT_RUN_CUT,
            _ => NOT_RUN_FILTERED,
        };
        self.history.push(message);
        match stop_reason {
            StopReason::ToolUse if calls => self.phase = Phase::BeginTools,
            // A call in an answer that is not complete is never run, but it is answered: a history
            // with an open call is one that providers refuse.
            stop if calls => self.refuse_calls(not_run, Some(stop)),
            stop => {
                self.finish_turn();
                self.end(Ending::Finished(stop));
            }
        }
    }

    /// Answers every call of the latest message with a sentence instead of running it.
    fn refuse_calls(&mut self, reason: &str, then: Option<StopReason>) {
        let calls = self
            .history
            .last()
            .into_iter()
            .flat_map(|message| message.tool_uses());
        let results = calls.map(|call| ToolResult::error(call, reason)).collect();
        self.phase = Phase::FinishTools { results, then };
    }

    fn begin_tools(&mut self, begun: ToolsBegun) {
        let calls = self
            .history
            .last()
            .map_or(0, |message| message.tool_uses().count());
        match begun {
            ToolsBegun {
                failure: Some(failure),
                ..
            } => self.end(Ending::Failed(failure)),
            ToolsBegun {
                cancelled: true, ..
            } => self.refuse_calls(NOT_RUN_STOPPED, Some(StopReason::Cancelled)),
            ToolsBegun {
                refusal: Some(reason),
                ..
            } => self.refuse_calls(&reason, None),
            _ => {
                self.phase = Phase::Tools {
                    slots: vec![ToolSlot::Ready { tries: 0 }; calls],
                };
            }
        }
    }

    /// Takes the outcome of a call. Once another call has failed, one that was still under way joins
    /// the unfinished turn, so that outcomes lead to the same run in whatever order they come.
    fn take_tool(&mut self, outcome: ToolOutcome) -> Result<(), StepMismatch> {
        let mismatch = StepMismatch {
            expected: self.step().kind(),
            got: "tool",
        };
        let max_tries = self.limits.max_tool_tries;
        let slots = match &mut self.phase {
            Phase::Tools { slots } => slots,
            Phase::End {
                unfinished: Some(phase),
                ..
            } => match &mut **phase {
                Phase::Tools { slots } => slots,
                _ => return Err(mismatch),
            },
            _ => return Err(mismatch),
        };
        let state = slots.get_mut(outcome.slot).ok_or(mismatch)?;
        let tries = match state {
            ToolSlot::Ready { tries } | ToolSlot::Waiting { tries, .. } => tries.saturating_add(1),
            ToolSlot::Done(_) | ToolSlot::Cancelled { .. } => return Err(mismatch),
        };
        let mut failed = None;
        match outcome.verdict {
            ToolVerdict::Done(result) => *state = ToolSlot::Done(result),
            // The cap stands outside of what a hook can change: the last result counts.
            ToolVerdict::Retry { result, .. } if tries >= max_tries => {
                *state = ToolSlot::Done(result)
            }
            ToolVerdict::Retry {
                wait: Some(wait), ..
            } => *state = ToolSlot::Waiting { tries, wait },
            ToolVerdict::Retry { wait: None, .. } => *state = ToolSlot::Ready { tries },
            ToolVerdict::Cancelled(result) => {
                let tries = tries.saturating_sub(1);
                *state = ToolSlot::Cancelled { tries, result };
            }
            ToolVerdict::Failed(failure) => failed = Some(failure),
        }
        if let Phase::Tools { slots } = &mut self.phase {
            match failed {
                Some(failure) => self.end(Ending::Failed(failure)),
                None => {
                    if let Some(results) = ToolSlot::results(slots) {
                        let then = slots
                            .iter()
                            .any(|slot| matches!(slot, ToolSlot::Cancelled { .. }))
                            .then_some(StopReason::Cancelled);
                        self.phase = Phase::FinishTools { results, then };
                    }
                }
            }
        }
        Ok(())
    }

    fn finish_tools(&mut self, finished: ToolsFinished) {
        let Phase::FinishTools { then, .. } = self.phase else {
            return;
        };
        if let Some(failure) = finished.failure {
            return self.end(Ending::Failed(failure));
        }
        self.history.push(finished.message);
        let injected = finished.end_turn.is_some();
        if let Some(answer) = finished.end_turn {
            self.history.push(answer);
        }
        self.finish_turn();
        let ending = match then {
            Some(stop) => Some(stop),
            None if finished.cancelled => Some(StopReason::Cancelled),
            None if injected => Some(StopReason::EndTurn),
            None => self.reached_limit(),
        };
        // What would come next, also for whoever resumes a run that is cancelled here.
        self.phase = Phase::Attempt;
        match ending {
            Some(stop) => self.end(Ending::Finished(stop)),
            None => self.turn = self.turn.next(),
        }
    }

    fn reached_limit(&self) -> Option<StopReason> {
        if self.turn.number >= self.limits.max_turns {
            return Some(StopReason::LimitTurns);
        }
        let max_total = self.limits.max_total_tokens?;
        (self.usage.total() >= max_total).then_some(StopReason::LimitTokens)
    }

    fn finish_turn(&mut self) {
        self.finished = self.history.tail().len();
    }

    fn end(&mut self, ending: Ending) {
        let stopped = match &ending {
            Ending::Failed(_) | Ending::Finished(StopReason::Cancelled) => true,
            Ending::Finished(_) => false,
        };
        let unfinished = std::mem::replace(&mut self.phase, Phase::Attempt);
        let unfinished = stopped.then(|| Box::new(unfinished));
        self.phase = Phase::End { ending, unfinished };
    }

    fn close(&mut self, at: SystemTime, resume: Option<Vec<Message>>, failure: Option<Failure>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Attempt);
        let Phase::End { ending, unfinished } = phase else {
            self.phase = phase;
            return;
        };
        let may_resume = may_resume(&ending) && self.reached_limit().is_none();
        self.phase = match (failure, resume) {
            // The end itself failed: this is what is to be done again on resume.
            (Some(failure), _) => Phase::Done {
                ending: Ending::Failed(failure),
                unfinished: Some(Box::new(Phase::End { ending, unfinished })),
                at,
            },
            (None, Some(prompt)) if may_resume => {
                self.rounds = self.rounds.saturating_add(1);
                self.turn = self.turn.next();
                Phase::Begin { prompt }
            }
            (None, _) => Phase::Done {
                ending,
                unfinished,
                at,
            },
        };
    }

    /// Opens a run that ended without a result, so that it goes on where it stopped. What was left of
    /// a turn becomes a turn of its own, whose attempts count anew and whose records have names of
    /// their own. A deadline that has passed is set anew, and so is any if the prompt brings its own.
    pub(crate) fn reopen(&mut self, now: SystemTime, deadline: Option<Duration>) {
        if deadline.is_some() {
            self.deadline = deadline.and_then(|limit| now.checked_add(limit));
        }
        let Phase::Done { unfinished, .. } = &mut self.phase else {
            return;
        };
        let Some(phase) = unfinished.take() else {
            return;
        };
        self.phase = match *phase {
            // Whoever resumes has waited.
            Phase::Wait(_) => Phase::Attempt,
            Phase::Tools { mut slots } => {
                for slot in &mut slots {
                    if let ToolSlot::Cancelled { tries, .. } = slot {
                        *slot = ToolSlot::Ready { tries: *tries };
                    }
                }
                Phase::Tools { slots }
            }
            phase => phase,
        };
        self.rounds = self.rounds.saturating_add(1);
        if !matches!(self.phase, Phase::Begin { .. } | Phase::End { .. }) {
            self.turn = self.turn.next();
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = self
                .limits
                .deadline
                .and_then(|limit| now.checked_add(limit));
        }
    }
}

/// What a run says about itself.
impl Run {
    /// Returns the identity.
    #[must_use]
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// Returns the messages so far, those of an unfinished turn included.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Returns the current turn, from 1.
    #[must_use]
    pub const fn turn(&self) -> u32 {
        self.turn.number
    }

    /// Returns how many times the model was called.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the tokens of all attempts.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns when the run began.
    #[must_use]
    pub const fn started(&self) -> SystemTime {
        self.started
    }

    /// Returns when it must have ended.
    #[must_use]
    pub const fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// Returns whether there is nothing left to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done { .. })
    }

    /// Returns what went wrong, if the run ends or has ended with an error.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.phase {
            Phase::End {
                ending: Ending::Failed(failure),
                ..
            }
            | Phase::Done {
                ending: Ending::Failed(failure),
                ..
            } => Some(failure),
            _ => None,
        }
    }

    pub(crate) const fn stop_reason(&self) -> Option<StopReason> {
        match &self.phase {
            Phase::End {
                ending: Ending::Finished(stop),
                ..
            }
            | Phase::Done {
                ending: Ending::Finished(stop),
                ..
            } => Some(*stop),
            _ => None,
        }
    }

    /// Whether a hook may go on with another prompt once this one has ended.
    pub(crate) fn may_resume(&self) -> bool {
        match &self.phase {
            Phase::End { ending, .. } => may_resume(ending) && self.reached_limit().is_none(),
            _ => false,
        }
    }

    pub(crate) const fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(crate) fn prompt(&self) -> &[Message] {
        match &self.phase {
            Phase::Begin { prompt } => prompt,
            _ => &[],
        }
    }

    /// The results of the turn's tools, and whether hooks were asked before them: not for a call in
    /// an answer that is not complete.
    pub(crate) fn tool_results(&self) -> (&[ToolResult], bool) {
        match &self.phase {
            Phase::FinishTools { results, then } => {
                (results, matches!(then, None | Some(StopReason::Cancelled)))
            }
            _ => (&[], false),
        }
    }

    pub(crate) const fn attempts_in_turn(&self) -> u32 {
        self.turn.attempts
    }

    pub(crate) const fn waits(&self) -> u32 {
        self.turn.waits
    }

    pub(crate) const fn last_delay(&self) -> Option<Duration> {
        self.turn.last_delay
    }

    pub(crate) const fn turn_started(&self) -> Option<SystemTime> {
        self.turn.started
    }

    pub(crate) const fn max_attempts_per_turn(&self) -> u32 {
        self.limits.max_attempts_per_turn
    }

    pub(crate) const fn max_tool_tries(&self) -> u32 {
        self.limits.max_tool_tries
    }

    /// The result, once the ending is known. That of a run that is done does not change any more.
    pub(crate) fn result(&self, now: SystemTime) -> Option<AgentResult> {
        let stop_reason = self.stop_reason()?;
        let ended = match &self.phase {
            Phase::Done { at, .. } => *at,
            _ => now,
        };
        let text = self
            .history
            .tail()
            .iter()
            .rev()
            .find(|message| message.role == Role::Assistant)
            .map(|message| message.text().into_owned());
        Some(AgentResult {
            stop_reason,
            text: text.unwrap_or_default(),
            usage: self.usage,
            attempts: self.attempts,
            turns: self.turn.number,
            duration: ended.duration_since(self.started).unwrap_or_default(),
            waited: self.waited,
        })
    }

    /// The messages that a conversation keeps of this run.
    pub(crate) fn kept_messages(&self, policy: FailedTurnPolicy) -> Vec<Arc<Message>> {
        let tail = self.history.tail();
        let stopped = self.failure().is_some() || self.stop_reason() == Some(StopReason::Cancelled);
        match policy {
            _ if !stopped => tail.to_vec(),
            FailedTurnPolicy::RollBackTurn => {
                tail.get(..self.finished).unwrap_or_default().to_vec()
            }
            FailedTurnPolicy::RollBackAll => Vec::new(),
            FailedTurnPolicy::KeepTurn => {
                let mut kept = tail.to_vec();
                let open: Vec<&ToolUse> = match kept.last() {
                    Some(last) if last.role == Role::Assistant => last.tool_uses().collect(),
                    _ => Vec::new(),
                };
                if !open.is_empty() {
                    let answered = self.answered_slots();
                    let result = |(slot, call): (usize, &ToolUse)| {
                        let answer = answered.get(slot).and_then(|result| *result).cloned();
                        answer.unwrap_or_else(|| ToolResult::error(call, NOT_RUN_STOPPED))
                    };
                    let results: Vec<ToolResult> =
                        open.into_iter().enumerate().map(result).collect();
                    kept.push(Arc::new(Message::tool_results(results)));
                }
                kept
            }
        }
    }

    /// The results that the tools of an unfinished turn have given, by the place of their call.
    fn answered_slots(&self) -> Vec<Option<&ToolResult>> {
        let (Phase::End { unfinished, .. } | Phase::Done { unfinished, .. }) = &self.phase else {
            return Vec::new();
        };
        match unfinished.as_deref() {
            Some(Phase::Tools { slots }) => slots.iter().map(ToolSlot::result).collect(),
            Some(Phase::FinishTools { results, .. }) => results.iter().map(Some).collect(),
            _ => Vec::new(),
        }
    }
}

fn may_resume(ending: &Ending) -> bool {
    matches!(ending, Ending::Finished(stop) if *stop != StopReason::Cancelled)
}

/// Says where the run stands and nothing of what was said.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.id)
            .field("step", &self.step())
            .field("turn", &self.turn)
            .field("attempts", &self.attempts)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
