//! The axes of the matrix, as data. What is expected of a cell is not here.

use std::fmt;

use steadfast_sim::{Fault, FaultScript, Moment, Wire};

use crate::TestResult;

/// Every status class that the vendors document.
const STATUSES: [u16; 17] = [
    400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 529,
];

/// Statuses that say more: hints longer and shorter than the backoff, one beyond what is waited, one
/// where waiting does not help, and money that is used up.
const TELLING_STATUSES: [&str; 8] = [
    "429:retry-after=1",
    "429:retry-after-ms=30",
    "429:retry-after-ms=1",
    "429:retry-after=3600",
    "503:retry-after-ms=30",
    "529:retry-after-ms=30",
    "400:retry-after-ms=30",
    "429:quota",
];

/// Faults without a moment of their own.
const MOMENTLESS: [&str; 8] = [
    "ok",
    "empty",
    "html",
    "malformed",
    "garbage-utf8",
    "huge-line",
    "error-200",
    "keepalive",
];

/// Before output: within the first line of the body.
const FIRST_LINE: Moment = Moment::Bytes(20);

/// Behind the answer's end: no body is this long.
pub(crate) const BEHIND_THE_END: Moment = Moment::Bytes(1_000_000);

/// Moments in an answer: two before output, one after text, two after a complete tool call, and one
/// when all has been said.
const MOMENTS: [Moment; 6] = [
    Moment::Start,
    FIRST_LINE,
    Moment::Text,
    Moment::Tool,
    Moment::End,
    BEHIND_THE_END,
];

/// The kinds of error that a stream may end with, as they are written.
const STREAM_ERRORS: [&str; 3] = ["", ":rate_limit", ":overloaded"];

/// Returns all faults, each at all of its moments.
pub(crate) fn faults() -> TestResult<Vec<Fault>> {
    let mut written: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
    written.extend(TELLING_STATUSES.map(str::to_owned));
    written.extend(MOMENTLESS.map(str::to_owned));
    for name in ["reset", "hang", "cut"] {
        written.push(name.to_owned());
        // Bytes that a reset throws away may be those of the end.
        let moments = MOMENTS.iter();
        let moments = moments.filter(|moment| name != "reset" || **moment != BEHIND_THE_END);
        written.extend(moments.map(|moment| format!("{name}{moment}")));
    }
    for moment in MOMENTS {
        written.push(format!("no-end{moment}"));
        // Half a line before an error is a fault of the simulator's making: no server says both.
        if moment != FIRST_LINE {
            written.extend(STREAM_ERRORS.map(|error| format!("error{moment}{error}")));
        }
    }
    Ok(written
        .iter()
        .map(|fault| fault.parse())
        .collect::<Result<_, _>>()?)
}

/// What decides about retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// `ModelRetryStrategy`, with short waits and three attempts.
    Default,
    /// `NoopRetryStrategy`.
    None,
    /// A strategy of the user's: anything, at most twice, at once.
    Custom,
    /// A hook that retries the first attempt at once, and no strategy.
    HookRetries,
    /// A hook that gives up, and the default strategy, which would not.
    HookGivesUp,
}

impl Strategy {
    pub(crate) const ALL: [Self; 5] = [
        Self::Default,
        Self::None,
        Self::Custom,
        Self::HookRetries,
        Self::HookGivesUp,
    ];
}

/// Which requests the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strikes {
    /// The turn in which it begins: before it, all goes well.
    pub(crate) turn: u32,
    pub(crate) for_ever: bool,
}

impl Strikes {
    /// The first turn has nothing to lose; behind the second lies a tool that has run.
    pub(crate) const ALL: [Self; 4] = [
        Self::new(1, false),
        Self::new(1, true),
        Self::new(2, false),
        Self::new(2, true),
    ];

    const fn new(turn: u32, for_ever: bool) -> Self {
        Self { turn, for_ever }
    }

    /// Returns whether the attempt meets the fault, if all before the turn went well.
    pub(crate) const fn meets(self, turn: u32, attempt: u32) -> bool {
        turn == self.turn && (attempt == 1 || self.for_ever)
    }
}

/// One cell: a fault on a wire, when it strikes, and who decides about retries.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) wire: Wire,
    pub(crate) fault: Fault,
    pub(crate) strategy: Strategy,
    pub(crate) strikes: Strikes,
}

impl Cell {
    /// Returns the script that has the fault strike so.
    pub(crate) fn script(&self) -> FaultScript {
        let before = FaultScript::new().then_times(Fault::Ok, self.strikes.turn - 1);
        if self.strikes.for_ever {
            before.then_for_ever(self.fault.clone())
        } else {
            before.then(self.fault.clone())
        }
    }

    /// Returns whether the fault is a silence, which only a timeout ends.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.fault, Fault::Hang(moment) if moment != BEHIND_THE_END)
            || self.fault == Fault::KeepAlive
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wire,
            fault,
            strategy,
            strikes,
        } = self;
        let times = if strikes.for_ever { "for ever" } else { "once" };
        write!(
            f,
            "{wire:?} × {fault} × {strategy:?} × turn {} {times}",
            strikes.turn
        )
    }
}

/// Returns whether the fault is none on a wire: an event of 10 MB is one with an image to Gemini, and
/// what is too long for that the providers' own tests have.
fn is_honest(wire: Wire, fault: &Fault) -> bool {
    wire == Wire::Gemini && *fault == Fault::HugeLine
}

/// Returns the product of the axes, without what is no fault.
pub(crate) fn cells(
    wires: &[Wire],
    strategies: &[Strategy],
    strikes: &[Strikes],
) -> TestResult<Vec<Cell>> {
    let mut cells = Vec::new();
    for fault in faults()? {
        for wire in wires.iter().filter(|wire| !is_honest(**wire, &fault)) {
            for strategy in strategies {
                cells.extend(strikes.iter().map(|strikes| Cell {
                    wire: *wire,
                    fault: fault.clone(),
                    strategy: *strategy,
                    strikes: *strikes,
                }));
            }
        }
    }
    Ok(cells)
}

/// The simulator's own list of faults: its enums cannot be matched from here without a wildcard, so
/// their source is read.
const SOURCE: &str = include_str!("../../../steadfast-sim/src/fault.rs");

/// Returns the variants of one of the simulator's enums.
pub(crate) fn variants(name: &str) -> Vec<&'static str> {
    let head = format!("pub enum {name} {{\n");
    let body = SOURCE.split_once(&head).map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or("", |(body, _)| body);
    let variant = |line: &'static str| {
        let name = line.strip_prefix("    ")?;
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name.get(..end.unwrap_or(name.len()))?;
        name.starts_with(|c: char| c.is_ascii_uppercase())
            .then_some(name)
    };
    body.lines().filter_map(variant).collect()
}
