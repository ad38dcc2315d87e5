//! Streams with a limiter and retries: what their reader meets, what they hold and when it is free.

#[path = "support/property.rs"]
mod property;

use std::{
    cell::Cell,
    error::Error,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use property::seeded;
use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{
    AfterOutput, Backoff, ConfigError, Cost, Limiter, RateLimitEvent, Resilient, ResilientStream,
    Retry, RetryQuota, millis, rate_limited_stream, resilient_stream, retry_stream, secs,
};
use tokio::time::{Instant, sleep, timeout};

type TestResult = Result<(), Box<dyn Error>>;
type Attempt = Vec<Result<u64, &'static str>>;
type Inner = Pin<Box<dyn Stream<Item = Result<u64, &'static str>>>>;

fn doubling() -> Retry<&'static str> {
    Retry::new(Backoff::exponential(secs(1)))
}

/// Ten a second, one at a time.
fn ten_a_second() -> Result<Limiter, ConfigError> {
    Limiter::builder().per_second(10.0).burst(1).build()
}

fn one_place() -> Result<Limiter, ConfigError> {
    Limiter::builder().concurrency(1).build()
}

/// Opens the attempts in turn; behind them, a stream that fails at once.
fn script(attempts: impl Into<Vec<Attempt>>) -> impl FnMut() -> Inner {
    let mut attempts = attempts.into().into_iter();
    move || {
        let attempt = attempts
            .next()
            .unwrap_or_else(|| vec![Err("out of script")]);
        Box::pin(stream::iter(attempt))
    }
}

fn endless() -> Inner {
    Box::pin(stream::iter([Ok(1)]).chain(stream::pending()))
}

/// To milliseconds: what is less than a billionth of a request is not waited for.
fn rounded(wait: Duration) -> Duration {
    Duration::from_secs_f64((wait.as_secs_f64() * 1e3).round() / 1e3)
}

fn word(next: Result<Resilient<u64>, &'static str>) -> String {
    match next {
        Ok(Resilient::Item(item)) => item.to_string(),
        Ok(Resilient::Queued(wait)) => format!("queued:{:?}", rounded(wait)),
        Ok(Resilient::RateLimit(event)) => format!("go:{:?}", event.waited()),
        Ok(Resilient::Retry(event)) => format!("retry:{:?}", event.delay()),
        Ok(Resilient::Reset) => "reset".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error:{error}"),
    }
}

