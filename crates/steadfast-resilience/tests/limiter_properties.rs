//! What holds for every limiter, whatever its limits, who asks, settles and gives up, and when.

#[path = "support/holds.rs"]
mod holds;
#[path = "support/limits.rs"]
mod limits;
#[path = "support/paused.rs"]
mod paused;
#[path = "support/polling.rs"]
mod polling;

use std::{task::Poll, time::Duration};

use holds::holds;
use limits::{Acquiring, Limits, MOST_REQUESTS, MOST_TOKENS, Went, limits};
use paused::paused;
use polling::poll_once;
use proptest::{
    prelude::{Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::TestCaseError,
};
use steadfast_resilience::{Cost, Limiter, Permit};
use tokio::time::{Instant, advance};

/// What users of a limiter do, one after the other. Numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive { requests: u32, tokens: u64 },
    Try { requests: u32, tokens: u64 },
    Leave(usize),
    Settle(usize, u64),
    GiveBack(usize),
    Release(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cost = || (1..=MOST_REQUESTS, 0..=MOST_TOKENS);
    let step = prop_oneof![
        6 => cost().prop_map(|(requests, tokens)| Step::Arrive { requests, tokens }),
        2 => cost().prop_map(|(requests, tokens)| Step::Try { requests, tokens }),
        2 => any::<usize>().prop_map(Step::Leave),
        4 => (any::<usize>(), 0..=MOST_TOKENS).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Release),
        6 => (1..3_000_u64).prop_map(Step::Pass),
        1 => (3_000..70_000_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Who uses one limiter, and what it let go.
struct World<'a> {
    limiter: &'a Limiter,
    limits: Limits,
    began: Instant,
    arrived: usize,
    waiting: Vec<(usize, Cost, Acquiring<'a>)>,
    held: Vec<(usize, Permit<'a>)>,
    went: Vec<Went>,
}

impl<'a> World<'a> {
    /// Polls all who wait until all who were let go were seen, so that their times are right.
    fn poll_all(&mut self) -> Result<(), TestCaseError> {
        self.poll_from_behind()?;
        self.poll_from_behind()
    }

    /// Polls in an order that is not theirs, so that the limiter has to keep it.
    fn poll_from_behind(&mut self) -> Result<(), TestCaseError> {
        for waiting in std::mem::take(&mut self.waiting).into_iter().rev() {
            let (number, cost, mut future) = waiting;
            match poll_once(future.as_mut()) {
                Poll::Pending => self.waiting.push((number, cost, future)),
                Poll::Ready(Ok(permit)) => {
                    self.hold(cost, permit);
                }
                Poll::Ready(Err(error)) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        self.waiting.reverse();
        Ok(())
    }

    fn release_all(&mut self) -> Result<(), TestCaseError> {
        while !self.held.is_empty() {
            self.held.clear();
            self.poll_all()?;
        }
        Ok(())
    }

    fn hold(&mut self, cost: Cost, permit: Permit<'a>) {
        self.held.push((self.went.len(), permit));
        self.went.push(Went::new(self.began.elapsed(), cost));
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Arrive { requests, tokens } => {
                let cost = Cost::requests(requests).tokens(tokens);
                let mut future = Box::pin(self.limiter.acquire(cost));
                let number = self.arrived;
                self.arrived += 1;
                match poll_once(future.as_mut()) {
                    Poll::Pending => self.waiting.push((number, cost, future)),
                    Poll::Ready(permit) => {
                        let permit = permit.map_err(|e| TestCaseError::fail(e.to_string()))?;
                        self.poll_all()?;
                        prop_assert!(self.waiting.is_empty(), "{number} overtook those who wait");
                        self.hold(cost, permit);
                    }
                }
            }
            Step::Try { requests, tokens } => {
                let cost = Cost::requests(requests).tokens(tokens);
                if let Ok(permit) = self.limiter.try_acquire(cost) {
                    self.poll_all()?;
                    prop_assert!(self.waiting.is_empty(), "a try overtook those who wait");
                    self.hold(cost, permit);
                }
            }
            Step::Leave(which) if !self.waiting.is_empty() => {
                drop(self.waiting.remove(which % self.waiting.len()));
            }
            Step::Settle(which, used) if !self.held.is_empty() => {
                let (went, permit) = self.held.swap_remove(which % self.held.len());
                // What was used beyond the estimate is owed: what comes later pays for it.
                if let Some(went) = self.went.get_mut(went) {
                    went.tokens = went.tokens.min(used as f64);
                }
                permit.settle(used);
            }
            Step::GiveBack(which) if !self.held.is_empty() => {
                let (went, permit) = self.held.swap_remove(which % self.held.len());
                if let Some(went) = self.went.get_mut(went) {
                    (went.requests, went.tokens) = (0.0, 0.0);
                }
                permit.give_back();
            }
            Step::Release(which) if !self.held.is_empty() => {
                drop(self.held.swap_remove(which % self.held.len()));
            }
            // Who was let go fetches its permit only now: until then some leave without it.
            Step::Pass(milliseconds) => {
                self.poll_all()?;
                advance(Duration::from_millis(milliseconds)).await;
                self.poll_all()?;
            }
            _ => {}
        }
        prop_assert!(self.held.len() <= self.limits.concurrency as usize);
        Ok(())
    }
}

fn run(limits: Limits, steps: &[Step]) -> Result<(), TestCaseError> {
    let runtime = paused()?;
    let limiter = runtime.block_on(async { limits.build() })?;
    runtime.block_on(async {
        let mut world = World {
            limiter: &limiter,
            limits,
            began: Instant::now(),
            arrived: 0,
            waiting: Vec::new(),
            held: Vec::new(),
            went: Vec::new(),
        };
        for step in steps {
            world.step(*step).await?;
        }
        world.poll_all()?;
        limits.check_intervals(&world.went)?;
        prop_assert_eq!(limiter.available().waiting, world.waiting.len());
        // Nobody is left behind: once all is released and time has passed, everyone goes and every
        // token is there again.
        world.release_all()?;
        for _ in 0..=world.waiting.len() {
            advance(Duration::from_secs(300)).await;
            world.poll_all()?;
            world.release_all()?;
        }
        prop_assert!(world.waiting.is_empty());
        limits.check_intervals(&world.went)?;
        advance(Duration::from_secs(600)).await;
        limits.check_full(limiter.available())?;
        Ok(())
    })
}

#[test]
fn no_limit_is_exceeded_and_nothing_is_lost() {
    // AE-19, AE-21.
    holds((limits(), steps()), |(limits, steps)| run(limits, &steps));
}

#[test]
fn who_waits_goes_in_order_of_arrival() {
    // AE-20.
    let costs = proptest::collection::vec((1..=20_u32, any::<bool>()), 1..60);
    holds((1..=50_u32, costs), |(rate, costs)| {
        let runtime = paused()?;
        let limiter = Limiter::builder().per_second(f64::from(rate)).burst(20);
        let limiter = runtime.block_on(async { limiter.build() });
        let limiter = limiter.map_err(|error| TestCaseError::fail(error.to_string()))?;
        runtime.block_on(async {
            let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
            let mut tasks = Vec::new();
            for (number, (requests, stays)) in costs.iter().copied().enumerate() {
                let (limiter, tx) = (limiter.clone(), tx.clone());
                let task = tokio::spawn(async move {
                    if limiter.acquire(Cost::requests(requests)).await.is_ok() {
                        let _ = tx.send(number);
                    }
                });
                tasks.push((task, stays));
            }
            drop(tx);
            advance(Duration::from_millis(1)).await;
            for (task, _) in tasks.iter().filter(|(_, stays)| !stays) {
                task.abort();
            }
            let mut went = Vec::new();
            while let Some(number) = rx.recv().await {
                went.push(number);
            }
            prop_assert!(went.is_sorted(), "{went:?}");
            let stayed = costs.iter().enumerate().filter(|(_, (_, stays))| *stays);
            for (number, _) in stayed {
                prop_assert!(went.contains(&number), "{number} is missing in {went:?}");
            }
            Ok(())
        })
    });
}
