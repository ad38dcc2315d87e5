//! A comparison as a table for people, and as JSON for programs.

use serde_json::{Map, Number, Value, json};

use super::{
    comparison::{Comparison, Row},
    figures::{Figures, Ideal, median},
    real::{Pair, Real, SECONDS, SHARES, TIMES},
    scenario::{Scenario, described},
    tally::MOST_REQUESTS,
};
use crate::text_view::duration;

/// How wide a column is.
const WIDTH: usize = 10;

/// A column: its head, and what stands in it.
type Column = (&'static str, fn(&Figures) -> String);

/// The columns of every storm.
const COLUMNS: [Column; 7] = [
    ("success", |figures| percent(figures.success)),
    ("x ideal", over_ideal),
    ("wasted", |figures| percent(figures.wasted)),
    ("p50 s", |figures| of_survivors(figures, figures.p50, "")),
    ("p99 s", |figures| of_survivors(figures, figures.p99, "")),
    ("peak/s", |figures| rounded(figures.peak, 0)),
    ("requests", |figures| rounded(figures.requests, 0)),
];
/// Those of a storm with an outage.
const COLUMNS_OF_OUTAGE: [Column; 3] = [
    ("longest s", |figures| {
        of_survivors(figures, figures.longest, "")
    }),
    ("in outage/s", |figures| rounded(figures.outage_load, 1)),
    ("peak after", |figures| {
        rounded(figures.peak_after_outage, 0)
    }),
];

/// Writes the table, with what it is about and what its words mean.
pub(super) fn table(scenario: &Scenario, comparison: &Comparison) -> String {
    let mut lines = vec![
        format!("storm `{}`: {}", scenario.name, scenario.what),
        described(&comparison.world),
        of_seeds(comparison),
        String::new(),
    ];
    let names = comparison.rows.iter().map(|row| row.strategy.name.len());
    let first = names.max().unwrap_or_default().max("strategy".len());
    let mut columns = COLUMNS.to_vec();
    if comparison.world.outage.is_some() {
        columns.extend(COLUMNS_OF_OUTAGE);
    }
    let heads: String = columns.iter().map(|(head, _)| cell(head, head)).collect();
    lines.push(format!("{:first$}{heads}", "strategy"));
    for row in &comparison.rows {
        let figures = columns
            .iter()
            .map(|(head, figure)| cell(head, &figure(&row.summary)));
        let figures: String = figures.collect();
        lines.push(format!("{:first$}{figures}", row.strategy.name));
    }
    lines.push(String::new());
    if comparison.seeds.len() > 1 {
        lines.push("success: of the seed that fared worst".to_owned());
    }
    lines.extend(explained(comparison).map(str::to_owned));
    if comparison.world.outage.is_some() {
        lines.extend(EXPLAINED_OF_OUTAGE.map(str::to_owned));
    }
    lines.extend(ran_away(comparison));
    lines.join("\n") + "\n"
}

/// Says what the columns of every storm mean.
fn explained(comparison: &Comparison) -> impl Iterator<Item = &'static str> {
    let complete = comparison.rows.iter().all(|row| row.summary.is_complete());
    let survivors = "*: agents were lost: times are of those calls that succeeded, and nothing is set beside the ideal";
    [
        "x ideal: when the last agent was done, over the same of a limiter that knows the limit",
        "wasted: requests that were refused, of all; peak/s: requests in the busiest second",
        "p50, p99: of how long the calls took that succeeded, waits included",
    ]
    .into_iter()
    .chain((!complete).then_some(survivors))
}

const EXPLAINED_OF_OUTAGE: [&str; 2] = [
    "longest: of the calls that succeeded; in outage/s: requests at the dead provider,",
    "but for the first second; peak after: requests in the busiest second after the outage",
];