/// Reads to the end. What was met is shown as words.
async fn read<F: FnMut(u64) -> Inner>(stream: ResilientStream<Inner, F>) -> String {
    let words: Vec<String> = stream.map(word).collect().await;
    words.join(" ")
}

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
async fn nothing_is_taken_before_the_first_poll() -> TestResult {
    let limiter = one_place()?;

    let stream = rate_limited_stream(&limiter, endless);

    assert_eq!(limiter.available().places, Some(1));
    drop(stream);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_is_held_until_the_stream_has_ended() -> TestResult {
    let limiter = one_place()?;
    let mut stream = rate_limited_stream(&limiter, script([vec![Ok(1), Ok(2)]]));

    stream.by_ref().take(3).count().await;
    let reading = limiter.available().places;
    let end = stream.next().await;

    assert_eq!((reading, end), (Some(0), None));
    // The stream itself is still there.
    assert_eq!(limiter.available().places, Some(1));
    drop(stream);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_is_held_through_the_retries_of_one_operation() -> TestResult {
    let limiter = one_place()?;
    let attempts = script([vec![Err("one")], vec![Err("two")]]);
    let mut stream = rate_limited_stream(&limiter, attempts).retry(doubling().max_attempts(2)?);

    stream.by_ref().take(2).count().await;
    let waiting = limiter.available().places;
    let last = stream.next().await;

    assert_eq!((waiting, last), (Some(0), Some(Err("two"))));
    assert_eq!(limiter.available().places, Some(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn place_of_an_attempt_is_free_while_its_retry_waits() -> TestResult {
    let limiter = one_place()?;
    let attempts = script([vec![Err("no")], vec![Ok(1)]]);
    let mut stream = rate_limited_stream(&limiter, attempts)
        .retry(doubling())
        .per_attempt();

    stream.by_ref().take(2).count().await;
    let waiting = limiter.available().places;
    stream.by_ref().take(1).count().await;

    assert_eq!((waiting, limiter.available().places), (Some(1), Some(0)));
    Ok(())
}

/// Notes how many places were left when it was dropped.
struct Witness {
    limiter: Limiter,
    places_left: Rc<Cell<Option<u32>>>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.places_left.set(self.limiter.available().places);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_is_closed_before_its_place_is_free() -> TestResult {
    // AE-29.
    let failing: Attempt = vec![Ok(1), Err("cut")];
    for (attempt, reads) in [(failing, 3), (vec![Ok(1)], 3), (vec![Ok(1), Ok(2)], 2)] {
        let (limiter, places_left) = (one_place()?, Rc::default());
        let mut stream = rate_limited_stream(&limiter, || {
            let witness = Witness {
                limiter: limiter.clone(),
                places_left: Rc::clone(&places_left),
            };
            stream::iter(attempt.clone()).inspect(move |_| {
                let _ = &witness;
            })
        });

        // It fails, ends, or is dropped with an item to come.
        stream.by_ref().take(reads).count().await;
        drop(stream);

        assert_eq!(places_left.get(), Some(0), "{attempt:?}");
        assert_eq!(limiter.available().places, Some(1));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_in_the_queue_gives_the_place_to_the_next() -> TestResult {
    // AE-29.
    let limiter = one_place()?;
    let opened = Cell::new(0);
    let open = || {
        opened.set(opened.get() + 1);
        endless()
    };
    let mut first = rate_limited_stream(&limiter, open);
    let mut second = rate_limited_stream(&limiter, open);
    let mut third = rate_limited_stream(&limiter, open);
    first.by_ref().take(2).count().await;
    assert_eq!(word_of(&mut second).await, "queued:0ns");
    assert_eq!(word_of(&mut third).await, "queued:0ns");
    let began = Instant::now();

    drop(second);
    drop(first);

    assert_eq!(word_of(&mut third).await, "go:0ns");
    assert_eq!(word_of(&mut third).await, "1");
    assert_eq!((began.elapsed(), opened.get()), (Duration::ZERO, 2));
    assert_eq!(limiter.available().waiting, 0);
    Ok(())
}

async fn word_of<F: FnMut(u64) -> Inner>(stream: &mut ResilientStream<Inner, F>) -> String {
    stream.next().await.map(word).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn dropping_what_was_let_go_and_not_opened_frees_it() -> TestResult {
    let limiter = one_place()?;
    let permit = limiter.try_acquire(Cost::request())?;
    let mut stream = rate_limited_stream(&limiter, endless);
    stream.next().await;

    drop(permit); // it is let go, and its reader does not look
    let let_go = limiter.available().places;
    drop(stream);

    assert_eq!((let_go, limiter.available().places), (Some(0), Some(1)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn giving_up_one_next_keeps_the_place_in_the_queue() -> TestResult {
    let limiter = ten_a_second()?;
    drop(limiter.try_acquire(Cost::request())?);
    let mut stream = rate_limited_stream(&limiter, script([vec![Ok(1)]]));
    let began = Instant::now();
    stream.next().await;

    let given_up = timeout(millis(30), stream.next()).await;
    let mut behind = rate_limited_stream(&limiter, script([vec![Ok(2)]]));
    let told = behind.next().await;

    assert!(given_up.is_err());
    assert_eq!(told, Some(Ok(Resilient::Queued(millis(170)))));
    assert_eq!(read(stream).await, "go:100ms 1");
    assert_eq!(read(behind).await, "go:170ms 2");
    assert_eq!(began.elapsed(), millis(200));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_counts_from_when_the_operation_was_let_go() -> TestResult {
    let limiter = Limiter::builder().per_minute(1.0).burst(1).build()?;
    drop(limiter.try_acquire(Cost::request())?);
    let stream = rate_limited_stream(&limiter, script([])).retry(doubling().deadline(secs(2)));

    let met = read(stream).await;

    let error = "error:out of script";
    assert_eq!(met, format!("queued:60s go:60s retry:1s {error}"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn turn_that_would_pass_the_deadline_is_not_waited_for() -> TestResult {
    let limiter = Limiter::builder().per_minute(1.0).burst(1).build()?;
    let quota = RetryQuota::new(10);
    let retry = doubling().deadline(secs(30)).quota(quota.clone(), 4);
    let stream = rate_limited_stream(&limiter, script([]))
        .retry(retry)
        .per_attempt();
    let began = Instant::now();

    let met = read(stream).await;

    assert_eq!(met, "go:0ns retry:1s error:out of script");
    assert_eq!((began.elapsed(), quota.left()), (secs(1), 10));
    assert_eq!(limiter.available().waiting, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_a_wait_that_nobody_could_foresee() -> TestResult {
    let limiter = one_place()?;
    let quota = RetryQuota::new(10);
    let retry = doubling().deadline(secs(30)).quota(quota.clone(), 4);
    let mut stream = rate_limited_stream(&limiter, script([]))
        .retry(retry)
        .per_attempt();
    let began = Instant::now();
    stream.by_ref().take(2).count().await;
    let permit = limiter.try_acquire(Cost::request())?;

    let met = read(stream).await;

    assert_eq!(met, "queued:0ns error:out of script");
    assert_eq!((began.elapsed(), quota.left()), (secs(30), 10));
    drop(permit);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn used_tokens_settle_the_permit_at_the_end() -> TestResult {
    let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
    let open = || script([vec![Ok(7), Ok(600), Ok(700)]]);
    let limited = || rate_limited_stream(&limiter, open()).cost(Cost::request().tokens(4_000));
    let read_usage = |used: &u64| (*used >= 100).then_some(*used);

    let mut stream = limited()?.used_tokens(read_usage);
    stream.by_ref().take(4).count().await;
    let before_the_end = limiter.available().tokens;
    stream.next().await;
    let settled = limiter.available().tokens;
    limited()?.used_tokens(|_| None).count().await;
    let unsaid = limiter.available().tokens;
    let mut dropped = limited()?.used_tokens(read_usage);
    dropped.by_ref().take(3).count().await;
    drop(dropped);

    assert_eq!((before_the_end, settled), (6_000.0, 9_300.0));
    assert_eq!((unsaid, limiter.available().tokens), (5_300.0, 1_300.0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tokens_of_several_attempts_add_up_or_settle_each() -> TestResult {
    let attempts = || script([vec![Ok(300), Err("cut")], vec![Err("no")], vec![Ok(900)]]);
    for (per_attempt, left) in [(false, 8_800.0), (true, 6_800.0)] {
        let limiter = Limiter::builder().tokens_per_minute(10_000.0).build()?;
        let stream = rate_limited_stream(&limiter, attempts())
            .cost(Cost::request().tokens(2_000))?
            .retry(Retry::new(Backoff::constant(Duration::ZERO)))
            .after_output(AfterOutput::Restart)
            .used_tokens(|used| Some(*used));

        match per_attempt {
            true => stream.per_attempt().count().await,
            false => stream.count().await,
        };

        // The attempt that said nothing keeps its estimate, if it had one of its own.
        assert_eq!(limiter.available().tokens, left, "{per_attempt}");
    }
    Ok(())
}

#[test]
fn cost_without_or_above_a_limiter_is_refused_by_name() -> TestResult {
    let limiter = Limiter::builder().per_second(10.0).burst(5).build()?;
    let open = || endless();

    let unlimited = resilient_stream(open).cost(Cost::request());
    let too_much = rate_limited_stream(&limiter, open).cost(Cost::requests(6));
    let nothing = rate_limited_stream(&limiter, open).cost(Cost::requests(0));

    let errors = [unlimited.err(), too_much.err(), nothing.err()];
    let fields = errors.each_ref().map(|error| error.as_ref()?.field());
    assert_eq!(
        fields,
        [Some("rate_limit"), Some("requests"), Some("requests")]
    );
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
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
