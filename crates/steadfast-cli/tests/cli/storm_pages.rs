//! What pages say of storms is what the program says: their tables, the picture, the README's figures.
//!
//! Only where the libraries of mathematics are the same are the last digits, so this is for Linux.

use std::{env, fs, path::Path};

use serde_json::Value;

use crate::process::{TestResult, steadfast};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const GUIDE: &str = "docs/guides/choosing-a-strategy.md";
const PICTURE: &str = "docs/pictures/storm.svg";

/// Set to write the pages anew instead of comparing them.
const WRITE: &str = "STEADFAST_WRITE_PAGES";

/// The storm of the guide's first table, as the guide has it.
const STORM: &str = "storm --agents 1000 --limit 20/s --burst 20 --seeds 5";
/// What the README has of it: the defaults are left out.
const STORM_OF_README: &str = "storm --agents 1000 --seeds 5";
/// The storm of the picture.
const DRAWN: &str = "storm --agents 1000 --limit 20/s --burst 20 --svg storm.svg --strategy \
                     perfect,fleet,default,strands-typescript,aws-adaptive-shared,openai-python-10";
/// The storms of the second table begin like this.
const FLEET: &str = "storm --strategy fleet --seeds 5";

/// What a time is set beside.
const TIME: &str = "makespan_over_ideal";

/// The rows of the first table.
const STRATEGIES: [(&str, &str); 11] = [
    ("perfect", "a limiter that knows the limit"),
    ("fleet", "**`FleetRetryStrategy`**"),
    (
        "aimd-no-ceilings",
        "an AIMD bucket that all share, without its published ceilings",
    ),
    (
        "strands-typescript",
        "Strands in TypeScript: 6 attempts, full jitter",
    ),
    (
        "strands-botocore",
        "Strands over botocore's own retries: 18 attempts",
    ),
    ("openai-python-10", "openai-python with 10 retries"),
    (
        "default",
        "`ModelRetryStrategy`, as Strands in Python: 6 attempts, no jitter",
    ),
    (
        "aws-adaptive-shared",
        "AWS's mode `adaptive`, one client for all",
    ),
    ("litellm", "LiteLLM"),
    ("vercel", "Vercel's AI SDK"),
    ("openai-python", "openai-python"),
];

/// The rows of the second table.
const STORMS: [(&str, &str); 11] = [
    ("agents of five calls", "--scenario loops"),
    (
        "a thousand, hints in whole seconds",
        "--agents 1000 --hint int",
    ),
    ("rate-limit headers", "--scenario headers"),
    (
        "refused requests use up the limit too",
        "--scenario charged",
    ),
    (
        "a limit that falls to two fifths and comes back",
        "--scenario limit-drop",
    ),
    ("fixed windows of a minute", "--scenario windows"),
    ("a limit of tokens, uneven sizes", "--scenario tokens"),
    ("a limit of calls at once", "--scenario concurrency"),
    ("an outage of 30 s", "--scenario outage"),
    ("ten processes that share nothing", "--processes 10"),
    (
        "ten of them, a thousand agents",
        "--agents 1000 --processes 10",
    ),
];