/// Writes the table of a real storm, each strategy above the same in virtual time.
pub(super) fn table_of_pairs(scenario: &Scenario, real: &Real, pairs: &[Pair]) -> String {
    let (mean, most) = (real.late.mean.as_millis(), real.late.most.as_millis());
    let real = &real.comparison;
    let mut lines = vec![
        format!("real storm `{}`: {}", scenario.name, scenario.what),
        described(&real.world),
        of_seeds(real),
        String::new(),
    ];
    let names = pairs.iter().map(|pair| pair.strategy.name.len());
    let first = names.max().unwrap_or_default().max(VIRTUALLY.len());
    let mut line = |name: &str, figures: &dyn Fn(&Column) -> String| {
        let cells = COLUMNS
            .iter()
            .map(|column| cell(column.0, &figures(column)));
        lines.push(format!("{name:first$}{}", cells.collect::<String>()));
    };
    line("strategy", &|(head, _)| (*head).to_owned());
    for pair in pairs {
        line(pair.strategy.name, &|(_, figure)| figure(&pair.real));
        line(VIRTUALLY, &|(_, figure)| figure(&pair.virtually));
    }
    lines.push(String::new());
    let differing = pairs.iter().filter(|pair| !pair.differences().is_empty());
    let differing: Vec<String> = differing
        .map(|pair| {
            format!(
                "{} in {}",
                pair.strategy.name,
                pair.differences().join(", ")
            )
        })
        .collect();
    lines.push(match differing.as_slice() {
        [] => "real and virtual storms agree".to_owned(),
        differing => format!("real and virtual storms differ: {}", differing.join("; ")),
    });
    lines.push(
        "in virtual time: medians of the same storm, computed with many kinds of luck in who comes first"
            .to_owned(),
    );
    lines.push(format!(
        "agree: no real figure is beyond all of these by more than {:.0} points, or {:.0} % or {SECONDS} s",
        100.0 * SHARES,
        100.0 * TIMES
    ));
    lines.push(format!(
        "timers came {mean} ms late on average and {most} ms at most, for which more is allowed"
    ));
    lines.extend(explained(real).map(str::to_owned));
    lines.extend(ran_away(real));
    lines.join("\n") + "\n"
}

/// What stands before the figures of the same storm in virtual time.
const VIRTUALLY: &str = "  in virtual time";

/// Says which seeds the figures are of, and what the ideal is.
fn of_seeds(comparison: &Comparison) -> String {
    let ideal = |figure: fn(&Ideal) -> f64| median(comparison.ideals.iter().map(figure).collect());
    let ideal = format!(
        "ideal {} s, its p99 {} s",
        rounded(ideal(|ideal| ideal.makespan), 1),
        rounded(ideal(|ideal| ideal.p99), 1)
    );
    let seeds: Vec<String> = comparison.seeds.iter().map(u64::to_string).collect();
    match seeds.as_slice() {
        [seed] => format!("seed {seed}; {ideal}"),
        seeds => format!("medians of the seeds {}; {ideal}", seeds.join(", ")),
    }
}

/// Names the strategies whose storm did not end by itself.
fn ran_away(comparison: &Comparison) -> Option<String> {
    let unfinished = |row: &&Row| row.seeds.iter().any(|figures| figures.unfinished > 0.0);
    let rows = comparison.rows.iter().filter(unfinished);
    let names: Vec<&str> = rows.map(|row| row.strategy.name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "ended after {} or {} million requests: {}",
            duration(comparison.world.longest),
            MOST_REQUESTS / 1_000_000,
            names.join(", ")
        )
    })
}

/// Puts a text to the right of its column.
fn cell(head: &str, text: &str) -> String {
    let width = WIDTH.max(head.len() + 2);
    format!("{text:>width$}")
}

/// Whoever loses agents is done early: that is no time to be compared.
pub(super) fn over_ideal(figures: &Figures) -> String {
    if figures.is_complete() {
        rounded(figures.makespan_over_ideal, 2)
    } else {
        rounded(f64::NAN, 2)
    }
}

