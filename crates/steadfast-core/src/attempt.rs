//! One attempt: hooks, one model call, hooks, verdict. It never loops and never waits for a retry.

mod hedge;
mod opening;

use std::{
    borrow::Cow,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_core::Stream;

use hedge::Hedging;
use opening::Opening;

use crate::{
    agent_loop::answer_of_hook,
    event::{
        AgentEvent, AttemptDiscardedEvent, AttemptStartedEvent, DiscardReason,
        EventLoopThrottleEvent, EventScope, MessageAddedEvent, ModelSwitchedEvent,
        ReasoningDeltaEvent, TextDeltaEvent,
    },
    hook_event::{AfterModelCallEvent, AttemptFacts, ModelCallAcceptedEvent, Permits, WaitPlan},
    interrupt::{Interrupt, Watch},
    message::Message,
    model::{
        Assembly, CalledModel, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelResponse,
        RateLimits,
    },
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
        model: CalledModel(Arc::clone(&cx.agent.model)),
        called: false,
        hedged: false,
        started: cx.runtime.now(),
        watch: cx.watch(),
        assembly: Assembly::default(),
        answer_began: false,
        output_started: false,
        waited: Duration::ZERO,
        waits_out: cx.take_retried_at_once(),
        permits: Permits::default(),
    };
    cx.tell(AgentEvent::AttemptStarted(AttemptStartedEvent {
        scope: attempt.scope(),
    }));
    let verdict = attempt.make().await;
    AttemptOutcome {
        started: attempt.started,
        usage: attempt.assembly.usage(),
        waited: attempt.waited,
        verdict,
    }
}

struct Attempt<'a> {
    cx: &'a RunContext<'a>,
    run: &'a Run,
    number: u32,
    model: CalledModel,
    /// Whether the model was called, and not answered for by a hook.
    called: bool,
    /// Whether it was called a second time.
    hedged: bool,
    started: SystemTime,
    watch: Watch,
    assembly: Assembly,
    answer_began: bool,
    output_started: bool,
    /// How long it waited before the call.
    waited: Duration,
    /// What the attempt before failed with, until a wait was told for it.
    waits_out: Option<ModelError>,
    /// What the waits before the call and its admissions have given, held until the attempt has ended.
    permits: Permits,
}

/// What the model said or failed with, or why it was not asked to the end.
type Outcome = Result<Result<ModelResponse, ModelError>, Unanswered>;

/// An attempt that does not count: why, and what follows. Boxed, since most attempts count.
struct Discard {
    reason: DiscardReason,
    error: Option<ModelError>,
    then: Then,
}

enum Then {
    Retry(Option<(WaitPlan, RecordedWait)>),
    Fail(Failure),
    Cancel,
}

