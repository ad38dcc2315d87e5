//! What holds for every backoff, whatever its configuration and whatever it is asked.

#[path = "support/holds.rs"]
mod holds;

use std::time::Duration;

use holds::holds;
use proptest::{
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof,
};
use steadfast_resilience::{Backoff, Jitter, Wait};

/// Delays of every size: the edges, and what people write.
fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        4 => (0..600_000_u64).prop_map(Duration::from_millis),
        2 => (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Quarter),
        Just(Jitter::Decorrelated),
    ]
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let kinds = prop_oneof![
        Just(Backoff::constant as fn(Duration) -> Backoff),
        Just(Backoff::linear as fn(Duration) -> Backoff),
        Just(Backoff::exponential as fn(Duration) -> Backoff),
    ];
    (kinds, delay(), delay(), jitter())
        .prop_map(|(kind, initial, max, jitter)| kind(initial).max_delay(max).jitter(jitter))
}

fn waits() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..70_u32, 1 => any::<u32>()]
}

fn wait() -> impl Strategy<Value = Wait> {
    let random = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    (waits(), proptest::option::of(delay()), random)
        .prop_map(|(waits, last, random)| Wait::after(waits).last_delay(last).random(random))
}

#[test]
fn computed_delay_never_exceeds_the_cap() {
    holds((backoff(), wait()), |(backoff, wait)| {
        prop_assert!(backoff.delay(&wait) <= backoff.longest());
        Ok(())
    });
}

#[test]
fn delay_without_jitter_never_falls_from_wait_to_wait() {
    holds((backoff(), waits()), |(backoff, waits)| {
        let plain = backoff.jitter(Jitter::None);
        let this = plain.delay(&Wait::after(waits));
        prop_assert!(this <= plain.delay(&Wait::after(waits.saturating_add(1))));
        Ok(())
    });
}

#[test]
fn delay_without_jitter_is_the_first_doubled_and_capped() {
    holds((delay(), delay(), 0..31_u32), |(initial, max, waits)| {
        let backoff = Backoff::exponential(initial).max_delay(max);
        let expected = (0..waits)
            .fold(initial, |delay, _| delay.saturating_mul(2))
            .min(max);
        prop_assert_eq!(backoff.delay(&Wait::after(waits)), expected);
        Ok(())
    });
}

#[test]
fn linear_delay_is_the_first_times_its_number_and_capped() {
    holds((delay(), delay(), waits()), |(step, max, waits)| {
        let backoff = Backoff::linear(step).max_delay(max);
        let expected = step.saturating_mul(waits.saturating_add(1)).min(max);
        prop_assert_eq!(backoff.delay(&Wait::after(waits)), expected);
        Ok(())
    });
}

#[test]
fn constant_delay_is_the_same_after_any_number_of_waits() {
    holds((delay(), delay(), waits()), |(delay, max, waits)| {
        let backoff = Backoff::constant(delay).max_delay(max);
        prop_assert_eq!(backoff.delay(&Wait::after(waits)), delay.min(max));
        Ok(())
    });
}

#[test]
fn quarter_jitter_stays_within_a_quarter_and_below_the_cap() {
    // AE-7.
    holds((backoff(), wait()), |(backoff, wait)| {
        let whole = backoff.jitter(Jitter::None).delay(&wait);
        let delay = backoff.jitter(Jitter::Quarter).delay(&wait);
        prop_assert!(delay >= whole - whole / 4, "{delay:?} of {whole:?}");
        prop_assert!(delay <= whole.saturating_add(whole / 4).min(backoff.longest()));
        Ok(())
    });
}

#[test]
fn full_and_equal_jitter_only_ever_shorten() {
    holds(
        (backoff(), wait(), waits(), any::<u64>()),
        |(backoff, wait, waits, random)| {
            let whole = backoff.jitter(Jitter::None).delay(&wait);
            prop_assert!(backoff.jitter(Jitter::Full).delay(&wait) <= whole);
            let equal = backoff
                .jitter(Jitter::Equal)
                .delay(&Wait::after(waits).random(random));
            let whole = backoff.jitter(Jitter::None).delay(&Wait::after(waits));
            prop_assert!(
                equal >= whole / 2 && equal <= whole,
                "{equal:?} of {whole:?}"
            );
            Ok(())
        },
    );
}

#[test]
fn hint_is_never_shortened_and_lengthened_by_a_tenth_at_most() {
    holds((backoff(), wait(), delay()), |(backoff, wait, hint)| {
        let own = backoff.delay(&wait);
        let delay = backoff.delay_with_hint(&wait, hint);
        prop_assert!(delay >= hint && delay >= own);
        prop_assert!(delay <= own.max(hint.saturating_add(hint / 10)));
        let exact = backoff.jitter(Jitter::None);
        prop_assert_eq!(
            exact.delay_with_hint(&wait, hint),
            exact.delay(&wait).max(hint)
        );
        Ok(())
    });
}
