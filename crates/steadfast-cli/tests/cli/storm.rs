//! `steadfast storm`: strategies side by side, the same figures for the same seed, and what is refused.

#[cfg(unix)]
use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

#[cfg(unix)]
use crate::process::{PATIENCE, send, wait};
use crate::{
    bad_input::check_refusal,
    process::{Finished, TestResult, finish, steadfast},
};

fn storm(arguments: &[&str]) -> TestResult<Finished> {
    finish(&mut steadfast(&[&["storm"], arguments].concat()))
}

/// Compares and reads the figures.
fn figures(arguments: &[&str]) -> TestResult<Vec<Value>> {
    let finished = storm(&[arguments, &["--json"]].concat())?;
    assert_eq!(finished.status, Some(0), "{}", finished.stderr);
    Ok(serde_json::from_str(&finished.stdout)?)
}

#[test]
fn json_has_the_fields_of_the_contract() -> TestResult {
    let rows = figures(&[
        "--agents",
        "40",
        "--strategy",
        "perfect,strands-python,none",
    ])?;

    let names: Vec<_> = rows.iter().map(|row| row["strategy"].as_str()).collect();
    assert_eq!(
        names,
        [Some("perfect"), Some("strands-python"), Some("none")]
    );
    for row in &rows {
        for share in ["success", "wasted"] {
            let share = row[share].as_f64().ok_or("no share")?;
            assert!((0.0..=1.0).contains(&share), "{row}");
        }
        for figure in ["makespan_over_ideal", "p50_s", "p99_s", "peak_per_s"] {
            assert!(
                row[figure].as_f64().is_some_and(|figure| figure > 0.0),
                "{row}"
            );
        }
    }
    let wasted = |row: usize| rows[row]["wasted"].as_f64();
    // 40 agents, of whom 20 find a token: the others are refused once, or come back after 4 s.
    assert_eq!(
        (wasted(0), wasted(1), wasted(2)),
        (Some(0.0), Some(0.333333), Some(0.5))
    );
    Ok(())
}

#[test]
fn same_seed_gives_the_same_bytes_and_another_does_not() -> TestResult {
    for scenario in ["loops", "noisy", "outage", "tokens", "neighbour"] {
        let compared = |seed| {
            storm(&[
                "--scenario",
                scenario,
                "--agents",
                "60",
                "--strategy",
                "all",
                "--seed",
                seed,
                "--json",
            ])
        };

        let (first, second, other) = (compared("7")?, compared("7")?, compared("8")?);

        assert_eq!(first.status, Some(0), "{}", first.stderr);
        assert_eq!(first.stdout, second.stdout, "{scenario}");
        assert_ne!(first.stdout, other.stdout, "{scenario}");
    }
    Ok(())
}

#[test]
fn table_names_the_storm_the_seeds_and_every_strategy() -> TestResult {
    let table = storm(&["--agents", "40", "--seeds", "3", "--limit", "1200/m"])?;

    assert_eq!(table.status, Some(0), "{}", table.stderr);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("storm `burst`: all agents call at once"));
    assert_eq!(
        lines[1],
        "40 agents, 1 call each, limit 20/s, burst 20, no hints"
    );
    assert!(lines[2].starts_with("medians of the seeds 1, 2, 3; ideal "));
    assert!(lines[4].starts_with("strategy"));
    for strategy in ["perfect", "default", "strands-python", "vercel"] {
        assert!(
            lines.iter().any(|line| line.starts_with(strategy)),
            "{}",
            table.stdout
        );
    }
    Ok(())
}

#[test]
fn those_who_lose_agents_are_set_beside_no_ideal() -> TestResult {
    let asked = ["--agents", "40", "--strategy", "none,perfect"];

    let table = storm(&asked)?;
    let rows = figures(&asked)?;

    let cells = |name: &str| -> Vec<&str> {
        let mut lines = table.stdout.lines();
        let line = lines.find(|line| line.starts_with(name));
        line.unwrap_or_default().split_whitespace().collect()
    };
    let (none, perfect) = (cells("none"), cells("perfect"));
    assert_eq!((none[1], none[3]), ("50.0", "-"), "{}", table.stdout);
    assert!(none[6].ends_with('*') && none[7].ends_with('*'));
    assert_eq!((perfect[1], perfect[3]), ("100.0", "1.00"));
    assert!(table.stdout.contains("\n*: agents were lost"));
    assert!(rows[0]["makespan_over_ideal"].is_number(), "{rows:?}");
    Ok(())
}

