//! Steps and their outcomes: what a driver is asked to do, and what it says came of it.

use std::{fmt, sync::Arc, time::Duration, time::SystemTime};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    message::{Message, ToolResult},
    run_error::Failure,
    run_id::RunId,
    usage::Usage,
};

/// The version of the stored form of runs and of what is recorded of them.
pub(crate) const RUN_SCHEMA: u32 = 1;

/// What another version stored may mean something else: it is refused, not guessed at.
pub(super) fn known_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let schema = u32::deserialize(deserializer)?;
    if schema == RUN_SCHEMA {
        return Ok(schema);
    }
    Err(de::Error::custom(format!(
        "the run was stored in form {schema}, and this version reads form {RUN_SCHEMA}"
    )))
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Ask the hooks of the invocation and add the prompt to the history.
    Begin,
    /// Make one attempt: hooks, model call, hooks, verdict.
    Attempt {
        /// Its number in the turn, from 1.
        attempt: u32,
    },
    /// Wait before the next attempt.
    Wait(RecordedWait),
    /// Ask the hooks whether the tools of the turn may run.
    BeginTools,
    /// Run these tool calls, concurrently.
    Tools(Vec<ToolStep>),
    /// Ask the hooks of the tools and add the results to the history.
    FinishTools,
    /// Ask the hooks of the invocation and end.
    End,
    /// Nothing.
    Done,
}

impl Step {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Attempt { .. } => "attempt",
            Self::Wait(_) => "wait",
            Self::BeginTools => "begin_tools",
            Self::Tools(_) => "tools",
            Self::FinishTools => "finish_tools",
            Self::End => "end",
            Self::Done => "done",
        }
    }
}

/// One tool call that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolStep {
    /// Its place among the calls of the message, from 0.
    pub slot: usize,
    /// Which run of the tool this will be, from 1.
    pub tries: u32,
    /// The wait before it, if it is retried after one.
    pub wait: Option<RecordedWait>,
}

/// A wait, stored by the wall-clock time at which it ends.
///
/// So a pause of the process counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedWait {
    /// How long it was when it was declared.
    pub delay: Duration,
    /// When it was declared.
    pub since: SystemTime,
    /// When it ends.
    pub until: SystemTime,
    /// What the retry after it drew from a shared quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<u32>,
}

impl RecordedWait {
    /// A wait that begins now. A delay beyond the end of time ends a century from now.
    pub(crate) fn from_now(now: SystemTime, delay: Duration) -> Self {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let until = now.checked_add(delay).or_else(|| now.checked_add(CENTURY));
        Self {
            delay,
            since: now,
            until: until.unwrap_or(now),
            drawn: None,
        }
    }

    /// How much of it had passed by then.
    pub(crate) fn passed(&self, now: SystemTime) -> Duration {
        let passed = now.duration_since(self.since).unwrap_or_default();
        passed.min(self.delay)
    }
}

/// The name under which the outcome of a step is recorded: unique in its run.
///
/// Its `Display` form, such as `turn-1/attempt-2` or `turn-3/tool-0/try-1`, suits an engine's
/// journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepName {
    pub(crate) resumes: u32,
    pub(crate) unit: Unit,
}

/// A recorded unit of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Unit {
    Start,
    Begin { round: u32 },
    Attempt { turn: u32, attempt: u32 },
    Wait { turn: u32, attempt: u32 },
    BeginTools { turn: u32 },
    Tool { turn: u32, slot: usize, tries: u32 },
    FinishTools { turn: u32 },
    End { round: u32 },
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resumes > 0 {
            write!(f, "resume-{}/", self.resumes)?;
        }
        match self.unit {
            Unit::Start => f.write_str("start"),
            Unit::Begin { round } => write!(f, "begin-{round}"),
            Unit::Attempt { turn, attempt } => write!(f, "turn-{turn}/attempt-{attempt}"),
            Unit::Wait { turn, attempt } => write!(f, "turn-{turn}/wait-after-{attempt}"),
            Unit::BeginTools { turn } => write!(f, "turn-{turn}/begin-tools"),
            Unit::Tool { turn, slot, tries } => write!(f, "turn-{turn}/tool-{slot}/try-{tries}"),
            Unit::FinishTools { turn } => write!(f, "turn-{turn}/finish-tools"),
            Unit::End { round } => write!(f, "end-{round}"),
        }
    }
}

