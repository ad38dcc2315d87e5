//! The fleet strategy: agents that share a provider whose limit none of them knows.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_core::{
    Agent, AgentEvent, BeforeModelCallEvent, CancellationToken, DecidedBy, EventLoopThrottleEvent,
    FleetRetryStrategy, Hedge, HookError, Model, ModelCallAcceptedEvent, ModelDelta, ModelError,
    ModelErrorKind, ModelRequest, ModelStream, RateLimit, RateLimits, RunErrorKind, StopReason,
    async_trait, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// A provider that lets so many calls a second go, and refuses the others after 50 ms.
#[derive(Clone)]
struct Provider {
    name: &'static str,
    bucket: Arc<Mutex<Bucket>>,
    rate: f64,
    tells_limits: bool,
}

struct Bucket {
    level: f64,
    at: Instant,
    refused: u32,
}

impl Provider {
    fn new(name: &'static str, rate: f64) -> Self {
        Self {
            name,
            bucket: Arc::new(Mutex::new(Bucket {
                level: rate,
                at: Instant::now(),
                refused: 0,
            })),
            rate,
            tells_limits: false,
        }
    }

    fn refused(&self) -> u32 {
        self.bucket.lock().unwrap().refused
    }

    fn take(&self) -> (bool, RateLimits) {
        let mut bucket = self.bucket.lock().unwrap();
        let passed = bucket.at.elapsed().as_secs_f64();
        bucket.level = (bucket.level + passed * self.rate).min(self.rate);
        bucket.at = Instant::now();
        let accepts = bucket.level >= 1.0;
        match accepts {
            true => bucket.level -= 1.0,
            false => bucket.refused += 1,
        }
        let until_full = Duration::from_secs_f64((self.rate - bucket.level) / self.rate);
        let requests = RateLimit::new(self.rate as u64, bucket.level as u64).with_reset(until_full);
        let limits = match self.tells_limits {
            true => RateLimits::new().with_requests(requests),
            false => RateLimits::new(),
        };
        (accepts, limits)
    }
}

#[async_trait]
impl Model for Provider {
    fn name(&self) -> &str {
        self.name
    }

    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let (accepts, limits) = self.take();
        sleep(millis(50)).await;
        if !accepts {
            let error = ModelError::new(ModelErrorKind::Throttled, "slow down").with_status(429);
            return Err(error.with_rate_limits(limits));
        }
        let answer = futures_util::stream::once(async {
            sleep(millis(950)).await;
            Ok(ModelDelta::Text("Yes.".into()))
        });
        let stop = futures_util::stream::iter([Ok(ModelDelta::Stop(StopReason::EndTurn))]);
        let answer = futures_util::StreamExt::chain(answer, stop);
        Ok(ModelStream::new(answer).with_rate_limits(limits))
    }
}

