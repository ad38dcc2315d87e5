//! What every unit of a run works with: hooks to ask, observers to tell, time, interrupts.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_core::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::AgentParts,
    event::{AgentEvent, EventScope, RunDroppedEvent},
    event_queue::EventQueue,
    hook::{HookError, HookEvent},
    interrupt::{Grace, Interrupt, Watch},
    millis,
    model::{CalledModel, ModelError, RequestFrame},
    run::{RecordedWait, StepName, StepOutcome, Unit},
    run_error::{Failure, RunErrorKind},
    run_id::RunId,
    runtime::{Runtime, Stopped},
};

/// One run's surroundings, the same for all its steps.
pub(crate) struct RunContext<'a> {
    pub(crate) agent: &'a AgentParts,
    pub(crate) runtime: &'a dyn Runtime,
    pub(crate) queue: &'a EventQueue,
    pub(crate) cancel: Option<CancellationToken>,
    pub(crate) frame: Arc<RequestFrame>,
    pub(crate) run: RunId,
    pub(crate) resumes: u32,
    pub(crate) started: SystemTime,
    pub(crate) deadline: Option<SystemTime>,
    pub(crate) grace: Grace,
    /// The model that was called last; none until another than the agent's was.
    pub(crate) last_model: Mutex<Option<CalledModel>>,
    /// What the latest attempt failed with, if it is retried without a wait of its own.
    pub(crate) retried_at_once: Mutex<Option<ModelError>>,
    /// The turn that was asked about last, and when it began on tokio's clock.
    pub(crate) turn_began: Mutex<Option<(u32, Instant)>>,
    pub(crate) progress: Progress,
}

/// How far a run has come, for the notice of one that is dropped.
#[derive(Default)]
pub(crate) struct Progress {
    /// The turn, the attempt and the time of the latest event. Nobody waits for them, so they may be
    /// read in any order.
    turn: AtomicU32,
    attempt: AtomicU32,
    micros: AtomicU64,
    ended: AtomicBool,
}

/// How a wait ended.
pub(crate) enum Slept {
    Through,
    Cancelled,
}

/// Why asking hooks did not come to an end.
#[derive(Debug)]
pub(crate) enum Unanswered {
    Failed(Failure),
    Interrupted(Interrupt),
    /// A declared wait would not end before the run's deadline.
    TooLate(Duration),
}

impl Unanswered {
    /// Why what was cut short ends as it does, once its closing hooks have been asked too.
    ///
    /// The first failure stands; an interrupt yields to a failure that comes after it.
    pub(crate) fn first(cut: Option<Self>, asked: Result<(), Self>) -> Result<(), Self> {
        match (cut, asked) {
            (None, asked) => asked,
            (Some(Self::Interrupted(_) | Self::TooLate(_)), Err(Self::Failed(failure))) => {
                Err(Self::Failed(failure))
            }
            (Some(cut), _) => Err(cut),
        }
    }
}

impl From<Interrupt> for Unanswered {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

impl RunContext<'_> {
    /// Returns the place in the run at this moment.
    pub(crate) fn scope(&self, turn: u32, attempt: u32) -> EventScope {
        let at = self.elapsed();
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        self.progress.turn.store(turn, Ordering::Relaxed);
        self.progress.attempt.store(attempt, Ordering::Relaxed);
        self.progress.micros.store(micros, Ordering::Relaxed);
        EventScope {
            run: self.run,
            turn,
            attempt,
            at,
        }
    }

    /// Notes which model is called. Returns the name of the one before, if this is another.
    pub(crate) fn switch_model(&self, called: &CalledModel) -> Option<String> {
        let mut last = self
            .last_model
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = match &*last {
            Some(model) => model.0.name(),
            None => self.agent.model.name(),
        };
        if before == called.0.name() {
            return None;
        }
        let before = before.to_owned();
        *last = Some(called.clone());
        Some(before)
    }

