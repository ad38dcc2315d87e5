//! What holds for every circuit, whoever begins calls, ends and drops them, and when.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use paused::paused;
use property::seeded;
use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use steadfast_resilience::{CircuitBreaker, CircuitCall, CircuitState, millis, secs};
use tokio::time::{Instant, advance};

/// What users of one circuit do, one after the other. Numbers choose among the calls that are under way.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Succeed(usize),
    Fail(usize),
    Drop(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Begin),
        2 => any::<usize>().prop_map(Step::Succeed),
        5 => any::<usize>().prop_map(Step::Fail),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => (1..15_000_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..200)
}

/// What is known of a circuit from what was told of it.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: CircuitState,
    since: Duration,
    open_for: Duration,
    changes: usize,
}

proptest! {
    #![proptest_config(seeded())]

    /// While it is open nothing goes; half-open one call goes at a time; it closes with a trial's success
    /// and in no other way, and opens with a trial's failure or with as many failures as were set.
    #[test]
    fn circuit_changes_only_for_its_reasons(failures in 1..5_u32, steps in steps()) {
        let runtime = paused()?;
        runtime.block_on(async {
            let told = Arc::new(Mutex::new(Vec::new()));
            let tell = Arc::clone(&told);
            let breaker = CircuitBreaker::builder()
                .consecutive_failures(failures)
                .open_for(secs(10))
                .max_open_for(secs(40))
                .on_change(move |change| {
                    tell.lock().unwrap_or_else(PoisonError::into_inner).push(change.clone());
                })
                .build()?;
            let began = Instant::now();
            let mut known = Known {
                state: CircuitState::Closed,
                since: Duration::ZERO,
                open_for: secs(5),
                changes: 0,
            };
            let mut calls: Vec<(CircuitCall, usize, Option<usize>)> = Vec::new();
            // The trial that has the place: its number, and until when it keeps it.
            let mut trial: Option<(usize, Duration)> = None;
            let mut trials = 0;
            let mut in_a_row = 0;
            for step in steps {
                let now = began.elapsed();
                let before = known;
                let mut said = None;
                match step {
                    Step::Pass(time) => advance(millis(time)).await,
                    Step::Begin => {
                        let refused = breaker.check("a").is_err();
                        let begun = breaker.begin("a");
                        prop_assert_eq!(refused, begun.is_err());
                        let is_over = now >= before.since + before.open_for;
                        match (before.state, &begun) {
                            (CircuitState::Closed, begun) => prop_assert!(begun.is_ok()),
                            (CircuitState::Open, begun) => prop_assert_eq!(begun.is_ok(), is_over),
                            (_, Ok(_)) => {
                                let is_held = trial.is_some_and(|(_, until)| now < until);
                                prop_assert!(!is_held, "a second trial");
                            }
                            (_, Err(open)) => {
                                prop_assert_eq!(open.retry_after(), None);
                                prop_assert!(trial.is_some_and(|(_, until)| now < until));
                            }
                        }
                        if let Ok(call) = begun {
                            prop_assert_eq!(call.is_trial(), before.state != CircuitState::Closed);
                            let number = call.is_trial().then(|| {
                                trials += 1;
                                trial = Some((trials, now + before.open_for));
                                trials
                            });
                            said = Some((call, number));
                        }
                    }
                    Step::Succeed(which) | Step::Fail(which) | Step::Drop(which) if !calls.is_empty() => {
                        let (call, of, number) = calls.swap_remove(which % calls.len());
                        let counts = of == known.changes;
                        match step {
                            Step::Succeed(_) => {
                                call.succeeded();
                                in_a_row = if counts { 0 } else { in_a_row };
                            }
                            Step::Fail(_) => {
                                call.failed();
                                in_a_row += u32::from(counts);
                            }
                            _ => {
                                // Only the trial that has the place gives it back.
                                trial = trial.filter(|(own, _)| number != Some(*own));
                                drop(call);
                            }
                        }
                    }
                    _ => {}
                }
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                for change in told.iter().skip(known.changes) {
                    prop_assert_eq!(change.from(), known.state);
                    let reason = (change.from(), change.to(), step);
                    let is_due = match reason {
                        (CircuitState::Closed, CircuitState::Open, Step::Fail(_)) => {
                            prop_assert_eq!(change.open_for(), Some(secs(10)));
                            in_a_row == failures
                        }
                        (CircuitState::Open, CircuitState::HalfOpen, Step::Begin) => true,
                        (CircuitState::HalfOpen, CircuitState::Open, Step::Fail(_)) => {
                            let doubled = (known.open_for * 2).min(secs(40));
                            prop_assert_eq!(change.open_for(), Some(doubled));
                            true
                        }
                        (CircuitState::HalfOpen, CircuitState::Closed, Step::Succeed(_)) => true,
                        _ => false,
                    };
                    prop_assert!(is_due, "{:?}", reason);
                    known = Known {
                        state: change.to(),
                        since: now,
                        open_for: change.open_for().unwrap_or(known.open_for),
                        changes: known.changes + 1,
                    };
                    in_a_row = 0;
                }
                if known.state == CircuitState::Closed {
                    prop_assert!(in_a_row < failures, "{} failures in a row", in_a_row);
                }
                if let Some((call, number)) = said {
                    calls.push((call, known.changes, number));
                }
            }
            Ok(())
        })?;
    }
}
