//! Hedging any future: when a second call is made, who wins, what is dropped.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Strategy, any},
    prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{hedge, hedge_if, millis, secs};
use tokio::time::{Instant, sleep, timeout};

/// A call: how long it takes, and how it ends.
type Call = (Duration, Result<&'static str, &'static str>);

/// What became of a hedged call.
#[derive(Debug, PartialEq)]
struct Outcome {
    ended: Result<&'static str, &'static str>,
    took: Duration,
    calls: usize,
    /// How many calls ran to their end.
    finished: usize,
}

/// Hedges calls that take so long and end so.
async fn run(delay: Duration, may_hedge: bool, calls: [Call; 2]) -> Outcome {
    let began = Instant::now();
    let (made, finished) = (Cell::new(0), Cell::new(0));
    let mut script = calls.into_iter();
    let operation = || {
        made.set(made.get() + 1);
        let call = script.next();
        let finished = &finished;
        async move {
            let (time, ended) = call.unwrap_or((Duration::ZERO, Err("a third call")));
            sleep(time).await;
            finished.set(finished.get() + 1);
            ended
        }
    };
    let ended = hedge_if(delay, || may_hedge, operation).await;
    Outcome {
        ended,
        took: began.elapsed(),
        calls: made.get(),
        finished: finished.get(),
    }
}

const fn outcome(
    ended: Result<&'static str, &'static str>,
    seconds: u64,
    calls: usize,
    finished: usize,
) -> Outcome {
    Outcome {
        ended,
        took: secs(seconds),
        calls,
        finished,
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_ends_before_the_delay_is_not_hedged() {
    let second = (secs(0), Ok("second"));

    let quick = run(secs(5), true, [(secs(4), Ok("first")), second]).await;
    let failed = run(secs(5), true, [(secs(4), Err("down")), second]).await;

    assert_eq!(quick, outcome(Ok("first"), 4, 1, 1));
    assert_eq!(failed, outcome(Err("down"), 4, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn first_success_wins_and_the_other_call_is_dropped() {
    let slow = (secs(60), Ok("slow"));

    let second = run(secs(5), true, [slow, (secs(2), Ok("second"))]).await;
    let first = run(secs(5), true, [(secs(9), Ok("first")), slow]).await;

    assert_eq!(second, outcome(Ok("second"), 7, 2, 1));
    assert_eq!(first, outcome(Ok("first"), 9, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn one_of_two_may_fail_and_the_other_goes_on() {
    let failing = (secs(1), Err("down"));

    let first = run(secs(5), true, [(secs(9), Ok("first")), failing]).await;
    let second = run(
        secs(5),
        true,
        [(secs(6), Err("down")), (secs(9), Ok("second"))],
    )
    .await;
    let both = run(
        secs(5),
        true,
        [(secs(6), Err("first")), (secs(9), Err("last"))],
    )
    .await;

    assert_eq!(first, outcome(Ok("first"), 9, 2, 2));
    assert_eq!(second, outcome(Ok("second"), 14, 2, 2));
    assert_eq!(both, outcome(Err("last"), 14, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn call_that_may_not_be_hedged_goes_on_alone() {
    let calls = [(secs(60), Ok("first")), (secs(0), Ok("second"))];

    let alone = run(secs(5), false, calls).await;

    assert_eq!(alone, outcome(Ok("first"), 60, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_hedge_drops_both_calls() {
    let alive = Rc::new(());
    let held = Rc::clone(&alive);

    let hedged = hedge(secs(1), || {
        let held = Rc::clone(&held);
        async move {
            sleep(secs(60)).await;
            drop(held);
            Ok::<_, ()>(())
        }
    });
    assert!(timeout(secs(2), hedged).await.is_err());

    assert_eq!(Rc::strong_count(&alive), 2);
}

#[tokio::test(start_paused = true)]
async fn longest_delay_never_hedges_and_none_hedges_at_once() {
    let calls = [(secs(60), Ok("first")), (secs(1), Ok("second"))];

    let never = run(Duration::MAX, true, calls).await;
    let at_once = run(Duration::ZERO, true, calls).await;

    assert_eq!(never, outcome(Ok("first"), 60, 1, 1));
    assert_eq!(at_once, outcome(Ok("second"), 1, 2, 1));
}

proptest! {
    #![proptest_config(seeded())]

    /// Against what a hedge means: the first success of those that were made, or the last failure.
    #[test]
    fn outcome_is_the_first_success_or_the_last_failure(
        delay in 0..20_u64,
        first in call("first"),
        second in call("second"),
        may_hedge in any::<bool>(),
    ) {
        let runtime = paused()?;
        // Odd and even, so that nothing happens at the same moment.
        let delay = millis(delay * 4 + 1);
        let hedged = may_hedge && first.0 > delay;
        let mut ends = vec![(first.0, first.1)];
        if hedged {
            ends.push((delay + second.0, second.1));
        }
        let success = ends.iter().filter(|end| end.1.is_ok()).min_by_key(|end| end.0);
        let failure = ends.iter().max_by_key(|end| end.0);
        let expected = success.or(failure).copied();

        let outcome = runtime.block_on(run(delay, may_hedge, [first, second]));

        prop_assert_eq!(Some((outcome.took, outcome.ended)), expected);
        prop_assert_eq!(outcome.calls, if hedged { 2 } else { 1 });
    }
}

fn call(name: &'static str) -> impl Strategy<Value = Call> {
    // The first ends at times that the delay and the second cannot have.
    let offset = if name == "first" { 0 } else { 1 };
    let ended = prop_oneof![
        any::<()>().prop_map(move |()| Ok(name)),
        any::<()>().prop_map(move |()| Err(name)),
    ];
    (0..20_u64, ended).prop_map(move |(time, ended)| (millis(time * 4 + offset), ended))
}

#[tokio::test(start_paused = true)]
async fn second_call_is_asked_for_when_its_time_has_come() {
    let began = Instant::now();
    let asked = RefCell::new(Vec::new());
    let slow = || async {
        sleep(secs(9)).await;
        Ok::<_, ()>(())
    };

    let may_hedge = || {
        asked.borrow_mut().push(began.elapsed());
        true
    };
    let ended = hedge_if(secs(3), may_hedge, slow).await;

    assert!(ended.is_ok());
    assert_eq!(*asked.borrow(), [secs(3)]);
}
