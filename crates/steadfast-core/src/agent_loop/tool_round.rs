//! The tools of one turn: hooks before them, the calls side by side, hooks after them. One call is made
//! in `tool_call.rs`.

use std::sync::Arc;

use futures_util::{
    FutureExt as _,
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio_util::sync::CancellationToken;

use super::{
    Broken,
    added_message::{answer_of_hook, ask_added, tell_answer_of_hook},
};
use crate::{
    event::{AgentEvent, MessageAddedEvent},
    hook_event::{AfterToolsEvent, BeforeToolsEvent},
    message::{Message, Role},
    run::{
        Run, Step, StepMismatch, StepOutcome, ToolOutcome, ToolStep, ToolVerdict, ToolsBegun,
        ToolsFinished, Unit,
    },
    run_context::RunContext,
    tool_call::ToolCall,
};

/// Asks the hooks whether the tools of the turn may run.
pub(super) async fn begin_tools(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
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
pub(super) async fn run_tools(cx: &RunContext<'_>, run: &mut Run) -> Result<(), Broken> {
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
        cx.sleep(Some(call.cancel.clone()), unit, wait).await?;
    }
    let slot = call.step.slot;
    let work = Box::pin(async {
        let verdict = call.make(cx).await;
        StepOutcome::Tool(ToolOutcome { slot, verdict })
    });
    match cx.record(unit, work).await? {
        StepOutcome::Tool(outcome) => Ok(outcome),
        other => Err(Broken::Mismatch(StepMismatch::between(
            "tool",
            other.kind(),
        ))),
    }
}

/// Asks the hooks of the tools and makes one message of the results.
pub(super) async fn finish_tools(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
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
