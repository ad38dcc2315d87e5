use super::*;
use crate::{millis, secs};

fn check(backoff: Backoff, waits: &[u32], expected_secs: &[u64]) {
    let delays: Vec<Duration> = waits
        .iter()
        .map(|n| backoff.delay(&Wait::after(*n)))
        .collect();

    let expected: Vec<Duration> = expected_secs.iter().copied().map(secs).collect();
    assert_eq!(delays, expected);
}

#[test]
fn delay_doubles_up_to_the_cap() {
    // Scenarios 2 and 3 of the Strands map.
    let two = Backoff::exponential(secs(2)).max_delay(secs(32));
    check(two, &[0, 1, 2, 3, 4, 5, 10], &[2, 4, 8, 16, 32, 32, 32]);
    let ten = Backoff::exponential(secs(10)).max_delay(secs(50));
    check(ten, &[0, 1, 2, 3, 4], &[10, 20, 40, 50, 50]);
}

#[test]
fn cap_below_the_initial_delay_is_every_delay() {
    // Scenario 5.
    check(
        Backoff::exponential(secs(4)).max_delay(secs(2)),
        &[0, 1, 9],
        &[2, 2, 2],
    );
}

#[test]
fn huge_exponents_saturate() {
    // Scenario 17.
    let backoff = Backoff::exponential(millis(500)).max_delay(secs(240));
    for waits in [31, 32, 63, 64, 1_100, u32::MAX] {
        assert_eq!(backoff.delay(&Wait::after(waits)), secs(240), "{waits}");
    }
    let uncapped = Backoff::exponential(Duration::MAX).jitter(Jitter::Full);
    assert!(uncapped.delay(&Wait::after(40).random(u64::MAX)) <= Duration::MAX);
}

#[test]
fn zero_stays_zero_for_every_exponent() {
    let zero = Backoff::exponential(Duration::ZERO);
    check(zero, &[0, 5, 32, u32::MAX], &[0, 0, 0, 0]);
}

#[test]
fn jitter_stays_inside_its_range_and_the_cap() {
    // Scenario 18.
    let base = Backoff::exponential(secs(4)).max_delay(secs(20));
    let last = secs(5);
    for step in 0..1_000_u64 {
        let random = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for waits in 0..6 {
            let raw = base.delay(&Wait::after(waits));
            let wait = Wait::after(waits).random(random);
            let full = base.jitter(Jitter::Full).delay(&wait);
            assert!(full <= raw);
            let equal = base.jitter(Jitter::Equal).delay(&wait);
            assert!(equal >= raw / 2 && equal <= raw);
            let decorrelated = base.jitter(Jitter::Decorrelated);
            assert!(decorrelated.delay(&wait) <= raw, "the first is full");
            let next = decorrelated.delay(&wait.last_delay(last));
            assert!(next >= secs(4) && next <= secs(15), "{next:?}");
            let capped = decorrelated.delay(&wait.last_delay(secs(200)));
            assert!(capped >= secs(4) && capped <= secs(20), "{capped:?}");
        }
    }
}

#[test]
fn full_jitter_spreads_evenly_at_the_cap() {
    let backoff = Backoff::exponential(secs(4))
        .max_delay(secs(20))
        .jitter(Jitter::Full);
    let step = u64::MAX / 1_000;
    let sum: Duration = (0..1_000_u64)
        .map(|n| backoff.delay(&Wait::after(30).random(n * step)))
        .sum();

    let mean = sum / 1_000;
    assert!(mean > secs(9) && mean < secs(11), "{mean:?}");
}

#[test]
fn hint_is_never_shortened() {
    for jitter in [
        Jitter::None,
        Jitter::Full,
        Jitter::Equal,
        Jitter::Quarter,
        Jitter::Decorrelated,
    ] {
        let backoff = Backoff::exponential(secs(4))
            .max_delay(secs(20))
            .jitter(jitter);
        for random in [0, u64::MAX / 3, u64::MAX] {
            let delay = backoff.delay_with_hint(&Wait::after(3).random(random), secs(30));
            assert!(
                delay >= secs(30) && delay <= secs(33),
                "{jitter:?} {delay:?}"
            );
        }
    }
}

#[test]
fn exponential_stops_at_the_cap_of_a_minute() {
    // AE-3.
    check(
        Backoff::exponential(secs(1)).max_delay(secs(60)),
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[1, 2, 4, 8, 16, 32, 60, 60],
    );
}

#[test]
fn linear_grows_by_its_step() {
    // AE-4.
    let linear = Backoff::linear(secs(2)).max_delay(secs(30));
    check(linear, &[0, 1, 2, 3, 4, 14, 15], &[2, 4, 6, 8, 10, 30, 30]);
    check(linear, &[9_999, u32::MAX], &[30, 30]);
}

#[test]
fn constant_never_grows_and_is_capped() {
    // AE-5.
    check(Backoff::constant(secs(5)), &[0, 1, u32::MAX], &[5, 5, 5]);
    check(
        Backoff::constant(secs(5)).max_delay(secs(3)),
        &[0, 9_999],
        &[3, 3],
    );
}

#[test]
fn uncapped_linear_saturates() {
    let endless = Backoff::linear(Duration::MAX / 2);

    assert_eq!(endless.delay(&Wait::after(u32::MAX)), Duration::MAX);
}

#[test]
fn unknown_name_is_refused_with_the_known_ones() {
    // AE-6.
    let error = Backoff::named("Exponential ", secs(1)).unwrap_err();

    let expected = "`backoff` must be `constant`, `linear` or `exponential`, got `Exponential `";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn quarter_keeps_the_mean_below_the_cap() {
    // AE-7.
    let backoff = Backoff::constant(secs(8)).jitter(Jitter::Quarter);
    let step = u64::MAX / 1_000;

    let sum: Duration = (0..1_000_u64)
        .map(|n| backoff.delay(&Wait::after(0).random(n * step)))
        .sum();

    let mean = sum / 1_000;
    assert!(mean > millis(7_980) && mean < millis(8_020), "{mean:?}");
}

#[test]
fn quarter_spreads_below_the_cap_at_the_cap() {
    let backoff = Backoff::constant(secs(8))
        .max_delay(secs(8))
        .jitter(Jitter::Quarter);
    let delay = |random| backoff.delay(&Wait::after(0).random(random));

    assert_eq!(delay(0), secs(6));
    assert_eq!(delay(1 << 63), secs(7));
    assert!(delay(u64::MAX) > millis(7_999) && delay(u64::MAX) <= secs(8));
}
