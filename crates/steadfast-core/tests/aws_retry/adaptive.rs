//! The mode `adaptive`: `standard`, and sends that wait their turn after a throttle.

use std::time::Duration;

use steadfast_core::{
    AdaptiveLimiter, AfterModelCallEvent, AwsRetryStrategy, CancellationToken, DecidedBy,
    RunErrorKind, StopReason, millis, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::{Instant, sleep};

use crate::{
    Checked, agent, run,
    wire::{replies, reply},
};

/// AG2-12: the retry waits for a token too, and so does the first attempt of another agent.
#[tokio::test(start_paused = true)]
async fn throttle_slows_all_later_sends() {
    let retries = AwsRetryStrategy::adaptive();

    let first = run(&retries, replies("throttle ok")).await.unwrap();
    let other = run(&retries.clone(), replies("ok")).await.unwrap();

    // Nothing was measured yet, so the throttle leaves a token every two seconds.
    let expected = [
        (DecidedBy::Backoff, millis(500)),
        (DecidedBy::Pacer, millis(1_500)),
    ];
    assert_eq!(first.waits, expected);
    // The answer at 2 s doubles the rate that it measures: 2 × 0.8 × 2 answers / 2 s.
    assert_eq!(other.waits, [(DecidedBy::Pacer, millis(625))]);
    assert!(first.error.is_none() && other.error.is_none());
}

/// AG2-12.
#[tokio::test(start_paused = true)]
async fn other_failures_slow_nothing() {
    let retries = AwsRetryStrategy::adaptive();

    let made = run(&retries, replies("503 read_timeout ok")).await.unwrap();
    let next = run(&retries, replies("ok")).await.unwrap();

    assert_eq!(made.delays(), [millis(25), millis(50)]);
    assert!(next.waits.is_empty());
    assert_eq!(retries.limiter().rate(), None);
}

/// AG2-12.
#[tokio::test(start_paused = true)]
async fn rate_recovers_after_successes() {
    let retries = AwsRetryStrategy::adaptive();
    run(&retries, replies("throttle ok")).await.unwrap();
    let slow = retries.limiter().rate().unwrap();

    for _ in 0..100 {
        run(&retries, replies("ok")).await.unwrap();
    }

    let fast = retries.limiter().rate().unwrap();
    assert!(fast > 10.0 * slow, "from {slow} to {fast}");
}

/// AG2-20.
#[tokio::test(start_paused = true)]
async fn value_built_apart_is_not_slowed() {
    let throttled = AwsRetryStrategy::adaptive();
    run(&throttled, replies("throttle ok")).await.unwrap();

    let apart = run(&AwsRetryStrategy::adaptive(), replies("ok"))
        .await
        .unwrap();
    let shared = AwsRetryStrategy::adaptive().with_limiter(throttled.limiter().clone());
    let shared = run(&shared, replies("ok")).await.unwrap();

    assert!(apart.waits.is_empty());
    assert_eq!(shared.waits.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn modes_without_a_limiter_never_wait_before_a_call() {
    let throttled = AdaptiveLimiter::new();
    throttled.throttled();
    for retries in [AwsRetryStrategy::legacy(), AwsRetryStrategy::standard()] {
        let made = run(&retries.with_limiter(throttled.clone()), replies("ok"))
            .await
            .unwrap();

        assert!(made.waits.is_empty());
    }
}

/// The times after the first throttle at which runs that were begun together made their calls.
async fn line_up(
    retries: &AwsRetryStrategy,
    cancelled: Option<usize>,
) -> Checked<Vec<Option<Duration>>> {
    let began = Instant::now();
    let mut runs = Vec::new();
    for _ in 0..4 {
        let model = ScriptedModel::new([Reply::text("Yes.")]);
        let agent = agent(&model, retries).build()?;
        let token = CancellationToken::new();
        runs.push((
            token.clone(),
            tokio::spawn(async move {
                let result = agent.prompt("?").cancel_on(token).await.ok()?;
                (result.stop_reason() == StopReason::EndTurn).then(|| began.elapsed())
            }),
        ));
        // Each is in the queue before the next begins.
        sleep(millis(1)).await;
    }
    if let Some((token, _)) = cancelled.and_then(|number| runs.get(number)) {
        token.cancel();
    }
    let mut times = Vec::new();
    for (_, run) in runs {
        times.push(run.await?);
    }
    Ok(times)
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_calls_first() {
    let retries = AwsRetryStrategy::adaptive();
    retries.limiter().throttled();

    let times = line_up(&retries, None).await.unwrap();

    assert_eq!(times[0], Some(secs(2)));
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_gives_its_place_back() {
    let throttled = || {
        let retries = AwsRetryStrategy::adaptive();
        retries.limiter().throttled();
        retries
    };

    let all = line_up(&throttled(), None).await.unwrap();
    let rest = line_up(&throttled(), Some(1)).await.unwrap();

    assert_eq!((rest[0], rest[1]), (all[0], None));
    assert!(rest[2] < all[2] && rest[3] < all[3], "{rest:?} {all:?}");
}

#[tokio::test(start_paused = true)]
async fn wait_past_the_deadline_ends_the_run_at_once() {
    let retries = AwsRetryStrategy::adaptive();
    retries.limiter().throttled();
    let model = ScriptedModel::new(replies("ok"));
    let agent = agent(&model, &retries).build().unwrap();

    let error = agent.prompt("?").deadline(secs(1)).await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_eq!(error.retry_after(), Some(secs(2)));
    assert_eq!(model.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn limiter_learns_also_where_a_user_hook_decides() {
    let retries = AwsRetryStrategy::adaptive();
    let model = ScriptedModel::new([reply("throttle")]);
    let agent = agent(&model, &retries)
        .on(|event: &mut AfterModelCallEvent| event.give_up())
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap_err();

    assert_eq!(retries.limiter().rate(), Some(0.5));
}
