//! The built-in demonstration: what the first command of the README shows.

use std::{io::ErrorKind, net::TcpListener};

use serde_json::{Value, json};

use crate::process::{TestResult, finish, steadfast};

const PROMPT: &str = "What should I wear in Oslo today?";
const PREFACE: &str = "Let me look up the weather in Oslo, so that I do not have to guess.";
const ANSWER: &str = "In Oslo it is 6 °C with light rain. Wear a warm layer under a jacket, \
                      take something waterproof, and choose shoes that may get wet.";

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .collect()
}

/// The types of events in order, each run of the same type once.
fn outline(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    kinds.dedup();
    kinds
}

#[test]
fn demonstration_is_throttled_twice_loses_a_stream_and_answers() -> TestResult {
    let run = finish(&mut steadfast(&["run", "--events", "jsonl", PROMPT]))?;
    let events = run.events()?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    // Whoever tries it does not wait long; how fast the machine is, is another matter.
    let waits = of_type(&events, "event_loop_throttle");
    let waits = waits.iter().filter_map(|wait| wait["delay_ms"].as_f64());
    assert_eq!(waits.sum::<f64>(), 4_000.0);
    let failed = [
        "attempt_discarded",
        "event_loop_throttle",
        "attempt_started",
    ];
    let expected = [
        &["run_started", "message", "attempt_started"][..],
        &failed,
        &failed,
        &["text_delta"],
        &failed,
        &[
            "text_delta",
            "message",
            "tool_started",
            "tool_finished",
            "message",
        ],
        &["attempt_started", "text_delta", "message", "result"],
    ];
    assert_eq!(outline(&events), expected.concat());
    Ok(())
}

#[test]
fn demonstration_starts_with_half_a_second_and_obeys_the_hint() -> TestResult {
    let run = finish(&mut steadfast(&[
        "run",
        "--events",
        "jsonl",
        "--model",
        "sim",
        "--max-attempts",
        "3",
        PROMPT,
    ]))?;
    let events = run.events()?;

    let waits: Vec<_> = of_type(&events, "event_loop_throttle")
        .iter()
        .map(|wait| {
            (
                wait["delay_ms"].as_f64(),
                wait["decided_by"].clone(),
                wait["error"]["kind"].clone(),
            )
        })
        .collect();
    let expected = [
        (Some(500.0), json!("backoff"), json!("throttled")),
        (Some(1500.0), json!("hint"), json!("throttled")),
    ];
    assert_eq!(waits, expected);
    assert!(
        run.stderr
            .starts_with("demonstration: this talks to the built-in simulator")
    );
    assert!(run.stderr.contains("waits start at 500ms instead of 4s"));
    Ok(())
}

#[test]
fn lost_stream_said_a_part_of_what_is_said_again() -> TestResult {
    let run = finish(&mut steadfast(&[
        "run",
        "--events",
        "jsonl",
        "--initial-delay",
        "10ms",
        PROMPT,
    ]))?;
    let events = run.events()?;

    let said_in = |attempt: u32| -> String {
        let deltas = of_type(&events, "text_delta");
        let deltas = deltas
            .iter()
            .filter(|delta| delta["turn"] == 1 && delta["attempt"] == attempt);
        deltas.filter_map(|delta| delta["text"].as_str()).collect()
    };
    assert!(
        PREFACE.starts_with(&said_in(3)) && said_in(3).len() > 10,
        "{}",
        said_in(3)
    );
    assert_eq!(said_in(4), PREFACE);
    let discarded = of_type(&events, "attempt_discarded");
    assert_eq!(discarded.last().unwrap()["attempt"], 3);
    assert_eq!(of_type(&events, "result")[0]["text"], ANSWER);
    assert_eq!(of_type(&events, "tool_finished")[0]["ok"], true);
    Ok(())
}

#[test]
fn piped_text_is_the_answer_and_nothing_else() -> TestResult {
    let run = finish(&mut steadfast(&["run", "--initial-delay", "10ms", PROMPT]))?;

    assert_eq!(run.status, Some(0));
    assert_eq!(run.stdout, format!("{ANSWER}\n"));
    let expected = [
        "demonstration: no --model given, so this talks to the built-in simulator",
        "✗ attempt 1 of 6: throttled (429), next try in 10ms (backoff)",
        "✗ attempt 2 of 6: throttled (429), next try in 1.5s (server hint)",
        "↶ attempt 3: what it said is discarded (48 characters, not printed)",
        "✗ attempt 3 of 6: network, ",
        PREFACE,
        "→ get_weather {\"city\":\"Oslo\"}",
        "✓ get_weather ok, ",
        "✓ done: 2 turns, 5 attempts, ",
    ];
    assert_eq!(run.stderr.lines().count(), expected.len(), "{}", run.stderr);
    for (line, expected) in run.stderr.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    assert!(!run.stderr.contains("instead of 4s"));
    Ok(())
}

#[test]
fn preface_at_the_limit_of_turns_is_not_passed_off_as_the_answer() -> TestResult {
    let run = finish(&mut steadfast(&[
        "run",
        "--initial-delay",
        "10ms",
        "--max-turns",
        "1",
        PROMPT,
    ]))?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, format!("{PREFACE}\n"));
    let last = run.stderr.lines().last().unwrap();
    let expected = "■ stopped at the limit of turns before the model was done (limit_turns): \
                    1 turn, 4 attempts, ";
    assert!(last.starts_with(expected), "{last}");
    Ok(())
}

#[test]
fn proxy_in_the_environment_is_not_asked() -> TestResult {
    let proxy = TcpListener::bind("127.0.0.1:0")?;
    proxy.set_nonblocking(true)?;
    let address = format!("http://{}", proxy.local_addr()?);
    let mut command = steadfast(&[
        "run",
        "--initial-delay",
        "10ms",
        "--deadline",
        "20s",
        PROMPT,
    ]);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, &address);
    }

    let run = finish(&mut command)?;

    assert_eq!(run.stdout, format!("{ANSWER}\n"), "{}", run.stderr);
    assert_eq!(
        proxy.accept().map_err(|error| error.kind()).err(),
        Some(ErrorKind::WouldBlock)
    );
    Ok(())
}

#[test]
fn prompt_without_a_city_is_about_oslo() -> TestResult {
    let run = finish(&mut steadfast(&[
        "run",
        "--initial-delay",
        "10ms",
        "hello there",
    ]))?;

    assert_eq!(run.stdout, format!("{ANSWER}\n"), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("You named no city. Let me look up the weather in Oslo")
    );
    Ok(())
}
