//! The agent loop: it asks the run what comes next, has it done and recorded, and hands the outcome
//! back. All decisions are the run's and the hooks'.

use std::{mem, sync::Arc, time::SystemTime};

use futures_core::future::BoxFuture;
use futures_util::{
    FutureExt as _,
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::attempt,
    event::{
        AgentEvent, EVENT_SCHEMA, ForceStopEvent, MessageAddedEvent, ResultEvent, RunStartedEvent,
        TextDeltaEvent,
    },
    hook_event::{AfterInvocationEvent, AfterToolsEvent, BeforeInvocationEvent, BeforeToolsEvent},
    interrupt::{Interrupt, Watch},
    message::{Message, Role},
    run::{
        Begun, RUN_SCHEMA, RecordedWait, Run, Step, StepMismatch, StepName, StepOutcome,
        ToolOutcome, ToolStep, ToolVerdict, ToolsBegun, ToolsFinished, Unit,
    },
    run_context::{RunContext, Unanswered},
    run_error::{Failure, RunErrorKind},
    run_id::RunId,
    runtime::{Runtime, Stopped},
    tool_call::ToolCall,
    usage::StopReason,
};

/// Why a run could not be driven to its end.
pub(crate) enum Broken {
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

/// Draws what a new run needs: recorded like everything that a replay must not draw again.
pub(crate) async fn start(runtime: &dyn Runtime) -> Result<(RunId, SystemTime), Broken> {
    let draw = async {
        StepOutcome::Started {
            schema: RUN_SCHEMA,
            id: RunId::from_bits(runtime.random(), runtime.random()),
            at: runtime.now(),
        }
    };
    match runtime
        .record(
            StepName {
                resumes: 0,
                unit: Unit::Start,
            },
            Box::pin(draw),
        )
        .await?
    {
        StepOutcome::Started { id, at, .. } => Ok((id, at)),
        other => Err(Broken::Mismatch(StepMismatch {
            expected: "start",
            got: other.kind(),
        })),
    }
}

/// Drives a run until there is nothing left to do.
pub(crate) async fn drive(cx: &RunContext<'_>, run: &mut Run) -> Result<(), Broken> {
    loop {
        let outcome = match run.step() {
            Step::Begin => record(cx, begin_unit(run), Box::pin(begin(cx, run))).await?,
            Step::Attempt { .. } => {
                let work = async { StepOutcome::Attempt(Box::new(attempt(cx, run).await)) };
                record(cx, attempt_unit(run), Box::pin(work)).await?
            }
            Step::Wait(wait) => wait_before_retry(cx, run, wait).await?,
            Step::BeginTools => {
                let unit = Unit::BeginTools { turn: run.turn() };
                record(cx, unit, Box::pin(begin_tools(cx, run))).await?
            }
            Step::Tools(_) => {
                run_tools(cx, run).await?;
                continue;
            }
            Step::FinishTools => {
                let unit = Unit::FinishTools { turn: run.turn() };
                record(cx, unit, Box::pin(finish_tools(cx, run))).await?
            }
            Step::End => {
                record(
                    cx,
                    Unit::End {
                        round: run.rounds(),
                    },
                    Box::pin(end(cx, run)),
                )
                .await?
            }
            Step::Done => return Ok(()),
        };
        run.apply(outcome)?;
    }
}

const fn begin_unit(run: &Run) -> Unit {
    Unit::Begin {
        round: run.rounds(),
    }
}

const fn attempt_unit(run: &Run) -> Unit {
    Unit::Attempt {
        turn: run.turn(),
        attempt: run.attempts_in_turn().saturating_add(1),
    }
}

async fn record<'a>(
    cx: &RunContext<'a>,
    unit: Unit,
    work: BoxFuture<'_, StepOutcome>,
) -> Result<StepOutcome, Stopped> {
    cx.runtime.record(cx.step_name(unit), work).await
}

