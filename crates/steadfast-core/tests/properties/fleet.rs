//! Fleets of agents that share a limiter, a breaker and a retry budget, and hedge: whatever their model
//! does and however their runs end, no limit is passed and nothing is lost.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::TestCaseError,
};
use steadfast_core::{
    Agent, AgentEvent, CancellationToken, CircuitBreaker, Hedge, Limiter, Model, ModelDelta,
    ModelError, ModelErrorKind, ModelRequest, ModelRetryStrategy, ModelStream, RetryBudget, RunId,
    async_trait, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::{Held, holds, laws, paused};

/// One run of the fleet.
#[derive(Debug, Clone)]
struct RunPlan {
    begins: Duration,
    deadline: Duration,
    /// After which time it is cancelled, or dropped.
    cancel: Option<Duration>,
    dropped: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Fleet {
    runs: Vec<RunPlan>,
    replies: Vec<Reply>,
    concurrency: u32,
    per_second: u32,
    failures: u32,
    share: f64,
    floor: u32,
    hedge: Duration,
}

fn times(most: u64) -> impl Strategy<Value = Duration> {
    (0..most).prop_map(millis)
}

fn reply() -> impl Strategy<Value = Reply> {
    let time = || times(8_000);
    prop_oneof![
        4 => time().prop_map(|time| Reply::text("yes").after(time)),
        3 => time().prop_map(|time| Reply::fail(ModelErrorKind::Server).after(time)),
        1 => time().prop_map(|time| Reply::text("half").then_cut().after(time)),
        1 => time().prop_map(|time| Reply::text("half").then_fail(ModelErrorKind::Network).after(time)),
        1 => Just(Reply::hang()),
        1 => Just(Reply::text("half").then_hang()),
    ]
}

fn fleet() -> impl Strategy<Value = Fleet> {
    // All of it within the minute of a budget.
    let run = (
        times(10_000),
        times(40_000),
        option::weighted(0.2, times(20_000)),
        option::weighted(0.2, times(20_000)),
    );
    let run = run.prop_map(|(begins, deadline, cancel, dropped)| RunPlan {
        begins,
        deadline,
        cancel,
        dropped,
    });
    let limits = (1..5_u32, 1..20_u32, 1..5_u32);
    let budget = (0.0..1.0_f64, 0..4_u32);
    (
        vec(run, 1..14),
        vec(reply(), 40),
        limits,
        budget,
        times(6_000),
    )
        .prop_map(
            |(runs, replies, (concurrency, per_second, failures), (share, floor), hedge)| Fleet {
                runs,
                replies,
                concurrency,
                per_second,
                failures,
                share,
                floor,
                hedge,
            },
        )
}

/// Counts the calls that are under way, and the most that ever were.
#[derive(Default)]
struct UnderWay {
    now: AtomicU32,
    most: AtomicU32,
}

struct Counted(Arc<UnderWay>);

impl Counted {
    fn begin(calls: &Arc<UnderWay>) -> Self {
        let now = calls.now.fetch_add(1, Ordering::Relaxed) + 1;
        calls.most.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A script whose calls are counted for as long as they take.
struct Watched(ScriptedModel, Arc<UnderWay>);

#[async_trait]
impl Model for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let counted = Counted::begin(&self.1);
        let answer = self.0.stream(request).await?;
        // The connection is closed with the last word.
        let items = stream::unfold((Some(counted), answer), |(counted, mut answer)| async {
            let item = answer.next().await?;
            let last = matches!(item, Err(_) | Ok(ModelDelta::Stop(_)));
            Some((item, (counted.filter(|_| !last), answer)))
        });
        Ok(ModelStream::new(items))
    }
}

/// What was told of each run.
#[derive(Default)]
struct Told(Mutex<BTreeMap<RunId, Vec<laws::Seen>>>);

impl Told {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Vec<laws::Seen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[test]
fn fleet_passes_no_limit_and_loses_nothing() {
    holds(200, fleet(), |fleet| paused(passes_no_limit(fleet)));
}

fn refused(error: steadfast_core::ConfigError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

async fn passes_no_limit(fleet: &Fleet) -> Held {
    let limiter = Limiter::builder()
        .concurrency(fleet.concurrency)
        .per_second(f64::from(fleet.per_second))
        .burst(2)
        .build()
        .map_err(refused)?;
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(fleet.failures)
        .open_for(secs(3))
        .build()
        .map_err(refused)?;
    let budget = RetryBudget::builder()
        .share(fleet.share)
        .floor_per_minute(fleet.floor)
        .build()
        .map_err(refused)?;
    let (calls, told) = (Arc::new(UnderWay::default()), Arc::new(Told::default()));
    let script = ScriptedModel::new(fleet.replies.clone());
    let seen = Arc::clone(&told);
    let agent = Agent::builder()
        .model(Watched(script.clone(), Arc::clone(&calls)))
        .retry_strategy(ModelRetryStrategy::new().initial_delay(millis(500)))
        .hooks(limiter.clone())
        .hooks(budget.clone())
        .hooks(breaker.clone())
        .hooks(Hedge::after(fleet.hedge))
        .first_byte_timeout(secs(9))
        .idle_timeout(secs(9))
        .observe(move |event: &AgentEvent| {
            let scope = event.scope();
            seen.runs()
                .entry(scope.run)
                .or_default()
                .push((scope.at, event.clone()));
        })
        .build()
        .map_err(refused)?;
    let runs = fleet.runs.iter().map(|plan| {
        let agent = agent.clone();
        async move {
            sleep(plan.begins).await;
            let token = CancellationToken::new();
            let run = agent
                .prompt("?")
                .deadline(plan.deadline.max(millis(1)))
                .cancel_on(token.clone());
            let run = timeout(plan.dropped.unwrap_or(secs(60)), run);
            let cancel = async {
                match plan.cancel {
                    Some(time) => sleep(time).await,
                    None => std::future::pending().await,
                }
                token.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = run => ended.ok(),
                () = cancel => None,
            }
        }
    });
    let began = Instant::now();

    join_all(runs).await;

    prop_assert!(began.elapsed() < secs(59));
    let most = calls.most.load(Ordering::Relaxed);
    prop_assert!(most <= fleet.concurrency, "{} under way", most);
    prop_assert_eq!(calls.now.load(Ordering::Relaxed), 0);
    let left = limiter.available();
    prop_assert_eq!((left.places, left.waiting), (Some(fleet.concurrency), 0));
    // Every call that is not the first of its run has drawn.
    let first_calls = fleet.runs.len() as f64;
    let allowed = first_calls * (1.0 + fleet.share) + f64::from(fleet.floor);
    prop_assert!(
        script.calls() as f64 <= allowed + 1e-6,
        "{} calls",
        script.calls()
    );
    for run in told.runs().values() {
        match run.last() {
            Some((_, AgentEvent::RunDropped(_))) => laws::check_dropped(run),
            _ => laws::check_events(run),
        }
    }
    // No trial is lost: once its time is over, somebody may try.
    advance(secs(61)).await;
    prop_assert!(breaker.check("watched").is_ok());
    prop_assert_eq!(budget.left(), u64::from(fleet.floor));
    Ok(())
}
