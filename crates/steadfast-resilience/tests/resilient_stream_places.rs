//! What a stream holds of its limiter, until when, and what becomes of it when it is not read to its end.

#[path = "support/limited.rs"]
mod limited;
#[path = "support/streams.rs"]
mod streams;

use std::{cell::Cell, error::Error, rc::Rc, time::Duration};

use futures_util::{StreamExt, stream};
use limited::{endless, one_place, ten_a_second};
use steadfast_resilience::{
    AfterOutput, Backoff, Cost, Limiter, Resilient, ResilientStream, Retry, RetryQuota, millis,
    rate_limited_stream, resilient_stream, secs,
};
use streams::{Attempt, Inner, doubling, read, script, word};
use tokio::time::{Instant, timeout};

type TestResult = Result<(), Box<dyn Error>>;

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
