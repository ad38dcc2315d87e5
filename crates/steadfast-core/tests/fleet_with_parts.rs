//! The fleet strategy beside limiters, budgets, hedges and waits of one's own: what it takes, it takes
//! right before the call, and gives back if that is not made.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails, fails the test"
)]

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
};

use steadfast_core::{
    Agent, AgentBuilder, AgentEvent, BeforeModelCallEvent, CancellationToken, DecidedBy,
    EventLoopThrottleEvent, FleetRetryStrategy, Hedge, HookRegistry, Limiter, Model, ModelDelta,
    ModelError, ModelErrorKind, ModelRequest, ModelStream, RetryBudget, RunErrorKind, StopReason,
    async_trait, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// A provider that has so many calls under way at once, some for a third of a second, some for almost
/// two, and refuses the others after 50 ms.
#[derive(Clone)]
struct Places {
    free: Arc<AtomicU32>,
    served: Arc<AtomicU64>,
}

struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Places {
    fn new(places: u32) -> Self {
        Self {
            free: Arc::new(AtomicU32::new(places)),
            served: Arc::default(),
        }
    }

    fn take(&self) -> Option<Place> {
        let less = |free: u32| free.checked_sub(1);
        let taken = self
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.ok().map(|_| Place(Arc::clone(&self.free)))
    }
}

#[async_trait]
impl Model for Places {
    fn name(&self) -> &str {
        "places"
    }

    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let place = self.take();
        sleep(millis(50)).await;
        let Some(place) = place else {
            return Err(ModelError::new(
                ModelErrorKind::Throttled,
                "too many at once",
            ));
        };
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        let takes = millis(250 + number * 617 % 1_500);
        let answer = futures_util::stream::once(async move {
            sleep(takes).await;
            drop(place);
            Ok(ModelDelta::Text("Yes.".into()))
        });
        let stop = futures_util::stream::iter([Ok(ModelDelta::Stop(StopReason::EndTurn))]);
        Ok(ModelStream::new(futures_util::StreamExt::chain(
            answer, stop,
        )))
    }
}

fn fleet_of(model: impl Model, fleet: &FleetRetryStrategy) -> AgentBuilder {
    Agent::builder().model(model).retry_strategy(fleet.clone())
}

/// Has the call wait for ever behind everything, with what was taken before.
fn stuck_right_before_the_call() -> HookRegistry {
    let mut hooks = HookRegistry::new();
    hooks
        .order(i32::MAX)
        .on(|event: &mut BeforeModelCallEvent| event.wait_for(secs(1), pending::<()>()));
    hooks
}

