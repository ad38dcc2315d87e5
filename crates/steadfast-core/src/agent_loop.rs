//! The agent loop, from a prompt to its outcome: it opens a run, asks it what comes next, has it done
//! and recorded, hands the outcome back, and settles what is left. All decisions are the run's and the
//! hooks'.

mod added_message;
mod invocation;
mod tool_round;

use std::sync::{Arc, Mutex};

use crate::{
    agent::AgentParts,
    agent_result::AgentResult,
    attempt::attempt,
    conversation::Conversation,
    event_queue::EventQueue,
    history::History,
    input::Input,
    interrupt::Grace,
    limits::Limits,
    model::{ModelSettings, RequestFrame},
    prompt::{Prompt, Start},
    run::{RUN_SCHEMA, RecordedWait, Run, Step, StepMismatch, StepName, StepOutcome, Unit},
    run_context::{Progress, RunContext, Slept},
    run_error::{Failure, RunError, RunErrorKind},
    run_id::RunId,
    runtime::{Runtime, Stopped, TokioRuntime},
};
pub(crate) use added_message::answer_of_hook;
use invocation::{begin, end, tell_force_stop, tell_resumed};
use tool_round::{begin_tools, finish_tools, run_tools};

/// Answers a prompt: opens its run, drives it to its end, and settles what is left.
pub(crate) async fn answer(
    prompt: Prompt<'_>,
    queue: Arc<EventQueue>,
) -> Result<AgentResult, RunError> {
    let own_runtime;
    let runtime = match prompt.runtime {
        Some(runtime) => runtime,
        None => {
            own_runtime = TokioRuntime::new();
            &own_runtime
        }
    };
    let agent = &*prompt.agent.0;
    let conversation = prompt.conversation;
    let resumed = matches!(prompt.start, Start::Run(_));
    let (frame, mut refusal) = frame(agent, prompt.settings);
    let mut run = match prompt.start {
        Start::Input(input) => {
            refusal = refusal.or_else(|| refuse_input(&input));
            let mut limits = agent.limits.clone();
            limits.deadline = prompt.deadline.or(limits.deadline);
            let base = conversation.as_ref().map(|c| c.history().clone());
            open(runtime, limits, base.unwrap_or_default(), input).await?
        }
        Start::Run(mut run) => {
            refusal = refusal.or_else(|| refuse_resume(conversation.as_deref(), &run));
            // A run that is refused stays as it is, to be resumed elsewhere.
            if refusal.is_none() {
                run.reopen(runtime.now(), prompt.deadline);
            }
            run
        }
    };
    let cx = RunContext {
        agent,
        runtime,
        queue: &queue,
        cancel: prompt.cancel,
        frame,
        run: run.id(),
        resumes: run.resumes(),
        started: run.started(),
        deadline: run.deadline(),
        grace: Grace::default(),
        last_model: Mutex::default(),
        retried_at_once: Mutex::default(),
        turn_began: Mutex::default(),
        progress: Progress::default(),
    };
    if resumed || refusal.is_some() {
        tell_resumed(&cx, &run, refusal.is_some());
    }
    let driven = match refusal {
        None => drive(&cx, &mut run).await.map_err(Failure::from),
        Some(failure) => Err(failure),
    };
    match driven {
        Ok(()) => settle(run, resumed, conversation, &cx),
        Err(failure) => {
            // A run that an engine stopped goes on elsewhere; any other is at its end.
            if failure.kind() != RunErrorKind::Stopped {
                tell_force_stop(&cx, &run, failure.clone()).await;
            }
            cx.end();
            Err(RunError::new(failure, run))
        }
    }
}

/// What every call of a run is asked with, and why the run is refused if that is wrong.
fn frame(
    agent: &AgentParts,
    settings: Option<ModelSettings>,
) -> (Arc<RequestFrame>, Option<Failure>) {
    let own = &agent.frame;
    let Some(settings) = settings else {
        return (Arc::clone(own), None);
    };
    let frame = RequestFrame {
        settings,
        ..RequestFrame::clone(own)
    };
    match frame.validate() {
        Ok(()) => (Arc::new(frame), None),
        Err(error) => {
            let problem = "the prompt's settings are wrong";
            let failure = Failure::of_loop(RunErrorKind::Config, problem);
            (Arc::clone(own), Some(failure.with_cause(Arc::new(error))))
        }
    }
}

fn refuse_input(input: &Input) -> Option<Failure> {
    let problem = "the prompt has no message";
    input
        .0
        .is_empty()
        .then(|| Failure::of_loop(RunErrorKind::Config, problem))
}

/// Why a run may not go on in a conversation.
fn refuse_resume(conversation: Option<&Conversation>, run: &Run) -> Option<Failure> {
    if conversation?.is_left_by(run) {
        return None;
    }
    let problem =
        "the conversation is not the one that the run left: it has gone on, or is another";
    Some(Failure::of_loop(RunErrorKind::Mismatch, problem))
}

