//! Hedging: a second call where the first is slow, and the first answer of the two. Failures are not
//! tried again here.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

/// Makes a call, and the same once more if it has not ended after a delay. The first success wins.
///
/// The other call is dropped. One that fails before the delay is over has failed, and no second is made:
/// what fails is for a retry. Of two calls, one may fail and the other goes on.
///
/// A hedge buys a shorter wait in the worst cases with a few more calls: with the delay that nineteen of
/// twenty calls keep to there is one more for each twenty ("The Tail at Scale", Dean and Barroso, 2013).
/// Only hedge what may be done twice: both calls may take effect, also the one that is dropped.
///
/// ```
/// use steadfast_resilience::{hedge, millis, secs};
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut waits = [secs(60), millis(50)].into_iter();
/// let began = Instant::now();
///
/// let answer = hedge(millis(200), || {
///     let wait = waits.next().unwrap_or_default();
///     async move {
///         sleep(wait).await; // the call: this time it hangs, the next time it does not
///         Ok::<_, std::io::Error>("a page")
///     }
/// })
/// .await;
///
/// assert_eq!(answer.ok(), Some("a page"));
/// assert_eq!(began.elapsed(), millis(200 + 50));
/// # }
/// ```
///
/// # Errors
///
/// The error of the call that failed last.
///
/// # Cancel safety
///
/// Dropping the future drops both calls.
#[doc(alias = "backup_request")]
#[doc(alias = "speculative")]
pub async fn hedge<T, E, Fut>(delay: Duration, operation: impl FnMut() -> Fut) -> Result<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    hedge_if(delay, || true, operation).await
}

/// Hedges as [`hedge`] does, if the second call may be made when its time has come.
///
/// Ask whatever limits calls: the second one is a call too.
///
/// ```
/// use steadfast_resilience::{RetryBudget, hedge_if, millis, secs};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let budget = RetryBudget::builder().share(0.05).floor_per_minute(1).build().unwrap();
/// for _ in 0..3 {
///     budget.count_call();
///     let slow = || async {
///         sleep(secs(2)).await;
///         Ok::<_, ()>("a page")
///     };
///     assert!(hedge_if(millis(200), || budget.take(), slow).await.is_ok());
/// }
/// assert_eq!(budget.left(), 0); // one of the three was hedged
/// # }
/// ```
///
/// # Errors
///
/// As [`hedge`].
///
/// # Cancel safety
///
/// As [`hedge`].
pub async fn hedge_if<T, E, Fut>(
    delay: Duration,
    may_hedge: impl FnOnce() -> bool,
    mut operation: impl FnMut() -> Fut,
) -> Result<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    let mut first = pin!(operation());
    if let Ok(ended) = timeout(delay, first.as_mut()).await {
        return ended;
    }
    if !may_hedge() {
        return first.await;
    }
    tracing::debug!(?delay, "a call is slow: it is made a second time");
    let mut second = pin!(operation());
    let (mut first_failed, mut second_failed) = (false, false);
    poll_fn(|cx| {
        if !first_failed && let Poll::Ready(ended) = first.as_mut().poll(cx) {
            if ended.is_ok() || second_failed {
                return Poll::Ready(ended);
            }
            first_failed = true;
        }
        if !second_failed && let Poll::Ready(ended) = second.as_mut().poll(cx) {
            if ended.is_ok() || first_failed {
                return Poll::Ready(ended);
            }
            second_failed = true;
        }
        Poll::Pending
    })
    .await
}
