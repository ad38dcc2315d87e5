//! What retries of futures draw from a quota or a budget that operations share, and what comes back.

use std::{cell::Cell, future::ready};

use futures_util::{StreamExt, stream};
use steadfast_resilience::{
    AfterOutput, Backoff, Retry, RetryBudget, RetryQuota, millis, retry_stream, secs,
};
use tokio::time::timeout;

fn doubling() -> Retry<&'static str> {
    Retry::new(Backoff::exponential(secs(1)))
}

/// Fails for ever, and is tried again so many times.
async fn check(retry: &Retry<&'static str>, retries: u32) {
    let calls = Cell::new(0);
    let count = || {
        calls.set(calls.get() + 1);
        ready(Err::<(), _>("busy"))
    };

    assert_eq!(retry.run(count).await, Err("busy"));
    assert_eq!(calls.get(), 1 + retries);
}

#[tokio::test(start_paused = true)]
async fn empty_quota_has_errors_back_at_once() {
    // AT-14.
    let quota = RetryQuota::new(10);
    let retry = doubling().quota(quota.clone(), 4);
    check(&retry, 2).await;
    assert_eq!(quota.left(), 2);

    check(&retry, 0).await;

    assert_eq!(quota.left(), 2);
}

#[tokio::test(start_paused = true)]
async fn budget_bounds_the_retries_of_all_operations() {
    // AT-14.
    let budget = RetryBudget::builder().share(0.2).floor_per_minute(1);
    let budget = budget.build().unwrap();
    let retry = doubling().budget(budget.clone());

    check(&retry, 1).await;
    check(&retry, 0).await;
    for _ in 0..3 {
        retry.run(|| ready(Ok::<_, &str>(()))).await.unwrap();
    }

    assert_eq!(budget.left(), 1);
    check(&retry, 1).await;
}

#[tokio::test(start_paused = true)]
async fn first_call_of_a_stream_earns_however_it_ends() {
    for ends in [Ok(2), Err("cut")] {
        for after_output in [AfterOutput::Fail, AfterOutput::Restart] {
            let budget = RetryBudget::builder().share(1.0).floor_per_minute(0);
            let budget = budget.build().unwrap();
            let retry = Retry::new(Backoff::exponential(secs(1)))
                .retry_if(|_| false)
                .budget(budget.clone());
            let answer = retry_stream(retry, || stream::iter([Ok(1), ends]));

            answer.after_output(after_output).count().await;

            assert_eq!(budget.left(), 1, "{ends:?} {after_output:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_retry_that_was_made_draws_on_the_budget() {
    let budget = RetryBudget::builder().share(0.0).floor_per_minute(3);
    let budget = budget.build().unwrap();
    let quota = RetryQuota::new(4);
    let retry = doubling().budget(budget.clone()).quota(quota, 4);
    let run = || retry.run(|| ready(Err::<(), _>("busy")));

    timeout(millis(500), run()).await.unwrap_err();
    assert_eq!(budget.left(), 3);

    // One retry; for the second the quota is empty.
    run().await.unwrap_err();
    assert_eq!(budget.left(), 2);
}

#[tokio::test(start_paused = true)]
async fn success_gives_the_quota_back_what_it_drew_last() {
    let quota = RetryQuota::new(10);
    let retry = doubling().quota(quota.clone(), 4);
    let call = Cell::new(0);
    let answer_third = || {
        call.set(call.get() + 1);
        ready(if call.get() < 3 { Err("busy") } else { Ok(()) })
    };

    retry.run(answer_third).await.unwrap();
    assert_eq!(quota.left(), 6);

    retry.run(|| ready(Ok(()))).await.unwrap();
    assert_eq!(quota.left(), 7);
}

#[tokio::test(start_paused = true)]
async fn only_a_retry_that_was_made_costs_quota() {
    let quota = RetryQuota::new(10);
    let retry = doubling().quota(quota.clone(), 4);
    let run = || retry.run(|| ready(Err::<(), _>("busy")));

    timeout(millis(500), run()).await.unwrap_err();
    assert_eq!(quota.left(), 10);

    timeout(millis(1_500), run()).await.unwrap_err();
    assert_eq!(quota.left(), 6);
}
