//! `steadfast sim` as a process: its first line, its log, its end.

use crate::process::{SimProcess, TestResult, finish, steadfast};

#[cfg(unix)]
#[test]
fn simulator_says_its_address_logs_requests_and_ends_on_a_signal() -> TestResult {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT] {
        let sim = SimProcess::start(&["--fault", "429*2, cut@text", "--chunk-delay", "1ms"])?;
        assert!(
            sim.first_line.starts_with("listening on http://127.0.0.1:"),
            "{}",
            sim.first_line
        );
        let base_url = sim.base_url()?;
        let mut command = steadfast(&[
            "run",
            "--model",
            "openai:m",
            "--base-url",
            &base_url,
            "--initial-delay",
            "1ms",
            "Hi",
        ]);

        let run = finish(command.env("OPENAI_API_KEY", "any"))?;
        let (status, log) = sim.end(signal)?;

        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert_eq!(status, Some(0));
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 6, "{log}");
        assert!(lines[0].starts_with("· base URL for OpenAI clients: http://127.0.0.1:"));
        assert_eq!(lines[1], "✗ POST /v1/chat/completions 429 (fault 429)");
        assert_eq!(lines[2], lines[1]);
        assert_eq!(lines[3], "✗ POST /v1/chat/completions 200 (fault cut@text)");
        assert_eq!(lines[4], "✓ POST /v1/chat/completions 200");
        assert_eq!(lines[5], "■ ended");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn addresses_beyond_this_machine_are_warned_of() -> TestResult {
    let sim = SimProcess::start(&["--listen", "0.0.0.0:0"])?;

    let (status, log) = sim.end(rustix::process::Signal::TERM)?;

    assert_eq!(status, Some(0));
    assert!(
        log.contains("warning: everybody who reaches this machine can use it"),
        "{log}"
    );
    Ok(())
}

#[test]
fn limit_and_hint_style_are_obeyed() -> TestResult {
    let sim = SimProcess::start(&["--limit", "5/s", "--burst", "1", "--hint", "exact"])?;
    let base_url = sim.base_url()?;
    let run = |_| {
        let mut command = steadfast(&[
            "run",
            "--model",
            "openai:m",
            "--base-url",
            &base_url,
            "--events",
            "jsonl",
            "--initial-delay",
            "0s",
            "Hi",
        ]);
        finish(command.env("OPENAI_API_KEY", "any"))
    };

    let runs = (0..2).map(run).collect::<Result<Vec<_>, _>>()?;

    let hints: Vec<_> = runs
        .iter()
        .map(|run| run.events())
        .collect::<Result<Vec<_>, _>>()?
        .concat()
        .iter()
        .filter_map(|event| event["error"]["retry_after_ms"].as_f64())
        .collect();
    assert!(
        !hints.is_empty() && hints.iter().all(|hint| *hint <= 200.0),
        "{hints:?}"
    );
    assert!(runs.iter().all(|run| run.status == Some(0)));
    Ok(())
}
