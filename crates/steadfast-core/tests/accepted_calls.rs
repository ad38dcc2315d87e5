//! What hooks learn once a provider has accepted a call, and what a wait before it gives them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, stream};
use steadfast_core::{
    AfterModelCallEvent, Agent, AgentEvent, BeforeModelCallEvent, Hedge, HookError, Model,
    ModelCallAcceptedEvent, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelStream,
    RateLimit, RateLimits, RunErrorKind, StopReason, async_trait, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::sleep;

/// A model whose answers and refusals say that so many requests are left.
struct Counting {
    left: u64,
    refuses: bool,
}

#[async_trait]
impl Model for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let limits = RateLimits::new().with_requests(RateLimit::new(60, self.left));
        if self.refuses {
            return Err(
                ModelError::new(ModelErrorKind::Throttled, "slow down").with_rate_limits(limits)
            );
        }
        let deltas = [
            ModelDelta::Text("Yes.".into()),
            ModelDelta::Stop(StopReason::EndTurn),
        ];
        Ok(ModelStream::from_deltas(deltas).with_rate_limits(limits))
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_learn_of_an_accepted_call_before_its_first_words() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (accepted, told) = (Arc::clone(&seen), Arc::clone(&seen));
    let agent = Agent::builder()
        .model(Counting {
            left: 59,
            refuses: false,
        })
        .on(move |event: &mut ModelCallAcceptedEvent| {
            let left = event.rate_limits().and_then(|limits| limits.requests);
            let said = format!(
                "{} {}: {:?}",
                event.model(),
                event.attempt(),
                left.map(|l| l.remaining)
            );
            accepted.lock().unwrap().push(said);
        })
        .observe(move |event: &AgentEvent| {
            if let AgentEvent::TextDelta(delta) = event {
                told.lock().unwrap().push(delta.text().to_owned());
            }
        })
        .build()
        .unwrap();

    agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(*seen.lock().unwrap(), ["counting 1: Some(59)", "Yes."]);
}

#[tokio::test(start_paused = true)]
async fn refused_call_was_never_accepted_and_tells_the_limits_with_its_error() {
    let accepted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&accepted);
    let agent = Agent::builder()
        .model(Counting {
            left: 0,
            refuses: true,
        })
        .retry_strategy(steadfast_core::NoopRetryStrategy)
        .on(move |_: &mut ModelCallAcceptedEvent| seen.store(true, Ordering::Relaxed))
        .build()
        .unwrap();

    let error = agent.prompt("Umbrella?").await.unwrap_err();

    let limits = error
        .model_error()
        .and_then(|error| error.rate_limits().copied());
    assert_eq!(
        limits
            .and_then(|limits| limits.requests)
            .map(|l| l.remaining),
        Some(0)
    );
    assert!(!accepted.load(Ordering::Relaxed));
}

/// A model that accepts its two calls in one moment, and says how many came before.
#[derive(Default)]
struct Together(AtomicU64);

#[async_trait]
impl Model for Together {
    fn name(&self) -> &str {
        "together"
    }

    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        sleep(secs(6 - 5 * number)).await;
        let limits = RateLimits::new().with_requests(RateLimit::new(60, number));
        let answer = stream::once(async {
            sleep(secs(1)).await;
            Ok(ModelDelta::Text("Yes.".into()))
        });
        let stop = stream::iter([Ok(ModelDelta::Stop(StopReason::EndTurn))]);
        Ok(ModelStream::new(answer.chain(stop)).with_rate_limits(limits))
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_that_are_accepted_at_once_the_first_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let agent = Agent::builder()
        .model(Together::default())
        .hooks(Hedge::after(secs(5)))
        .on(move |event: &mut ModelCallAcceptedEvent| {
            let limits = event.rate_limits().and_then(|limits| limits.requests);
            let before = limits.map(|requests| requests.remaining);
            noted.lock().unwrap().push((event.at(), before));
        })
        .build()
        .unwrap();

    agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(*told.lock().unwrap(), [(secs(6), Some(0))]);
}

#[tokio::test(start_paused = true)]
async fn hook_that_fails_at_an_accepted_call_ends_the_run_once() {
    let model = ScriptedModel::new([Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(|_: &mut ModelCallAcceptedEvent| Err::<(), _>(HookError::new("no more")))
        .build()
        .unwrap();

    let error = agent.prompt("Umbrella?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Hook);
    assert_eq!(model.calls(), 1);
}

/// A permit that notes when it is dropped.
struct Permit {
    used: u32,
    dropped: Arc<AtomicBool>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn permit_of_a_wait_is_found_by_later_hooks_and_dropped_with_the_attempt() {
    let dropped = Arc::new(AtomicBool::new(false));
    let (given, at_the_end) = (Arc::clone(&dropped), Arc::clone(&dropped));
    let used = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&used);
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::text("Yes.")]))
        .on(move |event: &mut BeforeModelCallEvent| {
            let dropped = Arc::clone(&given);
            event.wait_for(secs(1), async move {
                sleep(secs(1)).await;
                Permit { used: 0, dropped }
            });
        })
        .on(|event: &mut ModelCallAcceptedEvent| {
            event.permit(|_: &Permit| true).unwrap().used += 1;
            assert!(event.permit(|permit: &Permit| permit.used > 1).is_none());
            assert!(event.permit(|_: &String| true).is_none());
        })
        .on(move |event: &mut AfterModelCallEvent| {
            assert!(!at_the_end.load(Ordering::Relaxed));
            let permit = event.take_permit(|_: &Permit| true);
            *noted.lock().unwrap() = permit.map(|permit| permit.used);
        })
        .build()
        .unwrap();

    agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(*used.lock().unwrap(), Some(1));
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn call_gets_older_with_every_attempt_of_its_turn() {
    let ages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ages);
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::throttled(),
            Reply::text("Yes."),
        ]))
        .on(move |event: &mut BeforeModelCallEvent| seen.lock().unwrap().push(event.elapsed()))
        .build()
        .unwrap();

    agent.prompt("Umbrella?").await.unwrap();

    assert_eq!(*ages.lock().unwrap(), [secs(0), secs(4)]);
}
