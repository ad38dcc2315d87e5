//! What comes before the call of an attempt: hooks, their waits, their admissions. It calls no model.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use futures_util::{FutureExt as _, future::join_all};

use super::{Attempt, hedge::Hedging};
use crate::{
    event::CallRole,
    hook_event::{Admission, BeforeModelCallEvent, DeclaredWait, WaitPlan},
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
        let mut event = BeforeModelCallEvent {
            scope: self.scope(),
            elapsed: self.elapsed_in_turn(),
            request,
            model: self.model.clone(),
            waits: Vec::new(),
            admissions: Vec::new(),
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
        if let Some(delay) = event.delay() {
            // Boxed, because most calls do not wait here.
            Box::pin(self.wait_before_call(delay, event.waits)).await?;
        }
        if let Err(error) = self.admit(CallRole::First, &mut event.admissions) {
            return Ok(Opening::Refused(Box::new(error)));
        }
        let admissions = event.admissions;
        let hedging = event
            .hedge
            .map(|delay| Box::new(Hedging { delay, admissions }));
        Ok(Opening::Call(event.request, hedging))
    }

    async fn wait_before_call(
        &mut self,
        delay: Duration,
        waits: Vec<DeclaredWait>,
    ) -> Result<(), Unanswered> {
        let mut waits = join_all(waits.into_iter().map(DeclaredWait::pass));
        // What is done at once was no wait.
        if let Poll::Ready(permits) = poll_fn(|cx| Poll::Ready(waits.poll_unpin(cx))).await {
            self.permits.add(permits);
            return Ok(());
        }
        if self.is_too_late(self.wait_from_now(delay)) {
            return Err(Unanswered::TooLate(delay));
        }
        let began = self.cx.runtime.now();
        let plan = WaitPlan::of_pacer(delay);
        self.tell_throttle(self.scope(), &plan, None).await?;
        let passed = self.watch.race(waits).await;
        let took = self.cx.runtime.now().duration_since(began);
        self.waited = took.unwrap_or_default();
        self.permits.add(passed?);
        Ok(())
    }

    /// Asks whether a call is made, now that nothing else is waited for.
    pub(super) fn admit(
        &mut self,
        role: CallRole,
        admissions: &mut [Admission],
    ) -> Result<(), ModelError> {
        for admission in admissions {
            let held = admission.ask(role)?;
            self.permits.add([held]);
        }
        Ok(())
    }
}
