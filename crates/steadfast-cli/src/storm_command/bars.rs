//! The bars that the fleet strategy has to reach, storm by storm, and who reaches them.

use serde_json::{Value, json};
use steadfast_sim::HintStyle;

use super::{
    comparison::{Comparison, Row},
    figures::{Figures, median},
    scenario::{Scenario, Wishes},
    strategies::Strategy,
    table::{percent, rounded},
};
use crate::refusal::Refusal;

/// One storm with its bars.
struct Bar {
    storm: &'static str,
    scenario: &'static str,
    asked: Wishes,
    bars: &'static [(Measured, f64)],
}

/// What is measured; no figure may be above its bar, but for success, which may not be below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Success,
    Makespan,
    Wasted,
    P99,
    LongestOverIdeal,
    OutageLoad,
    Longest,
    PeakAfterOutage,
}

use Measured::{
    Longest, LongestOverIdeal, Makespan, OutageLoad, P99, PeakAfterOutage, Success, Wasted,
};

const USUAL: Wishes = Wishes {
    agents: None,
    calls: None,
    processes: None,
    limit: None,
    burst: None,
    hint: None,
};

/// The storms that were agreed on, in that order, and those of headers that tell what is not the limit.
/// Everywhere all agents have to be done. That nobody
/// starves is held where agents of several calls compete for their turn: there the call that takes
/// longest is set beside that of the limiter that knows the limit. What a call costs where nothing is
/// throttled is no storm: the benchmarks hold it.
const BARS: [Bar; 21] = [
    Bar {
        storm: "1,000 agents, 20/s, burst 20",
        scenario: "burst",
        asked: Wishes {
            agents: Some(1_000),
            ..USUAL
        },
        bars: &[(Makespan, 1.03), (Wasted, 0.03), (P99, 1.05)],
    },
    Bar {
        storm: "200 agents, the same",
        scenario: "burst",
        asked: USUAL,
        bars: &[(Makespan, 1.05), (Wasted, 0.07), (P99, 1.05)],
    },
    Bar {
        storm: "200 agents of 5 calls",
        scenario: "loops",
        asked: USUAL,
        bars: &[
            (Makespan, 1.03),
            (Wasted, 0.04),
            (P99, 1.05),
            (LongestOverIdeal, 1.05),
        ],
    },
    Bar {
        storm: "1,000 agents, hints in seconds",
        scenario: "burst",
        asked: Wishes {
            agents: Some(1_000),
            hint: Some(HintStyle::Integer),
            ..USUAL
        },
        bars: &[(Makespan, 1.04), (Wasted, 0.04)],
    },
    Bar {
        storm: "200 agents, exact hints",
        scenario: "burst",
        asked: Wishes {
            hint: Some(HintStyle::Exact),
            ..USUAL
        },
        bars: &[(Makespan, 1.06), (Wasted, 0.07)],
    },
    Bar {
        storm: "rate-limit headers",
        scenario: "headers",
        asked: USUAL,
        bars: &[(Makespan, 1.02), (Wasted, 0.005)],
    },
    Bar {
        storm: "headers of a minute's budget",
        scenario: "minute-headers",
        asked: USUAL,
        bars: &[(Makespan, 1.05), (Wasted, 0.07)],
    },
    Bar {
        storm: "the same, 1,000 agents, hints",
        scenario: "minute-headers",
        asked: Wishes {
            agents: Some(1_000),
            hint: Some(HintStyle::Integer),
            ..USUAL
        },
        bars: &[(Makespan, 1.04), (Wasted, 0.04)],
    },
    Bar {
        storm: "refused requests burn the limit",
        scenario: "charged",
        asked: USUAL,
        bars: &[(Makespan, 1.10), (Wasted, 0.05)],
    },
    Bar {
        storm: "limit 20, 8, 20",
        scenario: "limit-drop",
        asked: USUAL,
        bars: &[(Makespan, 1.05), (Wasted, 0.06)],
    },
    Bar {
        storm: "noisy network",
        scenario: "noisy",
        asked: USUAL,
        bars: &[(Makespan, 1.06), (Wasted, 0.08)],
    },
    Bar {
        storm: "windows of 60 s, with hints",
        scenario: "windows",
        asked: Wishes {
            hint: Some(HintStyle::Integer),
            ..USUAL
        },
        bars: &[(Makespan, 1.05), (Wasted, 0.12)],
    },
    Bar {
        storm: "windows of 60 s, without",
        scenario: "windows",
        asked: USUAL,
        bars: &[(Makespan, 1.10), (Wasted, 0.12)],
    },
    Bar {
        storm: "1/s, burst 1",
        scenario: "trickle",
        asked: USUAL,
        bars: &[(Makespan, 1.25)],
    },
    Bar {
        storm: "120/s, 1,200 agents",
        scenario: "burst",
        asked: Wishes {
            agents: Some(1_200),
            limit: Some(120.0),
            ..USUAL
        },
        bars: &[(Makespan, 1.08)],
    },
    Bar {
        storm: "0.7/s, 42 agents",
        scenario: "burst",
        asked: Wishes {
            agents: Some(42),
            limit: Some(0.7),
            ..USUAL
        },
        bars: &[(Makespan, 1.3)],
    },
    Bar {
        storm: "token limit, uneven sizes",
        scenario: "tokens",
        asked: USUAL,
        bars: &[(Makespan, 1.10), (Wasted, 0.08)],
    },
    Bar {
        storm: "concurrency limit",
        scenario: "concurrency",
        asked: USUAL,
        bars: &[(Makespan, 1.10), (Wasted, 0.08)],
    },
    Bar {
        storm: "outage of 30 s, 10 come a second",
        scenario: "outage",
        asked: USUAL,
        bars: &[
            (OutageLoad, 0.5),
            // No call takes longer than the outage and five seconds.
            (Longest, 35.0),
            (PeakAfterOutage, 30.0),
        ],
    },
    Bar {
        storm: "10 processes, 200 agents",
        scenario: "burst",
        asked: Wishes {
            processes: Some(10),
            ..USUAL
        },
        bars: &[(Makespan, 1.25), (Wasted, 0.15)],
    },
    Bar {
        storm: "10 processes, 1,000 agents",
        scenario: "burst",
        asked: Wishes {
            agents: Some(1_000),
            processes: Some(10),
            ..USUAL
        },
        bars: &[(Makespan, 1.25), (Wasted, 0.15)],
    },
];

