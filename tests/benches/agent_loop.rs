//! The agent loop beside a loop written by hand, over the same in-process model, in one run.
//!
//! ```text
//! cargo bench --bench agent_loop                     # times, as ratios to the hand-written loop
//! cargo bench --bench agent_loop -- --instructions   # instructions, counted by callgrind
//! ```
//!
//! Times are medians of interleaved batches. Instructions are the difference of two runs of
//! different length, so that what a process costs to start falls out.

#[path = "agent_loop_cases.rs"]
mod cases;

use std::{
    env,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use cases::{CASES, Case};

const BATCHES: usize = 41;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value_after = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(place + 1)
    };
    if let Some(name) = value_after("--case") {
        let rounds = value_after("--rounds")
            .and_then(|rounds| rounds.parse().ok())
            .unwrap_or(1);
        return run_alone(name, rounds);
    }
    if arguments
        .iter()
        .any(|argument| argument == "--instructions")
    {
        return count_instructions();
    }
    measure_times();
}

/// The floor of each case, by place: a case without one is compared with the text turn.
fn find(name: &str) -> &'static Case {
    CASES
        .iter()
        .find(|case| case.name == name)
        .unwrap_or_else(|| panic!("no case `{name}`"))
}

fn run_alone(name: &str, rounds: u32) {
    let case = find(name);
    let mut run = (case.prepare)();
    for _ in 0..rounds {
        black_box(run());
    }
}

fn measure_times() {
    println!(
        "{:<34} {:>12} {:>12} {:>8}",
        "case", "ours", "by hand", "ratio"
    );
    for case in CASES.iter().filter(|case| !case.floor.is_empty()) {
        let floor = find(case.floor);
        let (mut ours, mut by_hand) = ((case.prepare)(), (floor.prepare)());
        let rounds = rounds_for(&mut ours);
        let (mut our_times, mut hand_times) = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            our_times.push(batch(&mut ours, rounds));
            hand_times.push(batch(&mut by_hand, rounds));
        }
        let (ours, by_hand) = (median(our_times), median(hand_times));
        let ratio = ours.as_secs_f64() / by_hand.as_secs_f64();
        println!(
            "{:<34} {ours:>12.2?} {by_hand:>12.2?} {ratio:>7.2}x",
            case.name
        );
    }
}

fn rounds_for(run: &mut cases::Run) -> u32 {
    let once = batch(run, 3).max(Duration::from_nanos(200));
    let rounds = Duration::from_millis(4).as_nanos() / once.as_nanos();
    u32::try_from(rounds).unwrap_or(u32::MAX).clamp(1, 5_000)
}

fn batch(run: &mut cases::Run, rounds: u32) -> Duration {
    let began = Instant::now();
    for _ in 0..rounds {
        black_box(run());
    }
    began.elapsed() / rounds
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn count_instructions() {
    println!(
        "{:<34} {:>12} {:>12} {:>8}",
        "case", "ours", "by hand", "ratio"
    );
    for case in CASES.iter().filter(|case| !case.floor.is_empty()) {
        let (ours, by_hand) = (instructions(case), instructions(find(case.floor)));
        println!(
            "{:<34} {ours:>12.0} {by_hand:>12.0} {:>7.2}x",
            case.name,
            ours / by_hand
        );
    }
}

/// Instructions of one round: the difference between a long and a short run under callgrind.
fn instructions(case: &Case) -> f64 {
    let (short, long) = case.callgrind_rounds;
    let total = |rounds: u32| -> f64 {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe().unwrap_or_default())
            .args(["--case", case.name, "--rounds", &rounds.to_string()])
            .output()
            .unwrap_or_else(|error| panic!("valgrind cannot be started: {error}"));
        let report = String::from_utf8_lossy(&output.stderr);
        let line = report.lines().find(|line| line.contains("Collected :"));
        let count = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
        count.unwrap_or_else(|| panic!("callgrind says nothing of instructions: {report}"))
    };
    (total(long) - total(short)) / f64::from(long - short)
}
