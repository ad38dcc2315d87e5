//! A prompt: what is asked and how, before it runs; then the run as a future, a stream or a task.

mod run_stream;

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

pub use run_stream::RunStream;

use crate::{
    ConfigError,
    agent::Agent,
    agent_loop::{drive, start, tell_force_stop, tell_resumed},
    agent_result::AgentResult,
    conversation::Conversation,
    event_queue::EventQueue,
    input::Input,
    model::{ModelSettings, RequestFrame},
    run::Run,
    run_context::{Progress, RunContext},
    run_error::{Failure, RunError, RunErrorKind},
    run_id::RunId,
    runtime::{Runtime, TokioRuntime},
};

/// A prompt that has not run yet.
///
/// Await it for the result, [`stream`](Self::stream) it for the events, or
/// [`spawn`](Self::spawn) it as a task: it is the same run each time. Nothing happens before.
///
/// # Cancel safety
///
/// Dropping the future or stream ends the run where it is; no hook is asked about it. Cancelling
/// through [`cancel_on`](Self::cancel_on) ends it in good order, with a result.
///
/// ```
/// use steadfast_core::{Agent, StopReason, CancellationToken, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder().model(ScriptedModel::new([Reply::hang()])).build()?;
/// let token = CancellationToken::new();
/// let run = agent.prompt("Umbrella?").cancel_on(token.clone()).spawn();
/// token.cancel();
/// assert_eq!(run.await?.stop_reason(), StopReason::Cancelled);
/// # Ok(())
/// # }
/// ```
#[must_use = "a prompt does nothing until it is awaited, streamed or spawned"]
pub struct Prompt<'a> {
    agent: Agent,
    start: Start,
    conversation: Option<&'a mut Conversation>,
    settings: Option<ModelSettings>,
    deadline: Option<Duration>,
    cancel: Option<CancellationToken>,
    runtime: Option<&'a dyn Runtime>,
}

/// Where a prompt starts from.
enum Start {
    Input(Input),
    Run(Box<Run>),
}

impl<'a> Prompt<'a> {
    fn from_start(agent: Agent, start: Start, conversation: Option<&'a mut Conversation>) -> Self {
        Self {
            agent,
            start,
            conversation,
            settings: None,
            deadline: None,
            cancel: None,
            runtime: None,
        }
    }

    pub(crate) fn new(agent: Agent, input: Input) -> Self {
        Self::from_start(agent, Start::Input(input), None)
    }

    pub(crate) fn resume(agent: Agent, run: Run) -> Self {
        Self::from_start(agent, Start::Run(Box::new(run)), None)
    }

    pub(crate) fn in_conversation(
        agent: Agent,
        conversation: &'a mut Conversation,
        input: Input,
    ) -> Self {
        Self::from_start(agent, Start::Input(input), Some(conversation))
    }

    pub(crate) fn resume_conversation(
        agent: Agent,
        conversation: &'a mut Conversation,
        run: Run,
    ) -> Self {
        Self::from_start(agent, Start::Run(Box::new(run)), Some(conversation))
    }

    /// Answers this prompt with settings of its own instead of the agent's.
    pub fn settings(mut self, settings: ModelSettings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Gives this prompt a deadline of its own instead of the agent's.
    ///
    /// It is counted from the prompt's beginning.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Cancels the run when the token is cancelled.
    ///
    /// A wait before a retry, a silent model, a waiting hook and an async tool end within
    /// milliseconds; no further call is made; the run ends with the stop reason `cancelled`.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Runs on a runtime of the caller's, such as an engine that makes runs durable.
    pub fn on_runtime<'b>(self, runtime: &'b dyn Runtime) -> Prompt<'b>
    where
        'a: 'b,
    {
        Prompt {
            runtime: Some(runtime),
            ..self
        }
    }

