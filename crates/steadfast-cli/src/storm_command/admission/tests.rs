use std::time::Duration;

use steadfast::{millis, secs};
use steadfast_sim::HintStyle;

use super::*;
use crate::storm_command::world::Arrivals;

const ONE: Asked = Asked {
    tokens: 1,
    service: secs(1),
};

fn world(limit: Limit) -> World {
    World {
        limit,
        ..World::burst(1, 1.0, 1)
    }
}

fn requests(a_second: f64, burst: u32) -> World {
    World::burst(1, a_second, burst)
}

/// Asks `times` times at a moment and says how many were admitted.
fn admitted(admission: &mut Admission, times: u32, now: Duration) -> usize {
    (0..times)
        .filter(|_| admission.ask(ONE, now).is_ok())
        .count()
}

#[test]
fn burst_then_rate_are_admitted_exactly() {
    for a_second in [0.7, 1.0, 1.0 / 3.0, 7.0, 20.0, 120.0] {
        let mut admission = Admission::of(&requests(a_second, 3), 1);
        let mut now = Duration::ZERO;
        assert_eq!(admitted(&mut admission, 9, now), 3);

        for token in 1..=1_000_u32 {
            let refused = admission.ask(ONE, now).unwrap_err();
            now += refused.free_in;
            assert_eq!(admission.ask(ONE, now), Ok(()), "{a_second}/s, {token}");
        }

        let expected = 1_000.0 / a_second;
        assert!((now.as_secs_f64() - expected).abs() < 1e-4, "{now:?}");
    }
}

#[test]
fn refusals_that_cost_make_debts_of_one_burst_at_most() {
    let mut admission = Admission::of(
        &World {
            refusals_cost: true,
            ..requests(10.0, 5)
        },
        1,
    );
    admitted(&mut admission, 5, Duration::ZERO);

    let first = admission.ask(ONE, Duration::ZERO).unwrap_err();
    let last = (0..100).map(|_| admission.ask(ONE, Duration::ZERO).unwrap_err());

    assert_eq!(first.free_in, millis(200));
    assert_eq!(last.last().unwrap().free_in, millis(600));
}

#[test]
fn changed_rates_count_from_their_moment() {
    let limit = Limit::Requests {
        a_second: 10.0,
        burst: 10,
        changes: vec![(secs(1), 2.0), (secs(3), 10.0)],
    };
    let mut admission = Admission::of(&world(limit), 1);
    admitted(&mut admission, 10, Duration::ZERO);

    // 5 until the second 1, then 4 in two seconds, then 1.
    assert_eq!(admitted(&mut admission, 99, millis(500)), 5);
    assert_eq!(admitted(&mut admission, 99, millis(3_100)), 10);
}

#[test]
fn windows_begin_at_multiples_of_their_length() {
    let limit = Limit::Windows {
        requests: 2,
        length: secs(60),
    };
    let mut admission = Admission::of(&world(limit), 1);
    assert_eq!(admitted(&mut admission, 9, secs(59)), 2);

    let refused = admission.ask(ONE, secs(59)).unwrap_err();

    assert_eq!(refused.free_in, secs(1));
    assert_eq!(admitted(&mut admission, 9, secs(60)), 2);
}

#[test]
fn concurrency_frees_a_place_at_the_end_of_a_call() {
    let mut admission = Admission::of(&world(Limit::Concurrency { calls: 2 }), 1);
    assert_eq!(admitted(&mut admission, 3, Duration::ZERO), 2);

    let refused = admission.ask(ONE, millis(400)).unwrap_err();

    assert_eq!(refused.free_in, millis(600));
    assert_eq!(admitted(&mut admission, 3, secs(1)), 2);
}

#[test]
fn tokens_are_counted_and_not_requests() {
    let limit = Limit::Tokens {
        a_second: 100.0,
        burst: 1_000,
    };
    let mut admission = Admission::of(&world(limit), 1);
    let big = Asked { tokens: 800, ..ONE };

    assert_eq!(admission.ask(big, Duration::ZERO), Ok(()));
    let refused = admission.ask(big, Duration::ZERO).unwrap_err();

    assert_eq!(refused.free_in, secs(6));
    assert_eq!(admitted(&mut admission, 999, Duration::ZERO), 200);
}

#[test]
fn neighbour_takes_its_share_and_no_more() {
    let mut admission = Admission::of(
        &World {
            neighbour: Some(8.0),
            hint: HintStyle::None,
            arrivals: Arrivals::AtOnce,
            ..requests(20.0, 20)
        },
        1,
    );

    // Asking once in a second, the rest of that second's tokens is the neighbour's or runs over.
    let taken: usize = (1..=300)
        .map(|second| admitted(&mut admission, 99, secs(second)))
        .sum();

    let share = taken as f64 / (300.0 * 20.0);
    assert!((0.55..0.70).contains(&share), "{share}");
}

#[test]
fn headers_tell_what_is_left_and_when_all_is_there_again() {
    let mut bucket = Admission::of(&requests(10.0, 20), 1);
    admitted(&mut bucket, 5, Duration::ZERO);
    let limit = Limit::Windows {
        requests: 30,
        length: secs(60),
    };
    let mut windows = Admission::of(&world(limit), 1);
    admitted(&mut windows, 31, secs(45));

    let told = |admission: &Admission, headers, now| {
        let world = World {
            headers,
            hint: HintStyle::Exact,
            ..requests(10.0, 20)
        };
        let requests = admission.headers(&world, now, true).requests?;
        Some((requests.limit, requests.remaining, requests.reset?))
    };

    let start = Duration::ZERO;
    assert_eq!(
        told(&bucket, Headers::OfBucket, start),
        Some((20, 15, millis(500)))
    );
    assert_eq!(
        told(&bucket, Headers::OfMinute, start),
        Some((600, 15, millis(500)))
    );
    assert_eq!(told(&bucket, Headers::None, start), None);
    assert_eq!(
        told(&windows, Headers::OfBucket, secs(45)),
        Some((30, 0, secs(15)))
    );
}