#[test]
fn columns_of_an_outage_are_explained() -> TestResult {
    let table = storm(&["--scenario", "outage", "--strategy", "fleet"])?;

    let (_, explained) = table.stdout.split_once("\n\nx ideal:").ok_or("no end")?;
    for column in ["wasted", "peak/s", "longest", "in outage/s", "peak after"] {
        assert!(explained.contains(&format!("{column}: ")), "{explained}");
    }
    Ok(())
}

#[test]
fn lists_say_what_there_is() -> TestResult {
    let lists = [
        ("--scenario", ["burst", "charged", "outage"]),
        ("--strategy", ["perfect", "default", "atb"]),
    ];
    for (flag, expected) in lists {
        let list = storm(&[flag, "list"])?;

        assert_eq!(list.status, Some(0), "{}", list.stderr);
        for name in expected {
            let listed = |line: &str| line.split_whitespace().next() == Some(name);
            assert!(list.stdout.lines().any(listed), "{}", list.stdout);
        }
    }
    Ok(())
}

#[test]
fn lists_are_objects_for_programs() -> TestResult {
    for (flag, field, first) in [
        ("--scenario", "scenario", "burst"),
        ("--strategy", "strategy", "perfect"),
    ] {
        let listed = figures(&[flag, "list"])?;

        assert_eq!(listed[0][field], first);
        assert!(listed.iter().all(|one| one["what"].is_string()));
    }
    Ok(())
}

#[test]
fn picture_is_written_beside_the_table() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("storm.svg");
    let path = file.to_str().ok_or("no text")?;

    let table = storm(&[
        "--agents",
        "30",
        "--strategy",
        "perfect,none",
        "--svg",
        path,
    ])?;

    let picture = std::fs::read_to_string(&file)?;
    assert_eq!(table.status, Some(0), "{}", table.stderr);
    assert!(table.stdout.contains("perfect"), "{}", table.stdout);
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn interrupted_storm_leaves_the_old_picture() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("storm.svg");
    std::fs::write(&file, "old")?;
    let path = file.to_str().ok_or("no text")?;
    let mut child = steadfast(&["storm", "--real", "--agents", "400", "--svg", path])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stderr.take().ok_or("no stderr")?).read_line(&mut line)?;

    send(&child, rustix::process::Signal::INT)?;
    let status = wait(&mut child, PATIENCE)?;

    assert!(line.contains("this is done in real time"), "{line}");
    assert_eq!(status, Some(130));
    assert_eq!(std::fs::read_to_string(&file)?, "old");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

#[test]
fn picture_that_cannot_be_written_is_refused_at_once() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("nowhere/storm.svg");
    let path = file.to_str().ok_or("no text")?;

    let refused = storm(&["--svg", path])?;

    check_refusal(&refused, "--svg", "`--svg` cannot be written to `");
    Ok(())
}

#[test]
fn bars_name_what_is_held_and_what_is_not() -> TestResult {
    let asked = ["--bars", "--strategy", "none", "--seeds", "1"];

    let table = storm(&asked)?;
    let json = storm(&[&asked[..], &["--json"]].concat())?;

    assert_eq!(
        (table.status, json.status),
        (Some(1), Some(1)),
        "{}",
        table.stderr
    );
    assert!(table.stdout.starts_with("bars for `none`; medians"));
    let bars: Vec<Value> = serde_json::from_str(&json.stdout)?;
    let held = bars.iter().filter(|bar| bar["held"] == true).count();
    let counted = format!("\n{held} of {} bars are held\n", bars.len());
    assert!(table.stdout.contains(&counted), "{}", table.stdout);
    let lost = bars
        .iter()
        .find(|bar| bar["figure"] == "success")
        .ok_or("no success")?;
    assert_eq!(
        (&lost["held"], &lost["reached"]),
        (&Value::Bool(false), &Value::from(0.02))
    );
    Ok(())
}

#[test]
fn bars_have_storms_of_their_own() -> TestResult {
    let refused = storm(&["--bars", "--agents", "5"])?;

    assert_eq!(refused.status, Some(2), "{}", refused.stdout);
    assert!(
        refused
            .stderr
            .contains("'--bars' cannot be used with '--agents <N>'")
    );
    Ok(())
}