/// Asks the hooks of the invocation and makes messages of the prompt.
async fn begin(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    if run.rounds() == 1 {
        tell_started(cx, run);
    }
    let mut begun = Begun::default();
    let asked = ask_begin(cx, run, &mut begun).await;
    (begun.cancelled, begun.failure) = cx.stopped_by(asked);
    StepOutcome::Begun(begun)
}

fn tell_started(cx: &RunContext<'_>, run: &Run) {
    cx.tell(AgentEvent::RunStarted(RunStartedEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        schema: EVENT_SCHEMA,
        model: cx.agent.model.name().to_owned(),
    }));
}

/// Tells a stream what every stream begins with, where the run itself does not: it has begun already,
/// or is refused. A run that is done has nothing more to tell.
pub(crate) fn tell_resumed(cx: &RunContext<'_>, run: &Run, is_refused: bool) {
    match run.step() {
        _ if is_refused => tell_started(cx, run),
        Step::Done => {}
        Step::Begin if run.rounds() == 1 => {}
        _ => tell_started(cx, run),
    }
}

/// Nothing is told before all hooks agree: what is told is in the history.
async fn ask_begin(cx: &RunContext<'_>, run: &Run, begun: &mut Begun) -> Result<(), Unanswered> {
    let mut watch = cx.watch();
    let mut event = BeforeInvocationEvent {
        scope: cx.scope(run.turn(), 0),
        messages: run.prompt().to_vec(),
        cancel: None,
    };
    cx.ask_before(&mut watch, &mut event).await?;
    let mut added = Vec::with_capacity(event.messages.len());
    for message in event.messages {
        added.push(ask_added(cx, run, &mut watch, Arc::new(message)).await?);
    }
    let answer = match event.cancel {
        Some(text) => Some(ask_added(cx, run, &mut watch, answer_of_hook(text)).await?),
        None => None,
    };
    for event in added {
        begun.messages.push(Arc::clone(&event.message));
        cx.tell(AgentEvent::Message(event));
    }
    begun.answer = answer.map(|answer| tell_answer_of_hook(cx, answer));
    Ok(())
}

/// An answer that a hook gives in the model's place.
fn answer_of_hook(text: String) -> Arc<Message> {
    let mut message = Message::assistant(text);
    message.stop_reason = Some(StopReason::EndTurn);
    Arc::new(message)
}

/// Tells such an answer like the model's own, so that a viewer who shows the deltas shows it too.
fn tell_answer_of_hook(cx: &RunContext<'_>, added: MessageAddedEvent) -> Arc<Message> {
    let message = Arc::clone(&added.message);
    cx.tell(AgentEvent::TextDelta(TextDeltaEvent {
        scope: added.scope,
        text: message.text().into_owned(),
    }));
    cx.tell(AgentEvent::Message(added));
    message
}

/// Asks the hooks about a message that is to join the history.
async fn ask_added(
    cx: &RunContext<'_>,
    run: &Run,
    watch: &mut Watch,
    message: Arc<Message>,
) -> Result<MessageAddedEvent, Unanswered> {
    let mut event = MessageAddedEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        message,
    };
    cx.ask_before(watch, &mut event).await?;
    Ok(event)
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
    let outcome = match sleep(cx, cx.cancel.clone(), unit, wait).await? {
        Slept::Through => StepOutcome::Waited,
        Slept::Cancelled => {
            let left = wait.until.duration_since(cx.runtime.now());
            StepOutcome::WaitCancelled {
                waited: wait.delay.saturating_sub(left.unwrap_or_default()),
            }
        }
    };
    record(cx, unit, Box::pin(async move { outcome })).await
}

enum Slept {
    Through,
    Cancelled,
}

/// Sleeps unless the run is cancelled.
///
/// A wait that outlasts the deadline, which a resumed run may have sooner than before, ends with
/// it: what is tried then meets the deadline.
async fn sleep(
    cx: &RunContext<'_>,
    cancel: Option<CancellationToken>,
    unit: Unit,
    wait: RecordedWait,
) -> Result<Slept, Stopped> {
    let mut watch = Watch::new(cancel, cx.deadline_instant());
    match watch
        .race(cx.runtime.sleep_until(cx.step_name(unit), wait.until))
        .await
    {
        Ok(slept) => slept.map(|()| Slept::Through),
        Err(Interrupt::Cancelled) => Ok(Slept::Cancelled),
        Err(_) => Ok(Slept::Through),
    }
}