/// Whether another call would go at once, asked without a moment passing.
async fn has_room(fleet: &FleetRetryStrategy) -> bool {
    let pacer = fleet.pacer("scripted");
    let mut admitted = pin!(pacer.admit(Instant::now()));
    poll_fn(|cx| match admitted.as_mut().poll(cx) {
        Poll::Ready(pass) => {
            pass.give_back();
            Poll::Ready(true)
        }
        Poll::Pending => Poll::Ready(false),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_at_a_limiter_has_not_been_let_go() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let limiter = Limiter::builder().concurrency(1).build().unwrap();
    let model = ScriptedModel::always(Reply::hang());
    let agent = fleet_of(model.clone(), &fleet)
        .hooks(limiter.clone())
        .build()
        .unwrap();

    let runs = [agent.prompt("?").spawn(), agent.prompt("?").spawn()];
    sleep(millis(1)).await;

    // Two calls go before the first answer is there, and one of them is not under way yet.
    assert_eq!((model.calls(), limiter.available().waiting), (1, 1));
    assert!(has_room(&fleet).await);
    drop(runs);
}

#[tokio::test(start_paused = true)]
async fn pass_is_given_back_by_a_run_that_ends_before_its_call() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let model = ScriptedModel::new([]);
    let agent = fleet_of(model.clone(), &fleet)
        .hooks(stuck_right_before_the_call())
        .build()
        .unwrap();
    let (token, both) = (CancellationToken::new(), millis(1));

    let dropped = [agent.prompt("?").spawn(), agent.prompt("?").spawn()];
    sleep(both).await;
    assert!(!has_room(&fleet).await);
    drop(dropped);
    sleep(both).await;
    assert!(has_room(&fleet).await);

    let cancelled = [(); 2].map(|()| agent.prompt("?").cancel_on(token.clone()).spawn());
    sleep(both).await;
    assert!(!has_room(&fleet).await);
    token.cancel();
    for run in cancelled {
        assert_eq!(run.await.unwrap().stop_reason(), StopReason::Cancelled);
    }
    assert!(has_room(&fleet).await);

    let late = [(); 2].map(|()| agent.prompt("?").deadline(secs(1)));
    for run in late {
        assert_eq!(run.await.unwrap_err().kind(), RunErrorKind::Deadline);
        assert!(has_room(&fleet).await);
    }
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn pass_of_a_call_that_a_hook_refuses_is_given_back() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let mut hooks = HookRegistry::new();
    hooks
        .order(i32::MAX)
        .on(|event: &mut BeforeModelCallEvent| {
            event.admit_if(|_| {
                let error = ModelError::new(ModelErrorKind::Auth, "not you");
                Err::<(), _>(error)
            });
        });
    let model = ScriptedModel::new([]);
    let agent = fleet_of(model, &fleet).hooks(hooks).build().unwrap();

    let runs = [agent.prompt("?").await, agent.prompt("?").await];

    assert!(runs.iter().all(Result::is_err));
    assert!(has_room(&fleet).await);
}

/// Has so many agents ask at the same moment.
async fn crowd(agents: u32, agent: impl Fn() -> AgentBuilder) {
    let mut runs = JoinSet::new();
    for _ in 0..agents {
        let agent = agent().build().unwrap();
        runs.spawn(async move { agent.prompt("?").await });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn limit_of_concurrency_keeps_calls_from_being_hedged() {
    let (provider, fleet) = (Places::new(8), FleetRetryStrategy::new().seed(1));
    crowd(150, || fleet_of(provider.clone(), &fleet)).await;
    let pacer = fleet.pacer("places");
    assert_eq!(
        (pacer.is_limited(), pacer.rate()),
        (true, None),
        "was not found"
    );
    let hedges = Arc::new(AtomicU32::new(0));

    crowd(3, || {
        let seen = Arc::clone(&hedges);
        fleet_of(provider.clone(), &fleet)
            .hooks(Hedge::after(millis(100)))
            .observe(move |event: &AgentEvent| {
                if matches!(event, AgentEvent::HedgeStarted(_)) {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            })
    })
    .await;

    assert_eq!(hedges.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn hedge_that_the_line_refuses_draws_on_no_budget() {
    let fleet = FleetRetryStrategy::new().seed(1);
    let budget = RetryBudget::builder()
        .share(0.0)
        .floor_per_minute(1)
        .build()
        .unwrap();
    let replies = [Reply::throttled(), Reply::text("yes").after(secs(9))];
    let agent = fleet_of(ScriptedModel::new(replies), &fleet)
        .hooks(Hedge::after(secs(5)))
        .hooks(budget.clone())
        .build()
        .unwrap();

    let answer = agent.prompt("?").await.unwrap();

    assert_eq!((answer.attempts(), budget.left()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn wait_in_the_line_tells_what_put_the_call_back() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let replies = [
        Reply::throttled_for(secs(3)),
        Reply::fail(ModelErrorKind::Server),
        Reply::text("yes"),
    ];
    let fleet = FleetRetryStrategy::new().seed(1);
    let agent = fleet_of(ScriptedModel::new(replies), &fleet)
        .on(move |event: &mut EventLoopThrottleEvent| {
            let kind = event.error().map(ModelError::kind);
            noted.lock().unwrap().push((event.attempt(), kind));
        })
        // It waits for nothing that has failed.
        .on(|event: &mut BeforeModelCallEvent| {
            event.wait_for(secs(1), async { sleep(secs(1)).await });
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let throttled = Some(ModelErrorKind::Throttled);
    let server = Some(ModelErrorKind::Server);
    let own_wait_then_the_line = [(2, None), (2, throttled)];
    let told = told.lock().unwrap();
    assert_eq!(told[1..3], own_wait_then_the_line);
    // What was waited out by a backoff is not told again.
    assert_eq!(told[3], (2, server));
    assert!(told[4..].iter().all(|wait| *wait == (3, None)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_for_refused_calls_are_not_counted_as_retries() {
    let server = || Reply::fail(ModelErrorKind::Server);
    let told = Arc::new(Mutex::new(Vec::new()));
    let agent = |replies: Vec<Reply>| {
        let (fleet, noted) = (FleetRetryStrategy::new().seed(1), Arc::clone(&told));
        fleet_of(ScriptedModel::new(replies), &fleet)
            .on(|event: &mut BeforeModelCallEvent| {
                if event.attempt() <= 3 {
                    let error = ModelError::new(ModelErrorKind::Overloaded, "not now");
                    event.fail_with(error.with_retry_after(secs(9)));
                }
            })
            .on(move |event: &mut EventLoopThrottleEvent| {
                if event.attempt() > 3 && event.decided_by() == DecidedBy::Backoff {
                    noted.lock().unwrap().push(event.delay());
                }
            })
            .build()
            .unwrap()
    };

    let answered = agent(vec![server(), server(), server(), Reply::text("yes")]);
    assert_eq!(answered.prompt("?").await.unwrap().attempts(), 3 + 4);
    told.lock().unwrap().clear();
    let failed = agent(vec![server(); 9]).prompt("?").await.unwrap_err();

    assert_eq!(failed.attempts(), 3 + 4);
    // Nor do they make the backoff longer.
    let told = told.lock().unwrap();
    let longest = [500, 1_000, 2_000].map(millis);
    assert_eq!(told.len(), longest.len());
    assert!(
        told.iter()
            .zip(&longest)
            .all(|(told, longest)| told <= longest),
        "{told:?}"
    );
}