/// What came of one bar.
#[derive(Debug)]
pub(super) struct Reached {
    strategy: &'static str,
    storm: &'static str,
    measured: Measured,
    bar: f64,
    /// Seed by seed; not a number is a time where agents were lost.
    values: Vec<f64>,
    /// Whether every agent was done under every seed.
    is_complete: bool,
}

impl Measured {
    const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Makespan => "x ideal",
            Self::Wasted => "wasted",
            Self::P99 => "p99 x ideal",
            Self::LongestOverIdeal => "max x ideal",
            Self::OutageLoad => "in outage/s",
            Self::Longest => "longest s",
            Self::PeakAfterOutage => "peak after",
        }
    }

    fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Success => figures.success,
            Self::Makespan => figures.makespan_over_ideal,
            Self::Wasted => figures.wasted,
            Self::P99 => figures.p99_over_ideal,
            Self::LongestOverIdeal => figures.longest_over_ideal,
            Self::OutageLoad => figures.outage_load,
            Self::Longest => figures.longest,
            Self::PeakAfterOutage => figures.peak_after_outage,
        }
    }

    /// Returns whether it is a time of agents or calls: those that were lost have none.
    const fn is_time(self) -> bool {
        match self {
            Self::Makespan | Self::P99 | Self::LongestOverIdeal | Self::Longest => true,
            Self::Success | Self::Wasted | Self::OutageLoad | Self::PeakAfterOutage => false,
        }
    }

    fn written(self, value: f64) -> String {
        match self {
            Self::Success | Self::Wasted => percent(value),
            Self::Makespan | Self::P99 | Self::LongestOverIdeal => rounded(value, 3),
            Self::OutageLoad | Self::Longest => rounded(value, 2),
            Self::PeakAfterOutage => rounded(value, 0),
        }
    }
}

impl Reached {
    fn of(row: &Row, storm: &'static str, measured: Measured, bar: f64) -> Self {
        let value = |seed: &Figures| {
            if measured.is_time() && !seed.is_complete() {
                f64::NAN
            } else {
                measured.of(seed)
            }
        };
        Self {
            strategy: row.strategy.name,
            storm,
            measured,
            bar,
            values: row.seeds.iter().map(value).collect(),
            is_complete: row.summary.is_complete(),
        }
    }

    /// The median, but of success the least.
    fn value(&self) -> f64 {
        match self.measured {
            Success => self.values.iter().copied().fold(f64::INFINITY, f64::min),
            _ => median(self.values.clone()),
        }
    }

    /// Returns whether the bar is reached. Whoever loses agents reaches none: it is easy to be fast
    /// for a few.
    pub(super) fn is_held(&self) -> bool {
        match self.measured {
            Success => self.value() >= self.bar,
            _ => self.is_complete && self.value() <= self.bar,
        }
    }
}

