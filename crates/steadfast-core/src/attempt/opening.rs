//! What comes before the call of an attempt: hooks, their waits, their admissions. It calls no model.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::future::{Either, select};

use super::{Attempt, hedge::Hedging};
use crate::{
    event::CallRole,
    hook_event::{Admission, BeforeModelCallEvent, DeclaredWait, Held, WaitPlan},
    model::{ModelError, ModelRequest},
    run_context::Unanswered,
};

/// What follows from what hooks said before the call.
pub(super) enum Opening {
    /// The model is asked this, and perhaps twice.
    Call(ModelRequest, Option<Box<Hedging>>),
    /// A hook answers in the model's place.
    Answered(String),
    /// A hook has the attempt fail.
    Refused(Box<ModelError>),
}

impl Attempt<'_> {
    /// Asks the hooks before the call, waits if one of them declared it, and asks whether to call.
    pub(super) async fn open(&mut self) -> Result<Opening, Unanswered> {
        let request = ModelRequest {
            history: self.run.history().clone(),
            frame: Arc::clone(&self.cx.frame),
            run: self.cx.run,
            attempt: self.number,
        };
        if !self.cx.agent.hooks.has::<BeforeModelCallEvent>() {
            return Ok(Opening::Call(request, None));
        }
        self.ask_before_call(request).await
    }

    async fn ask_before_call(&mut self, request: ModelRequest) -> Result<Opening, Unanswered> {
        let elapsed = self.elapsed_in_turn();
        let mut event = BeforeModelCallEvent {
            scope: self.scope(),
            elapsed,
            turn_began: self.cx.turn_began(self.run.turn(), elapsed),
            request,
            model: self.model.clone(),
            waits: Vec::new(),
            admissions: Vec::new(),
            calls: self.calls.clone(),
            refusal: None,
            hedge: None,
            cancel: None,
        };
        self.cx.ask_opening(&mut self.watch, &mut event).await?;
        self.model.clone_from(&event.model);
        if let Some(answer) = event.cancel {
            return Ok(Opening::Answered(answer));
        }
        if let Some(error) = event.refusal {
            return Ok(Opening::Refused(error));
        }
        self.wait_before_call(event.waits).await?;
        if let Err(error) = self.admit(CallRole::First, &mut event.admissions) {
            return Ok(Opening::Refused(Box::new(error)));
        }
        let admissions = event.admissions;
        let hedging = event
            .hedge
            .map(|delay| Box::new(Hedging { delay, admissions }));
        Ok(Opening::Call(event.request, hedging))
    }

    /// Makes the waits one after the other, in the order in which hooks declared them.
    ///
    /// Side by side, each of two runs could hold what the other waits for. What a wait has given stays
    /// with the attempt, and is given back with it if a later one comes to no end.
    async fn wait_before_call(&mut self, waits: Vec<DeclaredWait>) -> Result<(), Unanswered> {
        let mut has_waited = false;
        let mut waits = waits.into_iter();
        while let Some(mut wait) = waits.next() {
            if has_waited {
                wait.guess_again();
                let behind = waits.as_mut_slice().iter_mut();
                behind.for_each(DeclaredWait::guess_again);
            }
            // What is done at once was no wait.
            if let Some(permit) = wait.pass_at_once().await {
                self.permits.add([permit]);
                continue;
            }
            has_waited = true;
            let expected = wait.expected();
            let behind = waits.as_slice().iter().map(DeclaredWait::expected);
            // A line moves on while its run waits elsewhere, so not the sum.
            let at_least = behind.fold(expected, Duration::max);
            if self.is_too_late(self.wait_from_now(at_least)) {
                return Err(Unanswered::TooLate(at_least));
            }
            // Boxed, because most calls do not wait here.
            Box::pin(self.wait_out(wait)).await?;
        }
        Ok(())
    }

    /// Tells a wait and makes it.
    async fn wait_out(&mut self, wait: DeclaredWait) -> Result<(), Unanswered> {
        let runtime = self.cx.runtime;
        let began = runtime.now();
        let plan = WaitPlan::of_pacer(wait.expected());
        let waited_out = self.waits_out.take_if(|_| wait.waits_out_failure);
        let mut passing = pin!(async { (wait.pass().await, runtime.now()) });
        let passed = match self
            .tell_beside(&plan, waited_out, passing.as_mut())
            .await?
        {
            Some(passed) => Ok(passed),
            None => self.watch.race(passing).await,
        };
        let ended = passed
            .as_ref()
            .map_or_else(|_| runtime.now(), |(_, at)| *at);
        let took = ended.duration_since(began).unwrap_or_default();
        self.waited = self.waited.saturating_add(took);
        let (permit, _) = passed?;
        self.permits.add([permit]);
        Ok(())
    }

    /// Tells a wait while it is made, and gives what it has given by then.
    ///
    /// In a line, all behind this run would wait for its hooks otherwise.
    async fn tell_beside<T>(
        &mut self,
        plan: &WaitPlan,
        waited_out: Option<ModelError>,
        passing: Pin<&mut impl Future<Output = T>>,
    ) -> Result<Option<T>, Unanswered> {
        let telling = pin!(self.tell_throttle(self.scope(), plan, waited_out));
        match select(telling, passing).await {
            Either::Left((told, _)) => told.map(|()| None),
            Either::Right((passed, telling)) => telling.await.map(|()| Some(passed)),
        }
    }

    /// Asks whether a call is made, now that nothing else is waited for.
    ///
    /// If one refuses, what those before it gave is dropped at once: nothing is held for no call.
    pub(super) fn admit(
        &mut self,
        role: CallRole,
        admissions: &mut [Admission],
    ) -> Result<(), ModelError> {
        let asked = admissions.iter_mut().map(|admission| admission.ask(role));
        let given: Vec<Held> = asked.collect::<Result<_, _>>()?;
        self.permits.add(given);
        Ok(())
    }
}
