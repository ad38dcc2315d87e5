//! The quota that retries share: what they take, what successes give back, and who shares it.

use std::sync::{Arc, Mutex, PoisonError};

use steadfast_core::{
    AwsRetryRules, AwsRetryStrategy, CancellationToken, EventLoopThrottleEvent, ModelError,
    RetryQuota, secs,
    testing::{Reply, ScriptedModel},
};

use crate::{
    Checked, agent, delay, run,
    wire::{error, exception, replies, reply},
};

fn many() -> AwsRetryStrategy {
    AwsRetryStrategy::standard().total_max_attempts(1_000)
}

/// Retries until nothing is left to draw; how many there were, and what is left.
fn drain(strategy: &AwsRetryStrategy, error: &ModelError) -> (usize, u32) {
    let granted = (0..1_000).take_while(|_| delay(strategy, error, 1, 0.5).is_some());
    (granted.count(), strategy.quota().left())
}

/// AG2-13.
#[test]
fn quota_is_drawn_by_what_failed() {
    let throttle = error(Some("ThrottlingException"), 429);
    let other = error(None, 503);
    let timeout = exception("ReadTimeoutError");
    for (failure, since_2026, before) in [
        (throttle, (100, 0), (100, 0)),
        (other, (35, 10), (100, 0)),
        (timeout, (35, 10), (50, 0)),
    ] {
        assert_eq!(drain(&many(), &failure), since_2026, "{failure:?}");
        let older = many().rules(AwsRetryRules::Pre2026);
        assert_eq!(drain(&older, &failure), before, "{failure:?}");
    }
}

/// The tokens that are left: at each retry, and at the end of each run.
#[derive(Clone)]
struct Trace {
    retries: AwsRetryStrategy,
    left: Arc<Mutex<Vec<u32>>>,
}

impl Trace {
    fn note(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(self.retries.quota().left());
    }

    /// Runs with so many attempts, and notes what is left.
    async fn run(&self, attempts: u32, words: &str) -> Checked<()> {
        let trace = self.clone();
        let model = ScriptedModel::new(replies(words));
        let agent = agent(&model, &self.retries.clone().total_max_attempts(attempts))
            .observe(move |_: &EventLoopThrottleEvent| trace.note())
            .build()?;
        let _ = agent.prompt("?").await;
        self.note();
        Ok(())
    }
}

/// `quota_trace#0` of botocore: two retries of a throttle, their success, three successes, a retry of
/// a 503, the 503 that stands, and a call that nobody answers.
pub(crate) async fn trace(rules: AwsRetryRules) -> Checked<Vec<u32>> {
    let trace = Trace {
        retries: AwsRetryStrategy::standard().rules(rules),
        left: Arc::default(),
    };
    trace.run(3, "throttle throttle ok").await?;
    for _ in 0..2 {
        run(&trace.retries, replies("ok")).await?;
    }
    trace.run(3, "ok").await?;
    trace.run(2, "503 503").await?;
    cancel_a_call(&trace.retries).await?;
    trace.note();
    let left = trace.left.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(left.clone())
}

#[tokio::test(start_paused = true)]
async fn success_gives_back_what_the_last_retry_took() {
    let since_2026 = trace(AwsRetryRules::V2026).await.unwrap();
    let before = trace(AwsRetryRules::Pre2026).await.unwrap();

    assert_eq!(since_2026, [495, 490, 495, 498, 484, 484, 484]);
    assert_eq!(before, [495, 490, 495, 498, 493, 493, 493]);
}

/// A call that nobody answers.
async fn cancel_a_call(retries: &AwsRetryStrategy) -> Checked<()> {
    let model = ScriptedModel::new([Reply::hang()]);
    let agent = agent(&model, retries).build()?;
    let token = CancellationToken::new();
    let run = agent.prompt("?").cancel_on(token.clone()).spawn();
    tokio::time::sleep(secs(1)).await;
    token.cancel();
    run.await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn empty_quota_lets_errors_stand_after_one_call() {
    let retries = AwsRetryStrategy::standard().with_quota(RetryQuota::new(13));

    let refused = run(&retries, replies("503 ok")).await.unwrap();
    let granted = run(&retries, replies("throttle ok")).await.unwrap();

    assert_eq!(refused.calls, 1);
    let expected = "gave up since a retry takes 14 tokens of the `quota` that is shared, and 13 are left: \
                    successes refill it";
    assert_eq!(refused.gave_up(), Some(expected));
    assert!(granted.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn successes_refill_the_quota() {
    let retries = AwsRetryStrategy::standard();
    assert!(retries.quota().take(490));
    assert_eq!(run(&retries, replies("503 ok")).await.unwrap().calls, 1);

    for _ in 0..4 {
        run(&retries, replies("ok")).await.unwrap();
    }

    assert_eq!(retries.quota().left(), 14);
    assert_eq!(run(&retries, replies("503 ok")).await.unwrap().calls, 2);
}

/// AG2-20.
#[tokio::test(start_paused = true)]
async fn clones_share_a_quota_and_two_values_do_not() {
    let fast = AwsRetryStrategy::standard();
    let reliable = AwsRetryStrategy::adaptive().total_max_attempts(10);

    let of_fast = run(&fast, vec![reply("503"); 10]).await.unwrap();
    let of_reliable = run(&reliable.clone(), vec![reply("503"); 10])
        .await
        .unwrap();

    assert_eq!((of_fast.calls, of_reliable.calls), (3, 10));
    assert_eq!(fast.quota().left(), 500 - 2 * 14);
    assert_eq!(reliable.quota().left(), 500 - 9 * 14);
}

#[tokio::test(start_paused = true)]
async fn many_agents_never_overdraw_a_quota() {
    let retries = AwsRetryStrategy::standard().with_quota(RetryQuota::new(70));
    let runs: Vec<_> = (0..40)
        .map(|_| {
            let model = ScriptedModel::new(replies("503 503 503"));
            let agent = agent(&model, &retries).build().unwrap();
            (model, agent.prompt("?").spawn())
        })
        .collect();

    let mut calls = 0;
    for (model, run) in runs {
        assert!(run.await.is_err());
        calls += model.calls();
    }

    assert_eq!((calls, retries.quota().left()), (40 + 5, 0));
}