    /// Notes what an attempt failed with that is retried without a wait of its own: whoever has the next
    /// one wait waits it out. It is known in this process only, as events are.
    pub(crate) fn retry_at_once(&self, error: Option<ModelError>) {
        *self.retried_at_once() = error;
    }

    /// What was noted, once.
    pub(crate) fn take_retried_at_once(&self) -> Option<ModelError> {
        self.retried_at_once().take()
    }

    fn retried_at_once(&self) -> MutexGuard<'_, Option<ModelError>> {
        let noted = self.retried_at_once.lock();
        noted.unwrap_or_else(PoisonError::into_inner)
    }

    /// When a turn of that age began: the same moment for all its attempts, since no two looks at a clock
    /// are.
    pub(crate) fn turn_began(&self, turn: u32, age: Duration) -> Instant {
        let known = self.turn_began.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((known, began)) if known == turn => began,
            _ => {
                let began = before(Instant::now(), age);
                *known = Some((turn, began));
                began
            }
        }
    }

    fn elapsed(&self) -> Duration {
        let elapsed = self.runtime.now().duration_since(self.started);
        millis::to_micros(elapsed.unwrap_or_default())
    }

    /// Notes that nothing more is told of the run, also if its future is then dropped.
    pub(crate) fn end(&self) {
        self.progress.ended.store(true, Ordering::Relaxed);
    }

    /// Returns the name under which a unit of this run is recorded.
    pub(crate) const fn step_name(&self, unit: Unit) -> StepName {
        StepName {
            resumes: self.resumes,
            unit,
        }
    }

    /// Does a unit of the run and has its outcome recorded.
    pub(crate) async fn record(
        &self,
        unit: Unit,
        work: BoxFuture<'_, StepOutcome>,
    ) -> Result<StepOutcome, Stopped> {
        self.runtime.record(self.step_name(unit), work).await
    }

    /// Sleeps unless the run is cancelled.
    ///
    /// A wait that outlasts the deadline, which a resumed run may have sooner than before, ends with
    /// it: what is tried then meets the deadline.
    pub(crate) async fn sleep(
        &self,
        cancel: Option<CancellationToken>,
        unit: Unit,
        wait: RecordedWait,
    ) -> Result<Slept, Stopped> {
        let mut watch = Watch::new(cancel, self.deadline_instant());
        let sleeping = self.runtime.sleep_until(self.step_name(unit), wait.until);
        match watch.race(sleeping).await {
            Ok(slept) => slept.map(|()| Slept::Through),
            Err(Interrupt::Cancelled) => Ok(Slept::Cancelled),
            Err(_) => Ok(Slept::Through),
        }
    }

    /// Tells observers and the stream.
    pub(crate) fn tell(&self, event: AgentEvent) {
        if matches!(event, AgentEvent::Result(_) | AgentEvent::ForceStop(_)) {
            self.end();
        }
        self.agent.hooks.tell(&event);
        self.queue.push(event);
    }

    /// Asks the hooks of something that is about to happen, unless an interrupt comes first. Their
    /// error is a hook error, met once.
    pub(crate) async fn ask_before<E: HookEvent>(
        &self,
        watch: &mut Watch,
        event: &mut E,
    ) -> Result<(), Unanswered> {
        watch.check()?;
        self.ask_opening(watch, event).await
    }

    /// The same, where the interrupt has been looked for: to look twice would leave a moment in
    /// between.
    pub(crate) async fn ask_opening<E: HookEvent>(
        &self,
        watch: &mut Watch,
        event: &mut E,
    ) -> Result<(), Unanswered> {
        if !self.agent.hooks.has::<E>() {
            return Ok(());
        }
        conclude::<E>(self.agent.hooks.ask_before(event, watch).await)
    }

    /// Asks the hooks of something that has happened.
    ///
    /// An interrupt does not keep them from it; those that await then have a few milliseconds.
    pub(crate) async fn ask_after<E: HookEvent>(
        &self,
        watch: &mut Watch,
        event: &mut E,
    ) -> Result<(), Unanswered> {
        if !self.agent.hooks.has::<E>() {
            return Ok(watch.check()?);
        }
        conclude::<E>(self.agent.hooks.ask_after(event, watch, &self.grace).await)
    }

    /// Says how asking hooks ended a run, if it did: cancelled, or with a failure.
    pub(crate) fn stopped_by(&self, asked: Result<(), Unanswered>) -> (bool, Option<Failure>) {
        match asked {
            Ok(()) => (false, None),
            Err(Unanswered::Failed(failure)) => (false, Some(failure)),
            Err(_) if self.is_cancelled() => (true, None),
            Err(_) => (false, Some(self.deadline_failure())),
        }
    }

    /// Watches for the interrupts of this run.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.cancel.clone(), self.deadline_instant())
    }

    /// The same, with a token of the caller's instead of the run's.
    pub(crate) fn watch_with(&self, cancel: CancellationToken) -> Watch {
        Watch::new(Some(cancel), self.deadline_instant())
    }

    pub(crate) fn deadline_instant(&self) -> Option<Instant> {
        let left = self
            .deadline?
            .duration_since(self.runtime.now())
            .unwrap_or_default();
        Instant::now().checked_add(left)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel
            .as_ref()
            .is_some_and(CancellationToken::is_cancelled)
    }

    /// The failure of a run whose deadline passed while something was being done.
    pub(crate) fn deadline_failure(&self) -> Failure {
        let limit = self
            .deadline
            .and_then(|deadline| deadline.duration_since(self.started).ok())
            .unwrap_or_default();
        Failure::of_loop(
            RunErrorKind::Deadline,
            format!("the run's deadline of {limit:?} passed"),
        )
    }
}