    /// Runs the prompt and streams its events.
    pub fn stream(self) -> RunStream<'a> {
        let queue = Arc::new(EventQueue::default());
        RunStream::new(Box::pin(self.answer(Arc::clone(&queue))), queue)
    }

    /// Drives the run to its end and settles what is left: the result, the error, the conversation.
    async fn answer(self, queue: Arc<EventQueue>) -> Result<AgentResult, RunError> {
        let own_runtime;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => {
                own_runtime = TokioRuntime::new();
                &own_runtime
            }
        };
        let agent = &*self.agent.0;
        let mut limits = agent.limits.clone();
        limits.deadline = self.deadline.or(limits.deadline);
        let (frame, mut refusal) = match frame(&self.agent, self.settings) {
            Ok(frame) => (frame, None),
            Err(error) => {
                let problem = "the prompt's settings are wrong";
                let failure = Failure::of_loop(RunErrorKind::Config, problem);
                (
                    Arc::clone(&agent.frame),
                    Some(failure.with_cause(Arc::new(error))),
                )
            }
        };
        let resumed = matches!(self.start, Start::Run(_));
        let mut run = match self.start {
            Start::Run(mut run) => {
                refusal = refusal.or_else(|| refuse_resume(self.conversation.as_deref(), &run));
                // A run that is refused stays as it is, to be resumed elsewhere.
                if refusal.is_none() {
                    run.reopen(runtime.now(), self.deadline);
                }
                run
            }
            Start::Input(input) => {
                if input.0.is_empty() {
                    let problem = "the prompt has no message";
                    refusal = refusal.or(Some(Failure::of_loop(RunErrorKind::Config, problem)));
                }
                let base = self
                    .conversation
                    .as_ref()
                    .map(|c| c.history().clone())
                    .unwrap_or_default();
                let (id, started) = match start(runtime).await {
                    Ok(identity) => identity,
                    Err(broken) => {
                        let run = Run::new(RunId::default(), runtime.now(), limits, base, input.0);
                        return Err(RunError::new(broken.into(), Box::new(run)));
                    }
                };
                Box::new(Run::new(id, started, limits, base, input.0))
            }
        };
        let cx = RunContext {
            agent,
            runtime,
            queue: &queue,
            cancel: self.cancel,
            frame,
            run: run.id(),
            resumes: run.resumes(),
            started: run.started(),
            deadline: run.deadline(),
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
            Ok(()) => {
                cx.end();
                settle(run, resumed, self.conversation, &cx)
            }
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

fn frame(agent: &Agent, settings: Option<ModelSettings>) -> Result<Arc<RequestFrame>, ConfigError> {
    let own = &agent.0.frame;
    let Some(settings) = settings else {
        return Ok(Arc::clone(own));
    };
    let frame = RequestFrame {
        settings,
        ..RequestFrame::clone(own)
    };
    frame.validate()?;
    Ok(Arc::new(frame))
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
    let summary = run.result(cx.runtime.now());
    // The run lets go of the history before the conversation adds to it, or it would be copied.
    let run = if summary.is_some() && !run.may_go_on() {
        drop(run);
        None
    } else {
        Some(run)
    };
    if let Some(conversation) = conversation {
        conversation.commit(base, kept.clone());
    }
    match (summary, run) {
        (Some(summary), run) => Ok(AgentResult::new(summary, kept, run)),
        (None, run) => {
            let unknown = || Failure::of_loop(RunErrorKind::Mismatch, "the run has no ending");
            let failure = run.as_ref().and_then(|run| run.failure().cloned());
            let failure = failure.unwrap_or_else(unknown);
            let run = run.unwrap_or_else(|| Box::new(Run::lost(failure.clone())));
            Err(RunError::new(failure, run))
        }
    }
}

impl Prompt<'static> {
    /// Runs the prompt as a task of its own. Dropping the handle aborts it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(mut self) -> RunHandle {
        // A child: the handle cancels this run and nobody who shares the caller's token.
        let cancel = match self.cancel.take() {
            Some(token) => token.child_token(),
            None => CancellationToken::new(),
        };
        self.cancel = Some(cancel.clone());
        RunHandle {
            task: tokio::spawn(self.into_future()),
            cancel,
        }
    }
}

impl<'a> IntoFuture for Prompt<'a> {
    type Output = Result<AgentResult, RunError>;
    type IntoFuture = RunFuture<'a>;

    fn into_future(self) -> RunFuture<'a> {
        RunFuture(self.stream())
    }
}

impl fmt::Debug for Prompt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// A run as a future: its stream, collected.
#[derive(Debug)]
pub struct RunFuture<'a>(RunStream<'a>);

impl Future for RunFuture<'_> {
    type Output = Result<AgentResult, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_outcome(cx)
    }
}

/// A run as a task. Await it for the result; dropping it aborts the run.
#[derive(Debug)]
pub struct RunHandle {
    task: tokio::task::JoinHandle<Result<AgentResult, RunError>>,
    cancel: CancellationToken,
}

impl RunHandle {
    /// Cancels the run in good order: it ends with the stop reason `cancelled`.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Future for RunHandle {
    type Output = Result<AgentResult, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task)
            .poll(cx)
            .map(|joined| match joined {
                Ok(outcome) => outcome,
                // A hook or tool panicked in the task: the panic goes on in whoever awaits it.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(RunError::of_lost_task()),
                },
            })
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