/// Holds the strategies against all bars. It computes for as long as that takes.
pub(super) fn reached(
    strategies: &[&'static Strategy],
    seeds: &[u64],
) -> Result<Vec<Reached>, Refusal> {
    let mut reached = Vec::new();
    for Bar {
        storm,
        scenario,
        asked,
        bars,
    } in BARS
    {
        let world = Scenario::named(scenario)?.world(&asked)?;
        let compared = Comparison::of(strategies, world, seeds.to_vec())?;
        for row in &compared.rows {
            for (measured, bar) in [(Success, 1.0)].iter().chain(bars) {
                reached.push(Reached::of(row, storm, *measured, *bar));
            }
        }
    }
    Ok(reached)
}

/// Writes a line for each bar, strategy by strategy.
pub(super) fn table(strategies: &[&Strategy], seeds: &[u64], reached: &[Reached]) -> String {
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut lines = Vec::new();
    for strategy in strategies {
        lines.push(format!(
            "bars for `{}`; medians, of success the least, and behind them the seeds {}",
            strategy.name,
            seeds.join(", ")
        ));
        lines.push(String::new());
        lines.push(format!(
            "{:34}{:13}{:>9}{:>11}  {:9}seed by seed",
            "storm", "figure", "reached", "bar", ""
        ));
        let mut storm = "";
        let mut held = 0;
        let mut all = 0;
        let of_strategy = |one: &&Reached| one.strategy == strategy.name;
        for one in reached.iter().filter(of_strategy) {
            lines.push(line(one, storm));
            storm = one.storm;
            held += u32::from(one.is_held());
            all += 1;
        }
        lines.push(String::new());
        lines.push(format!("{held} of {all} bars are held"));
        lines.push(String::new());
    }
    lines.join("\n")
}

fn line(one: &Reached, storm_above: &str) -> String {
    let storm = if one.storm == storm_above {
        ""
    } else {
        one.storm
    };
    let sign = if one.measured == Success { ">=" } else { "<=" };
    let bar = format!("{sign} {}", one.measured.written(one.bar));
    let held = if one.is_held() { "held" } else { "NOT HELD" };
    let values: Vec<String> = one
        .values
        .iter()
        .map(|value| one.measured.written(*value))
        .collect();
    format!(
        "{storm:34}{:13}{:>9}{bar:>11}  {held:9}{}",
        one.measured.name(),
        one.measured.written(one.value()),
        values.join("  ")
    )
}

/// Writes an object for each bar.
pub(super) fn objects(reached: &[Reached]) -> impl Iterator<Item = String> {
    reached.iter().map(|one| {
        json!({
            "strategy": one.strategy,
            "storm": one.storm,
            "figure": one.measured.name(),
            "reached": finite(one.value()),
            "bar": one.bar,
            "held": one.is_held(),
            "seeds": one.values.iter().copied().map(finite).collect::<Vec<_>>(),
        })
        .to_string()
    })
}

/// A number, or null where there is none.
fn finite(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm_command::strategies::named;

    #[test]
    fn limiter_that_knows_the_limit_reaches_what_it_can_know() {
        let perfect = [named("perfect").unwrap()];

        let reached = reached(&perfect, &[1]).unwrap();

        // A full bucket after an outage and a network that shuffles requests are nothing to know.
        let missed: Vec<_> = reached
            .iter()
            .filter(|one| !one.is_held() && one.measured != PeakAfterOutage)
            .collect();
        assert!(
            missed.iter().all(|one| one.storm == "noisy network"),
            "{missed:?}"
        );
        assert_eq!(
            reached.len(),
            BARS.iter().map(|bar| bar.bars.len() + 1).sum::<usize>()
        );
    }

    #[test]
    fn fleet_strategy_holds_every_bar() {
        let fleet = [named("fleet").unwrap()];

        let reached = reached(&fleet, &[1, 2, 3, 4, 5]).unwrap();

        let missed: Vec<_> = reached.iter().filter(|one| !one.is_held()).collect();
        assert!(missed.is_empty(), "{missed:#?}");
    }

    #[test]
    fn medians_are_held_and_success_of_every_seed() {
        let one = |measured, bar, values: &[f64]| {
            Reached {
                strategy: "perfect",
                storm: "",
                measured,
                bar,
                values: values.to_vec(),
                is_complete: true,
            }
            .is_held()
        };

        assert!(one(Makespan, 1.03, &[0.9, 1.03, 1.2]));
        assert!(!one(Makespan, 1.03, &[0.9, 1.031, 1.2]));
        assert!(one(Success, 1.0, &[1.0, 1.0, 1.0]));
        assert!(!one(Success, 1.0, &[1.0, 0.9, 1.0]));
        assert!(!one(Makespan, 1.03, &[f64::NAN]));
    }

    #[test]
    fn whoever_loses_agents_holds_no_bar() {
        let none = [named("none").unwrap()];

        let reached = reached(&none, &[1]).unwrap();

        let held: Vec<_> = reached.iter().filter(|one| one.is_held()).collect();
        assert!(held.is_empty(), "{held:?}");
    }
}
