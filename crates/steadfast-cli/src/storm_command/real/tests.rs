//! Here real time and real sockets are the subject.

use super::*;
use crate::storm_command::world::Arrivals;

#[test]
fn differences_are_named_figure_by_figure() {
    let ideal = Ideal {
        makespan: 10.0,
        p99: 10.0,
        longest: 10.0,
    };
    let computed = Figures {
        success: 0.5,
        wasted: 0.2,
        makespan: 10.0,
        p50: 1.0,
        p99: 9.0,
        ..Figures::of(&Tally::default(), &World::burst(1, 1.0, 1), &ideal)
    };
    let luckier = Figures {
        makespan: 8.0,
        p99: 7.0,
        ..computed
    };
    let differences = |real| {
        Pair {
            strategy: named(MEASURE).unwrap(),
            real,
            virtually: computed,
            luck: vec![computed, luckier],
            busy: Busy::default(),
        }
        .differences()
    };

    let between = Figures {
        success: 0.53,
        makespan: 7.4,
        p99: 9.6,
        ..computed
    };
    let beyond = Figures {
        wasted: 0.25,
        makespan: 7.3,
        p50: 1.4,
        ..computed
    };

    assert_eq!(differences(between), [] as [&str; 0]);
    assert_eq!(differences(beyond), ["wasted", "makespan", "p50"]);
}

#[test]
fn simulator_has_a_token_bucket_and_nothing_else() {
    let burst = || World::burst(60, 20.0, 20);
    let scenario = Scenario::named("burst").unwrap();
    let refused = [
        World {
            refusals_cost: true,
            ..burst()
        },
        World {
            limit: Limit::Concurrency { calls: 3 },
            ..burst()
        },
        World {
            neighbour: Some(1.0),
            ..burst()
        },
        World::burst(401, 20.0, 20),
    ];
    for world in refused {
        assert!(real_world(scenario, world).is_err());
    }
    assert!(real_world(scenario, World::burst(60, 20.0, 1)).is_err());
    assert!(real_world(scenario, World::burst(131, 1.0, 2)).is_err());
    let taken = World {
        calls: 3,
        processes: 2,
        arrivals: Arrivals::Poisson(3.0),
        ..burst()
    };
    assert!(real_world(scenario, taken).is_ok());
}

#[test]
fn measure_is_taken_once_whoever_competes() {
    let world = real_world(
        Scenario::named("burst").unwrap(),
        World::burst(60, 20.0, 20),
    );
    let world = world.unwrap();
    let takes = |names: &[&str]| {
        let strategies: Vec<_> = names.iter().map(|name| named(name).unwrap()).collect();
        expected(&strategies, &world)
    };

    let alone = takes(&[MEASURE]);

    // A second's worth at once, two seconds for the others, the last service, and a token's warm-up.
    assert_eq!(alone, millis(6_050));
    assert_eq!(takes(&["fleet"]), 2 * alone);
    assert_eq!(takes(&["fleet", MEASURE]), 2 * alone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_storm_agrees_with_the_virtual_one() {
    let scenario = Scenario::named("burst").unwrap();
    let world = real_world(scenario, World::burst(24, 20.0, 8)).unwrap();
    let strategies = ["perfect", "openai-python"].map(|name| named(name).unwrap());

    let real = compared(&strategies, &world, 1).await.unwrap();
    let accepted = real.comparison.rows[0].shown.accepted;
    let late = real.late;
    let pairs = tokio::task::spawn_blocking(move || Pair::all(&real));

    for pair in pairs.await.unwrap().unwrap() {
        assert_eq!(
            pair.differences(),
            [] as [&str; 0],
            "{late:?} {:?}",
            pair.real
        );
    }
    assert_eq!(accepted, 24);
}
