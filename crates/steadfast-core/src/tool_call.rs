//! One tool call: hooks, the tool, hooks, verdict. Retrying it is another call of the loop's.

use std::{panic::AssertUnwindSafe, sync::Arc, time::SystemTime};

use futures_util::FutureExt as _;

use tokio_util::sync::CancellationToken;

use crate::{
    event::{AgentEvent, EventScope, ToolFinishedEvent, ToolStartedEvent},
    hook_event::{AfterToolCallEvent, BeforeToolCallEvent},
    interrupt::{Interrupt, Watch},
    message::{ToolResult, ToolUse},
    millis,
    run::{NOT_RUN_STOPPED, RecordedWait, ToolStep, ToolVerdict},
    run_context::{RunContext, Unanswered},
    run_error::Failure,
    tool::{Tool, ToolContext, ToolError},
};

const CANCELLED: &str = "cancelled before it finished: the run was stopped";

/// What a call is made with.
///
/// It borrows nothing of the run, which changes while calls are made.
pub(crate) struct ToolCall {
    pub(crate) call: ToolUse,
    pub(crate) step: ToolStep,
    pub(crate) turn: u32,
    pub(crate) attempt: u32,
    pub(crate) max_tries: u32,
    pub(crate) cancel: CancellationToken,
}

impl ToolCall {
    /// Makes the call and says what follows from it.
    pub(crate) async fn make(&self, cx: &RunContext<'_>) -> ToolVerdict {
        let mut watch = cx.watch_with(self.cancel.clone());
        // Where nothing is asked before, nothing is asked after.
        if let Err(interrupt) = watch.check() {
            let result = ToolResult::error(&self.call, NOT_RUN_STOPPED);
            return stopped(cx, interrupt.into(), result);
        }
        let mut before = BeforeToolCallEvent {
            scope: self.scope(cx),
            tool_use: self.call.clone(),
            selected_tool: None,
            cancel: None,
        };
        let asked = cx.ask_opening(&mut watch, &mut before).await;
        // The identity is the provider's: a result under another one would answer no call.
        before.tool_use.id.clone_from(&self.call.id);
        let began = asked.is_ok().then(|| self.tell_started(cx, &before));
        let (ran, cut) = match asked {
            Ok(()) => match self.run_tool(cx, &mut watch, &before).await {
                Ok(ran) => (Some(ran), None),
                Err(interrupt) => (None, Some(interrupt.into())),
            },
            Err(unanswered) => (None, Some(unanswered)),
        };
        let was_cut = cut.is_some();
        let mut after = self.after(cx, before, ran, began);
        // What was cut short still gets its `After`, so that what a hook opened it can close.
        let asked = cx.ask_after(&mut watch, &mut after).await;
        // Hooks may write what was answered, not what was asked: a result under another identity or
        // name would answer no call of the message.
        after.result.id.clone_from(&self.call.id);
        after.result.name.clone_from(&self.call.name);
        if began.is_some() {
            self.tell_finished(cx, &after);
        }
        match Unanswered::first(cut, asked) {
            Ok(()) if after.retry && self.step.tries < self.max_tries => self.retry(cx, after),
            Ok(()) => ToolVerdict::Done(after.result),
            Err(unanswered) if was_cut => stopped(cx, unanswered, after.result),
            Err(Unanswered::Failed(failure)) => failed(failure, Some(after.result)),
            // A tool that answered keeps its answer, also if the run was stopped while hooks looked at
            // it; the run meets the interrupt at its next step.
            Err(_) => ToolVerdict::Done(after.result),
        }
    }

    fn tell_started(&self, cx: &RunContext<'_>, before: &BeforeToolCallEvent) -> SystemTime {
        cx.tell(AgentEvent::ToolStarted(ToolStartedEvent {
            scope: self.scope(cx),
            tool_use: before.tool_use.clone(),
        }));
        cx.runtime.now()
    }

    fn tell_finished(&self, cx: &RunContext<'_>, after: &AfterToolCallEvent) {
        cx.tell(AgentEvent::ToolFinished(ToolFinishedEvent::new(
            self.scope(cx),
            &after.tool_use,
            &after.result,
            after.duration,
        )));
    }

