//! The fault matrix: every fault of the simulator, on every wire, at every moment, under every kind of
//! strategy. The axes are data, the expectations are computed from the contract, and every cell runs.

mod agent;
mod axes;
mod contract;
mod lines;
mod program;
mod script;
mod sheet;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use agent::Met;
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

/// Cells in this process. Nothing in them is timed, so they may slow each other down.
const BUSY: usize = 16;

/// Cells of silence, each with its own runtime.
const SILENT: Pace = Pace::new(4, 0);

/// Processes, and those that mostly wait: many at once, but beginning one after the other.
const BUSY_PROCESSES: Pace = Pace::new(3, 0);
const SILENT_PROCESSES: Pace = Pace::new(100, 60);

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
    let faults = axes::faults()?;
    let words = |text: String| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.map(str::to_owned).collect()
    };

    let in_cells: BTreeSet<String> = faults
        .iter()
        .flat_map(|fault| words(format!("{fault:?}")))
        .collect();

    for (name, at_least) in [
        ("Fault", 15),
        ("Moment", 6),
        ("RetryHint", 3),
        ("StreamError", 3),
    ] {
        let variants = axes::variants(name);
        assert!(
            variants.len() >= at_least,
            "{name} was read as {variants:?}"
        );
        for variant in variants {
            assert!(in_cells.contains(variant), "{name}::{variant} has no cell");
        }
    }
    Ok(())
}

#[test]
fn every_cell_comes_to_what_the_contract_says() -> TestResult {
    // The provider of Bedrock is not in every program, and its wire is in every simulator.
    let is_built = |wire: &Wire| cfg!(feature = "bedrock") || *wire != Wire::Bedrock;
    let wires: Vec<Wire> = Wire::all().iter().copied().filter(is_built).collect();
    let cells = axes::cells(&wires, &Strategy::ALL, &Strikes::ALL)?;
    assert!(wires.len() >= 2);
    assert_eq!(
        cells.len(),
        (axes::faults()?.len() * wires.len() - 1) * 5 * 4
    );
    assert!(axes::faults()?.len() >= 70, "the axes were made shorter");
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new()?;

    let (silent, busy) = cells.iter().cloned().partition(Cell::is_silent);
    let mut compared = run_all(silent, SILENT, |cell| {
        compare(&cell, agent::meet_in_own_time(&cell))
    });
    compared.extend(runtime.block_on(meet_all(busy)));

    drop(machine);
    report(&cells, compared);
    Ok(())
}

#[test]
fn program_comes_to_what_the_contract_says() -> TestResult {
    let strategies = [Strategy::Default, Strategy::None];
    let wires = program::wires();
    let cells = axes::cells(&wires, &strategies, &Strikes::ALL)?;
    assert!(wires.len() >= 2);
    assert_eq!(
        cells.len(),
        (axes::faults()?.len() * wires.len() - 1) * 2 * 4
    );
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new()?;

    let (silent, busy) = cells.iter().cloned().partition(Cell::is_silent);
    let handle = runtime.handle().clone();
    let run = move |cell: Cell| {
        let problem = match program::meet(&cell, &handle) {
            Ok(met) => difference(&program::expected_of_program(&cell), &met),
            Err(error) => Some(error.to_string()),
        };
        (cell, problem)
    };
    let mut compared = run_all(silent, SILENT_PROCESSES, run.clone());
    compared.extend(run_all(busy, BUSY_PROCESSES, run));

    drop(machine);
    report(&cells, compared);
    Ok(())
}

/// A cell and what is wrong with it, if anything is.
type Compared = (Cell, Option<String>);

/// Runs cells on one runtime, some at once.
async fn meet_all(cells: Vec<Cell>) -> Vec<Compared> {
    let mut waiting = cells.into_iter();
    let mut running = JoinSet::new();
    let mut compared = Vec::new();
    loop {
        while running.len() < BUSY
            && let Some(cell) = waiting.next()
        {
            running.spawn(async move { compare(&cell, agent::meet(&cell).await) });
        }
        // A cell that panics is missing in the report, which says so.
        match running.join_next().await {
            Some(done) => compared.extend(done.ok()),
            None => return compared,
        }
    }
}

fn compare(cell: &Cell, met: TestResult<Met>) -> Compared {
    let problem = match met {
        Ok(met) => {
            let expected = contract::expected(cell, |turn, attempt| met.said(turn, attempt));
            difference(&expected.sheet, &met.sheet)
        }
        Err(error) => Some(error.to_string()),
    };
    (cell.clone(), problem)
}

/// Runs cells on threads.
fn run_all(
    cells: Vec<Cell>,
    pace: Pace,
    run: impl Fn(Cell) -> Compared + Clone + Send + 'static,
) -> Vec<Compared> {
    let waiting = Arc::new(Mutex::new(VecDeque::from(cells)));
    let workers: Vec<_> = (0..pace.at_once)
        .map(|_| {
            let (waiting, run) = (Arc::clone(&waiting), run.clone());
            let take = move || {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let cell = waiting.pop_front()?;
                // With the lock held, so that nobody begins before.
                thread::sleep(pace.apart);
                Some(cell)
            };
            thread::spawn(move || std::iter::from_fn(take).map(run).collect::<Vec<_>>())
        })
        .collect();
    // What a worker that panics had done is missing in the report, which says so.
    let done = workers.into_iter().filter_map(|worker| worker.join().ok());
    done.flatten().collect()
}

fn difference(expected: &Sheet, met: &Sheet) -> Option<String> {
    (expected != met).then(|| side_by_side(expected, met))
}

/// Fails with all cells that differ, not with the first, and with those that were lost on the way.
fn report(cells: &[Cell], compared: Vec<Compared>) {
    let mut compared: BTreeMap<String, Option<String>> = compared
        .into_iter()
        .map(|(cell, problem)| (cell.to_string(), problem))
        .collect();
    let lost = || Some("    the cell was lost: it panicked".to_owned());
    let wrong: Vec<String> = cells
        .iter()
        .filter_map(|cell| {
            let name = cell.to_string();
            let problem = compared.remove(&name).unwrap_or_else(lost)?;
            Some(format!("{name}\n{problem}"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cells differ from the contract:\n\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
}