/// Runs a command, however long it computes, and reads its figures.
fn figures(command: &str) -> TestResult<Vec<Value>> {
    let arguments: Vec<&str> = command.split_whitespace().chain(["--json"]).collect();
    let output = steadfast(&arguments).output()?;
    assert!(output.status.success(), "{command}: {output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(row: &Value, field: &str) -> TestResult<f64> {
    let number = row[field].as_f64();
    Ok(number.ok_or_else(|| format!("no {field}: {row}"))?)
}

fn percent(row: &Value, field: &str) -> TestResult<String> {
    let share = number(row, field)?;
    let tenths = (1_000.0 * share).round() / 10.0;
    // What is not all is not shown as all.
    let tenths = if share < 1.0 {
        tenths.min(99.9)
    } else {
        tenths
    };
    Ok(format!("{tenths}"))
}

fn ratio(row: &Value, field: &str) -> TestResult<String> {
    Ok(format!("{:.2}", number(row, field)?))
}

/// The least and the most of all seeds.
fn range(
    row: &Value,
    field: &str,
    written: fn(&Value, &str) -> TestResult<String>,
) -> TestResult<String> {
    let value = |seed: &&Value| number(seed, field).unwrap_or(f64::NAN);
    let seeds = row["seeds"].as_array().ok_or("no seeds")?;
    let compared = |one: &&Value, other: &&Value| value(one).total_cmp(&value(other));
    let least = seeds.iter().min_by(compared).ok_or("no seeds")?;
    let most = seeds.iter().max_by(compared).ok_or("no seeds")?;
    Ok(format!(
        "({} to {})",
        written(least, field)?,
        written(most, field)?
    ))
}

fn strategies(rows: &[Value]) -> TestResult<String> {
    let mut table = "\
| strategy | agents that are done | time, over the ideal | refused, of all requests | p99 |
|---|---|---|---|---|
"
    .to_owned();
    for (name, words) in STRATEGIES {
        let row = rows.iter().find(|row| row["strategy"] == name);
        let row = row.ok_or_else(|| format!("no {name}"))?;
        let (time, p99) = if row["success"] == 1.0 {
            (ratio(row, TIME)?, format!("{:.1} s", number(row, "p99_s")?))
        } else {
            ("–".to_owned(), "–".to_owned())
        };
        let (done, refused) = (percent(row, "success")?, percent(row, "wasted")?);
        table += &format!("| {words} | {done} % | {time} | {refused} % | {p99} |\n");
    }
    Ok(table)
}

fn storms() -> TestResult<String> {
    let mut table = "\
| storm | time, over the ideal | refused, of all requests | |
|---|---|---|---|
"
    .to_owned();
    for (words, arguments) in STORMS {
        let rows = figures(&format!("{FLEET} {arguments}"))?;
        let row = rows.first().ok_or("no row")?;
        assert_eq!(row["success"], 1.0, "{arguments}");
        let time = format!("{} {}", ratio(row, TIME)?, range(row, TIME, ratio)?);
        let refused = format!(
            "{} % {}",
            percent(row, "wasted")?,
            range(row, "wasted", percent)?
        );
        table += &format!("| {words} | {time} | {refused} | `{arguments}` |\n");
    }
    Ok(table)
}

/// Puts a table in the place of the one with the same head.
fn with_table(page: &str, table: &str) -> TestResult<String> {
    let head = table.lines().next().ok_or("no head")?;
    let (before, rest) = page.split_once(head).ok_or_else(|| format!("no {head}"))?;
    let (_, after) = rest.split_once("\n\n").ok_or("no end of the table")?;
    Ok(format!("{before}{table}\n{after}"))
}

/// Puts a line in the place of the one that has the same words in it.
fn with_line(page: &str, words: &str, line: &str) -> TestResult<String> {
    let is_it = |line: &&str| line.contains(words);
    let before = page.lines().find(is_it);
    let before = before.ok_or_else(|| format!("no line with `{words}`"))?;
    Ok(page.replacen(before, line, 1))
}

/// Writes the page, or compares it with what is there.
fn check(file: &str, expected: &str) -> TestResult {
    let path = Path::new(ROOT).join(file);
    if env::var_os(WRITE).is_some() {
        fs::write(&path, expected)?;
    }
    let written = fs::read_to_string(&path)?;
    let mut lines = expected.lines().zip(written.lines());
    let other = lines.find(|(now, before)| now != before);
    assert_eq!(other, None, "{file}: write it anew with {WRITE}=1");
    assert_eq!(
        expected.len(),
        written.len(),
        "{file}: write it anew with {WRITE}=1"
    );
    Ok(())
}

fn page(file: &str) -> TestResult<String> {
    Ok(fs::read_to_string(Path::new(ROOT).join(file))?)
}

#[test]
fn pages_have_the_figures_that_their_commands_give() -> TestResult {
    let rows = figures(STORM)?;
    let fleet = rows.iter().find(|row| row["strategy"] == "fleet");
    let fleet = fleet.ok_or("no fleet")?;
    let line = format!(
        "  {} % are done, in {} times the ideal time, with {} % of all requests refused.",
        percent(fleet, "success")?,
        ratio(fleet, TIME)?,
        percent(fleet, "wasted")?
    );
    let guide = with_table(&page(GUIDE)?, &strategies(&rows)?)?;
    let guide = with_table(&guide, &storms()?)?;
    let readme = with_line(&page("README.md")?, " times the ideal time, with ", &line)?;

    for (page, command) in [(&guide, STORM), (&guide, FLEET), (&readme, STORM_OF_README)] {
        assert!(page.contains(command), "the page names `{command}`");
    }
    check(GUIDE, &guide)?;
    check("README.md", &readme)
}

#[test]
fn defaults_are_what_the_readme_leaves_out() -> TestResult {
    let short = figures("storm --agents 100 --strategy fleet")?;
    let long = figures("storm --agents 100 --limit 20/s --burst 20 --strategy fleet")?;

    assert_eq!(short, long);
    Ok(())
}

#[test]
fn picture_is_what_its_command_draws() -> TestResult {
    let folder = tempfile::tempdir()?;
    let drawn = steadfast(&DRAWN.split_whitespace().collect::<Vec<_>>())
        .current_dir(folder.path())
        .output()?;
    assert!(drawn.status.success(), "{drawn:?}");
    let picture = fs::read_to_string(folder.path().join("storm.svg"))?;

    let guide = page(GUIDE)?.replace("\\\n", "");
    let words: Vec<&str> = guide.split_whitespace().collect();
    assert!(words.join(" ").contains(DRAWN), "the guide names `{DRAWN}`");
    check(PICTURE, &picture)
}