impl Attempt<'_> {
    fn scope(&self) -> EventScope {
        self.cx.scope(self.run.turn(), self.number)
    }

    /// Each step is a future of its own, so that one takes the place of the other in memory.
    async fn make(&mut self) -> AttemptVerdict {
        let committed = match self.ask_and_call().await {
            Ok(message) => self.commit(message).await,
            Err(discard) => Err(discard),
        };
        let discard = match committed {
            Ok(message) => return AttemptVerdict::Answered { message },
            Err(discard) => discard,
        };
        // The moment of the decision: a wait counts from it, however long hooks look at it.
        let decided = self.scope();
        let mut asked = self.take_back(decided, &discard).await;
        if let (Ok(()), Then::Retry(Some((plan, _)))) = (&asked, &discard.then) {
            let error = discard.error.clone();
            asked = self.tell_throttle(decided, plan, error).await;
        }
        self.verdict(*discard, asked)
    }

    /// Asks the hooks, calls the model, asks the hooks.
    async fn ask_and_call(&mut self) -> Result<Arc<Message>, Box<Discard>> {
        // Where nothing is asked before, nothing is asked after.
        if let Err(interrupt) = self.watch.check() {
            return Err(self.cut_off(interrupt.into(), None));
        }
        let outcome = match self.open().await {
            Ok(Opening::Call(request, hedging)) => self.call_model(request, hedging).await,
            Ok(Opening::Answered(answer)) => Ok(Ok(self.answer_without_model(answer))),
            Ok(Opening::Refused(error)) => Ok(Err(*error)),
            Err(unanswered) => Err(unanswered),
        };
        let (outcome, cut) = match outcome {
            Ok(outcome) => (Some(outcome), None),
            Err(unanswered) => (None, Some(unanswered)),
        };
        let mut event = self.after_model_call(outcome);
        // What was cut short still gets its `After`, so that what a hook opened it can close.
        let asked = self.cx.ask_after(&mut self.watch, &mut event).await;
        self.permits = mem::take(&mut event.permits);
        match Unanswered::first(cut, asked) {
            Ok(()) => self.conclude(event),
            Err(unanswered) => Err(self.cut_off(unanswered, event.outcome.and_then(Result::err))),
        }
    }

    fn answer_without_model(&mut self, text: String) -> ModelResponse {
        let message = answer_of_hook(text.clone());
        self.tell_text(text);
        ModelResponse {
            message,
            stop_reason: StopReason::EndTurn,
            usage: Usage::default(),
            request_id: None,
        }
    }

    async fn call_model(
        &mut self,
        request: ModelRequest,
        hedging: Option<Box<Hedging>>,
    ) -> Outcome {
        self.called = true;
        if let Some(from) = self.cx.switch_model(&self.model) {
            self.cx.tell(AgentEvent::ModelSwitched(ModelSwitchedEvent {
                scope: self.scope(),
                from,
                to: self.model.0.name().to_owned(),
            }));
        }
        let timeouts = self.cx.agent.timeouts;
        self.watch.limit_silence(timeouts.first_byte);
        let outcome = match self.stream_deltas(request, hedging, timeouts.idle).await {
            // An answer with its end marker is complete, also if the server then forgets to hang up.
            Err(Unanswered::Interrupted(Interrupt::Silence)) => match self.assembly.is_complete() {
                true => Ok(self.assembly.finish()),
                false => Ok(Err(self.silence_error())),
            },
            other => other,
        };
        self.watch.allow_silence();
        outcome
    }

    async fn stream_deltas(
        &mut self,
        request: ModelRequest,
        hedging: Option<Box<Hedging>>,
        idle: Duration,
    ) -> Outcome {
        let mut stream = match hedging {
            None => match self.watch.race(self.model.0.stream(request)).await? {
                Ok(mut stream) => {
                    self.accepted(stream.take_rate_limits()).await?;
                    stream
                }
                Err(error) => return Ok(Err(error)),
            },
            // Boxed, because most calls are not hedged.
            Some(hedging) => Box::pin(self.call_twice(request, *hedging, idle)).await?,
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

    /// Asks the hooks about a call that was accepted.
    async fn accepted(&mut self, rate_limits: Option<Box<RateLimits>>) -> Result<(), Unanswered> {
        if !self.cx.agent.hooks.has::<ModelCallAcceptedEvent>() {
            return Ok(());
        }
        let mut event = ModelCallAcceptedEvent {
            scope: self.scope(),
            model: self.model.clone(),
            rate_limits,
            permits: mem::take(&mut self.permits),
        };
        let asked = self.cx.ask_opening(&mut self.watch, &mut event).await;
        self.permits = event.permits;
        asked
    }

    fn take_delta(&mut self, delta: ModelDelta) -> Result<(), ModelError> {
        self.assembly.push(&delta)?;
        match delta {
            ModelDelta::Text(text) | ModelDelta::Refusal(text) if !text.is_empty() => {
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

    fn tell_text(&mut self, text: String) {
        self.output_started = true;
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
        self.assembly
            .locate(ModelError::new(ModelErrorKind::Timeout, message))
    }

    fn after_model_call(
        &mut self,
        outcome: Option<Result<ModelResponse, ModelError>>,
    ) -> AfterModelCallEvent {
        AfterModelCallEvent {
            scope: self.scope(),
            model: self.model.clone(),
            called: self.called,
            hedged: self.hedged,
            facts: self.facts(outcome.as_ref().is_some_and(Result::is_err)),
            outcome,
            usage: self.assembly.usage(),
            retry: false,
            plan: None,
            gave_up: false,
            elsewhere: false,
            why_not: None,
            permits: mem::take(&mut self.permits),
        }
    }

    /// How long ago the first attempt of this turn began.
    fn elapsed_in_turn(&self) -> Duration {
        let turn_started = self.run.turn_started().unwrap_or(self.started);
        let elapsed = self.cx.runtime.now().duration_since(turn_started);
        elapsed.unwrap_or_default()
    }

    fn facts(&self, failed: bool) -> AttemptFacts {
        let now = self.cx.runtime.now();
        let left = |deadline: SystemTime| deadline.duration_since(now).unwrap_or_default();
        AttemptFacts {
            waits: self.run.waits(),
            elapsed: self.elapsed_in_turn(),
            time_left: self.cx.deadline.map(left),
            last_delay: self.run.last_delay(),
            output_started: self.output_started,
            drawn: self.run.drawn(),
            random: if failed { self.cx.runtime.random() } else { 0 },
        }
    }

    /// Draws the conclusion from what the hooks have answered: a message that joins the history, or
    /// an attempt that does not count.
    fn conclude(&self, event: AfterModelCallEvent) -> Result<Arc<Message>, Box<Discard>> {
        match event.outcome {
            Some(outcome) if event.retry => Err(self.retry(outcome.err(), event.plan)),
            Some(Ok(response)) => Ok(response.message),
            Some(Err(error)) => Err(Box::new(Discard {
                reason: DiscardReason::ModelError,
                then: Then::Fail(Failure::model(
                    error.clone(),
                    event.why_not.map(Cow::into_owned),
                )),
                error: Some(error),
            })),
            // Only an interrupted attempt has no outcome, and that was handled before.
            None => Err(self.cut_off(Interrupt::Cancelled.into(), None)),
        }
    }

    /// Retries, unless the cap or the deadline is in the way.
    fn retry(&self, error: Option<ModelError>, plan: Option<WaitPlan>) -> Box<Discard> {
        let wait = plan.map(|plan| {
            let mut wait = self.wait_from_now(plan.delay);
            wait.drawn = plan.drawn;
            (plan, wait)
        });
        let failure = self.over_the_cap(error.as_ref()).or_else(|| {
            let (plan, _) = wait.filter(|(_, wait)| self.is_too_late(*wait))?;
            Some(too_late(plan.delay))
        });
        Box::new(Discard {
            reason: match error {
                Some(_) => DiscardReason::ModelError,
                None => DiscardReason::RetriedByHook,
            },
            then: match failure {
                Some(failure) => Then::Fail(failure.with_model_error(error.clone())),
                None => Then::Retry(wait),
            },
            error,
        })
    }

    fn over_the_cap(&self, error: Option<&ModelError>) -> Option<Failure> {
        let cap = self.run.max_attempts_per_turn();
        (self.number >= cap).then(|| {
            // Not "calls": an attempt may have been refused before its call.
            let last = match error {
                Some(error) => format!("the last one failed: {error}"),
                None => "a hook retried the last one".to_owned(),
            };
            let problem = format!("{cap} attempts in one turn are the hard cap, and {last}");
            Failure::of_loop(RunErrorKind::AttemptCap, problem)
        })
    }

    fn wait_from_now(&self, delay: Duration) -> RecordedWait {
        RecordedWait::from_now(self.cx.runtime.now(), delay)
    }

    /// Whether a wait would not end before the run's deadline.
    fn is_too_late(&self, wait: RecordedWait) -> bool {
        let deadline = self.cx.deadline;
        deadline.is_some_and(|deadline| wait.until >= deadline)
    }

    /// What becomes of an attempt whose hooks could not be asked to the end.
    fn cut_off(&self, unanswered: Unanswered, error: Option<ModelError>) -> Box<Discard> {
        let (reason, failure) = match unanswered {
            Unanswered::Interrupted(Interrupt::Cancelled) => (DiscardReason::Cancelled, None),
            Unanswered::Interrupted(_) => {
                (DiscardReason::Deadline, Some(self.cx.deadline_failure()))
            }
            Unanswered::TooLate(delay) => (DiscardReason::Deadline, Some(too_late(delay))),
            Unanswered::Failed(failure) => (DiscardReason::HookError, Some(failure)),
        };
        let failure = failure.map(|failure| failure.with_model_error(error.clone()));
        Box::new(Discard {
            reason,
            error,
            then: failure.map_or(Then::Cancel, Then::Fail),
        })
    }

    /// Adds the answer to the history.
    async fn commit(&mut self, message: Arc<Message>) -> Result<Arc<Message>, Box<Discard>> {
        let mut added = MessageAddedEvent {
            scope: self.scope(),
            message,
        };
        match self.cx.ask_before(&mut self.watch, &mut added).await {
            Ok(()) => {
                let message = Arc::clone(&added.message);
                self.cx.tell(AgentEvent::Message(added));
                Ok(message)
            }
            Err(unanswered) => Err(self.cut_off(unanswered, None)),
        }
    }

    /// Takes back what the attempt said: every attempt that is not committed ends here, once.
    async fn take_back(
        &mut self,
        decided: EventScope,
        discard: &Discard,
    ) -> Result<(), Unanswered> {
        let mut event = AttemptDiscardedEvent {
            scope: decided,
            reason: discard.reason,
            error: discard.error.clone(),
        };
        let asked = self.cx.ask_after(&mut self.watch, &mut event).await;
        self.cx.tell(AgentEvent::AttemptDiscarded(event));
        asked
    }

    /// Tells a wait before it is made.
    async fn tell_throttle(
        &mut self,
        decided: EventScope,
        plan: &WaitPlan,
        error: Option<ModelError>,
    ) -> Result<(), Unanswered> {
        let mut event = EventLoopThrottleEvent {
            scope: decided,
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
            "waiting before the model is called"
        );
        self.cx.ask_before(&mut self.watch, &mut event).await?;
        self.cx.tell(AgentEvent::EventLoopThrottle(event));
        Ok(())
    }

    /// The verdict on an attempt that was taken back.
    fn verdict(&self, discard: Discard, asked: Result<(), Unanswered>) -> AttemptVerdict {
        let then = match (discard.then, asked) {
            (Then::Retry(_), Err(unanswered)) => {
                self.cut_off(unanswered, discard.error.clone()).then
            }
            (Then::Cancel, Err(Unanswered::Failed(failure))) => Then::Fail(failure),
            // The first failure is the one that ends the run; a hook that fails at the discard of an
            // attempt that has already failed has nothing to add.
            (then, _) => then,
        };
        match then {
            Then::Retry(wait) => {
                let wait = wait.map(|(_, wait)| wait);
                self.cx
                    .retry_at_once(discard.error.filter(|_| wait.is_none()));
                AttemptVerdict::Retry { wait }
            }
            Then::Fail(failure) => AttemptVerdict::Failed(failure),
            Then::Cancel => AttemptVerdict::Cancelled,
        }
    }
}

/// The failure of a run whose deadline comes before its next try.
fn too_late(delay: Duration) -> Failure {
    let problem = format!("the next try in {delay:?} would not come before the run's deadline");
    Failure::of_loop(RunErrorKind::Deadline, problem).with_retry_after(delay)
}
