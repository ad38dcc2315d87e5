//! The provider of a storm, in this process and in virtual time: it admits or refuses, and answers.
//!
//! It is asked as every model is asked, by a real agent; how agents retry is not its business.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use steadfast::{
    Model, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelStream, RateLimits,
    StopReason, Usage, async_trait, millis, secs,
};
use steadfast_sim::HintStyle;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep},
};

use super::{
    admission::{Admission, Asked, Refused},
    tally::{MOST_REQUESTS, Tally},
    world::{ANSWER_TOKENS, CHARACTERS_A_TOKEN, Journey, World},
};

/// One provider, which all agents of a storm call.
#[derive(Debug)]
pub(super) struct Provider {
    world: World,
    seed: u64,
    began: Instant,
    state: Mutex<State>,
    ran_away: Notify,
}

#[derive(Debug)]
struct State {
    admission: Admission,
    tally: Tally,
}

impl Provider {
    /// Opens it; its time begins now.
    pub(super) fn open(world: &World, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            seed,
            began: Instant::now(),
            state: Mutex::new(State {
                admission: Admission::of(world, seed),
                tally: Tally::default(),
            }),
            ran_away: Notify::new(),
        })
    }

    /// Gives an agent a line of its own.
    pub(super) fn line(self: &Arc<Self>, agent: u32) -> Arc<Line> {
        Arc::new(Line {
            provider: Arc::clone(self),
            agent,
            call: AtomicU32::new(0),
        })
    }

    /// Returns the world that it is in.
    pub(super) const fn world(&self) -> &World {
        &self.world
    }

    /// Returns how long it has been open.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until there have been more requests than any storm should have.
    pub(super) async fn ran_away(&self) {
        self.ran_away.notified().await;
    }

    /// Notes something in the tally.
    pub(super) fn note(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.state().tally);
    }

    /// Returns what has happened.
    pub(super) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a request that arrives now, and says what is told of the limits with the decision.
    fn decide(&self, asked: Asked, sent: Duration) -> Result<RateLimits, ModelError> {
        let now = self.now();
        let mut state = self.state();
        let outage = self.world.outage.as_ref();
        let decision = if outage.is_some_and(|outage| outage.contains(&now)) {
            Err(unavailable())
        } else {
            let admitted = state.admission.ask(asked, now);
            let limits = match self.world.headers {
                true => state.admission.headers(now),
                false => RateLimits::new(),
            };
            admitted
                .map(|()| limits)
                .map_err(|refused| too_many(refused, self.world.hint).with_rate_limits(limits))
        };
        state.tally.request(sent, decision.is_ok());
        if state.tally.requests() >= MOST_REQUESTS {
            self.ran_away.notify_one();
        }
        decision
    }
}

/// An agent's line to the provider: the model that it calls.
#[derive(Debug)]
pub(super) struct Line {
    provider: Arc<Provider>,
    agent: u32,
    call: AtomicU32,
}

impl Line {
    /// Says which call of its agent comes next.
    pub(super) fn begin(&self, call: u32) {
        self.call.store(call, Ordering::Relaxed);
    }
}

#[async_trait]
impl Model for Line {
    fn name(&self) -> &str {
        "storm"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let Self {
            provider, agent, ..
        } = self;
        let Provider { world, seed, .. } = &**provider;
        let call = self.call.load(Ordering::Relaxed);
        let sent = provider.now();
        let service = world.service(*seed, *agent, call);
        let Journey { there, back } = world.journey(*seed, *agent, call, request.attempt());
        wait(there).await;
        let prompt_tokens = tokens_of(&request);
        let asked = Asked {
            tokens: prompt_tokens.saturating_add(ANSWER_TOKENS.into()),
            service,
        };
        let decision = provider.decide(asked, sent);
        // The head of the answer, whichever it is.
        wait(world.reaction.saturating_add(back)).await;
        let limits = decision?;
        let answer = Answer {
            started: false,
            service: Some(Box::pin(sleep(service.saturating_sub(world.reaction)))),
            rest: vec![
                ModelDelta::Stop(StopReason::EndTurn),
                ModelDelta::Usage(Usage::new(prompt_tokens, ANSWER_TOKENS.into())),
                ModelDelta::Text("North by north-west.".to_owned()),
            ],
        };
        Ok(ModelStream::new(answer).with_rate_limits(limits))
    }
}

/// Counts the tokens of a request as clients guess them: from its characters.
fn tokens_of(request: &ModelRequest) -> u64 {
    let messages = request.history().iter();
    let characters: usize = messages.map(|message| message.text().len()).sum();
    characters.div_ceil(CHARACTERS_A_TOKEN) as u64
}

/// A wait of no time at all is none: it does not reach the timer.
async fn wait(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Refuses one request of too many, with the hint that the world gives.
fn too_many(refused: Refused, hint: HintStyle) -> ModelError {
    let hint = match hint {
        HintStyle::Integer => Some(secs(units(refused.free_in, 1_000).max(1))),
        HintStyle::Exact => Some(millis(units(refused.free_in, 1))),
        _ => None,
    };
    ModelError::new(ModelErrorKind::Throttled, "too many requests")
        .with_status(429)
        .with_retry_after(hint)
}

fn unavailable() -> ModelError {
    ModelError::new(ModelErrorKind::Overloaded, "the service is unavailable").with_status(503)
}

/// How many units of so many milliseconds a time has, begun ones included.
fn units(time: Duration, millis: u64) -> u64 {
    let unit = u128::from(millis) * 1_000_000;
    u64::try_from(time.as_nanos().div_ceil(unit)).unwrap_or(u64::MAX)
}

/// An answer: that it begins, and after the service time all of it.
struct Answer {
    started: bool,
    service: Option<Pin<Box<Sleep>>>,
    /// What it says, the last first.
    rest: Vec<ModelDelta>,
}

impl Stream for Answer {
    type Item = Result<ModelDelta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.started {
            self.started = true;
            return Poll::Ready(Some(Ok(ModelDelta::Started { request_id: None })));
        }
        if let Some(service) = &mut self.service {
            std::task::ready!(service.as_mut().poll(cx));
            self.service = None;
        }
        Poll::Ready(self.rest.pop().map(Ok))
    }
}

#[cfg(test)]
mod tests;