/// Marks a time where agents were lost: those who had to wait longest may be among them.
pub(super) fn of_survivors(figures: &Figures, time: f64, unit: &str) -> String {
    let survivors = if figures.is_complete() || time.is_nan() {
        ""
    } else {
        "*"
    };
    rounded(time, 1) + unit + survivors
}

pub(super) fn percent(share: f64) -> String {
    // What is not all is not shown as all.
    let tenths = (share * 1_000.0).round();
    let tenths = if share < 1.0 {
        tenths.min(999.0)
    } else {
        tenths
    };
    format!("{:.1} %", tenths / 10.0)
}

pub(super) fn rounded(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    format!("{value:.digits$}")
}

/// Writes the comparison as an array, one object for each strategy.
pub(super) fn json(scenario: &Scenario, comparison: &Comparison) -> String {
    let rows = comparison.rows.iter().map(|row| {
        let mut object = Map::new();
        object.insert("strategy".to_owned(), json!(row.strategy.name));
        object.extend(fields(&row.summary));
        object.insert("whose".to_owned(), json!(row.strategy.whose.name()));
        object.insert("scenario".to_owned(), json!(scenario.name));
        object.insert("agents".to_owned(), json!(comparison.world.agents));
        object.insert("calls".to_owned(), json!(comparison.world.calls));
        object.insert("processes".to_owned(), json!(comparison.world.processes));
        let seeds = comparison.seeds.iter().zip(&row.seeds);
        let seeds = seeds.map(|(seed, figures)| {
            let mut object = Map::new();
            object.insert("seed".to_owned(), json!(seed));
            object.extend(fields(figures));
            Value::Object(object)
        });
        object.insert("seeds".to_owned(), seeds.collect());
        Value::Object(object).to_string()
    });
    array(rows)
}

/// Writes the pairs as an array: the real figures, and the virtual ones as a member.
pub(super) fn json_of_pairs(scenario: &Scenario, real: &Comparison, pairs: &[Pair]) -> String {
    array(pairs.iter().map(|pair| {
        let mut object = Map::new();
        object.insert("strategy".to_owned(), json!(pair.strategy.name));
        object.extend(fields(&pair.real));
        object.insert("scenario".to_owned(), json!(scenario.name));
        object.insert("agents".to_owned(), json!(real.world.agents));
        object.insert("seeds".to_owned(), json!(real.seeds));
        let virtually = fields(&pair.virtually).into_iter().collect();
        object.insert("virtual".to_owned(), Value::Object(virtually));
        object.insert("differs_in".to_owned(), json!(pair.differences()));
        Value::Object(object).to_string()
    }))
}

/// Writes an array with one object a line.
pub(super) fn array(objects: impl Iterator<Item = String>) -> String {
    let objects: Vec<String> = objects.collect();
    format!("[\n{}\n]\n", objects.join(",\n"))
}

fn fields(figures: &Figures) -> [(String, Value); 16] {
    [
        ("success", figures.success),
        ("makespan_over_ideal", figures.makespan_over_ideal),
        ("wasted", figures.wasted),
        ("p50_s", figures.p50),
        ("p99_s", figures.p99),
        ("peak_per_s", figures.peak),
        ("makespan_s", figures.makespan),
        ("longest_s", figures.longest),
        ("p99_over_ideal", figures.p99_over_ideal),
        ("longest_over_ideal", figures.longest_over_ideal),
        ("requests", figures.requests),
        ("requests_per_call", figures.requests_a_call),
        ("fairness", figures.fairness),
        ("unfinished", figures.unfinished),
        ("outage_load_per_s", figures.outage_load),
        ("peak_after_outage_per_s", figures.peak_after_outage),
    ]
    .map(|(name, figure)| (name.to_owned(), field(figure)))
}

/// A figure with six digits behind the point; null if there is none.
fn field(figure: f64) -> Value {
    let rounded = (figure * 1e6).round() / 1e6;
    Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}
