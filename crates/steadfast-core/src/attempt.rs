//! One attempt: hooks, one model call, hooks, verdict. It never loops and never waits for a retry.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_core::Stream;

use crate::{
    event::{
        AgentEvent, AttemptDiscardedEvent, AttemptStartedEvent, DiscardReason,
        EventLoopThrottleEvent, EventScope, MessageAddedEvent, ReasoningDeltaEvent, TextDeltaEvent,
    },
    hook_event::{
        AfterModelCallEvent, AttemptFacts, BeforeModelCallEvent, BeforeToolsEvent, WaitPlan,
    },
    interrupt::{Interrupt, Watch},
    message::Message,
    model::{Assembly, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelResponse},
    run::{AttemptOutcome, AttemptVerdict, RecordedWait, Run},
    run_context::{RunContext, Unanswered},
    run_error::{Failure, RunErrorKind},
    usage::{StopReason, Usage},
};

/// Makes the next attempt of a run and says what follows from it.
pub(crate) async fn attempt(cx: &RunContext<'_>, run: &Run) -> AttemptOutcome {
    let mut attempt = Attempt {
        cx,
        run,
        number: run.attempts_in_turn().saturating_add(1),
        started: cx.runtime.now(),
        watch: cx.watch(),
        assembly: Assembly::default(),
        output_started: false,
    };
    cx.tell(AgentEvent::AttemptStarted(AttemptStartedEvent {
        scope: attempt.scope(),
    }));
    let verdict = attempt.make().await;
    AttemptOutcome {
        started: attempt.started,
        usage: attempt.assembly.usage(),
        verdict,
    }
}

struct Attempt<'a> {
    cx: &'a RunContext<'a>,
    run: &'a Run,
    number: u32,
    started: SystemTime,
    watch: Watch,
    assembly: Assembly,
    output_started: bool,
}

/// Why an attempt has neither an answer nor a model's error.
type Outcome = Result<Result<ModelResponse, ModelError>, Interrupt>;

