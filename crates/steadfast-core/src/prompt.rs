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
    agent::Agent, agent_loop::answer, agent_result::AgentResult, conversation::Conversation,
    event_queue::EventQueue, input::Input, model::ModelSettings, run::Run, run_error::RunError,
    runtime::Runtime,
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
    pub(crate) agent: Agent,
    pub(crate) start: Start,
    pub(crate) conversation: Option<&'a mut Conversation>,
    pub(crate) settings: Option<ModelSettings>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) cancel: Option<CancellationToken>,
    pub(crate) runtime: Option<&'a dyn Runtime>,
}

/// Where a prompt starts from.
pub(crate) enum Start {
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
        RunStream::new(Box::pin(answer(self, Arc::clone(&queue))), queue)
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