/// Opens a run. What is drawn for it is recorded, like everything that a replay must not draw again.
async fn open(
    runtime: &dyn Runtime,
    limits: Limits,
    base: History,
    input: Input,
) -> Result<Box<Run>, RunError> {
    let name = StepName {
        resumes: 0,
        unit: Unit::Start,
    };
    let draw = async {
        StepOutcome::Started {
            schema: RUN_SCHEMA,
            id: RunId::from_bits(runtime.random(), runtime.random()),
            at: runtime.now(),
        }
    };
    let broken: Broken = match runtime.record(name, Box::pin(draw)).await {
        Ok(StepOutcome::Started { id, at, .. }) => {
            return Ok(Box::new(Run::new(id, at, limits, base, input.0)));
        }
        Ok(other) => StepMismatch::between("start", other.kind()).into(),
        Err(stopped) => stopped.into(),
    };
    let run = Run::new(RunId::default(), runtime.now(), limits, base, input.0);
    Err(RunError::new(broken.into(), Box::new(run)))
}

/// Drives a run until there is nothing left to do.
async fn drive(cx: &RunContext<'_>, run: &mut Run) -> Result<(), Broken> {
    loop {
        let outcome = match run.step() {
            Step::Begin => {
                let round = run.rounds();
                cx.record(Unit::Begin { round }, Box::pin(begin(cx, run)))
                    .await?
            }
            Step::Attempt { attempt: number } => {
                let unit = Unit::Attempt {
                    turn: run.turn(),
                    attempt: number,
                };
                let work = async { StepOutcome::Attempt(Box::new(attempt(cx, run).await)) };
                cx.record(unit, Box::pin(work)).await?
            }
            Step::Wait(wait) => wait_before_retry(cx, run, wait).await?,
            Step::BeginTools => {
                let unit = Unit::BeginTools { turn: run.turn() };
                cx.record(unit, Box::pin(begin_tools(cx, run))).await?
            }
            Step::Tools(_) => {
                run_tools(cx, run).await?;
                continue;
            }
            Step::FinishTools => {
                let unit = Unit::FinishTools { turn: run.turn() };
                cx.record(unit, Box::pin(finish_tools(cx, run))).await?
            }
            Step::End => {
                let round = run.rounds();
                cx.record(Unit::End { round }, Box::pin(end(cx, run)))
                    .await?
            }
            Step::Done => return Ok(()),
        };
        run.apply(outcome)?;
    }
}

/// Waits out what the last attempt declared.
///
/// How the wait ended is recorded, not the timer.
async fn wait_before_retry(
    cx: &RunContext<'_>,
    run: &Run,
    wait: RecordedWait,
) -> Result<StepOutcome, Stopped> {
    let unit = Unit::Wait {
        turn: run.turn(),
        attempt: run.attempts_in_turn(),
    };
    let slept = cx.sleep(cx.cancel.clone(), unit, wait).await?;
    let waited = wait.passed(cx.runtime.now());
    let outcome = match slept {
        Slept::Through => StepOutcome::Waited { waited },
        Slept::Cancelled => StepOutcome::WaitCancelled { waited },
    };
    cx.record(unit, Box::pin(async move { outcome })).await
}

/// Settles a run that has ended: the conversation in one step, then the result or the error.
fn settle(
    run: Box<Run>,
    resumed: bool,
    conversation: Option<&mut Conversation>,
    cx: &RunContext<'_>,
) -> Result<AgentResult, RunError> {
    let kept = run.kept_messages(cx.agent.failed_turn);
    let base = resumed.then(|| run.history().base());
    let keep = |conversation: Option<&mut Conversation>| {
        if let Some(conversation) = conversation {
            conversation.commit(base, kept.clone());
        }
    };
    match run.result(cx.runtime.now()) {
        Some(summary) => {
            // The run lets go of the history before the conversation adds to it, or it would be copied.
            let run = run.may_go_on().then_some(run);
            keep(conversation);
            Ok(AgentResult::new(summary, kept, run))
        }
        None => {
            keep(conversation);
            let unknown = || Failure::of_loop(RunErrorKind::Mismatch, "the run has no ending");
            let failure = run.failure().cloned().unwrap_or_else(unknown);
            Err(RunError::new(failure, run))
        }
    }
}

/// Why a run could not be driven to its end.
enum Broken {
    Stopped(Stopped),
    Mismatch(StepMismatch),
}

impl From<Stopped> for Broken {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<StepMismatch> for Broken {
    fn from(mismatch: StepMismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stopped(stopped) => Self::of_loop(RunErrorKind::Stopped, stopped.to_string()),
            Broken::Mismatch(mismatch) => {
                Self::of_loop(RunErrorKind::Mismatch, mismatch.to_string())
            }
        }
    }
}
