//! What a run says about itself: where it stands, its result, and what a conversation keeps of it.

use std::{fmt, sync::Arc, time::Duration, time::SystemTime};

use super::{
    NOT_RUN_STOPPED, Run,
    phase::{Ending, Phase, ToolSlot},
};
use crate::{
    agent_result::RunSummary,
    history::History,
    limits::FailedTurnPolicy,
    message::{Message, Role, ToolResult, ToolUse},
    millis,
    run_error::Failure,
    run_id::RunId,
    usage::{StopReason, Usage},
};

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

    /// Returns how many attempts were made.
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
            Phase::End { ending, .. } => ending.may_resume() && self.reached_limit().is_none(),
            _ => false,
        }
    }

    /// Whether the run was cut short, so that it could go on.
    pub(crate) const fn may_go_on(&self) -> bool {
        matches!(
            self.phase,
            Phase::Done {
                unfinished: Some(_),
                ..
            }
        )
    }

    pub(crate) const fn resumes(&self) -> u32 {
        self.resumes
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

    pub(crate) const fn calls_in_turn(&self) -> u32 {
        self.turn.calls
    }

    pub(crate) const fn moves(&self) -> u32 {
        self.turn.moves
    }

    pub(crate) const fn waits(&self) -> u32 {
        self.turn.waits
    }

    pub(crate) const fn waits_behind_calls(&self) -> u32 {
        self.turn.waits_behind_calls
    }

    pub(crate) const fn last_delay(&self) -> Option<Duration> {
        self.turn.last_delay
    }

    pub(crate) const fn drawn(&self) -> Option<u32> {
        self.turn.drawn
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

    /// The result, once the ending is known.
    ///
    /// That of a run that is done does not change any more.
    pub(crate) fn result(&self, now: SystemTime) -> Option<RunSummary> {
        let stop_reason = self.stop_reason()?;
        let ended = match &self.phase {
            Phase::Done { at, .. } => *at,
            _ => now,
        };
        let text = self.last_answer();
        Some(RunSummary {
            stop_reason,
            text,
            usage: self.usage,
            attempts: self.attempts,
            turns: self.turn.number,
            duration: millis::to_micros(ended.duration_since(self.started).unwrap_or_default()),
            waited: self.waited,
        })
    }

    /// The text of the last answer, with the parts before it that the provider had paused.
    fn last_answer(&self) -> String {
        let tail = self.history.tail();
        let said = |message: &Arc<Message>| message.role == Role::Assistant;
        let Some(last) = tail.iter().rposition(said) else {
            return String::new();
        };
        let paused = |message: &&Arc<Message>| message.stop_reason == Some(StopReason::PauseTurn);
        let before = tail.get(..last).unwrap_or_default();
        let paused = before.iter().rev().take_while(paused).count();
        let parts = tail.get(last - paused..=last).unwrap_or_default();
        parts.iter().map(|message| message.text()).collect()
    }

    /// The messages that a conversation keeps of this run.
    pub(crate) fn kept_messages(&self, policy: FailedTurnPolicy) -> Vec<Arc<Message>> {
        let tail = self.history.tail();
        let stopped = self.failure().is_some() || self.stop_reason() == Some(StopReason::Cancelled);
        match policy {
            // A run that has not ended has left nothing yet.
            _ if !stopped && self.stop_reason().is_none() => Vec::new(),
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
