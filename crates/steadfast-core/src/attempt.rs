//! One attempt: hooks, one model call, hooks, verdict. It never loops and never waits for a retry.

mod hedge;
mod opening;
mod verdict;

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_core::Stream;

use hedge::Hedging;
use opening::Opening;
use verdict::{Discard, Then};

use crate::{
    agent_loop::answer_of_hook,
    event::{
        AgentEvent, AttemptStartedEvent, CallRole, EventScope, MessageAddedEvent,
        ModelSwitchedEvent, ReasoningDeltaEvent, TextDeltaEvent,
    },
    hook_event::{AfterModelCallEvent, AttemptFacts, CallsMade, ModelCallAcceptedEvent, Permits},
    interrupt::{Interrupt, Watch},
    message::Message,
    model::{
        Assembly, CalledModel, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelResponse,
        RateLimits,
    },
    run::{AttemptOutcome, AttemptVerdict, Run},
    run_context::{RunContext, Unanswered},
    usage::{StopReason, Usage},
};

/// Makes the next attempt of a run and says what follows from it.
pub(crate) async fn attempt(cx: &RunContext<'_>, run: &Run) -> AttemptOutcome {
    let mut attempt = Attempt {
        cx,
        run,
        number: run.attempts_in_turn().saturating_add(1),
        model: CalledModel(Arc::clone(&cx.agent.model)),
        calls: CallsMade::default(),
        started: cx.runtime.now(),
        watch: cx.watch(),
        assembly: Assembly::default(),
        answer_began: false,
        output_started: false,
        moves_on: false,
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
        called: attempt.calls.includes(CallRole::First),
        moves_on: attempt.moves_on,
        verdict,
    }
}

struct Attempt<'a> {
    cx: &'a RunContext<'a>,
    run: &'a Run,
    number: u32,
    model: CalledModel,
    /// Which calls of the model were made; none if a hook answers for it.
    calls: CallsMade,
    started: SystemTime,
    watch: Watch,
    assembly: Assembly,
    answer_began: bool,
    output_started: bool,
    /// Whether a retry of it is a call of another model.
    moves_on: bool,
    /// How long it waited before the call.
    waited: Duration,
    /// What the attempt before failed with, until a wait was told for it.
    waits_out: Option<ModelError>,
    /// What the waits before the call and its admissions have given, held until the attempt has ended.
    permits: Permits,
}

/// What the model said or failed with, or why it was not asked to the end.
type Outcome = Result<Result<ModelResponse, ModelError>, Unanswered>;

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
        self.calls.note(CallRole::First);
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
        // Nobody listens to the model while a hook awaits.
        let silence = self.watch.pause_silence();
        let asked = self.cx.ask_opening(&mut self.watch, &mut event).await;
        self.watch.resume_silence(silence);
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
            called: self.calls.includes(CallRole::First),
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
            calls: self.run.calls_in_turn(),
            moves: self.run.moves(),
            waits: self.run.waits(),
            waits_behind_calls: self.run.waits_behind_calls(),
            elapsed: self.elapsed_in_turn(),
            time_left: self.cx.deadline.map(left),
            last_delay: self.run.last_delay(),
            output_started: self.output_started,
            drawn: self.run.drawn(),
            random: if failed { self.cx.runtime.random() } else { 0 },
        }
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
}
