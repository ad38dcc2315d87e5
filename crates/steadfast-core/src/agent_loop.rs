//! The agent loop: it asks the run what comes next, has it done and recorded, and hands the outcome
//! back. All decisions are the run's and the hooks'.

use std::{mem, sync::Arc, time::SystemTime};

use futures_core::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::attempt,
    event::{
        AgentEvent, EVENT_SCHEMA, ForceStopEvent, MessageAddedEvent, ResultEvent, RunStartedEvent,
    },
    hook_event::{AfterInvocationEvent, AfterToolsEvent, BeforeInvocationEvent},
    interrupt::Watch,
    message::{Message, Role},
    run::{
        Begun, RecordedWait, Run, Step, StepMismatch, StepName, StepOutcome, ToolOutcome, ToolStep,
        ToolsFinished, Unit,
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
            id: RunId::from_bits(runtime.random(), runtime.random()),
            at: runtime.now(),
        }
    };
    match runtime
        .record(StepName(Unit::Start), Box::pin(draw))
        .await?
    {
        StepOutcome::Started { id, at } => Ok((id, at)),
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
    cx.runtime.record(StepName(unit), work).await
}

/// Asks the hooks of the invocation and makes messages of the prompt.
async fn begin(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    if run.rounds() == 1 {
        cx.tell(AgentEvent::RunStarted(RunStartedEvent {
            scope: cx.scope(run.turn(), 0),
            schema: EVENT_SCHEMA,
            model: cx.agent.model.name().to_owned(),
        }));
    }
    let mut begun = Begun::default();
    match ask_begin(cx, run, &mut begun).await {
        Ok(()) => {}
        Err(Unanswered::Failed(failure)) => begun.failure = Some(failure),
        Err(Unanswered::Interrupted(_)) if cx.is_cancelled() => begun.cancelled = true,
        Err(Unanswered::Interrupted(_)) => begun.failure = Some(cx.deadline_failure()),
    }
    StepOutcome::Begun(begun)
}

async fn ask_begin(cx: &RunContext<'_>, run: &Run, begun: &mut Begun) -> Result<(), Unanswered> {
    let mut event = BeforeInvocationEvent {
        scope: cx.scope(run.turn(), 0),
        messages: run.prompt().to_vec(),
        cancel: None,
    };
    cx.ask_or_interrupt(&mut cx.watch(), &mut event).await?;
    for message in event.messages {
        begun.messages.push(add_message(cx, run, message).await?);
    }
    if let Some(text) = event.cancel {
        begun.answer = Some(add_message(cx, run, answer_of_hook(text)).await?);
    }
    Ok(())
}

/// An answer that a hook gives in the model's place.
fn answer_of_hook(text: String) -> Message {
    let mut message = Message::assistant(text);
    message.stop_reason = Some(StopReason::EndTurn);
    message
}

/// Asks the hooks about a message and tells it.
async fn add_message(
    cx: &RunContext<'_>,
    run: &Run,
    message: Message,
) -> Result<Arc<Message>, Unanswered> {
    let mut event = MessageAddedEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        message: Arc::new(message),
    };
    cx.ask(&mut event).await.map_err(Unanswered::Failed)?;
    let message = Arc::clone(&event.message);
    cx.tell(AgentEvent::Message(event));
    Ok(message)
}

/// Waits out what the last attempt declared. How the wait ended is recorded, not the timer.
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
        Slept::Cancelled => StepOutcome::WaitCancelled,
    };
    record(cx, unit, Box::pin(async move { outcome })).await
}

enum Slept {
    Through,
    Cancelled,
}

/// Sleeps unless the run is cancelled. The deadline needs no watch: a declared wait never passes it.
async fn sleep(
    cx: &RunContext<'_>,
    cancel: Option<CancellationToken>,
    unit: Unit,
    wait: RecordedWait,
) -> Result<Slept, Stopped> {
    let mut watch = Watch::new(cancel, None);
    match watch
        .race(cx.runtime.sleep_until(StepName(unit), wait.until))
        .await
    {
        Ok(slept) => slept.map(|()| Slept::Through),
        Err(_) => Ok(Slept::Cancelled),
    }
}

/// Runs the tool calls of a turn, concurrently, until all of them have an outcome that stands.
async fn run_tools(cx: &RunContext<'_>, run: &mut Run) -> Result<(), Broken> {
    // The calls' own token, so that a failure of one ends the others in good order.
    let cancel = match &cx.cancel {
        Some(token) => token.child_token(),
        None => CancellationToken::new(),
    };
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
        } else {
            // Nothing more is asked for: what still flies only ends itself.
            cancel.cancel();
        }
        let Some(outcome) = flying.next().await else {
            return Ok(());
        };
        let outcome = outcome?;
        started.retain(|slot| *slot != outcome.slot);
        if matches!(run.step(), Step::Tools(_)) {
            run.apply(StepOutcome::Tool(outcome))?;
        }
    }
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
    let work = Box::pin(async { StepOutcome::Tool(call.make(cx).await) });
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
    let (results, ran) = run.tool_results();
    let message = Message::tool_results(results.iter().cloned());
    let mut finished = ToolsFinished {
        message: Arc::new(message),
        end_turn: None,
        cancelled: false,
        failure: None,
    };
    match ask_finish(cx, run, &mut finished, ran).await {
        Ok(()) => {}
        Err(Unanswered::Failed(failure)) => finished.failure = Some(failure),
        Err(Unanswered::Interrupted(_)) if cx.is_cancelled() => finished.cancelled = true,
        Err(Unanswered::Interrupted(_)) => finished.failure = Some(cx.deadline_failure()),
    }
    StepOutcome::ToolsFinished(finished)
}

async fn ask_finish(
    cx: &RunContext<'_>,
    run: &Run,
    finished: &mut ToolsFinished,
    ran: bool,
) -> Result<(), Unanswered> {
    let mut end_turn = None;
    if ran {
        let mut event = AfterToolsEvent {
            scope: cx.scope(run.turn(), run.attempts_in_turn()),
            results: Arc::clone(&finished.message),
            end_turn: None,
        };
        cx.ask_or_interrupt(&mut cx.watch(), &mut event).await?;
        end_turn = event.end_turn;
    }
    let mut event = MessageAddedEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        message: Arc::clone(&finished.message),
    };
    cx.ask(&mut event).await.map_err(Unanswered::Failed)?;
    cx.tell(AgentEvent::Message(event));
    if let Some(text) = end_turn {
        finished.end_turn = Some(add_message(cx, run, answer_of_hook(text)).await?);
    }
    Ok(())
}

/// Asks the hooks of the invocation and tells how the run ended: exactly one last event.
async fn end(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
    let scope = cx.scope(run.turn(), run.attempts_in_turn());
    let outcome = match (run.failure(), run.result(cx.runtime.now())) {
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
        resume: None,
    };
    let asked = cx.ask(&mut event).await;
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
    StepOutcome::Ended { resume, failure }
}

async fn tell_force_stop(cx: &RunContext<'_>, run: &Run, failure: Failure) {
    tracing::warn!(run = %cx.run, error = %failure, "run ended with an error");
    let mut event = ForceStopEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        failure,
    };
    if let Err(late) = cx.ask(&mut event).await {
        tracing::warn!(run = %cx.run, error = %late, "a hook failed while the run was ending with an error");
    }
    cx.tell(AgentEvent::ForceStop(event));
}