/// A run whose future is dropped before its end is told to observers, who may have shown half of it.
impl Drop for RunContext<'_> {
    fn drop(&mut self) {
        let progress = &self.progress;
        let turn = progress.turn.load(Ordering::Relaxed);
        // Nobody was told that it began.
        if progress.ended.load(Ordering::Relaxed) || turn == 0 {
            return;
        }
        // Nothing of others is called here but the observers: this may be the unwinding from a panic,
        // and a second one would end the program. So the time is that of the latest event.
        let scope = EventScope {
            run: self.run,
            turn,
            attempt: progress.attempt.load(Ordering::Relaxed),
            at: Duration::from_micros(progress.micros.load(Ordering::Relaxed)),
        };
        let event = AgentEvent::RunDropped(RunDroppedEvent { scope });
        let told = catch_unwind(AssertUnwindSafe(|| self.agent.hooks.tell(&event)));
        if told.is_err() {
            tracing::error!(run = %self.run, "an observer panicked when it was told of a dropped run");
        }
    }
}

fn conclude<E: HookEvent>(
    asked: Result<Result<(), Interrupt>, HookError>,
) -> Result<(), Unanswered> {
    match asked {
        Ok(answered) => Ok(answered?),
        Err(error) => {
            let problem = format!("a hook failed at `{}`", E::NAME);
            let failure = Failure::of_loop(RunErrorKind::Hook, problem);
            Err(Unanswered::Failed(failure.with_cause(error.into_source())))
        }
    }
}

/// The moment so long before now, or the nearest half, quarter … of it that the clock can tell: where it
/// began with the machine, a run that was stored before that is still older than those that begin.
fn before(now: Instant, age: Duration) -> Instant {
    let halves = iter::successors(Some(age), |age| Some(*age / 2));
    let mut moments = halves.filter_map(|age| now.checked_sub(age));
    moments.next().unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_resilience::secs;

    #[tokio::test(start_paused = true)]
    async fn age_beyond_the_clock_is_still_an_age() {
        let now = Instant::now();

        assert_eq!(before(now, secs(5)), now - secs(5));
        assert!(before(now, Duration::MAX) < before(now, secs(60)));
    }
}