/// Asks the hooks whether the tools of the turn may run.
async fn begin_tools(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    let mut begun = ToolsBegun::default();
    if let Some(message) = run.history().last() {
        let mut event = BeforeToolsEvent {
            scope: cx.scope(run.turn(), run.attempts_in_turn()),
            message: Arc::clone(message),
            cancel: None,
        };
        let asked = cx.ask_before(&mut cx.watch(), &mut event).await;
        (begun.cancelled, begun.failure) = cx.stopped_by(asked);
        begun.refusal = event.cancel;
    }
    StepOutcome::ToolsBegun(begun)
}

/// Runs the tool calls of a turn, concurrently, until all of them have an outcome that stands.
async fn run_tools(cx: &RunContext<'_>, run: &mut Run) -> Result<(), Broken> {
    // The calls' own token, so that a failure of one ends the others in good order.
    let cancel = match &cx.cancel {
        Some(token) => token.child_token(),
        None => CancellationToken::new(),
    };
    // Whoever holds a call's context is told also if this future is dropped.
    let guard = cancel.clone().drop_guard();
    let mut flying = FuturesUnordered::new();
    let mut started: Vec<usize> = Vec::new();
    loop {
        if let Step::Tools(steps) = run.step() {
            for step in steps {
                if !started.contains(&step.slot)
                    && let Some(call) = prepare(run, step, &cancel)
                {
                    started.push(step.slot);
                    flying.push(run_tool(cx, call));
                }
            }
        }
        let Some(outcome) = flying.next().await else {
            guard.disarm();
            // A call has failed and the others have come to rest, or nothing can be run at all.
            if matches!(run.step(), Step::Tools(_)) {
                run.apply(StepOutcome::ToolsStopped)?;
            }
            return Ok(());
        };
        take_outcome(run, outcome?, &mut started, &cancel)?;
        // What is there at once is taken at once, before anything new begins: a replay then begins
        // what the run began that it replays.
        while let Some(Some(outcome)) = flying.next().now_or_never() {
            take_outcome(run, outcome?, &mut started, &cancel)?;
        }
    }
}

fn take_outcome(
    run: &mut Run,
    outcome: ToolOutcome,
    started: &mut Vec<usize>,
    cancel: &CancellationToken,
) -> Result<(), StepMismatch> {
    started.retain(|slot| *slot != outcome.slot);
    if matches!(outcome.verdict, ToolVerdict::Failed { .. }) {
        // Nothing more is asked for: what is under way only ends itself.
        cancel.cancel();
    }
    run.apply(StepOutcome::Tool(outcome))
}

fn prepare(run: &Run, step: ToolStep, cancel: &CancellationToken) -> Option<ToolCall> {
    let message = run
        .history()
        .last()
        .filter(|message| message.role == Role::Assistant)?;
    Some(ToolCall {
        call: message.tool_uses().nth(step.slot)?.clone(),
        step,
        turn: run.turn(),
        attempt: run.attempts_in_turn(),
        max_tries: run.max_tool_tries(),
        cancel: cancel.clone(),
    })
}

async fn run_tool(cx: &RunContext<'_>, call: ToolCall) -> Result<ToolOutcome, Broken> {
    let unit = Unit::Tool {
        turn: call.turn,
        slot: call.step.slot,
        tries: call.step.tries,
    };
    if let Some(wait) = call.step.wait {
        // A cancelled wait needs no outcome of its own: the call below sees the cancellation.
        sleep(cx, Some(call.cancel.clone()), unit, wait).await?;
    }
    let slot = call.step.slot;
    let work = Box::pin(async {
        let verdict = call.make(cx).await;
        StepOutcome::Tool(ToolOutcome { slot, verdict })
    });
    match record(cx, unit, work).await? {
        StepOutcome::Tool(outcome) => Ok(outcome),
        other => Err(Broken::Mismatch(StepMismatch {
            expected: "tool",
            got: other.kind(),
        })),
    }
}

