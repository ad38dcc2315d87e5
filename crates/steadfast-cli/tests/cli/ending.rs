//! How runs end: force stops, Ctrl-C, readers that go away.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::process::{PATIENCE, SimProcess, TestResult, finish, steadfast, wait};

const SECRET: &str = "sk-secret0123456789abcdef";

#[test]
fn force_stop_is_an_error_line_a_hint_and_status_one() -> TestResult {
    let sim = SimProcess::start(&["--fault", "401*"])?;
    let base_url = sim.base_url()?;
    for format in ["text", "jsonl"] {
        let mut command = steadfast(&[
            "run",
            "--model",
            "openai:m",
            "--base-url",
            &base_url,
            "--events",
            format,
            "Hi",
        ]);

        let run = finish(command.env("OPENAI_API_KEY", SECRET))?;

        assert_eq!(run.status, Some(1), "{}", run.stderr);
        let end = "\n\nhint: check the API key and what it may do\n";
        assert!(
            run.stderr
                .contains("error: the provider refused the credentials (401)")
        );
        assert!(run.stderr.ends_with(end), "{}", run.stderr);
        assert!(!run.stderr.contains("secret") && !run.stdout.contains("secret"));
        if format == "text" {
            assert!(run.stdout.is_empty());
            assert!(
                run.stderr
                    .starts_with("■ force stop in turn 1, attempt 1, after ")
            );
        } else {
            let events = run.events()?;
            assert_eq!(events.last().unwrap()["type"], "force_stop");
            assert_eq!(events.last().unwrap()["error"]["kind"], "auth");
        }
    }
    Ok(())
}

#[test]
fn refusal_without_a_key_says_that_none_was_sent() -> TestResult {
    let sim = SimProcess::start(&[])?;
    let base_url = sim.base_url()?;

    let run = finish(&mut steadfast(&[
        "run",
        "--model",
        "openai:m",
        "--base-url",
        &base_url,
        "Hi",
    ]))?;

    assert_eq!(run.status, Some(1), "{}", run.stderr);
    let end = "hint: no key was sent: set the environment variable OPENAI_API_KEY\n";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    Ok(())
}

#[test]
fn retries_switched_off_or_used_up_are_a_force_stop() -> TestResult {
    let cases = [
        (&["--retry", "none"][..], "leave out `--retry none`"),
        (
            &["--max-attempts", "1"],
            "gave up after 1 attempt, all that `--max-attempts` allows; come back",
        ),
        (
            &["--max-attempts", "2", "--initial-delay", "10ms"],
            "gave up after 2 attempts, all that `--max-attempts` allows; come back in 1.5s",
        ),
        (&["--deadline", "100ms"], "`--deadline`"),
        (
            &[
                "--max-hint",
                "1s",
                "--max-delay",
                "1s",
                "--initial-delay",
                "10ms",
            ],
            "a longer wait than `--max-hint` allows (1s); come back in 1.5s",
        ),
    ];
    for (arguments, hint) in cases {
        let run = finish(&mut steadfast(&[&["run"], arguments, &["Oslo?"]].concat()))?;

        assert_eq!(run.status, Some(1), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty());
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("hint: ") && last.contains(hint),
            "{arguments:?}: {last}"
        );
        assert!(run.stderr.contains("\nerror: "), "{}", run.stderr);
    }
    Ok(())
}

#[test]
fn server_that_is_not_there_is_a_force_stop() -> TestResult {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let mut command = steadfast(&[
        "run",
        "--model",
        "openai:m",
        "--base-url",
        &base_url,
        "--retry",
        "none",
        "Hi",
    ]);

    let run = finish(&mut command)?;

    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr
            .contains("error: the connection failed: cannot connect"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("hint: check the base URL"),
        "{}",
        run.stderr
    );
    Ok(())
}

#[cfg(unix)]
#[test]
fn interrupt_ends_a_backoff_at_once_and_shows_the_end() -> TestResult {
    use rustix::process::Signal;
    for format in ["text", "jsonl"] {
        let mut child = steadfast(&["run", "--initial-delay", "60s", "--events", format, "Oslo?"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut line = String::new();
        while !line.contains("next try in 1m 0s") && !line.contains("event_loop_throttle") {
            line.clear();
            let read = match format {
                "text" => stderr.read_line(&mut line)?,
                _ => stdout.read_line(&mut line)?,
            };
            assert!(read > 0, "it ended before it waited");
        }

        let asked = Instant::now();
        crate::process::send(&child, Signal::INT)?;
        let status = wait(&mut child, PATIENCE)?;

        assert_eq!(status, Some(130));
        assert!(
            asked.elapsed() < Duration::from_secs(20),
            "{:?}",
            asked.elapsed()
        );
        let rest: Vec<String> = match format {
            "text" => stderr.lines().collect::<Result<_, _>>()?,
            _ => stdout.lines().collect::<Result<_, _>>()?,
        };
        let last = rest.last().map_or("", String::as_str);
        let expected = if format == "text" {
            "■ cancelled before the model was done (cancelled): 1 turn"
        } else {
            "\"stop_reason\":\"cancelled\""
        };
        assert!(last.contains(expected), "{rest:?}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn second_signal_ends_the_program_even_if_it_hangs() -> TestResult {
    use rustix::process::Signal;
    // One event is longer than what a pipe and a reader hold.
    let sim = SimProcess::start(&[])?;
    let base_url = sim.base_url()?;
    let long = "word ".repeat(60_000);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, long)?;
    let mut child = steadfast(&[
        "run",
        "--model",
        "openai:m",
        "--base-url",
        &base_url,
        "--events",
        "jsonl",
        "-",
    ])
    .env("OPENAI_API_KEY", "any")
    .stdin(std::fs::File::open(&file)?)
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    stdout.skip_until(b'\n')?;
    // Once the long event begins to come, the program is in a write that nobody lets it finish.
    assert!(!stdout.fill_buf()?.is_empty());
    assert_eq!(child.try_wait()?, None);

    // Two signals that are alike may arrive as one.
    crate::process::send(&child, Signal::INT)?;
    crate::process::send(&child, Signal::TERM)?;

    assert_eq!(wait(&mut child, PATIENCE)?, Some(130));
    Ok(())
}

#[test]
fn reader_that_goes_away_ends_the_program_quietly() -> TestResult {
    for format in ["text", "jsonl"] {
        let mut child = steadfast(&["run", "--initial-delay", "1ms", "--events", format, "Oslo?"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        drop(child.stdout.take());
        let stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let said: Vec<String> = stderr.lines().collect::<Result<_, _>>()?;

        assert_eq!(wait(&mut child, PATIENCE)?, Some(0), "{said:?}");
        assert!(
            !said
                .iter()
                .any(|line| line.contains("panic") || line.contains("error:")),
            "{said:?}"
        );
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn answer_that_cannot_be_written_is_an_error() -> TestResult {
    let sim = SimProcess::start(&[])?;
    let base_url = sim.base_url()?;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let mut child = steadfast(&["run", "--model", "openai:m", "--base-url", &base_url, "Hi"])
        .env("OPENAI_API_KEY", "any")
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
    let said: Vec<String> = stderr.lines().collect::<Result<_, _>>()?;

    assert_eq!(wait(&mut child, PATIENCE)?, Some(1));
    assert!(
        said.iter()
            .any(|line| line.starts_with("error: cannot write the answer")),
        "{said:?}"
    );
    Ok(())
}