#[test]
fn impossible_storms_are_refused_by_the_name_of_the_flag() -> TestResult {
    let cases = [
        ("--strategy nosuch", "`--strategy` names `nosuch`"),
        ("--strategy perfect,,none", "`--strategy` names ``"),
        ("--scenario nosuch", "`--scenario` cannot be `nosuch`"),
        ("--agents 0", "`--agents` cannot be `0`"),
        ("--agents 20001", "`--agents` cannot be `20001`"),
        ("--calls 5001", "`--calls` cannot be `5001`"),
        (
            "--limit 0/s",
            "`--limit` cannot be `0/s`: it lets no request",
        ),
        (
            "--limit -1/s",
            "`--limit` cannot be `-1/s`: it lets no request",
        ),
        (
            "--limit NaN/s",
            "`--limit` cannot be `NaN/s`: it is not a rate",
        ),
        ("--limit 1e9/s", "`--limit` cannot be `1000000000/s`"),
        (
            "--limit 0.001/s",
            "`--limit` cannot be `0.001/s`: it is at least",
        ),
        ("--burst 0", "`--burst` cannot be `0`"),
        ("--burst 1000001", "`--burst` cannot be `1000001`"),
        (
            "--scenario windows --burst 3",
            "`--burst` has no meaning with `--scenario windows`",
        ),
        (
            "--scenario concurrency --burst 3",
            "`--burst` has no meaning with `--scenario concurrency`",
        ),
        (
            "--scenario tokens --burst 15",
            "`--burst` cannot be `15`: with `--scenario tokens` it is at least 16",
        ),
        (
            "--scenario tokens --calls 5 --burst 79",
            "`--burst` cannot be `79`: with `--scenario tokens` it is at least 80",
        ),
        (
            "--agents 20000 --limit 1/s",
            "`--agents`, `--calls` and `--limit` make a storm of 5h 33m",
        ),
        ("--processes 201", "`--processes` cannot be `201`"),
        ("--hint maybe", "`--hint` cannot be `maybe`"),
        ("--seed -1", "`--seed` cannot be `-1`"),
        ("--seed 1.5", "`--seed` cannot be `1.5`"),
        ("--seeds 0", "`--seeds` cannot be `0`"),
        ("--seeds 1001", "`--seeds` cannot be `1001`"),
    ];
    for (arguments, expected) in cases {
        let refused = storm(&arguments.split(' ').collect::<Vec<_>>())?;

        check_refusal(&refused, arguments, expected);
    }
    Ok(())
}

#[test]
fn hint_of_a_limit_points_to_where_it_can_be() -> TestResult {
    for (limit, expected) in [("0.001/s", "a larger one"), ("1e9/s", "a smaller one")] {
        let refused = storm(&["--limit", limit])?;

        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    Ok(())
}

#[test]
fn long_conversations_with_a_token_limit_fit() -> TestResult {
    let rows = figures(&[
        "--scenario",
        "tokens",
        "--agents",
        "10",
        "--calls",
        "20",
        "--strategy",
        "perfect",
    ])?;

    let figures = (&rows[0]["success"], &rows[0]["wasted"]);
    assert_eq!(figures, (&Value::from(1.0), &Value::from(0.0)));
    Ok(())
}

#[test]
fn real_storm_stands_beside_the_virtual_one() -> TestResult {
    let rows = figures(&[
        "--real",
        "--agents",
        "12",
        "--burst",
        "10",
        "--strategy",
        "perfect",
    ])?;

    assert_eq!(rows[0]["differs_in"], serde_json::json!([]), "{rows:?}");
    for row in [&rows[0], &rows[0]["virtual"]] {
        assert_eq!(row["success"], 1.0, "{row}");
        assert_eq!(row["wasted"], 0.0, "{row}");
    }
    Ok(())
}

#[test]
fn real_storms_that_cannot_be_are_refused() -> TestResult {
    let cases = [
        (
            ["--scenario", "charged"],
            "`--real` has no scenario `charged`",
        ),
        (
            ["--scenario", "windows"],
            "`--real` has no scenario `windows`",
        ),
        (
            ["--scenario", "outage"],
            "`--real` has no scenario `outage`",
        ),
        (
            ["--agents", "401"],
            "`--real` has at most 400 agents, not 401",
        ),
        (
            ["--scenario", "trickle"],
            "`--real` needs a `--burst` of at least 2",
        ),
        (
            ["--limit", "0.1/s"],
            "`--real` needs a `--burst` of at least 2",
        ),
        (
            ["--calls", "60"],
            "`--agents`, `--calls` and `--limit` make a storm of 3m 3s, and it is ended after 2m 0s",
        ),
        (["--seeds", "2"], "`--seeds` has no meaning with `--real`"),
    ];
    for (arguments, expected) in cases {
        let refused = storm(&[&["--real"], &arguments[..]].concat())?;

        check_refusal(&refused, &arguments.join(" "), expected);
    }
    Ok(())
}