impl Attempt<'_> {
    fn scope(&self) -> EventScope {
        self.cx.scope(self.run.turn(), self.number)
    }

    async fn make(&mut self) -> AttemptVerdict {
        let outcome = match self.ask_before().await {
            Ok(Some(answer)) => Ok(Ok(self.answer_without_model(answer))),
            Ok(None) => self.call_model().await,
            Err(Unanswered::Interrupted(interrupt)) => Err(interrupt),
            Err(Unanswered::Failed(failure)) => {
                return self
                    .discard_and_fail(DiscardReason::HookError, None, failure)
                    .await;
            }
        };
        self.judge(outcome).await
    }

    /// Asks the hooks before the call; one of them may answer in the model's place.
    async fn ask_before(&mut self) -> Result<Option<String>, Unanswered> {
        let mut event = BeforeModelCallEvent {
            scope: self.scope(),
            history: self.run.history().clone(),
            cancel: None,
        };
        self.cx
            .ask_or_interrupt(&mut self.watch, &mut event)
            .await?;
        Ok(event.cancel)
    }

    fn answer_without_model(&self, text: String) -> ModelResponse {
        let mut message = Message::assistant(text.clone());
        message.stop_reason = Some(StopReason::EndTurn);
        self.tell_text(text);
        ModelResponse {
            message: Arc::new(message),
            stop_reason: StopReason::EndTurn,
            usage: Usage::default(),
            request_id: None,
        }
    }

    async fn call_model(&mut self) -> Outcome {
        let timeouts = self.cx.agent.timeouts;
        self.watch.limit_silence(timeouts.first_byte);
        let outcome = match self.stream_deltas(timeouts.idle).await {
            Err(Interrupt::Silence) => Ok(Err(self.silence_error())),
            other => other,
        };
        self.watch.allow_silence();
        outcome
    }

    async fn stream_deltas(&mut self, idle: Duration) -> Outcome {
        let request = ModelRequest {
            history: self.run.history().clone(),
            frame: Arc::clone(&self.cx.frame),
            run: self.cx.run,
            attempt: self.number,
        };
        let called = self.watch.race(self.cx.agent.model.stream(request)).await?;
        let mut stream = match called {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            self.cx.queue.room().await;
            let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
            match self.watch.race(next).await? {
                Some(Ok(delta)) => {
                    self.watch.limit_silence(idle);
                    if let Err(error) = self.take_delta(delta) {
                        return Ok(Err(error));
                    }
                }
                Some(Err(error)) => return Ok(Err(error)),
                None => return Ok(self.assembly.finish()),
            }
        }
    }

    fn take_delta(&mut self, delta: ModelDelta) -> Result<(), ModelError> {
        self.assembly.push(&delta)?;
        match delta {
            ModelDelta::Text(text) | ModelDelta::Refusal(text) if !text.is_empty() => {
                self.output_started = true;
                self.tell_text(text);
            }
            ModelDelta::Reasoning(text) if !text.is_empty() => {
                self.output_started = true;
                let scope = self.scope();
                self.cx
                    .tell(AgentEvent::ReasoningDelta(ReasoningDeltaEvent {
                        scope,
                        text,
                    }));
            }
            _ => {}
        }
        Ok(())
    }

    fn tell_text(&self, text: String) {
        let scope = self.scope();
        self.cx
            .tell(AgentEvent::TextDelta(TextDeltaEvent { scope, text }));
    }

    fn silence_error(&self) -> ModelError {
        let timeouts = self.cx.agent.timeouts;
        let message = if self.assembly.is_empty() {
            format!("no answer within {:?}", timeouts.first_byte)
        } else {
            format!("the stream was silent for {:?}", timeouts.idle)
        };
        ModelError::new(ModelErrorKind::Timeout, message)
    }

    /// Asks the hooks after the call and draws the conclusion.
    async fn judge(&mut self, outcome: Outcome) -> AttemptVerdict {
        let (outcome, interrupt) = match outcome {
            Ok(outcome) => (Some(outcome), None),
            Err(interrupt) => (None, Some(interrupt)),
        };
        let mut event = AfterModelCallEvent {
            scope: self.scope(),
            facts: self.facts(outcome.as_ref().is_some_and(Result::is_err)),
            outcome,
            retry: false,
            plan: None,
            gave_up: false,
        };
        // What was cut short still gets its `After`, so that what a hook opened it can close; it
        // cannot be raced against the interrupt that has already come.
        let asked = match interrupt {
            Some(interrupt) => self
                .cx
                .ask(&mut event)
                .await
                .map_err(Unanswered::Failed)
                .and(Err(Unanswered::Interrupted(interrupt))),
            None => self.cx.ask_or_interrupt(&mut self.watch, &mut event).await,
        };
        match asked {
            Ok(()) => self.conclude(event).await,
            Err(Unanswered::Interrupted(Interrupt::Cancelled)) => {
                match self.discard(DiscardReason::Cancelled, None).await {
                    Ok(()) => AttemptVerdict::Cancelled,
                    Err(failure) => AttemptVerdict::Failed(failure),
                }
            }
            Err(Unanswered::Interrupted(_)) => {
                let failure = self.cx.deadline_failure();
                self.discard_and_fail(DiscardReason::Deadline, None, failure)
                    .await
            }
            Err(Unanswered::Failed(failure)) => {
                let error = event.outcome.and_then(Result::err);
                self.discard_and_fail(DiscardReason::HookError, error, failure)
                    .await
            }
        }
    }

    fn facts(&self, failed: bool) -> AttemptFacts {
        let turn_started = self.run.turn_started().unwrap_or(self.started);
        AttemptFacts {
            waits: self.run.waits(),
            elapsed: self
                .cx
                .runtime
                .now()
                .duration_since(turn_started)
                .unwrap_or_default(),
            last_delay: self.run.last_delay(),
            output_started: self.output_started,
            random: if failed { self.cx.runtime.random() } else { 0 },
        }
    }

    async fn conclude(&mut self, event: AfterModelCallEvent) -> AttemptVerdict {
        match event.outcome {
            Some(outcome) if event.retry => self.retry(outcome, event.plan).await,
            Some(Ok(response)) => self.commit(response).await,
            Some(Err(error)) => {
                let failure = Failure::model(error.clone());
                self.discard_and_fail(DiscardReason::ModelError, Some(error), failure)
                    .await
            }
            // Only an interrupted attempt has no outcome, and that was handled before.
            None => AttemptVerdict::Cancelled,
        }
    }

    async fn retry(
        &mut self,
        outcome: Result<ModelResponse, ModelError>,
        plan: Option<WaitPlan>,
    ) -> AttemptVerdict {
        let error = outcome.err();
        let reason = match error {
            Some(_) => DiscardReason::ModelError,
            None => DiscardReason::RetriedByHook,
        };
        let cap = self.run.max_attempts_per_turn();
        if self.number >= cap {
            let failure = Failure::of_loop(
                RunErrorKind::AttemptCap,
                format!("the model was called {cap} times in one turn, which is the hard cap"),
            )
            .with_model_error(error.clone());
            return self.discard_and_fail(reason, error, failure).await;
        }
        let now = self.cx.runtime.now();
        let wait = plan.map(|plan| RecordedWait::from_now(now, plan.delay));
        let deadline = self.cx.deadline.unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(wait) = wait
            && self.cx.deadline.is_some()
            && wait.until > deadline
        {
            let failure = Failure::of_loop(
                RunErrorKind::Deadline,
                format!(
                    "the next try in {:?} would come after the run's deadline",
                    wait.delay
                ),
            )
            .with_model_error(error.clone())
            .with_retry_after(wait.delay);
            return self.discard_and_fail(reason, error, failure).await;
        }
        if let Err(failure) = self.discard(reason, error.clone()).await {
            return AttemptVerdict::Failed(failure);
        }
        if let Some(plan) = plan
            && let Err(failure) = self.tell_throttle(plan, error).await
        {
            return AttemptVerdict::Failed(failure);
        }
        AttemptVerdict::Retry { wait }
    }

    async fn tell_throttle(
        &self,
        plan: WaitPlan,
        error: Option<ModelError>,
    ) -> Result<(), Failure> {
        let mut event = EventLoopThrottleEvent {
            scope: self.scope(),
            delay: plan.delay,
            max_attempts: plan.max_attempts,
            error,
            decided_by: plan.decided_by,
        };
        tracing::warn!(
            run = %self.cx.run,
            attempt = self.number,
            delay = ?plan.delay,
            error = event.error.as_ref().map(tracing::field::display),
            "model call failed, waiting before the next attempt"
        );
        self.cx.ask(&mut event).await?;
        self.cx.tell(AgentEvent::EventLoopThrottle(event));
        Ok(())
    }

    /// Takes back what the attempt said: every attempt that is not committed ends here, once.
    async fn discard(
        &self,
        reason: DiscardReason,
        error: Option<ModelError>,
    ) -> Result<(), Failure> {
        let mut event = AttemptDiscardedEvent {
            scope: self.scope(),
            reason,
            error,
        };
        let asked = self.cx.ask(&mut event).await;
        self.cx.tell(AgentEvent::AttemptDiscarded(event));
        asked
    }

    async fn discard_and_fail(
        &self,
        reason: DiscardReason,
        error: Option<ModelError>,
        failure: Failure,
    ) -> AttemptVerdict {
        // The first failure is the one that ends the run; a hook that fails at the discard of an
        // attempt that has already failed has nothing to add.
        let _ = self.discard(reason, error).await;
        AttemptVerdict::Failed(failure)
    }

    /// Adds the answer to the history and asks whether its tools may run.
    async fn commit(&mut self, response: ModelResponse) -> AttemptVerdict {
        let message = response.message;
        let mut added = MessageAddedEvent {
            scope: self.scope(),
            message: Arc::clone(&message),
        };
        if let Err(failure) = self.cx.ask(&mut added).await {
            return self
                .discard_and_fail(DiscardReason::HookError, None, failure)
                .await;
        }
        self.cx.tell(AgentEvent::Message(added));
        let cancel_tools = if response.stop_reason == StopReason::ToolUse {
            let mut event = BeforeToolsEvent {
                scope: self.scope(),
                message: Arc::clone(&message),
                cancel: None,
            };
            match self.cx.ask_or_interrupt(&mut self.watch, &mut event).await {
                Ok(()) => event.cancel,
                // The message stands; the tools, which watch too, will be cut short.
                Err(Unanswered::Interrupted(_)) => None,
                Err(Unanswered::Failed(failure)) => return AttemptVerdict::Failed(failure),
            }
        } else {
            None
        };
        AttemptVerdict::Answered {
            message,
            cancel_tools,
        }
    }
}
