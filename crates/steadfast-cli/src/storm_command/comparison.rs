//! Several strategies in the same storms: which trials that takes, done on all cores, in an order that
//! does not depend on who was faster.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    figures::{Figures, Ideal},
    strategies::{MEASURE, Strategy, named},
    tally::Tally,
    trial::trial,
    world::World,
};
use crate::refusal::Refusal;

/// What came of a comparison.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) world: World,
    pub(super) seeds: Vec<u64>,
    /// What the limiter that knows the limit reached, seed by seed.
    pub(super) ideals: Vec<Ideal>,
    /// One for each strategy, in the order in which they were asked for.
    pub(super) rows: Vec<Row>,
}

/// What came of one strategy.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) strategy: &'static Strategy,
    /// Seed by seed.
    pub(super) seeds: Vec<Figures>,
    pub(super) summary: Figures,
    /// All that happened under the first seed.
    pub(super) shown: Tally,
}

/// One strategy in one world under one seed.
type Job<'a> = (&'a Strategy, &'a World, u64);

impl Comparison {
    /// Does all trials. It computes for as long as that takes.
    pub(super) fn of(
        strategies: &[&'static Strategy],
        world: World,
        seeds: Vec<u64>,
    ) -> Result<Self, Refusal> {
        let undisturbed = world.undisturbed();
        let measure = named(MEASURE);
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for strategy in strategies {
            jobs.extend(seeds.iter().map(|seed| (*strategy, &world, *seed)));
        }
        let measured = jobs.len();
        if let Some(measure) = measure {
            jobs.extend(seeds.iter().map(|seed| (measure, &undisturbed, *seed)));
        }
        let mut tallies = done(&jobs)?;
        let ideals: Vec<Ideal> = tallies.split_off(measured).iter().map(Ideal::of).collect();
        let mut tallies = tallies.into_iter();
        let rows = strategies.iter().map(|strategy| {
            let tallies: Vec<Tally> = tallies.by_ref().take(seeds.len()).collect();
            Row::of(strategy, &world, tallies, &ideals)
        });
        let rows = rows.collect();
        Ok(Self {
            rows,
            world,
            seeds,
            ideals,
        })
    }
}

impl Row {
    pub(super) fn of(
        strategy: &'static Strategy,
        world: &World,
        tallies: Vec<Tally>,
        ideals: &[Ideal],
    ) -> Self {
        let seeds: Vec<Figures> = tallies
            .iter()
            .zip(ideals)
            .map(|(tally, ideal)| Figures::of(tally, world, ideal))
            .collect();
        Self {
            strategy,
            summary: Figures::summary(&seeds),
            seeds,
            shown: tallies.into_iter().next().unwrap_or_default(),
        }
    }
}

/// Does the jobs on all cores and gives what came of them in their order.
fn done(jobs: &[Job<'_>]) -> Result<Vec<Tally>, Refusal> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Result<Tally, Refusal>>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((strategy, world, seed)) = jobs.get(index) else {
                break;
            };
            let result = trial(strategy, world, *seed);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.insert(index, result);
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

#[cfg(test)]
mod tests;
