//! AWS's retry modes on the command line: the flags, and `AWS_MAX_ATTEMPTS`.

use crate::process::{Finished, SimProcess, TestResult, finish, steadfast};

/// Prompts a server that always answers 503.
fn run(arguments: &[&str], variable: Option<&str>) -> TestResult<Finished> {
    let sim = SimProcess::start(&["--fault", "503*"])?;
    let base_url = sim.base_url()?;
    let model = ["run", "--model", "openai:m", "--base-url", &base_url];
    let mut command = steadfast(&[&model, arguments, &["Hi"]].concat());
    command.env("OPENAI_API_KEY", "any");
    if let Some(attempts) = variable {
        command.env("AWS_MAX_ATTEMPTS", attempts);
    }
    finish(&mut command)
}

#[test]
fn aws_standard_waits_as_aws_does() -> TestResult {
    let run = run(&["--retry", "aws-standard", "--events", "jsonl"], None)?;
    let events = run.events()?;

    let waits: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "event_loop_throttle")
        .collect();
    assert_eq!((run.status, waits.len()), (Some(1), 2), "{}", run.stdout);
    for (wait, longest) in waits.iter().zip([50.0, 100.0]) {
        assert!(wait["delay_ms"].as_f64().unwrap() <= longest, "{wait}");
        assert_eq!(wait["max_attempts"], 3);
        assert_eq!(wait["decided_by"], "backoff");
    }
    Ok(())
}

#[test]
fn attempts_are_the_flags_or_the_environments() -> TestResult {
    let cases = [
        (
            &["--retry", "aws-standard"][..],
            None,
            "3 attempts, all that `--max-attempts`",
        ),
        (
            &["--retry", "aws-standard"],
            Some("2"),
            "2 attempts, all that `AWS_MAX_ATTEMPTS`",
        ),
        (
            &["--retry", "aws-adaptive", "--max-attempts", "4"],
            Some("2"),
            "4 attempts, all that `--max-attempts`",
        ),
        (
            &["--retry", "aws-legacy", "--max-attempts", "1"],
            Some("2"),
            "1 attempt, all that `--max-attempts`",
        ),
    ];
    for (arguments, variable, expected) in cases {
        let run = run(arguments, variable)?;

        let last = run.stderr.lines().last().unwrap_or_default();
        assert_eq!(run.status, Some(1));
        assert!(last.contains(expected), "{arguments:?}: {last}");
    }
    Ok(())
}