/// Asks the hooks of the tools and makes one message of the results.
async fn finish_tools(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    let (results, asked_before) = run.tool_results();
    let message = Arc::new(Message::tool_results(results.iter().cloned()));
    let scope = cx.scope(run.turn(), run.attempts_in_turn());
    let mut watch = cx.watch();
    let mut end_turn = None;
    let (mut cancelled, mut failure) = (false, None);
    if asked_before {
        let mut event = AfterToolsEvent {
            scope,
            results: Arc::clone(&message),
            end_turn: None,
        };
        let asked = cx.ask_after(&mut watch, &mut event).await;
        (cancelled, failure) = cx.stopped_by(asked);
        end_turn = event.end_turn;
    }
    let mut added = MessageAddedEvent { scope, message };
    if failure.is_none() {
        // Results join the history also if the run is cancelled: an open call would spoil it.
        let asked = cx.ask_after(&mut watch, &mut added).await;
        (cancelled, failure) = cx.stopped_by(asked);
    }
    let mut answer = None;
    if let (false, None, Some(text)) = (cancelled, &failure, end_turn) {
        match ask_added(cx, run, &mut watch, answer_of_hook(text)).await {
            Ok(added) => answer = Some(added),
            Err(unanswered) => (cancelled, failure) = cx.stopped_by(Err(unanswered)),
        }
    }
    let message = Arc::clone(&added.message);
    if failure.is_none() {
        cx.tell(AgentEvent::Message(added));
    }
    StepOutcome::ToolsFinished(ToolsFinished {
        message,
        end_turn: answer.map(|answer| tell_answer_of_hook(cx, answer)),
        cancelled,
        failure,
    })
}

/// Asks the hooks of the invocation and tells how the run ended: exactly one last event.
async fn end(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    let scope = cx.scope(run.turn(), run.attempts_in_turn());
    let at = cx.runtime.now();
    let outcome = match (run.failure(), run.result(at)) {
        (None, Some(result)) => Ok(result),
        (Some(failure), _) => Err(failure.clone()),
        (None, None) => Err(Failure::of_loop(
            RunErrorKind::Mismatch,
            "the run ends without an ending",
        )),
    };
    let mut event = AfterInvocationEvent {
        scope,
        outcome,
        history: run.history().clone(),
        resume: None,
    };
    let asked = match cx.ask_after(&mut cx.watch(), &mut event).await {
        Err(Unanswered::Failed(failure)) => Err(failure),
        // The run has ended already: there is nothing left to cut short.
        Ok(()) | Err(Unanswered::Interrupted(_)) => Ok(()),
    };
    let resume = mem::take(&mut event.resume).filter(|_| run.may_resume());
    let failure = match (asked, event.outcome) {
        (Ok(()), Ok(_)) if resume.is_some() => None,
        (Ok(()), Ok(result)) => {
            cx.tell(AgentEvent::Result(ResultEvent { scope, result }));
            None
        }
        // The failure that ended the run stands; one of the closing hooks only joins a success.
        (_, Err(failure)) => {
            tell_force_stop(cx, run, failure).await;
            None
        }
        (Err(failure), Ok(_)) => {
            tell_force_stop(cx, run, failure.clone()).await;
            Some(failure)
        }
    };
    let resume = resume.filter(|_| failure.is_none()).map(|input| input.0);
    StepOutcome::Ended {
        at,
        resume,
        failure,
    }
}

pub(crate) async fn tell_force_stop(cx: &RunContext<'_>, run: &Run, failure: Failure) {
    tracing::warn!(run = %cx.run, error = %failure, "run ended with an error");
    let mut event = ForceStopEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        failure,
    };
    if let Err(Unanswered::Failed(late)) = cx.ask_after(&mut cx.watch(), &mut event).await {
        tracing::warn!(run = %cx.run, error = %late, "a hook failed while the run was ending with an error");
    }
    cx.tell(AgentEvent::ForceStop(event));
}
