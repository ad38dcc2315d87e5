//! Streams with a limiter and retries: what their reader meets, and in which order.

#[path = "support/limited.rs"]
mod limited;
#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;
#[path = "support/streams.rs"]
mod streams;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use limited::{endless, one_place, ten_a_second};
use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{
    AfterOutput, Backoff, Cost, Limiter, RateLimitEvent, Resilient, ResilientStream, Retry, millis,
    rate_limited_stream, resilient_stream, retry_stream, secs,
};
use streams::{Attempt, Inner, doubling, read, script, word};
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn Error>>;
async fn events<F: FnMut(u64) -> Inner>(stream: ResilientStream<Inner, F>) -> Vec<RateLimitEvent> {
    let event = |next| async move {
        match next {
            Ok(Resilient::RateLimit(event)) => Some(event),
            _ => None,
        }
    };
    stream.filter_map(event).collect().await
}

#[tokio::test(start_paused = true)]
async fn stream_without_parts_passes_through() {
    // AE-23.
    let whole = resilient_stream(script([vec![Ok(1), Ok(2)]]));
    let failing = resilient_stream(script([vec![Ok(1), Err("cut")], vec![Ok(1)]]));

    assert_eq!(read(whole).await, "1 2");
    assert_eq!(read(failing).await, "1 error:cut");
}

