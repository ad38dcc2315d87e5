//! The fault matrix: every fault of the simulator, on every wire, at every moment, under every kind of
//! strategy. The axes are data, the expectations are computed from the contract, and every cell runs.

mod agent;
mod axes;
mod contract;
mod program;
mod script;
mod sheet;

use std::{
    collections::{BTreeSet, VecDeque},
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use axes::{Cell, Strategy, Strikes};
use sheet::{Sheet, side_by_side};
use steadfast_sim::Wire;
use tokio::{runtime::Runtime, task::JoinSet};

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How cells follow each other.
#[derive(Clone, Copy)]
struct Pace {
    at_once: usize,
    /// The time between two beginnings.
    apart: Duration,
}

/// Cells that only work. Nothing in them is timed, so they may slow each other down.
const BUSY: Pace = Pace::new(16, 0);
const BUSY_PROCESSES: Pace = Pace::new(3, 0);

/// Cells that mostly wait, many at once. They begin one after the other, and so end one after the
/// other: an answer that takes long because of the others would be taken for silence.
const SILENT: Pace = Pace::new(100, 30);
const SILENT_PROCESSES: Pace = Pace::new(40, 60);

impl Pace {
    const fn new(at_once: usize, millis: u64) -> Self {
        let apart = Duration::from_millis(millis);
        Self { at_once, apart }
    }
}

/// Holds what takes the whole machine apart: the parts run one after the other.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn every_fault_of_the_simulator_has_its_cells() -> TestResult {
    let named = |text: String| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric());
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let met: BTreeSet<String> = axes::faults()?
        .iter()
        .map(|fault| named(format!("{fault:?}")))
        .collect();

    let known: BTreeSet<String> = axes::variants("Fault")
        .into_iter()
        .map(str::to_owned)
        .collect();

    assert!(known.len() >= 15, "{known:?}");
    assert_eq!(met, known);
    // Every moment, hint and error that a fault can have is written by some fault.
    let written = format!("{:?}", axes::faults()?);
    for name in ["Moment", "RetryHint", "StreamError"] {
        let variants = axes::variants(name);
        assert!(variants.len() >= 3, "{variants:?}");
        for variant in variants {
            assert!(written.contains(variant), "no fault has {name}::{variant}");
        }
    }
    Ok(())
}

#[test]
fn every_cell_comes_to_what_the_contract_says() -> TestResult {
    let cells = axes::cells(Wire::all(), &Strategy::ALL, &Strikes::ALL)?;
    assert_eq!(cells.len(), axes::faults()?.len() * 2 * 5 * 4);
    assert!(axes::faults()?.len() >= 70, "the axes were made shorter");
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new()?;

    let (silent, busy) = cells.iter().cloned().partition(Cell::is_silent);
    let mut compared = runtime.block_on(compare_all(silent, SILENT));
    compared.extend(runtime.block_on(compare_all(busy, BUSY)));

    drop(machine);
    assert_eq!(compared.len(), cells.len(), "a cell was lost");
    report(&compared);
    Ok(())
}

#[test]
fn program_comes_to_what_the_contract_says() -> TestResult {
    let strategies = [Strategy::Default, Strategy::None];
    let wires = program::wires();
    let cells = axes::cells(&wires, &strategies, &Strikes::ALL)?;
    assert_eq!(cells.len(), axes::faults()?.len() * wires.len() * 2 * 4);
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new()?;

    let (silent, busy) = cells.iter().cloned().partition(Cell::is_silent);
    let mut compared = run_all(silent, SILENT_PROCESSES, &runtime);
    compared.extend(run_all(busy, BUSY_PROCESSES, &runtime));

    drop(machine);
    assert_eq!(compared.len(), cells.len(), "a cell was lost");
    report(&compared);
    Ok(())
}

/// A cell and what is wrong with it, if anything is.
type Compared = (Cell, Option<String>);

/// Runs cells in this process.
async fn compare_all(cells: Vec<Cell>, pace: Pace) -> Vec<Compared> {
    let mut waiting = cells.into_iter();
    let mut running = JoinSet::new();
    let mut compared = Vec::new();
    loop {
        while running.len() < pace.at_once
            && let Some(cell) = waiting.next()
        {
            running.spawn(compare(cell));
            tokio::time::sleep(pace.apart).await;
        }
        // A cell that panics is missing in the count.
        match running.join_next().await {
            Some(done) => compared.extend(done.ok()),
            None => return compared,
        }
    }
}

async fn compare(cell: Cell) -> Compared {
    let problem = match agent::meet(&cell).await {
        Ok(met) => {
            let expected = contract::expected(&cell, |turn, attempt| met.said(turn, attempt));
            difference(&expected.sheet, &met.sheet)
        }
        Err(error) => Some(error.to_string()),
    };
    (cell, problem)
}

/// Runs cells as processes.
fn run_all(cells: Vec<Cell>, pace: Pace, runtime: &Runtime) -> Vec<Compared> {
    let waiting = Arc::new(Mutex::new(VecDeque::from(cells)));
    let workers: Vec<_> = (0..pace.at_once)
        .map(|_| {
            let waiting = Arc::clone(&waiting);
            let handle = runtime.handle().clone();
            let take = move || {
                waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front()
            };
            thread::spawn(move || {
                let compare = |cell: Cell| {
                    let problem = match program::meet(&cell, &handle) {
                        Ok(met) => difference(&program::expected_of_program(&cell), &met),
                        Err(error) => Some(error.to_string()),
                    };
                    (cell, problem)
                };
                std::iter::from_fn(take).map(compare).collect::<Vec<_>>()
            })
        })
        .collect();
    // What a worker that panics had done is missing in the count.
    let done = workers.into_iter().filter_map(|worker| worker.join().ok());
    done.flatten().collect()
}

fn difference(expected: &Sheet, met: &Sheet) -> Option<String> {
    (expected != met).then(|| side_by_side(expected, met))
}

/// Fails with all cells that differ, not with the first.
fn report(compared: &[Compared]) {
    let wrong = |(cell, problem): &Compared| Some(format!("{cell}\n{}", problem.as_ref()?));
    let wrong: Vec<String> = compared.iter().filter_map(wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cells differ from the contract:\n\n{}",
        wrong.len(),
        compared.len(),
        wrong.join("\n")
    );
}
