//! A retry budget: what is allowed, for how long it counts, who shares it, what is refused.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;

use std::{error::Error, thread, time::Duration};

use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{RetryBudget, secs};
use tokio::time::{Instant, advance};

type TestResult = Result<(), Box<dyn Error>>;

fn budget(share: f64, floor: u32) -> Result<RetryBudget, Box<dyn Error>> {
    Ok(RetryBudget::builder()
        .share(share)
        .floor_per_minute(floor)
        .build()?)
}

/// How many retries it gives until it gives none.
fn exhaust(budget: &RetryBudget) -> usize {
    (0..10_000).take_while(|_| budget.take()).count()
}

#[tokio::test(start_paused = true)]
async fn default_is_a_fifth_of_the_calls_and_ten_a_minute() {
    let budget = RetryBudget::default();
    assert_eq!((budget.share(), budget.floor_per_minute()), (0.2, 10));

    for _ in 0..100 {
        budget.count_call();
    }

    assert_eq!(exhaust(&budget), 10 + 20);
    assert_eq!(budget.left(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_and_retries_count_for_a_minute() -> TestResult {
    let budget = budget(0.5, 1)?;
    for _ in 0..10 {
        budget.count_call();
    }
    assert_eq!(exhaust(&budget), 6);

    advance(secs(60)).await;
    assert_eq!(budget.left(), 0);
    advance(secs(1)).await;
    assert_eq!(budget.left(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_that_leave_the_minute_take_their_retries_along() -> TestResult {
    let budget = budget(0.1, 0)?;
    for _ in 0..100 {
        budget.count_call();
    }
    advance(secs(30)).await;
    assert_eq!(exhaust(&budget), 10);
    advance(secs(31)).await;

    for _ in 0..50 {
        budget.count_call();
    }

    // Ten retries of the last minute are more than five.
    assert_eq!((budget.left(), budget.take()), (0, false));
    advance(secs(30)).await;
    assert_eq!(budget.left(), 5);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn retry_that_is_given_back_can_be_taken_again() -> TestResult {
    let budget = budget(0.0, 2)?;
    assert_eq!(exhaust(&budget), 2);

    advance(secs(5)).await;
    budget.give_back();
    assert_eq!(exhaust(&budget), 1);

    for _ in 0..9 {
        budget.give_back();
    }
    assert_eq!(budget.left(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn clones_share_what_was_counted() -> TestResult {
    let first = budget(0.0, 3)?;
    let second = first.clone();

    assert!(first.take());

    assert_eq!(second.left(), 2);
    Ok(())
}

#[test]
fn shares_that_cannot_be_are_refused_by_name() {
    for share in [f64::NAN, -0.1, 10.1, f64::INFINITY, f64::NEG_INFINITY] {
        let error = RetryBudget::builder().share(share).build().err();

        assert_eq!(error.map(|e| e.field().to_owned()), Some("share".into()));
    }
}

#[test]
fn shares_at_the_edges_are_taken() -> TestResult {
    let none = budget(0.0, 0)?;
    let all = budget(10.0, u32::MAX)?;
    all.count_call();

    assert_eq!((none.left(), none.take()), (0, false));
    assert_eq!(all.left(), u64::from(u32::MAX) + 10);
    Ok(())
}

#[test]
fn threads_take_exactly_what_there_is() -> TestResult {
    let budget = budget(0.1, 7)?;

    let taken: usize = thread::scope(|scope| {
        let work = || {
            (0..1_000)
                .map(|_| {
                    budget.count_call();
                    usize::from(budget.take())
                })
                .sum::<usize>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(0)).sum()
    });

    assert_eq!(taken + exhaust(&budget), 400 + 7);
    Ok(())
}

/// What users of a budget do, one after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    Call,
    Take,
    GiveBack,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<()>().prop_map(|()| Step::Call),
        6 => any::<()>().prop_map(|()| Step::Take),
        1 => any::<()>().prop_map(|()| Step::GiveBack),
        2 => (1..40_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(seeded())]

    /// Against a model that keeps every moment. What happened a minute ago counts no more, give or take
    /// the second that it happened in.
    #[test]
    fn retries_of_a_minute_never_exceed_the_share_of_its_calls(
        share in 0.0..2.0_f64,
        floor in 0..5_u32,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let runtime = paused()?;
        let within = |moments: &[Duration], now: Duration, last: Duration| {
            moments.iter().filter(|moment| now.saturating_sub(**moment) < last).count() as f64
        };
        runtime.block_on(async {
            let budget = RetryBudget::builder().share(share).floor_per_minute(floor).build()?;
            let began = Instant::now();
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for step in steps {
                let now = began.elapsed();
                match step {
                    Step::Call => {
                        budget.count_call();
                        calls.push(now);
                    }
                    Step::Take => {
                        let left = budget.left();
                        let taken = budget.take();
                        prop_assert_eq!(taken, left > 0);
                        let allowed = |last| share * within(&calls, now, last) + f64::from(floor);
                        if taken {
                            retries.push(now);
                            let used = within(&retries, now, secs(60));
                            prop_assert!(used <= allowed(secs(61)) + 1e-6, "{} of {}", used, allowed(secs(61)));
                        } else {
                            let used = within(&retries, now, secs(61));
                            prop_assert!(used + 1.0 > allowed(secs(60)) - 1e-6);
                        }
                    }
                    Step::GiveBack => {
                        budget.give_back();
                        // The latest one, if that still counts.
                        if retries.last().is_some_and(|last| now.as_secs() - last.as_secs() <= 60) {
                            retries.pop();
                        }
                    }
                    Step::Pass(time) => advance(Duration::from_millis(time)).await,
                }
            }
            Ok(())
        })?;
    }
}
