//! What holds for every pacer, whatever the provider's limit, who asks, gives up and is refused.

#[path = "support/paused.rs"]
mod paused;
#[path = "support/property.rs"]
mod property;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use paused::paused;
use property::seeded;
use proptest::{
    prelude::Just,
    prelude::{Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::{TestCaseError, TestRunner},
};
use steadfast_resilience::{Pacer, millis};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

/// A provider and those who call it.
#[derive(Debug, Clone)]
struct World {
    /// Tenths of a call a second.
    rate: u32,
    burst: u32,
    refusals_charged: bool,
    hints: Hints,
    outage: Option<(u64, u64)>,
    /// Milliseconds from one arrival to the next.
    gaps: Vec<u16>,
    /// Every so many calls one gives up while it waits.
    impatient: usize,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Hints {
    None,
    Seconds,
    Exact,
    /// A clock that is wrong, or a server that makes things up.
    Nonsense,
}

fn worlds() -> impl Strategy<Value = World> {
    let hints = prop_oneof![
        Just(Hints::None),
        Just(Hints::Seconds),
        Just(Hints::Exact),
        Just(Hints::Nonsense)
    ];
    let outage = prop_oneof![Just(None), (0..5_u64, 1..20_u64).prop_map(Some)];
    (
        (5..2_000_u32, 1..60_u32, any::<bool>(), hints, outage),
        proptest::collection::vec(prop_oneof![Just(0_u16), 0..400_u16], 1..80),
        2..12_usize,
        any::<u64>(),
    )
        .prop_map(
            |((rate, burst, refusals_charged, hints, outage), gaps, impatient, seed)| World {
                rate,
                burst,
                refusals_charged,
                hints,
                outage,
                gaps,
                impatient,
                seed,
            },
        )
}

/// What the provider holds, and who waits for the pacer.
struct State {
    level: f64,
    at: Instant,
    /// By age; and since when.
    waiting: BTreeMap<(Instant, usize), Instant>,
    answered: usize,
    gave_up: usize,
    /// When a younger call went first.
    passed: BTreeMap<usize, Instant>,
    overtaken: Option<usize>,
}

impl State {
    fn left(&mut self, born: Instant, number: usize) {
        self.waiting.remove(&(born, number));
        self.passed.remove(&number);
        self.gave_up += 1;
    }

    fn admitted(&mut self, born: Instant, number: usize) {
        let now = Instant::now();
        self.waiting.remove(&(born, number));
        // Those who were let go at the same moment run in any order.
        if self
            .passed
            .remove(&number)
            .is_some_and(|passed| passed < now)
        {
            self.overtaken = Some(number);
        }
        // Who joins at the moment at which a younger one was let go comes too late for that.
        let older = self
            .waiting
            .range(..(born, 0))
            .filter(|(_, joined)| **joined < now);
        for ((_, who), _) in older {
            self.passed.entry(*who).or_insert(now);
        }
    }
}

enum Answer {
    Accepted,
    Throttled(Option<Duration>),
    Overloaded,
}

impl World {
    fn rate(&self) -> f64 {
        f64::from(self.rate) / 10.0
    }

    fn answer(&self, state: &mut State, began: Instant) -> Answer {
        let now = Instant::now();
        let second = began.elapsed().as_secs();
        if self
            .outage
            .is_some_and(|(from, length)| (from..from + length).contains(&second))
        {
            return Answer::Overloaded;
        }
        let passed = (now - state.at).as_secs_f64();
        state.level = (state.level + passed * self.rate()).min(f64::from(self.burst));
        state.at = now;
        if state.level >= 1.0 {
            state.level -= 1.0;
            return Answer::Accepted;
        }
        if self.refusals_charged {
            state.level = (state.level - 1.0).max(-f64::from(self.burst));
        }
        let needed = (1.0 - state.level) / self.rate();
        Answer::Throttled(match self.hints {
            Hints::None => None,
            Hints::Seconds => Some(Duration::from_secs_f64(needed.ceil().max(1.0))),
            Hints::Exact => Some(Duration::from_secs_f64(needed)),
            Hints::Nonsense => Some(Duration::from_millis(self.seed % 5_000)),
        })
    }
}

/// Calls until it is answered, or gives up.
async fn call(
    number: usize,
    world: Rc<World>,
    pacer: Pacer,
    state: Rc<RefCell<State>>,
    began: Instant,
) {
    let born = Instant::now();
    let patience = match number % world.impatient {
        0 => millis(700),
        _ => Duration::MAX,
    };
    loop {
        let joined = Instant::now();
        state.borrow_mut().waiting.insert((born, number), joined);
        let admitted = timeout(patience, pacer.admit(born)).await;
        let Ok(mut pass) = admitted else {
            state.borrow_mut().left(born, number);
            return;
        };
        state.borrow_mut().admitted(born, number);
        let answer = world.answer(&mut state.borrow_mut(), began);
        sleep(millis(40)).await;
        match answer {
            Answer::Accepted => {
                pass.accepted();
                sleep(millis(300)).await;
                state.borrow_mut().answered += 1;
                return;
            }
            Answer::Throttled(hint) => pass.throttled(hint),
            Answer::Overloaded => pass.overloaded(None),
        }
    }
}

fn everybody_is_answered_in_order_of_age(world: World) -> Result<(), TestCaseError> {
    let runtime = paused().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let calls = world.gaps.len();
    // What the limit itself takes, with every refusal paid for several times, and the outage.
    let ideal = calls as f64 / world.rate();
    let outage = world.outage.map_or(0, |(from, length)| from + length);
    let longest = Duration::from_secs_f64(60.0 + outage as f64 + 8.0 * ideal);
    let world = Rc::new(world);
    LocalSet::new().block_on(&runtime, async {
        let pacer = Pacer::with_seed(world.seed);
        let began = Instant::now();
        let state = Rc::new(RefCell::new(State {
            level: f64::from(world.burst),
            at: began,
            waiting: BTreeMap::new(),
            answered: 0,
            gave_up: 0,
            passed: BTreeMap::new(),
            overtaken: None,
        }));
        let mut running = Vec::new();
        for (number, gap) in world.gaps.iter().enumerate() {
            sleep(millis(u64::from(*gap))).await;
            let call = call(
                number,
                Rc::clone(&world),
                pacer.clone(),
                Rc::clone(&state),
                began,
            );
            running.push(tokio::task::spawn_local(call));
        }
        let all = timeout(longest, futures_util::future::join_all(running)).await;

        let state = state.borrow();
        prop_assert!(
            all.is_ok(),
            "{} of {calls} after {longest:?}",
            state.answered
        );
        prop_assert_eq!(state.answered + state.gave_up, calls);
        prop_assert_eq!(state.overtaken, None);
        prop_assert_eq!(pacer.waiting(), 0);
        Ok(())
    })
}

#[test]
fn calls_are_all_answered_and_none_is_overtaken() {
    let outcome = TestRunner::new(seeded()).run(&worlds(), everybody_is_answered_in_order_of_age);

    assert!(
        outcome.is_ok(),
        "{}",
        outcome.err().map(|e| e.to_string()).unwrap_or_default()
    );
}
