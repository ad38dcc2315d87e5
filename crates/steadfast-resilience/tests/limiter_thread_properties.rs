//! What holds for a limiter that threads use at the same moment, whatever its limits and whatever they do.
//!
//! The threads are real and the clock is paused: it moves while they stand, so that each moment is known
//! to all, or while they run.

#[path = "support/limits.rs"]
mod limits;
#[path = "support/paused.rs"]
mod paused;
#[path = "support/polling.rs"]
mod polling;
#[path = "support/property.rs"]
mod property;

use std::{
    sync::{
        Barrier, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use limits::{Acquiring, Limits, MOST_REQUESTS, MOST_TOKENS, Went, limits};
use paused::paused;
use polling::poll_once;
use property::seeded;
use proptest::{
    prelude::{Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    test_runner::{Config, TestCaseError},
};
use steadfast_resilience::{Cost, Limiter, LimiterError, Permit};
use tokio::{
    runtime::Runtime,
    time::{Instant, advance},
};

const THREADS: usize = 3;

/// What a thread does in a moment. Numbers choose among what it has.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive(Cost),
    Try(Cost),
    Leave(usize),
    Settle(usize, u64),
    GiveBack(usize),
    Release(usize),
}

/// One moment, and how many milliseconds pass behind it.
#[derive(Debug, Clone)]
struct Round {
    steps: [Vec<Step>; THREADS],
    passes: u64,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let cost = || {
        let cost = (1..=MOST_REQUESTS, 0..=MOST_TOKENS);
        cost.prop_map(|(requests, tokens)| Cost::requests(requests).tokens(tokens))
    };
    let step = prop_oneof![
        6 => cost().prop_map(Step::Arrive),
        3 => cost().prop_map(Step::Try),
        2 => any::<usize>().prop_map(Step::Leave),
        3 => (any::<usize>(), any::<u64>()).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Release),
    ];
    let steps = proptest::collection::vec(step, 0..12);
    let passes = prop_oneof![4 => 1..3_000_u64, 1 => 3_000..70_000_u64];
    let round = ([steps.clone(), steps.clone(), steps], passes)
        .prop_map(|(steps, passes)| Round { steps, passes });
    proptest::collection::vec(round, 1..8)
}

/// What all threads know of each other.
struct Shared {
    began: Instant,
    went: Mutex<Vec<Went>>,
    waiting: AtomicUsize,
    held: AtomicUsize,
    errors: Mutex<Vec<LimiterError>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread that uses the limiter.
struct User<'a> {
    limiter: &'a Limiter,
    shared: &'a Shared,
    waiting: Vec<(Cost, Acquiring<'a>)>,
    held: Vec<(usize, Cost, Permit<'a>)>,
}

impl<'a> User<'a> {
    fn act(&mut self, step: Step) {
        let choose = |which: usize, from: usize| (from > 0).then(|| which % from);
        match step {
            Step::Arrive(cost) => {
                self.waiting
                    .push((cost, Box::pin(self.limiter.acquire(cost))));
                self.look_from(self.waiting.len() - 1);
            }
            Step::Try(cost) => {
                if let Ok(permit) = self.limiter.try_acquire(cost) {
                    self.hold(cost, permit);
                }
            }
            Step::Leave(which) => {
                if let Some(which) = choose(which, self.waiting.len()) {
                    drop(self.waiting.swap_remove(which));
                }
            }
            Step::Settle(which, used) => {
                if let Some(which) = choose(which, self.held.len()) {
                    let (went, cost, permit) = self.held.swap_remove(which);
                    let used = used % (cost.token_count() + 1);
                    permit.settle(used);
                    self.correct(went, |went| went.tokens = used as f64);
                }
            }
            Step::GiveBack(which) => {
                if let Some(which) = choose(which, self.held.len()) {
                    let (went, _, permit) = self.held.swap_remove(which);
                    permit.give_back();
                    self.correct(went, |went| (went.requests, went.tokens) = (0.0, 0.0));
                }
            }
            Step::Release(which) => {
                if let Some(which) = choose(which, self.held.len()) {
                    drop(self.held.swap_remove(which));
                }
            }
        }
    }

    fn look(&mut self) {
        self.look_from(0);
    }

    fn look_from(&mut self, place: usize) {
        for (cost, mut future) in self.waiting.split_off(place) {
            match poll_once(future.as_mut()) {
                Poll::Pending => self.waiting.push((cost, future)),
                Poll::Ready(Ok(permit)) => self.hold(cost, permit),
                Poll::Ready(Err(error)) => locked(&self.shared.errors).push(error),
            }
        }
    }

    fn hold(&mut self, cost: Cost, permit: Permit<'a>) {
        let mut went = locked(&self.shared.went);
        self.held.push((went.len(), cost, permit));
        went.push(Went::new(self.shared.began.elapsed(), cost));
    }

    fn correct(&self, place: usize, correct: impl FnOnce(&mut Went)) {
        if let Some(went) = locked(&self.shared.went).get_mut(place) {
            correct(went);
        }
    }

    /// How many it has waiting and how many it holds.
    fn counts(&self) -> [(&AtomicUsize, usize); 2] {
        [
            (&self.shared.waiting, self.waiting.len()),
            (&self.shared.held, self.held.len()),
        ]
    }
}

/// What all threads do next.
#[derive(Debug, Clone, Copy)]
enum Command {
    Act(usize),
    Look,
    Release,
    End,
}

/// The threads of a test, and the one that leads them.
struct Lead<'a> {
    runtime: &'a Runtime,
    limiter: &'a Limiter,
    limits: Limits,
    shared: &'a Shared,
    command: &'a Mutex<Command>,
    gate: &'a Barrier,
}

impl Lead<'_> {
    fn follow(&self, me: usize, rounds: &[Round]) {
        let _clock = self.runtime.enter();
        let mut user = User {
            limiter: self.limiter,
            shared: self.shared,
            waiting: Vec::new(),
            held: Vec::new(),
        };
        loop {
            self.gate.wait();
            let command = *locked(self.command);
            for (all, mine) in user.counts() {
                all.fetch_sub(mine, Ordering::Relaxed);
            }
            match command {
                Command::Act(round) => {
                    let steps = rounds.get(round).and_then(|round| round.steps.get(me));
                    for step in steps.into_iter().flatten() {
                        user.act(*step);
                    }
                }
                Command::Look => user.look(),
                Command::Release => user.held.clear(),
                Command::End => return,
            }
            for (all, mine) in user.counts() {
                all.fetch_add(mine, Ordering::Relaxed);
            }
            self.gate.wait();
        }
    }

    fn all(&self, command: Command) {
        *locked(self.command) = command;
        self.gate.wait();
        if !matches!(command, Command::End) {
            self.gate.wait();
        }
    }

    /// Has all look until nobody finds anything: whoever may go now has gone.
    fn settle_down(&self) {
        let mut went = usize::MAX;
        while went != locked(&self.shared.went).len() {
            went = locked(&self.shared.went).len();
            self.all(Command::Look);
        }
    }

    /// Looks at what can be said while all stand.
    fn check_moment(&self) -> Result<(), TestCaseError> {
        let left = self.limiter.available();
        let held = u32::try_from(self.shared.held.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        prop_assert_eq!(left.waiting, waiting);
        prop_assert_eq!(left.places, self.limits.concurrency.checked_sub(held));
        if self.shared.began.elapsed().is_zero() {
            // Nothing has come back by the clock: what went and what is left is all that there was.
            let went = locked(&self.shared.went);
            let requests: f64 = went.iter().map(|went| went.requests).sum();
            let tokens: f64 = went.iter().map(|went| went.tokens).sum();
            prop_assert_eq!(requests + left.requests, self.limits.most_at_once());
            prop_assert!(tokens + left.tokens <= self.limits.tokens);
            // Each give-back may lose one step of what a bucket remembers.
            let lost = self.limits.tokens - tokens - left.tokens;
            prop_assert!(lost <= went.len() as f64 * self.limits.tokens / 4_096.0);
        }
        Ok(())
    }

    fn pass(&self, time: Duration) {
        self.runtime.block_on(advance(time));
        self.settle_down();
    }

    fn release(&self) {
        while self.shared.held.load(Ordering::Relaxed) > 0 {
            self.all(Command::Release);
            self.settle_down();
        }
    }

    fn play(&self, rounds: &[Round]) -> Result<(), TestCaseError> {
        for (round, Round { passes, .. }) in rounds.iter().enumerate() {
            self.all(Command::Act(round));
            self.settle_down();
            self.check_moment()?;
            self.pass(Duration::from_millis(*passes));
            self.check_moment()?;
        }
        // Nobody is left behind: once all is released and time has passed, everyone goes and every
        // token is there again.
        self.release();
        for _ in 0..=self.shared.waiting.load(Ordering::Relaxed) {
            self.pass(Duration::from_secs(300));
            self.release();
        }
        self.pass(Duration::from_secs(600));
        self.limits.check_full(self.limiter.available())?;
        self.limits.check_intervals(&locked(&self.shared.went))
    }
}

fn run(limits: Limits, rounds: &[Round]) -> Result<(), TestCaseError> {
    let runtime = paused()?;
    let clock = runtime.enter();
    let limiter = limits.build()?;
    let shared = Shared {
        began: Instant::now(),
        went: Mutex::default(),
        waiting: AtomicUsize::new(0),
        held: AtomicUsize::new(0),
        errors: Mutex::default(),
    };
    drop(clock);
    let (command, gate) = (Mutex::new(Command::End), Barrier::new(THREADS + 1));
    let lead = Lead {
        runtime: &runtime,
        limiter: &limiter,
        limits,
        shared: &shared,
        command: &command,
        gate: &gate,
    };
    thread::scope(|scope| {
        let lead = &lead;
        for me in 0..THREADS {
            scope.spawn(move || lead.follow(me, rounds));
        }
        let outcome = {
            let _clock = runtime.enter();
            lead.play(rounds)
        };
        lead.all(Command::End);
        outcome
    })?;
    prop_assert!(locked(&shared.errors).is_empty());
    prop_assert_eq!(limiter.available().waiting, 0);
    Ok(())
}

/// What went surely went between these two times.
#[derive(Debug, Clone, Copy)]
struct Between {
    before: Duration,
    after: Duration,
}

/// Has threads take what they can while the clock moves. It says when each went.
fn rush(limits: Limits, moves: &[u64]) -> Result<Vec<Between>, TestCaseError> {
    let runtime = paused()?;
    let clock = runtime.enter();
    let (limiter, began) = (limits.build()?, Instant::now());
    drop(clock);
    let (stop, tries) = (AtomicBool::new(false), AtomicUsize::new(0));
    let take = || {
        let _clock = runtime.enter();
        let mut went = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            tries.fetch_add(1, Ordering::Relaxed);
            let before = began.elapsed();
            if let Ok(permit) = limiter.try_acquire(Cost::request()) {
                drop(permit);
                let after = began.elapsed();
                went.push(Between { before, after });
            }
        }
        went
    };
    let went = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(take));
        for passed in moves {
            // However the machine is loaded, they try between two moves.
            let tried = tries.load(Ordering::Relaxed);
            while tries.load(Ordering::Relaxed) < tried + 2 * THREADS {
                thread::yield_now();
            }
            runtime.block_on(advance(Duration::from_millis(*passed)));
        }
        stop.store(true, Ordering::Relaxed);
        threads.map(|thread| thread.join().unwrap_or_default())
    });
    Ok(went.concat())
}

fn few() -> Config {
    Config {
        cases: seeded().cases.min(48),
        ..seeded()
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn nothing_is_exceeded_lost_or_made_by_threads_of_one_moment(
        limits in limits(),
        rounds in rounds(),
    ) {
        run(limits, &rounds)?;
    }

    #[test]
    fn no_window_is_exceeded_while_the_clock_moves(
        limits in limits(),
        moves in proptest::collection::vec(1..700_u64, 10..40),
    ) {
        // A thread that the machine stops while it holds a place leaves one for each of the others.
        let concurrency = limits.concurrency.max(THREADS as u32);
        let limits = Limits { concurrency, ..limits };
        let mut went = rush(limits, &moves)?;
        went.sort_by_key(|went| went.after);
        for first in &went {
            let within = went.iter().filter(|went| went.before >= first.before);
            for (count, last) in (1_u32..).zip(within) {
                let long = (last.after - first.before).as_secs_f64();
                let (most, _) = limits.most_within(long);
                prop_assert!(f64::from(count) <= most + 1e-6, "{count} in {long} s");
            }
        }
        // They did go.
        prop_assert!(went.len() > 3);
    }
}
