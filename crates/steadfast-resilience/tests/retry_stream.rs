//! Retries of streams: what the reader meets, in which order, and what is never met twice.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;
#[path = "support/streams.rs"]
mod streams;

use std::{
    cell::{Cell, RefCell},
    future::pending,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Strategy, any},
    prop_assert_eq, proptest,
};
use steadfast_resilience::{
    AfterOutput, Backoff, Resilient, Retry, RetryQuota, millis, retry_stream, secs,
};
use streams::{Inner, doubling, read, script};
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn stream_without_a_failure_passes_through() {
    let met = read(retry_stream(
        doubling(),
        script([vec![Ok(1), Ok(2), Ok(3)]]),
    ))
    .await;

    assert_eq!(met, "1 2 3");
}

#[tokio::test(start_paused = true)]
async fn two_events_then_the_original_error() {
    // AE-2.
    let attempts = [vec![Err("one")], vec![Err("two")], vec![Err("three")]];
    let began = Instant::now();

    let met = read(retry_stream(doubling(), script(attempts))).await;

    assert_eq!(met, "retry:1s retry:2s error:three");
    assert_eq!(began.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn failure_before_the_first_item_is_tried_again() {
    let attempts = [vec![Err("one")], vec![Ok(1), Ok(2)]];

    assert_eq!(
        read(retry_stream(doubling(), script(attempts))).await,
        "retry:1s 1 2"
    );
}

#[tokio::test(start_paused = true)]
async fn refused_error_ends_the_stream_without_an_event() {
    // AE-8.
    let retry = doubling().retry_if(|error| *error != "bad key");

    let met = read(retry_stream(
        retry,
        script([vec![Err("bad key")], vec![Ok(1)]]),
    ))
    .await;

    assert_eq!(met, "error:bad key");
}

#[tokio::test(start_paused = true)]
async fn failure_after_an_item_stands_unless_told_otherwise() {
    // AE-12.
    let attempts = || script([vec![Ok(1), Err("cut")], vec![Ok(1), Ok(2)]]);

    let unsaid = retry_stream(doubling(), attempts());
    assert_eq!(read(unsaid).await, "1 error:cut");
    let said = retry_stream(doubling(), attempts()).after_output(AfterOutput::Fail);
    assert_eq!(read(said).await, "1 error:cut");
}

#[tokio::test(start_paused = true)]
async fn restart_tells_a_reset_before_the_retry() {
    // AE-12.
    let attempts = [vec![Ok(1), Err("cut")], vec![Err("no")], vec![Ok(1), Ok(2)]];

    let stream = retry_stream(doubling(), script(attempts)).after_output(AfterOutput::Restart);

    assert_eq!(read(stream).await, "1 reset retry:1s retry:2s 1 2");
}

#[tokio::test(start_paused = true)]
async fn last_failure_resets_nothing() {
    let retry = doubling().max_attempts(2).unwrap();
    let attempts = [vec![Ok(1), Err("cut")], vec![Ok(1), Err("cut again")]];

    let stream = retry_stream(retry, script(attempts)).after_output(AfterOutput::Restart);

    assert_eq!(read(stream).await, "1 reset retry:1s 1 error:cut again");
}

#[tokio::test(start_paused = true)]
async fn resume_goes_on_behind_what_was_met() {
    // AE-12.
    let mut attempts = [vec![Ok(3), Err("cut")], vec![Err("no")], vec![Ok(4)]].into_iter();
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = asked.clone();
    let first = [vec![Err("no")], vec![Ok(1), Ok(2), Err("cut")]];
    let retry = doubling().max_attempts(9).unwrap();

    let stream = retry_stream(retry, script(first)).resume(move |met| {
        noted.borrow_mut().push(met);
        Box::pin(stream::iter(attempts.next().unwrap_or_default()))
    });

    assert_eq!(
        read(stream).await,
        "retry:1s 1 2 retry:2s 3 retry:4s retry:8s 4"
    );
    assert_eq!(asked.take(), [2, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn zero_delay_is_told_and_does_not_wait() {
    let retry = Retry::new(Backoff::constant(Duration::ZERO));
    let attempts = [vec![Ok(1), Err("cut")], vec![Ok(1)]];
    let stream = retry_stream(retry, script(attempts)).after_output(AfterOutput::Restart);

    // Nothing of it waits, so one poll of each is enough.
    let met = read(stream).now_or_never();

    assert_eq!(met.as_deref(), Some("1 reset retry:0ns 1"));
}

#[tokio::test(start_paused = true)]
async fn first_item_is_not_held_back() {
    // AE-11.
    let open = || stream::iter([Ok::<_, &str>(1)]).chain(stream::pending());
    let mut stream = retry_stream(doubling(), open);

    let first = stream.next().now_or_never();

    assert_eq!(first, Some(Some(Ok(Resilient::Item(1)))));
    assert_eq!(stream.next().now_or_never(), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_before_the_first_poll() {
    let opened = Cell::new(0);
    let stream = retry_stream(doubling().deadline(secs(2)), || {
        opened.set(opened.get() + 1);
        stream::iter([Err::<(), _>("no")])
    });

    tokio::time::sleep(secs(60)).await;
    assert_eq!(opened.get(), 0);

    // The deadline counts from here, so that one retry fits.
    let met: Vec<_> = stream.collect().await;
    assert_eq!((met.len(), opened.get()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn event_comes_before_its_wait_which_counts_from_then() {
    // AE-10.
    let mut stream = retry_stream(doubling(), script([vec![Err("no")], vec![Ok(1)]]));
    let began = Instant::now();

    let event = stream.next().await;
    assert!(matches!(event, Some(Ok(Resilient::Retry(_)))));
    assert_eq!(began.elapsed(), Duration::ZERO);

    tokio::time::sleep(millis(400)).await;
    let item = stream.next().await;
    assert_eq!(item, Some(Ok(Resilient::Item(1))));
    assert_eq!(began.elapsed(), secs(1));
}

#[tokio::test(start_paused = true)]
async fn ended_stream_stays_ended() {
    let attempts = [vec![Ok(1), Err("cut"), Ok(2)]];
    let mut failed = retry_stream(doubling(), script(attempts));
    let mut whole = retry_stream(doubling(), || {
        // It would go on behind its end.
        let mut polls = 0;
        stream::poll_fn(move |_| {
            polls += 1;
            Poll::Ready((polls % 2 == 0).then_some(Ok::<u64, &str>(polls)))
        })
    });

    assert_eq!(failed.by_ref().count().await, 2);
    assert_eq!(whole.by_ref().count().await, 0);

    assert_eq!((failed.next().await, whole.next().await), (None, None));
}

/// Streams that fail at once or never answer, and the number of them that live.
fn counted(held: &Rc<()>, fails: bool) -> impl FnMut() -> Inner {
    let held = held.clone();
    move || {
        let alive = held.clone();
        Box::pin(stream::once(async move {
            let _alive = alive;
            match fails {
                true => Err("no"),
                false => pending().await,
            }
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn failed_stream_is_dropped_before_the_wait() {
    let held = Rc::new(());
    let mut stream = retry_stream(doubling(), counted(&held, true));

    stream.next().await;

    assert_eq!(Rc::strong_count(&held), 2, "the test and the opener");
}

#[tokio::test(start_paused = true)]
async fn dropping_in_a_wait_ends_all_at_once() {
    // AE-29.
    let held = Rc::new(());
    let began = Instant::now();
    let stream = retry_stream(doubling(), counted(&held, true));

    timeout(millis(500), read(stream)).await.unwrap_err();

    assert_eq!((Rc::strong_count(&held), began.elapsed()), (1, millis(500)));
}

#[tokio::test(start_paused = true)]
async fn dropping_closes_the_stream_that_is_read() {
    let held = Rc::new(());
    let mut stream = retry_stream(doubling(), counted(&held, false));
    assert_eq!(stream.next().now_or_never(), None);
    assert_eq!(Rc::strong_count(&held), 3);

    drop(stream);

    assert_eq!(Rc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn giving_up_one_wait_for_an_item_loses_none() {
    let open = || {
        stream::iter([1, 2, 3]).then(|item| async move {
            tokio::time::sleep(millis(100)).await;
            Ok::<_, &str>(item)
        })
    };
    let mut stream = retry_stream(doubling(), open);
    let mut items = Vec::new();

    while items.len() < 3 {
        // Gives up three times for each item.
        if let Ok(Some(Ok(Resilient::Item(item)))) = timeout(millis(30), stream.next()).await {
            items.push(item);
        }
    }

    assert_eq!(items, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn quota_is_drawn_by_retries_that_were_made() {
    let quota = RetryQuota::new(10);
    let retry = doubling().quota(quota.clone(), 4);
    let mut stream = retry_stream(retry.clone(), script([vec![Err("no")], vec![Ok(1)]]));

    stream.next().await;
    assert_eq!(quota.left(), 6, "drawn before the wait");
    stream.next().await;
    assert_eq!(quota.left(), 6, "not yet a success");
    stream.next().await;
    assert_eq!(quota.left(), 10, "given back at the end");

    let mut dropped = retry_stream(retry, script([vec![Err("no")]]));
    dropped.next().await;
    drop(dropped);
    assert_eq!(quota.left(), 10);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_attempts_reach_the_last() {
    // AE-30.
    let retry = Retry::new(Backoff::exponential(secs(1)).max_delay(secs(60)));
    let retry = retry.max_attempts(10_000).unwrap();

    let met: Vec<_> = retry_stream(retry, script([])).collect().await;

    assert_eq!(
        (met.len(), met.last()),
        (10_000, Some(&Err("out of script")))
    );
    let Some(Ok(Resilient::Retry(event))) = met.get(9_998) else {
        panic!("{:?}", met.get(9_998));
    };
    assert_eq!((event.attempt(), event.delay()), (9_999, secs(60)));
}

#[test]
fn retried_streams_can_be_spawned() {
    const fn sendable<T: Send + Unpin>(_: &T) {}

    let stream = retry_stream(doubling(), || stream::iter([Ok::<u8, &str>(1)]));

    sendable(&stream);
}

/// How many items each attempt yields before it is cut; the one behind them is whole.
fn cuts() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0..5_u64, 0..8)
}

/// Ten items, of which so many are behind those met, cut after some.
fn cut_stream(met: u64, cut: Option<u64>) -> Inner {
    let whole = stream::iter((met..10).map(Ok));
    match cut {
        Some(cut) => {
            let most = usize::try_from(cut).unwrap_or_default();
            Box::pin(whole.take(most).chain(stream::iter([Err("cut")])))
        }
        None => Box::pin(whole),
    }
}

/// What a reader has in the end that forgets what is void.
async fn kept(
    stream: impl Stream<Item = Result<Resilient<u64>, &'static str>>,
) -> (Vec<u64>, bool) {
    let mut kept = Vec::new();
    let mut stream = Box::pin(stream);
    loop {
        match stream.try_next().await {
            Ok(Some(Resilient::Item(item))) => kept.push(item),
            Ok(Some(Resilient::Reset)) => kept.clear(),
            Ok(Some(_)) => {}
            Ok(None) => return (kept, true),
            Err(_) => return (kept, false),
        }
    }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn reader_never_keeps_an_item_twice_nor_misses_one(
        cuts in cuts(),
        resumes in any::<bool>(),
        max_attempts in 1..9_u32,
    ) {
        let runtime = paused()
            .unwrap();
        let retry = doubling().max_attempts(max_attempts).unwrap();
        let remaining = Rc::new(RefCell::new(cuts.clone().into_iter()));
        let (opened, resumed) = (remaining.clone(), remaining);
        let stream = retry_stream(retry, move || cut_stream(0, opened.borrow_mut().next()));

        let (items, is_whole) = runtime.block_on(async {
            match resumes {
                true => kept(stream.resume(move |met| cut_stream(met, resumed.borrow_mut().next()))).await,
                false => kept(stream.after_output(AfterOutput::Restart)).await,
            }
        });

        let fits = cuts.len() < usize::try_from(max_attempts).unwrap();
        let made = &cuts[..cuts.len().min(usize::try_from(max_attempts).unwrap())];
        let met: u64 = match (fits, resumes) {
            (true, _) => 10,
            (false, true) => made.iter().sum::<u64>().min(10),
            (false, false) => made.last().copied().unwrap_or_default(),
        };
        prop_assert_eq!(is_whole, fits);
        prop_assert_eq!(items, (0..met).collect::<Vec<u64>>());
    }
}
