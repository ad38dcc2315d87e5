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
    hook_event::{AfterModelCallEvent, AttemptFacts, BeforeModelCallEvent, WaitPlan},
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
        answer_began: false,
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
    answer_began: bool,
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
            Err(failed) => return self.give_up_on(failed, None).await,
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
        self.cx.ask_before(&mut self.watch, &mut event).await?;
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
            // An answer with its end marker is complete, also if the server then forgets to hang up.
            Err(Interrupt::Silence) if self.assembly.is_complete() => Ok(self.assembly.finish()),
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
                    self.answer_began = true;
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
        let message = if self.answer_began {
            format!("the stream was silent for {:?}", timeouts.idle)
        } else {
            format!("no answer within {:?}", timeouts.first_byte)
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
        // What was cut short still gets its `After`, so that what a hook opened it can close.
        let asked = self.cx.ask_after(&mut self.watch, &mut event).await;
        let asked = match interrupt {
            Some(interrupt) => asked.and(Err(interrupt.into())),
            None => asked,
        };
        match asked {
            Ok(()) => self.conclude(event).await,
            Err(unanswered) => {
                let error = event.outcome.and_then(Result::err);
                self.give_up_on(unanswered, error).await
            }
        }
    }

    /// Ends an attempt whose hooks could not be asked to the end.
    async fn give_up_on(
        &mut self,
        unanswered: Unanswered,
        error: Option<ModelError>,
    ) -> AttemptVerdict {
        let (reason, failure) = match unanswered {
            Unanswered::Interrupted(Interrupt::Cancelled) => {
                return match self.discard(DiscardReason::Cancelled, error).await {
                    Err(Unanswered::Failed(failure)) => AttemptVerdict::Failed(failure),
                    Ok(()) | Err(Unanswered::Interrupted(_)) => AttemptVerdict::Cancelled,
                };
            }
            Unanswered::Interrupted(_) => (DiscardReason::Deadline, self.cx.deadline_failure()),
            Unanswered::Failed(failure) => (DiscardReason::HookError, failure),
        };
        let failure = failure.with_model_error(error.clone());
        self.discard_and_fail(reason, error, failure).await
    }

    /// The verdict on an attempt that was discarded before its hooks were asked to the end.
    fn verdict_on(&self, unanswered: Unanswered, error: Option<ModelError>) -> AttemptVerdict {
        let failure = match unanswered {
            Unanswered::Interrupted(Interrupt::Cancelled) => return AttemptVerdict::Cancelled,
            Unanswered::Interrupted(_) => self.cx.deadline_failure(),
            Unanswered::Failed(failure) => failure,
        };
        AttemptVerdict::Failed(failure.with_model_error(error))
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
        if let (Some(wait), Some(deadline)) = (wait, self.cx.deadline)
            && wait.until >= deadline
        {
            let failure = Failure::of_loop(
                RunErrorKind::Deadline,
                format!(
                    "the next try in {:?} would not come before the run's deadline",
                    wait.delay
                ),
            )
            .with_model_error(error.clone())
            .with_retry_after(wait.delay);
            return self.discard_and_fail(reason, error, failure).await;
        }
        let mut asked = self.discard(reason, error.clone()).await;
        if let (Ok(()), Some(plan)) = (&asked, plan) {
            asked = self.tell_throttle(plan, error.clone()).await;
        }
        match asked {
            Ok(()) => AttemptVerdict::Retry { wait },
            Err(unanswered) => self.verdict_on(unanswered, error),
        }
    }

    async fn tell_throttle(
        &mut self,
        plan: WaitPlan,
        error: Option<ModelError>,
    ) -> Result<(), Unanswered> {
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
        self.cx.ask_before(&mut self.watch, &mut event).await?;
        self.cx.tell(AgentEvent::EventLoopThrottle(event));
        Ok(())
    }

    /// Takes back what the attempt said: every attempt that is not committed ends here, once.
    async fn discard(
        &mut self,
        reason: DiscardReason,
        error: Option<ModelError>,
    ) -> Result<(), Unanswered> {
        let mut event = AttemptDiscardedEvent {
            scope: self.scope(),
            reason,
            error,
        };
        let asked = self.cx.ask_after(&mut self.watch, &mut event).await;
        self.cx.tell(AgentEvent::AttemptDiscarded(event));
        asked
    }

    async fn discard_and_fail(
        &mut self,
        reason: DiscardReason,
        error: Option<ModelError>,
        failure: Failure,
    ) -> AttemptVerdict {
        // The first failure is the one that ends the run; a hook that fails at the discard of an
        // attempt that has already failed has nothing to add.
        let _ = self.discard(reason, error).await;
        AttemptVerdict::Failed(failure)
    }

    /// Adds the answer to the history.
    async fn commit(&mut self, response: ModelResponse) -> AttemptVerdict {
        let message = response.message;
        let mut added = MessageAddedEvent {
            scope: self.scope(),
            message: Arc::clone(&message),
        };
        match self.cx.ask_before(&mut self.watch, &mut added).await {
            Ok(()) => {
                self.cx.tell(AgentEvent::Message(added));
                AttemptVerdict::Answered { message }
            }
            Err(unanswered) => self.give_up_on(unanswered, None).await,
        }
    }
}
