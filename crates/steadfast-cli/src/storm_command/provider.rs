//! The provider of a storm, in this process and in virtual time: it admits or refuses, and answers.
//!
//! It is asked as every model is asked, by a real agent; how agents retry is not its business.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use steadfast::{
    Model, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelStream, RateLimits, Role,
    StopReason, Usage, async_trait, millis, secs,
};
use steadfast_sim::HintStyle;
use tokio::time::{Sleep, sleep};

use super::{
    admission::{Admission, Asked, Refused},
    ledger::Ledger,
    world::{ANSWER_TOKENS, CHARACTERS_A_TOKEN, Journey, World},
};

/// One provider, which all agents of a storm call.
#[derive(Debug)]
pub(super) struct Provider {
    world: World,
    seed: u64,
    ledger: Ledger,
    admission: Mutex<Admission>,
}

impl Provider {
    /// Opens it. Its time is the ledger's.
    pub(super) fn open(world: &World, seed: u64, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            seed,
            ledger,
            admission: Mutex::new(Admission::of(world, seed)),
        })
    }

    /// Gives an agent a line of its own.
    pub(super) fn line(self: &Arc<Self>, agent: u32) -> Line {
        Line {
            provider: Arc::clone(self),
            agent,
        }
    }

    /// Decides about a request that arrives now, and says what is told of the limits with the decision.
    fn decide(&self, asked: Asked, sent: Duration) -> Result<RateLimits, ModelError> {
        let now = self.ledger.now();
        let outage = self.world.outage.as_ref();
        let decision = if outage.is_some_and(|outage| outage.contains(&now)) {
            Err(unavailable())
        } else {
            let mut admission = self
                .admission
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let admitted = admission.ask(asked, now);
            let limits = admission.headers(&self.world, now, admitted.is_ok());
            admitted
                .map(|()| limits)
                .map_err(|refused| too_many(refused, self.world.hint).with_rate_limits(limits))
        };
        self.ledger.request(sent, decision.is_ok());
        decision
    }
}

/// An agent's line to the provider: the model that it calls.
#[derive(Debug)]
pub(super) struct Line {
    provider: Arc<Provider>,
    agent: u32,
}

#[async_trait]
impl Model for Line {
    fn name(&self) -> &str {
        "storm"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let Self { provider, agent } = self;
        let Provider {
            world,
            seed,
            ledger,
            ..
        } = &**provider;
        let sent = ledger.now();
        let call = call_of(&request);
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

/// Says which call of its agent this is: it has asked for nothing else in this conversation.
fn call_of(request: &ModelRequest) -> u32 {
    let messages = request.history().iter();
    let prompts = messages.filter(|message| message.role == Role::User);
    u32::try_from(prompts.count()).map_or(u32::MAX, |prompts| prompts.saturating_sub(1))
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
