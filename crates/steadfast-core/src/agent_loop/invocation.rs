//! The brackets around a run: what its hooks and observers meet before the first turn and after the
//! last. Turns are not here.

use std::{mem, sync::Arc};

use super::added_message::{answer_of_hook, ask_added, tell_answer_of_hook};
use crate::{
    event::{AgentEvent, EVENT_SCHEMA, ForceStopEvent, ResultEvent, RunStartedEvent},
    hook_event::{AfterInvocationEvent, BeforeInvocationEvent},
    run::{Begun, Run, Step, StepOutcome},
    run_context::{RunContext, Unanswered},
    run_error::{Failure, RunErrorKind},
};

/// Asks the hooks of the invocation and makes messages of the prompt.
pub(super) async fn begin(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
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
pub(super) fn tell_resumed(cx: &RunContext<'_>, run: &Run, is_refused: bool) {
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
    if event.messages.is_empty() && event.cancel.is_none() {
        let problem = "a hook left the prompt without a message";
        let failure = Failure::of_loop(RunErrorKind::Config, problem);
        return Err(Unanswered::Failed(failure));
    }
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

/// Asks the hooks of the invocation and tells how the run ended: exactly one last event.
pub(super) async fn end(cx: &RunContext<'_>, run: &Run) -> StepOutcome {
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
        _ => Ok(()),
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

pub(super) async fn tell_force_stop(cx: &RunContext<'_>, run: &Run, failure: Failure) {
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
