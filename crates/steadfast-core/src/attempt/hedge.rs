//! The hedge of an attempt: a second call where the first says nothing for a time. Once one of the two has
//! said something the attempt goes on as any other; failures are not tried again here.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_core::{Stream, future::BoxFuture};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Sleep, sleep};

use super::Attempt;
use crate::{
    event::{AgentEvent, CallRole, HedgeStartedEvent, HedgeWonEvent},
    hook_event::Admission,
    model::{Model, ModelDelta, ModelRequest, ModelStream, RateLimits},
    run_context::Unanswered,
};

/// How an attempt is hedged.
pub(super) struct Hedging {
    pub(super) delay: Duration,
    /// Who is asked whether a second call may be made.
    pub(super) admissions: Vec<Admission>,
}

impl Attempt<'_> {
    /// Calls the model, and once more if it says nothing for a time. Gives the answer of the call that
    /// says something first; if none does, that of the one that failed last.
    pub(super) async fn call_twice(
        &mut self,
        request: ModelRequest,
        mut hedging: Hedging,
        idle: Duration,
    ) -> Result<ModelStream, Unanswered> {
        let mut race = Race::begin(&self.model.0, request.clone(), hedging.delay);
        loop {
            let next = poll_fn(|cx| race.poll_next(cx));
            let next = self.watch.race(next).await?;
            if let Some(accepted) = race.first_accepted() {
                self.accepted(accepted.rate_limits).await?;
            }
            match next {
                Next::Accepted => {}
                Next::Heard => {
                    self.answer_began = true;
                    self.watch.limit_silence(idle);
                }
                Next::Late => {
                    if self.may_hedge(&mut hedging) {
                        race.hedge = Some(race.call(&self.model.0, request.clone()));
                    }
                }
                Next::Answers(winner, stream) => {
                    if self.calls.includes(CallRole::Hedge) {
                        self.tell_winner(winner);
                    }
                    return Ok(stream);
                }
                Next::Failed(stream) => return Ok(stream),
            }
        }
    }

    /// Asks whether there may be a hedge, and tells it.
    fn may_hedge(&mut self, hedging: &mut Hedging) -> bool {
        let delay = hedging.delay;
        if let Err(error) = self.admit(CallRole::Hedge, &mut hedging.admissions) {
            tracing::debug!(run = %self.cx.run, attempt = self.number, %error, "no hedge is made");
            return false;
        }
        self.calls.note(CallRole::Hedge);
        tracing::info!(
            run = %self.cx.run,
            attempt = self.number,
            ?delay,
            "the model is called a second time, since it said nothing"
        );
        let scope = self.scope();
        self.cx
            .tell(AgentEvent::HedgeStarted(HedgeStartedEvent { scope, delay }));
        true
    }

    fn tell_winner(&self, winner: CallRole) {
        tracing::info!(run = %self.cx.run, attempt = self.number, ?winner, "one of two calls answers");
        let scope = self.scope();
        self.cx
            .tell(AgentEvent::HedgeWon(HedgeWonEvent { scope, winner }));
    }
}

/// A call until it has said something: then its answer from the beginning, and whether there is one.
type Call = BoxFuture<'static, (ModelStream, bool)>;

/// One call, or two of which one will answer.
struct Race {
    first: Option<Call>,
    hedge: Option<Call>,
    /// None once a hedge was thought of.
    timer: Option<Pin<Box<Sleep>>>,
    heard: Arc<Heard>,
    /// Whether it is known that a call was accepted.
    is_accepted: bool,
}

/// What was heard of the calls since it was looked at.
#[derive(Default)]
struct Heard {
    /// A server has begun to answer.
    begun: AtomicBool,
    accepted: Mutex<Option<Accepted>>,
}

/// A call that the provider accepted.
struct Accepted {
    rate_limits: Option<Box<RateLimits>>,
}

impl Heard {
    fn accepted(&self) -> MutexGuard<'_, Option<Accepted>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens next.
enum Next {
    /// A call was accepted.
    Accepted,
    /// A server has begun, and says nothing yet.
    Heard,
    /// It is time for a hedge.
    Late,
    /// This call has said something.
    Answers(CallRole, ModelStream),
    /// No call is left; this is how the last one ends.
    Failed(ModelStream),
}

impl Race {
    fn begin(model: &Arc<dyn Model>, request: ModelRequest, delay: Duration) -> Self {
        let mut race = Self {
            first: None,
            hedge: None,
            timer: Some(Box::pin(sleep(delay))),
            heard: Arc::default(),
            is_accepted: false,
        };
        race.first = Some(race.call(model, request));
        race
    }

    fn call(&self, model: &Arc<dyn Model>, request: ModelRequest) -> Call {
        let (model, heard) = (Arc::clone(model), Arc::clone(&self.heard));
        Box::pin(listen(model, request, heard))
    }

    /// The call that was accepted first, told once.
    fn first_accepted(&mut self) -> Option<Accepted> {
        let accepted = self.heard.accepted().take();
        let is_first = !self.is_accepted;
        self.is_accepted |= accepted.is_some();
        accepted.filter(|_| is_first)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        for role in [CallRole::First, CallRole::Hedge] {
            let (call, other) = match role {
                CallRole::First => (&mut self.first, &self.hedge),
                CallRole::Hedge => (&mut self.hedge, &self.first),
            };
            let Some(Poll::Ready((stream, answers))) =
                call.as_mut().map(|call| call.as_mut().poll(cx))
            else {
                continue;
            };
            *call = None;
            if answers {
                return Poll::Ready(Next::Answers(role, stream));
            }
            if other.is_none() {
                return Poll::Ready(Next::Failed(stream));
            }
        }
        if self.heard.begun.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Next::Heard);
        }
        if self.heard.accepted().is_some() {
            return Poll::Ready(Next::Accepted);
        }
        let late = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if late {
            self.timer = None;
            return Poll::Ready(Next::Late);
        }
        Poll::Pending
    }
}

/// Calls the model and listens until it says something.
///
/// What comes before that, such as the identity of the request, is kept: the stream that is given begins
/// at the beginning. How a call fails is a part of its stream too.
async fn listen(
    model: Arc<dyn Model>,
    request: ModelRequest,
    heard: Arc<Heard>,
) -> (ModelStream, bool) {
    let mut answer = match model.stream(request).await {
        Ok(answer) => answer,
        Err(error) => return (ModelStream::new(stream::iter([Err(error)])), false),
    };
    // Of two that are accepted in one moment, the first stays the first.
    heard.accepted().get_or_insert(Accepted {
        rate_limits: answer.take_rate_limits(),
    });
    let (mut started, mut usage) = (None, None);
    loop {
        let item = poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await;
        heard.begun.store(true, Ordering::Relaxed);
        match item {
            Some(Ok(delta @ ModelDelta::Started { .. })) => started = Some(delta),
            // A later one replaces an earlier one.
            Some(Ok(delta @ ModelDelta::Usage(_))) => usage = Some(delta),
            item => {
                let answers = matches!(item, Some(Ok(_)));
                let has_ended = item.is_none();
                let before = [started, usage].into_iter().flatten().map(Ok);
                let begun = stream::iter(before.chain(item));
                let whole = if has_ended {
                    ModelStream::new(begun)
                } else {
                    ModelStream::new(begun.chain(answer))
                };
                return (whole, answers);
            }
        }
    }
}