#[tokio::test(start_paused = true)]
async fn rate_limit_is_told_once_before_the_first_item() -> TestResult {
    // AE-22, AE-25.
    let limiter = Limiter::builder().per_second(10.0).burst(20).build()?;
    let before = SystemTime::now();
    let stream = rate_limited_stream(&limiter, script([vec![Ok(1), Ok(2)]]))
        .operation_type("tool")
        .operation_name("data_fetch")
        .step_id("step-7");

    let mut met: Vec<_> = stream.collect().await;

    let Ok(Resilient::RateLimit(event)) = met.remove(0) else {
        panic!("{met:?}");
    };
    assert_eq!(met, [Ok(Resilient::Item(1)), Ok(Resilient::Item(2))]);
    assert_eq!(event.operation_name(), "data_fetch");
    assert_eq!(event.operation_type(), "tool");
    assert_eq!(event.available().requests, 19.0);
    assert_eq!(event.step_id(), Some("step-7"));
    assert_eq!(event.waited(), Duration::ZERO);
    assert!(event.timestamp() >= before);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wait_is_told_before_it_begins_and_measured_behind_it() -> TestResult {
    let limiter = ten_a_second()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut stream = rate_limited_stream(&limiter, script([vec![Ok(1)]]));
    let (began, at) = (Instant::now(), SystemTime::now());

    let told = stream.next().await;
    let told_after = began.elapsed();
    let let_go = stream.next().await;

    assert_eq!(told, Some(Ok(Resilient::Queued(millis(100)))));
    assert_eq!((told_after, began.elapsed()), (secs(0), millis(100)));
    let Some(Ok(Resilient::RateLimit(event))) = let_go else {
        panic!("{let_go:?}");
    };
    assert_eq!(event.waited(), millis(100));
    // The wait itself is of tokio's clock; the time of day before it is not.
    assert!(event.timestamp() >= at + millis(100));
    assert_eq!(stream.next().await, Some(Ok(Resilient::Item(1))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_free_needs_no_second_poll() -> TestResult {
    let limiter = Limiter::builder().per_second(10.0).build()?;
    let retry = Retry::new(Backoff::constant(Duration::ZERO));
    let attempts = script([vec![Err("no")], vec![Ok(1)]]);
    let stream = resilient_stream(attempts).retry(retry).rate_limit(&limiter);

    // Nothing of it waits, so one poll of each is enough.
    let met = read(stream.per_attempt()).now_or_never();

    assert_eq!(met.as_deref(), Some("go:0ns retry:0ns go:0ns 1"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn rate_limit_comes_first_and_the_retries_behind_it() -> TestResult {
    // AE-23, AE-24.
    let limiter = ten_a_second()?;
    drop(limiter.try_acquire(Cost::request())?);
    let began = Instant::now();

    let attempts = script([vec![Err("one")], vec![Err("two")], vec![Ok(1)]]);
    let stream = resilient_stream(attempts)
        .retry(doubling())
        .rate_limit(&limiter);

    let met = read(stream).await;
    assert_eq!(met, "queued:100ms go:100ms retry:1s retry:2s 1");
    assert_eq!(began.elapsed(), millis(3_100));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn operation_takes_once_however_often_it_is_tried() -> TestResult {
    // AE-24.
    let limiter = Limiter::builder().per_day(1.0).burst(20).build()?;
    let stream = rate_limited_stream(&limiter, script([])).retry(doubling());

    let told = events(stream.cost(Cost::requests(4))?).await;

    assert_eq!(told.len(), 1);
    assert_eq!(limiter.available().requests.floor(), 16.0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_takes_behind_its_wait_when_asked() -> TestResult {
    // AE-24.
    let limiter = Limiter::builder().per_second(0.4).burst(1).build()?;
    let attempts = script([vec![Err("one")], vec![Err("two")], vec![Ok(1)]]);
    let stream = resilient_stream(attempts)
        .retry(doubling())
        .rate_limit(&limiter)
        .per_attempt();
    let began = Instant::now();

    let met = read(stream).await;

    // One in two and a half seconds: a second of them was the retry's, and later two.
    let first = "go:0ns retry:1s queued:1.5s go:1.5s";
    assert_eq!(met, format!("{first} retry:2s queued:500ms go:500ms 1"));
    assert_eq!(began.elapsed(), secs(5));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn attempts_that_take_are_numbered() -> TestResult {
    let limiter = Limiter::builder().per_second(10.0).build()?;
    let stream = rate_limited_stream(&limiter, script([]))
        .retry(doubling())
        .per_attempt();

    let told = events(stream).await;

    let attempts: Vec<u32> = told.iter().map(RateLimitEvent::attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn restarted_stream_is_reset_before_its_next_turn() -> TestResult {
    let limiter = ten_a_second()?;
    let attempts = [vec![Ok(1), Err("cut")], vec![Ok(1), Ok(2)]];
    let stream = rate_limited_stream(&limiter, script(attempts))
        .retry(Retry::new(Backoff::constant(millis(40))))
        .after_output(AfterOutput::Restart)
        .per_attempt();

    let met = read(stream).await;

    let first = "go:0ns 1 reset retry:40ms";
    assert_eq!(met, format!("{first} queued:60ms go:60ms 1 2"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn names_of_the_stream_go_before_those_of_its_retry() -> TestResult {
    // AE-25.
    let retry = doubling()
        .operation_name("any call")
        .operation_type("llm")
        .step_id("none");
    let limiter = ten_a_second()?;
    let stream = rate_limited_stream(&limiter, script([vec![Err("no")], vec![Ok(1)]]))
        .operation_name("gpt-4")
        .retry(retry)
        .step_id("step-7");

    let met: Vec<_> = stream.collect().await;

    let [
        Ok(Resilient::RateLimit(limited)),
        Ok(Resilient::Retry(retried)),
        _,
    ] = &met[..]
    else {
        panic!("{met:?}");
    };
    let names = ("gpt-4", "llm", Some("step-7"));
    assert_eq!(
        (
            limited.operation_name(),
            limited.operation_type(),
            limited.step_id()
        ),
        names
    );
    assert_eq!(
        (
            retried.operation_name(),
            retried.operation_type(),
            retried.step_id()
        ),
        names
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tool_body_gives_its_first_item_behind_a_limiter() -> TestResult {
    // AE-26.
    let limiter = ten_a_second()?;
    let fetch_data = async || {
        let body = resilient_stream(script([vec![Err("reset")], vec![Ok(42)]]))
            .retry(doubling())
            .rate_limit(&limiter)
            .operation_type("tool");
        let items = body.try_filter_map(async |next| Ok(next.into_item()));
        Box::pin(items).try_next().await
    };

    assert_eq!(fetch_data().await, Ok(Some(42)));
    assert_eq!(fetch_data().await, Ok(Some(42)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_limiter_holds_for_many_streams_in_their_order() -> TestResult {
    // AE-27.
    let limiter = ten_a_second()?;
    let open = || script([vec![Ok(1)]]);
    let (first, second, third) = (
        rate_limited_stream(&limiter, open()),
        rate_limited_stream(&limiter, open()).retry(doubling()),
        rate_limited_stream(&limiter.clone(), open()),
    );

    let met = tokio::join!(read(first), read(second), read(third));

    let (first, second, third) = (
        "go:0ns 1",
        "queued:100ms go:100ms 1",
        "queued:200ms go:200ms 1",
    );
    assert_eq!(met, (first.into(), second.into(), third.into()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn monitor_counts_retries_waits_and_their_time() -> TestResult {
    // AE-28.
    #[derive(Debug, Default, PartialEq)]
    struct Monitor {
        retries: u32,
        rate_limit_waits: u32,
        total_delay: Duration,
    }
    let limiter = ten_a_second()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut monitor = Monitor::default();
    let attempts = script([vec![Err("one")], vec![Err("two")], vec![Ok(1)]]);
    let mut stream = resilient_stream(attempts)
        .rate_limit(&limiter)
        .retry(doubling());
    let began = Instant::now();

    while let Some(next) = stream.try_next().await? {
        match next {
            Resilient::Retry(event) => {
                monitor.retries += 1;
                monitor.total_delay += event.delay();
            }
            Resilient::RateLimit(event) if event.waited() > Duration::ZERO => {
                monitor.rate_limit_waits += 1;
                monitor.total_delay += event.waited();
            }
            _ => {}
        }
    }

    let expected = Monitor {
        retries: 2,
        rate_limit_waits: 1,
        total_delay: began.elapsed(),
    };
    assert_eq!(monitor, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_limiter_begins_with_a_cost_of_one() -> TestResult {
    let big = Limiter::builder().per_day(1.0).burst(100).build()?;
    let small = Limiter::builder().per_day(1.0).burst(5).build()?;
    let stream = rate_limited_stream(&big, script([vec![Ok(1)]])).cost(Cost::requests(50))?;

    let met = read(stream.rate_limit(&small)).await;

    assert_eq!(met, "go:0ns 1");
    let left = (big.available().requests, small.available().requests.floor());
    assert_eq!(left, (100.0, 4.0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn future_takes_from_a_limiter_in_each_of_its_attempts() -> TestResult {
    // AE-26.
    let limiter = Limiter::builder().per_second(0.4).burst(1).build()?;
    let calls = AtomicU32::new(0);
    let fetch = async || match calls.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err("refused".into()),
        _ => Ok(42),
    };
    let retry: Retry<Box<dyn Error>> = Retry::new(Backoff::exponential(secs(1)));
    let began = Instant::now();

    let answer = retry
        .run(async || {
            let _permit = limiter.acquire(Cost::request()).await?;
            fetch().await
        })
        .await?;

    assert_eq!((answer, began.elapsed()), (42, secs(5)));
    Ok(())
}

#[test]
fn limited_streams_can_be_spawned() -> TestResult {
    const fn sendable<T: Send + Sync + Unpin + 'static>(_: &T) {}

    let stream = rate_limited_stream(&one_place()?, || stream::iter([Ok::<u8, &str>(1)]))
        .retry(doubling())
        .used_tokens(|_| None);

    sendable(&stream);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn waiting_stream_is_woken_by_another_task() -> TestResult {
    let limiter = one_place()?;
    let permit = limiter.try_acquire(Cost::request())?.into_owned();
    let met = Arc::new(AtomicU32::new(0));
    let (noted, waiting) = (met.clone(), limiter.clone());
    let task = tokio::spawn(async move {
        let items = rate_limited_stream(&waiting, || stream::iter([Ok::<u32, &str>(7)]));
        let items = items.try_filter_map(async |next| Ok(next.into_item()));
        let sum: u32 = items.try_fold(0, async |sum, item| Ok(sum + item)).await?;
        noted.store(sum, Ordering::Relaxed);
        Ok::<_, &str>(())
    });
    sleep(secs(3_600)).await;
    assert_eq!(met.load(Ordering::Relaxed), 0);

    drop(permit);
    task.await??;

    assert_eq!(met.load(Ordering::Relaxed), 7);
    Ok(())
}

/// How many items each attempt yields before it is cut; the one behind them is whole.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..4_usize, 0..6)
}

fn cut_attempts(cuts: &[usize]) -> impl FnMut() -> Inner + use<> {
    let mut attempts: Vec<Attempt> = cuts
        .iter()
        .map(|&cut| (0..cut as u64).map(Ok).chain([Err("cut")]).collect())
        .collect();
    attempts.push((0..4).map(Ok).collect());
    script(attempts)
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn limiter_only_adds_its_own_events_and_loses_no_place(
        cuts in cuts(),
        after_output in prop_oneof![Just(AfterOutput::Fail), Just(AfterOutput::Restart)],
        per_attempt in any::<bool>(),
        reads in 0..40_usize,
        others in 0..3_usize,
    ) {
        let runtime = paused()
            .unwrap();
        runtime.block_on(async {
            let limiter = Limiter::builder().per_second(2.0).burst(1).concurrency(1).build().unwrap();
            let plain = retry_stream(doubling(), cut_attempts(&cuts)).after_output(after_output);
            let limited = rate_limited_stream(&limiter, cut_attempts(&cuts))
                .retry(doubling())
                .after_output(after_output);
            let mut limited = if per_attempt { limited.per_attempt() } else { limited };
            let mut rivals: Vec<_> =
                (0..others).map(|_| rate_limited_stream(&limiter, endless)).collect();
            for rival in &mut rivals {
                // They stand before it in the queue, and leave.
                rival.next().await;
            }
            drop(rivals);

            let plain: Vec<_> = plain.map(word).collect().await;
            let met: Vec<_> = limited.by_ref().map(word).take(reads).collect().await;
            drop(limited);

            let is_added = |word: &String| word.starts_with("go:") || word.starts_with("queued:");
            let others: Vec<_> = met.iter().filter(|word| !is_added(word)).collect();
            prop_assert_eq!(&others[..], &plain.iter().take(others.len()).collect::<Vec<_>>()[..]);
            let told = met.iter().filter(|word| word.starts_with("go:")).count();
            let opened = 1 + others.iter().filter(|word| word.starts_with("retry:")).count();
            if reads >= 40 {
                prop_assert_eq!(told, if per_attempt { opened } else { 1 });
            }
            let left = limiter.available();
            prop_assert_eq!((left.places, left.waiting), (Some(1), 0));
            Ok(())
        })?;
    }
}
