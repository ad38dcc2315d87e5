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
    let sim = SimProcess::start(&["--limit", "1/m", "--burst", "1", "--hint", "exact"])?;
    let base_url = sim.base_url()?;
    let run = || {
        let mut command = steadfast(&[
            "run",
            "--model",
            "openai:m",
            "--base-url",
            &base_url,
            "--events",
            "jsonl",
            "--max-attempts",
            "1",
            "Hi",
        ]);
        finish(command.env("OPENAI_API_KEY", "any"))
    };

    let (admitted, refused) = (run()?, run()?);

    assert_eq!(admitted.status, Some(0), "{}", admitted.stderr);
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    let error = &refused.events()?.pop().unwrap()["error"];
    assert_eq!(error["status"], 429);
    // What is left of the minute, and not a round number of seconds.
    let hint = error["retry_after_ms"].as_f64().unwrap();
    assert!(hint > 0.0 && hint < 60_000.0, "{hint}");
    Ok(())
}
