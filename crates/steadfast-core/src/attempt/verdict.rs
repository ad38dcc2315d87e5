//! What follows from an attempt: a message, a retry, a failure. It asks the hooks of what is taken back and
//! of a wait, and makes no call and no wait.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::Attempt;
use crate::{
    event::{AgentEvent, AttemptDiscardedEvent, DiscardReason, EventLoopThrottleEvent, EventScope},
    hook_event::{AfterModelCallEvent, WaitPlan},
    interrupt::Interrupt,
    message::Message,
    model::ModelError,
    run::{AttemptVerdict, RecordedWait},
    run_context::Unanswered,
    run_error::{Failure, RunErrorKind},
};

/// An attempt that does not count: why, and what follows. Boxed, since most attempts count.
pub(super) struct Discard {
    pub(super) reason: DiscardReason,
    pub(super) error: Option<ModelError>,
    pub(super) then: Then,
}

pub(super) enum Then {
    Retry(Option<(WaitPlan, RecordedWait)>),
    Fail(Failure),
    Cancel,
}

impl Attempt<'_> {
    /// Draws the conclusion from what the hooks have answered: a message that joins the history, or
    /// an attempt that does not count.
    pub(super) fn conclude(
        &mut self,
        event: AfterModelCallEvent,
    ) -> Result<Arc<Message>, Box<Discard>> {
        self.moves_on = event.elsewhere;
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

    pub(super) fn wait_from_now(&self, delay: Duration) -> RecordedWait {
        RecordedWait::from_now(self.cx.runtime.now(), delay)
    }

    /// Whether a wait would not end before the run's deadline.
    pub(super) fn is_too_late(&self, wait: RecordedWait) -> bool {
        let deadline = self.cx.deadline;
        deadline.is_some_and(|deadline| wait.until >= deadline)
    }

    /// What becomes of an attempt whose hooks could not be asked to the end.
    pub(super) fn cut_off(
        &self,
        unanswered: Unanswered,
        error: Option<ModelError>,
    ) -> Box<Discard> {
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

    /// Takes back what the attempt said: every attempt that is not committed ends here, once.
    pub(super) async fn take_back(
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
    pub(super) async fn tell_throttle(
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
    pub(super) fn verdict(
        &self,
        discard: Discard,
        asked: Result<(), Unanswered>,
    ) -> AttemptVerdict {
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