/// Has so many agents ask at the same moment, and says how many seconds it takes until all know.
async fn storm(agents: u32, provider: &Provider, fleet: &FleetRetryStrategy) -> f64 {
    let began = Instant::now();
    let mut runs = JoinSet::new();
    for _ in 0..agents {
        let agent = Agent::builder()
            .model(provider.clone())
            .retry_strategy(fleet.clone())
            .build()
            .unwrap();
        runs.spawn(async move { agent.prompt("Umbrella?").await });
    }
    while let Some(run) = runs.join_next().await {
        assert_eq!(run.unwrap().unwrap().text(), "Yes.");
    }
    began.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_agents_are_all_answered_in_about_the_time_that_it_takes() {
    let provider = Provider::new("busy", 20.0);
    let fleet = FleetRetryStrategy::new().seed(1);

    let took = storm(200, &provider, &fleet).await;

    // 20 at once, 180 at 20 a second, and a second for the last.
    assert!((9.5..11.0).contains(&took), "{took} s");
    assert!(
        provider.refused() <= 16,
        "{} were refused",
        provider.refused()
    );
}

#[tokio::test(start_paused = true)]
async fn limits_in_headers_have_nobody_refused() {
    let mut provider = Provider::new("telling", 20.0);
    provider.tells_limits = true;
    let fleet = FleetRetryStrategy::new().seed(1);

    let took = storm(200, &provider, &fleet).await;

    assert_eq!(provider.refused(), 0);
    assert!((9.5..11.0).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn each_model_has_a_line_of_its_own() {
    let (slow, fast) = (Provider::new("slow", 1.0), Provider::new("fast", 100.0));
    let fleet = FleetRetryStrategy::new().seed(1);

    let (_, took) = tokio::join!(storm(20, &slow, &fleet), storm(100, &fast, &fleet));

    assert!(took < 3.0, "{took} s");
    assert!(fleet.pacer("slow").rate().is_some());
    assert_eq!(fleet.pacer("fast").rate(), None);
}

#[tokio::test(start_paused = true)]
async fn throttled_call_is_tried_again_and_its_wait_is_told() {
    let delays = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&delays);
    let model = ScriptedModel::new([Reply::throttled_for(secs(3)), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(FleetRetryStrategy::new().seed(1))
        .on(move |event: &mut EventLoopThrottleEvent| {
            told.lock()
                .unwrap()
                .push((event.delay(), event.decided_by()));
        })
        .build()
        .unwrap();

    let result = agent.prompt("Umbrella?").await.unwrap();

    let delays = delays.lock().unwrap().clone();
    let [(delay, DecidedBy::Pacer)] = delays[..] else {
        panic!("{delays:?}");
    };
    assert!((secs(3)..secs(5)).contains(&delay), "{delay:?}");
    assert_eq!(result.attempts(), 2);
    assert!((secs(3)..secs(5)).contains(&result.waited()));
}

#[tokio::test(start_paused = true)]
async fn server_that_asks_for_an_hour_is_not_waited_for() {
    let model = ScriptedModel::new([Reply::throttled_for(secs(3_600)), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(FleetRetryStrategy::new())
        .build()
        .unwrap();

    let error = agent.prompt("Umbrella?").await.unwrap_err();

    assert_eq!(error.retry_after(), Some(secs(3_600)));
    assert!(error.hint().unwrap().contains("`max_hint`"), "{error:?}");
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_the_deadline_ends_the_run_at_once_and_says_when_to_come_back() {
    let model = ScriptedModel::new([Reply::throttled_for(secs(60)), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(FleetRetryStrategy::new())
        .deadline(secs(20))
        .build()
        .unwrap();
    let began = Instant::now();

    let error = agent.prompt("Umbrella?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert!(error.retry_after().unwrap() > secs(59));
    assert!(began.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn other_failures_have_three_retries() {
    let model = ScriptedModel::always(Reply::fail(ModelErrorKind::Network));
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(FleetRetryStrategy::new())
        .build()
        .unwrap();

    let error = agent.prompt("Umbrella?").await.unwrap_err();

    assert_eq!(model.calls(), 4);
    assert!(error.hint().unwrap().contains("3 retries"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_no_later_call_mends_is_called_once() {
    for kind in [
        ModelErrorKind::QuotaExhausted,
        ModelErrorKind::Auth,
        ModelErrorKind::TooLarge,
    ] {
        let model = ScriptedModel::always(Reply::fail(kind));
        let agent = Agent::builder()
            .model(model.clone())
            .retry_strategy(FleetRetryStrategy::new())
            .build()
            .unwrap();

        agent.prompt("Umbrella?").await.unwrap_err();

        assert_eq!(model.calls(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_cancelled_in_the_line_leaves_it() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let model = ScriptedModel::new([Reply::throttled_for(secs(30)), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(fleet.clone())
        .build()
        .unwrap();
    let cancel = CancellationToken::new();
    let run = tokio::spawn({
        let (agent, cancel) = (agent.clone(), cancel.clone());
        async move { agent.prompt("Umbrella?").cancel_on(cancel).await }
    });
    sleep(secs(5)).await;
    assert_eq!(fleet.pacer("scripted").waiting(), 1);

    cancel.cancel();
    let result = timeout(millis(5), run).await.unwrap().unwrap().unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(fleet.pacer("scripted").waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_call_is_hedged_while_calls_wait_for_the_limit() {
    let provider = Provider::new("busy", 2.0);
    let fleet = FleetRetryStrategy::new().seed(1);
    let hedges = Arc::new(Mutex::new(0));
    let mut runs = JoinSet::new();
    for _ in 0..10 {
        let seen = Arc::clone(&hedges);
        let agent = Agent::builder()
            .model(provider.clone())
            .retry_strategy(fleet.clone())
            .hooks(Hedge::after(millis(500)))
            .observe(move |event: &AgentEvent| {
                if matches!(event, AgentEvent::HedgeStarted(hedge) if hedge.at() > secs(2)) {
                    *seen.lock().unwrap() += 1;
                }
            })
            .build()
            .unwrap();
        runs.spawn(async move { agent.prompt("Umbrella?").await });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap().unwrap();
    }

    assert_eq!(*hedges.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn provider_that_is_down_for_good_is_given_up_on_by_all() {
    for kind in [ModelErrorKind::Overloaded, ModelErrorKind::Throttled] {
        let fleet = FleetRetryStrategy::new().seed(1);
        let began = Instant::now();
        let mut runs = JoinSet::new();
        for _ in 0..10 {
            let agent = Agent::builder()
                .model(ScriptedModel::always(Reply::fail(kind)))
                .retry_strategy(fleet.clone())
                .build()
                .unwrap();
            runs.spawn(async move { agent.prompt("Umbrella?").await });
        }

        while let Some(run) = runs.join_next().await {
            let error = run.unwrap().unwrap_err();
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains("`give_up_after`"), "{kind:?}: {error:?}");
        }

        assert!(began.elapsed() < secs(17 * 60), "{:?}", began.elapsed());
        assert_eq!(fleet.pacer("scripted").waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn lone_call_that_is_always_throttled_comes_back_ever_more_seldom() {
    let model = ScriptedModel::always(Reply::throttled());
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(FleetRetryStrategy::new().seed(1))
        .deadline(secs(300))
        .build()
        .unwrap();

    agent.prompt("Umbrella?").await.unwrap_err();

    assert!((20..60).contains(&model.calls()), "{} calls", model.calls());
}

#[tokio::test(start_paused = true)]
async fn slow_hook_does_not_make_a_refused_call_younger() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let agent = |name: &'static str, replies: Vec<Reply>| {
        let order = Arc::clone(&order);
        Agent::builder()
            .model(ScriptedModel::new(replies))
            .retry_strategy(fleet.clone())
            .on_async(|event: &mut BeforeModelCallEvent| {
                let slow = secs(if event.attempt() > 1 { 1 } else { 0 });
                Box::pin(async move {
                    sleep(slow).await;
                    Ok::<(), HookError>(())
                })
            })
            .on(move |_: &mut ModelCallAcceptedEvent| order.lock().unwrap().push(name))
            .build()
            .unwrap()
    };
    let old = agent(
        "old",
        vec![Reply::throttled_for(secs(5)), Reply::text("Yes.")],
    );
    let young = agent("young", vec![Reply::text("Yes.")]);
    let mut runs = JoinSet::new();

    runs.spawn(async move { old.prompt("Umbrella?").await });
    sleep(millis(500)).await;
    runs.spawn(async move { young.prompt("Umbrella?").await });
    while let Some(run) = runs.join_next().await {
        run.unwrap().unwrap();
    }

    assert_eq!(*order.lock().unwrap(), ["old", "young"]);
}