/// What came of a step: the decision, not only the answer.
///
/// Serialisable, so that it can be recorded and replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// Of the start, before there is a run: what is drawn for it.
    ///
    /// The first record of every run, so it names the form of those that follow.
    Started {
        /// The version of the stored form of outcomes and runs.
        #[serde(deserialize_with = "known_schema")]
        schema: u32,
        /// Its identity.
        id: RunId,
        /// When it began.
        at: SystemTime,
    },
    /// Of [`Step::Begin`].
    Begun(Begun),
    /// Of [`Step::Attempt`].
    Attempt(Box<AttemptOutcome>),
    /// Of [`Step::Wait`]: it has passed, or the run's deadline has cut it.
    Waited {
        /// How much of the wait had passed.
        waited: Duration,
    },
    /// Of [`Step::Wait`]: the run was cancelled meanwhile.
    WaitCancelled {
        /// How much of the wait had passed.
        waited: Duration,
    },
    /// Of [`Step::BeginTools`].
    ToolsBegun(ToolsBegun),
    /// Of one call of [`Step::Tools`].
    Tool(ToolOutcome),
    /// Of [`Step::Tools`], once a call has failed and no other is under way.
    ///
    /// It follows from the outcomes before it, so it is not recorded.
    ToolsStopped,
    /// Of [`Step::FinishTools`].
    ToolsFinished(ToolsFinished),
    /// Of [`Step::End`].
    Ended {
        /// When it ended.
        at: SystemTime,
        /// Another prompt that a hook wants answered in the same run.
        resume: Option<Vec<Message>>,
        /// What went wrong at the end itself.
        failure: Option<Failure>,
    },
}

impl StepOutcome {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "start",
            Self::Begun(_) => "begin",
            Self::Attempt(_) => "attempt",
            Self::Waited { .. } | Self::WaitCancelled { .. } => "wait",
            Self::ToolsBegun(_) => "begin_tools",
            Self::Tool(_) | Self::ToolsStopped => "tool",
            Self::ToolsFinished(_) => "finish_tools",
            Self::Ended { .. } => "end",
        }
    }
}

/// What came of the beginning.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Begun {
    /// The messages of the prompt.
    pub messages: Vec<Arc<Message>>,
    /// The answer of a hook that refused the prompt.
    pub answer: Option<Arc<Message>>,
    /// Whether the run was cancelled meanwhile.
    pub cancelled: bool,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptOutcome {
    /// When it began.
    pub started: SystemTime,
    /// What it cost, also if it was discarded.
    pub usage: Usage,
    /// How long it waited before the call, as a hook had declared.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub waited: Duration,
    /// Whether the model was called; not if a hook answered in its place or refused the call.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub called: bool,
    /// Whether a retry of it is a call of another model, as of a [`Fallback`](crate::Fallback).
    #[serde(default, skip_serializing_if = "is_no")]
    pub moves_on: bool,
    /// What follows from it.
    pub verdict: AttemptVerdict,
}

const fn yes() -> bool {
    true
}

const fn is_yes(answer: &bool) -> bool {
    *answer
}

const fn is_no(answer: &bool) -> bool {
    !*answer
}

/// What follows from an attempt, once every hook has had its say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptVerdict {
    /// The answer joins the history.
    Answered {
        /// The answer.
        message: Arc<Message>,
    },
    /// The model is called again.
    Retry {
        /// The declared wait; none for a retry at once.
        wait: Option<RecordedWait>,
    },
    /// The run ends with an error.
    Failed(Failure),
    /// The run was cancelled.
    Cancelled,
}

/// What came of the beginning of a turn's tools.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolsBegun {
    /// The text with which a hook refused to run them.
    pub refusal: Option<String>,
    /// Whether the run was cancelled meanwhile.
    pub cancelled: bool,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// What came of one tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolOutcome {
    /// Its place among the calls of the message, from 0.
    pub slot: usize,
    /// What follows from it.
    pub verdict: ToolVerdict,
}

/// What follows from a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolVerdict {
    /// The result stands.
    Done(ToolResult),
    /// The tool runs again, unless it has used up its tries: then the result stands.
    Retry {
        /// The result of this try.
        result: ToolResult,
        /// The declared wait.
        wait: Option<RecordedWait>,
    },
    /// The run was cancelled; the result says so to the model.
    Cancelled(ToolResult),
    /// The run ends with an error, once the other calls have come to rest.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// What the tool had answered by then: it is not run again on resume.
        result: Option<ToolResult>,
    },
}

/// What came of the end of a turn's tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolsFinished {
    /// The message of all results.
    pub message: Arc<Message>,
    /// The answer with which a hook ends the run.
    pub end_turn: Option<Arc<Message>>,
    /// Whether the run was cancelled meanwhile.
    pub cancelled: bool,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// An outcome that does not belong to the step that the run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run expects the outcome of `{expected}`, got one of `{got}`")]
pub struct StepMismatch {
    pub(crate) expected: &'static str,
    pub(crate) got: &'static str,
}

impl StepMismatch {
    pub(crate) const fn between(expected: &'static str, got: &'static str) -> Self {
        Self { expected, got }
    }
}
