//! The run: a state machine without IO. It knows what comes next and nothing of how it is done.

mod phase;
mod report;
mod step;

use std::{sync::Arc, time::Duration, time::SystemTime};

use serde::{Deserialize, Serialize};

use phase::{Ending, Phase, ToolSlot, Turn};
use step::known_schema;
pub use step::{
    AttemptOutcome, AttemptVerdict, Begun, RecordedWait, Step, StepMismatch, StepName, StepOutcome,
    ToolOutcome, ToolStep, ToolVerdict, ToolsBegun, ToolsFinished,
};
pub(crate) use step::{RUN_SCHEMA, Unit};

use crate::{
    history::History,
    limits::Limits,
    message::{Message, ToolResult},
    run_error::Failure,
    run_id::RunId,
    usage::{StopReason, Usage},
};

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
    #[serde(deserialize_with = "known_schema")]
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
    /// How often a stopped run was opened again.
    ///
    /// The records of each time have names of their own.
    resumes: u32,
    turn: Turn,
    usage: Usage,
    attempts: u32,
    waited: Duration,
    phase: Phase,
}

/// What the model reads in place of a result when a call was not run.
const NOT_RUN_CUT: &str = "not run: the answer was cut at the output limit";
const NOT_RUN_FILTERED: &str = "not run: the answer was stopped before it was complete";
pub(crate) const NOT_RUN_STOPPED: &str = "not run: the run was stopped";

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
            resumes: 0,
            turn: Turn::new(1),
            usage: Usage::default(),
            attempts: 0,
            waited: Duration::ZERO,
            phase: Phase::Begin { prompt },
        }
    }

    /// Stands for a run that was lost with its task: nothing is known of it, and nothing is left to
    /// do.
    pub(crate) fn lost(failure: Failure) -> Self {
        let nothing = History::default();
        let never = SystemTime::UNIX_EPOCH;
        let mut run = Self::new(
            RunId::default(),
            never,
            Limits::default(),
            nothing,
            Vec::new(),
        );
        run.phase = Phase::Done {
            ending: Ending::Failed(failure),
            unfinished: None,
            at: never,
        };
        run
    }

    /// Says what is to be done next. It only looks.
    #[must_use]
    pub fn step(&self) -> Step {
        match &self.phase {
            Phase::Begin { .. } => Step::Begin,
            Phase::Attempt | Phase::NextTurn => Step::Attempt {
                attempt: self.turn.attempts.saturating_add(1),
            },
            Phase::Wait(wait) => Step::Wait(*wait),
            Phase::BeginTools => Step::BeginTools,
            Phase::Tools { slots } => Step::Tools(tool_steps(slots)),
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
            (Phase::Wait(_), StepOutcome::Waited { waited }) => {
                self.waited = self.waited.saturating_add(waited);
                self.phase = Phase::Attempt;
            }
            (Phase::Wait(_), StepOutcome::WaitCancelled { waited }) => {
                self.waited = self.waited.saturating_add(waited);
                self.end(Ending::Finished(StopReason::Cancelled))
            }
            (Phase::BeginTools, StepOutcome::ToolsBegun(begun)) => self.begin_tools(begun),
            (Phase::Tools { .. }, StepOutcome::Tool(outcome)) => return self.take_tool(outcome),
            (Phase::Tools { slots }, StepOutcome::ToolsStopped) => {
                let failure = ToolSlot::failure(slots)
                    .cloned()
                    .ok_or(StepMismatch::between("tool", "tools without an outcome"))?;
                self.end(Ending::Failed(failure));
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
                return Err(StepMismatch::between(self.step().kind(), outcome.kind()));
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
        self.turn.count(&outcome);
        self.usage += outcome.usage;
        self.waited = self.waited.saturating_add(outcome.waited);
        match outcome.verdict {
            AttemptVerdict::Answered { message } => self.take_answer(message),
            AttemptVerdict::Retry { wait } => {
                if let Some(wait) = wait.filter(|wait| !wait.delay.is_zero()) {
                    self.phase = Phase::Wait(wait);
                }
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
            // The provider goes on from the history as it is.
            StopReason::PauseTurn => {
                self.finish_turn();
                self.begin_next_turn(self.reached_limit());
            }
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

    /// Takes the outcome of a call.
    ///
    /// Outcomes lead to the same run in whatever order they come.
    fn take_tool(&mut self, outcome: ToolOutcome) -> Result<(), StepMismatch> {
        let mismatch = StepMismatch::between(self.step().kind(), "tool");
        let max_tries = self.limits.max_tool_tries;
        let Phase::Tools { slots } = &mut self.phase else {
            return Err(mismatch);
        };
        let state = slots.get_mut(outcome.slot).ok_or(mismatch)?;
        let before = match state {
            ToolSlot::Ready { tries } | ToolSlot::Waiting { tries, .. } => *tries,
            _ => return Err(mismatch),
        };
        let tries = before.saturating_add(1);
        *state = match outcome.verdict {
            ToolVerdict::Done(result) => ToolSlot::Done(result),
            // The cap stands outside of what a hook can change: the last result counts.
            ToolVerdict::Retry { result, .. } if tries >= max_tries => ToolSlot::Done(result),
            ToolVerdict::Retry {
                wait: Some(wait), ..
            } => ToolSlot::Waiting { tries, wait },
            ToolVerdict::Retry { wait: None, .. } => ToolSlot::Ready { tries },
            ToolVerdict::Cancelled(result) => ToolSlot::Cancelled {
                tries: before,
                result,
            },
            ToolVerdict::Failed { failure, result } => ToolSlot::Failed {
                tries: before,
                failure,
                result,
            },
        };
        if let Some(results) = ToolSlot::results(slots) {
            let cancelled = |slot: &ToolSlot| matches!(slot, ToolSlot::Cancelled { .. });
            let then = slots.iter().any(cancelled).then_some(StopReason::Cancelled);
            self.phase = Phase::FinishTools { results, then };
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
        self.begin_next_turn(ending);
    }

    /// Begins the turn after one that is finished, unless the run ends before it.
    fn begin_next_turn(&mut self, unless: Option<StopReason>) {
        match unless {
            Some(stop) => {
                // What comes next for whoever resumes a run that is cancelled here.
                self.phase = Phase::NextTurn;
                self.end(Ending::Finished(stop));
            }
            None => {
                self.phase = Phase::Attempt;
                self.turn = self.turn.next();
            }
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
        let unfinished = std::mem::replace(&mut self.phase, Phase::Attempt);
        let unfinished = ending.is_stop().then(|| Box::new(unfinished));
        self.phase = Phase::End { ending, unfinished };
    }

    fn close(&mut self, at: SystemTime, resume: Option<Vec<Message>>, failure: Option<Failure>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Attempt);
        let Phase::End { ending, unfinished } = phase else {
            self.phase = phase;
            return;
        };
        let may_resume = ending.may_resume() && self.reached_limit().is_none();
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

    /// Opens a run that ended without a result, so that it goes on where it stopped.
    ///
    /// The attempts of its turn count anew. A deadline that has passed is set anew, and so is any
    /// if the prompt brings its own.
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
        self.resumes = self.resumes.saturating_add(1);
        self.phase = match *phase {
            // Whoever resumes has waited.
            Phase::Wait(_) => Phase::Attempt,
            Phase::NextTurn => {
                self.turn = self.turn.next();
                Phase::Attempt
            }
            Phase::Tools { slots } => Phase::Tools {
                slots: slots.into_iter().map(ToolSlot::reopened).collect(),
            },
            phase => phase,
        };
        if matches!(self.phase, Phase::Attempt) {
            self.turn = Turn::new(self.turn.number);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = self
                .limits
                .deadline
                .and_then(|limit| now.checked_add(limit));
        }
        // All calls may have their results by now.
        if let Phase::Tools { slots } = &self.phase
            && let Some(results) = ToolSlot::results(slots)
        {
            self.phase = Phase::FinishTools {
                results,
                then: None,
            };
        }
    }
}

/// The calls that are to be made.
///
/// Also once one of them has failed: the others then begin only to be cancelled, and are recorded as
/// such. Whether a retry had begun before the failure came would otherwise depend on the order in
/// which outcomes arrive, and a replay could come to another run.
fn tool_steps(slots: &[ToolSlot]) -> Vec<ToolStep> {
    let pending = |(slot, state): (usize, &ToolSlot)| {
        let (tries, wait) = match state {
            ToolSlot::Ready { tries } => (*tries, None),
            ToolSlot::Waiting { tries, wait } => (*tries, Some(*wait)),
            _ => return None,
        };
        Some(ToolStep {
            slot,
            tries: tries.saturating_add(1),
            wait,
        })
    };
    slots.iter().enumerate().filter_map(pending).collect()
}
