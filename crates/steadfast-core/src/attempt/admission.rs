//! Whether and when the model is called: hooks before the call, the waits that they declare, and what
//! these have given. What the model says is not looked at here.

use std::{future::poll_fn, mem, task::Poll, time::Duration};

use futures_util::{FutureExt as _, future::join_all};

use super::Attempt;
use crate::{
    hook_event::{BeforeModelCallEvent, DeclaredWait, Held, ModelCallAcceptedEvent, WaitPlan},
    model::RateLimits,
    run_context::Unanswered,
};

impl Attempt<'_> {
    /// Asks the hooks before the call, and waits if one of them declared it. A hook may answer in the
    /// model's place.
    pub(super) async fn open(&mut self) -> Result<Option<String>, Unanswered> {
        let mut event = BeforeModelCallEvent {
            scope: self.scope(),
            history: self.run.history().clone(),
            model: self.model.clone(),
            elapsed: self.elapsed_in_turn(),
            waits: Vec::new(),
            cancel: None,
        };
        self.cx.ask_opening(&mut self.watch, &mut event).await?;
        self.model.clone_from(&event.model);
        if event.cancel.is_none()
            && let Some(delay) = event.delay()
        {
            // Boxed, because most calls do not wait here.
            Box::pin(self.wait_before_call(delay, event.waits)).await?;
        }
        Ok(event.cancel)
    }

    async fn wait_before_call(
        &mut self,
        delay: Duration,
        waits: Vec<DeclaredWait>,
    ) -> Result<(), Unanswered> {
        let mut waits = join_all(waits.into_iter().map(DeclaredWait::pass));
        // What is done at once was no wait.
        if let Poll::Ready(permits) = poll_fn(|cx| Poll::Ready(waits.poll_unpin(cx))).await {
            self.held = Held::new(permits);
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
        self.held = Held::new(passed?);
        Ok(())
    }

    /// Asks the hooks about a call that was accepted.
    pub(super) async fn accepted(
        &mut self,
        rate_limits: Option<Box<RateLimits>>,
    ) -> Result<(), Unanswered> {
        if !self.cx.agent.hooks.has::<ModelCallAcceptedEvent>() {
            return Ok(());
        }
        let mut event = ModelCallAcceptedEvent {
            scope: self.scope(),
            model: self.model.clone(),
            rate_limits,
            held: mem::take(&mut self.held),
        };
        let asked = self.cx.ask_opening(&mut self.watch, &mut event).await;
        self.held = event.held;
        asked
    }
}