    fn scope(&self, cx: &RunContext<'_>) -> EventScope {
        cx.scope(self.turn, self.attempt)
    }

    async fn run_tool(
        &self,
        cx: &RunContext<'_>,
        watch: &mut Watch,
        before: &BeforeToolCallEvent,
    ) -> Result<Result<ToolResult, ToolError>, Interrupt> {
        let call = &before.tool_use;
        if let Some(reason) = &before.cancel {
            return Ok(Ok(ToolResult::error(call, reason)));
        }
        let known: Option<&Arc<dyn Tool>> = before
            .selected_tool
            .as_ref()
            .or_else(|| cx.agent.tools.find(&call.name));
        let Some(tool) = known else {
            let names = cx.agent.tools.names().join("`, `");
            let problem = match names.as_str() {
                "" => format!("there is no tool `{}`: there are no tools", call.name),
                names => format!("there is no tool `{}`; the tools are `{names}`", call.name),
            };
            return Ok(Ok(ToolResult::error(call, problem)));
        };
        // Null is how hooks say that there are none.
        if !call.input.is_object() && !call.input.is_null() {
            let problem = "the arguments do not fit: they are not a JSON object";
            return Ok(Ok(ToolResult::error(call, problem)));
        }
        let context = ToolContext {
            run: cx.run,
            turn: self.turn,
            call_id: self.call.id.clone(),
            cancel: self.cancel.clone(),
        };
        // What a panic may have left half done is the tool's own: nothing here looks at it again.
        let calling = AssertUnwindSafe(tool.call(call.input.clone(), &context)).catch_unwind();
        let answer = watch.race(calling).await?;
        Ok(match answer {
            Ok(answer) => answer.map(|output| ToolResult::ok(call, output.content)),
            Err(_) => {
                tracing::error!(run = %cx.run, tool = call.name, "a tool panicked");
                Err(ToolError::new("the tool failed unexpectedly"))
            }
        })
    }

    fn after(
        &self,
        cx: &RunContext<'_>,
        before: BeforeToolCallEvent,
        ran: Option<Result<ToolResult, ToolError>>,
        began: Option<SystemTime>,
    ) -> AfterToolCallEvent {
        let call = before.tool_use;
        let (result, error) = match (ran, began) {
            (Some(Ok(result)), _) => (result, None),
            (Some(Err(error)), _) => (ToolResult::error(&call, error.to_string()), Some(error)),
            (None, Some(_)) => (ToolResult::error(&call, CANCELLED), None),
            (None, None) => (ToolResult::error(&call, NOT_RUN_STOPPED), None),
        };
        let took = began.and_then(|began| cx.runtime.now().duration_since(began).ok());
        AfterToolCallEvent {
            scope: self.scope(cx),
            tool_use: call,
            error,
            cancelled: before.cancel,
            duration: millis::to_micros(took.unwrap_or_default()),
            tries: self.step.tries,
            result,
            retry: false,
            delay: None,
        }
    }

    fn retry(&self, cx: &RunContext<'_>, after: AfterToolCallEvent) -> ToolVerdict {
        let now = cx.runtime.now();
        let wait = after
            .delay
            .filter(|delay| !delay.is_zero())
            .map(|delay| RecordedWait::from_now(now, delay));
        match (wait, cx.deadline) {
            // Waiting past the deadline would only turn a tool's error into the run's.
            (Some(wait), Some(deadline)) if wait.until >= deadline => {
                ToolVerdict::Done(after.result)
            }
            _ => ToolVerdict::Retry {
                result: after.result,
                wait,
            },
        }
    }
}

/// The verdict on a call that was cut short, or never began.
fn stopped(cx: &RunContext<'_>, unanswered: Unanswered, result: ToolResult) -> ToolVerdict {
    match unanswered {
        Unanswered::Interrupted(Interrupt::Cancelled) => ToolVerdict::Cancelled(result),
        Unanswered::Failed(failure) => failed(failure, None),
        Unanswered::Interrupted(_) | Unanswered::TooLate(_) => failed(cx.deadline_failure(), None),
    }
}

/// The verdict that ends the run, with what the tool had answered by then.
const fn failed(failure: Failure, result: Option<ToolResult>) -> ToolVerdict {
    ToolVerdict::Failed { failure, result }
}
