//! What a person sees in a terminal: a live countdown, text that is taken back, colour.

use rustix::process::Signal;

use crate::{
    process::{SimProcess, TestResult, steadfast},
    window::{Watched, Window},
};

const PROMPT: &str = "What should I wear in Oslo today?";
const WINDOW: Window = Window {
    rows: 30,
    columns: 100,
};

fn has_colour(watched: &Watched) -> bool {
    let escapes = watched.written.split("\u{1b}[").skip(1);
    escapes
        .filter_map(|escape| escape.chars().find(|c| !c.is_ascii_digit() && *c != ';'))
        .any(|end| end == 'm')
}

/// The rows of a screen that begin with a text.
fn beginning_with<'a>(screen: &'a [String], text: &str) -> Vec<&'a str> {
    screen
        .iter()
        .map(String::as_str)
        .filter(|row| row.starts_with(text))
        .collect()
}

#[test]
fn person_sees_the_countdown_the_text_taken_back_and_the_answer_once() -> TestResult {
    let watched = WINDOW.watch(&mut steadfast(&["run", PROMPT]))?;

    assert_eq!(watched.status, Some(0));
    // The wait of 1.5 seconds counts down in one place. How often it is shown is the machine's
    // matter: a busy one leaves out some.
    let mut remaining: Vec<&str> = watched
        .screens
        .iter()
        .flatten()
        .filter_map(|row| row.strip_prefix("✗ attempt 2 of 6: throttled (429), next try in "))
        .filter_map(|row| row.strip_suffix(" (1.5s by server hint)"))
        .collect();
    remaining.dedup();
    assert!(remaining.len() >= 2, "{remaining:?}");
    assert!(
        remaining.is_sorted_by(|earlier, later| earlier > later),
        "{remaining:?}"
    );
    assert!(
        watched
            .screens
            .iter()
            .all(|screen| beginning_with(screen, "✗ attempt 2").len() <= 1)
    );

    // The text of the lost stream is on the screen, then it is gone, then it is there again.
    let showed_text = |screen: &Vec<String>| !beginning_with(screen, "Let me look up").is_empty();
    let mut phases: Vec<bool> = watched.screens.iter().map(showed_text).collect();
    phases.dedup();
    assert_eq!(phases, [false, true, false, true]);

    let last = watched.last_screen();
    let expected = [
        "demonstration: no --model given",
        "✗ attempt 1 of 6: throttled (429), waited 0.5s (backoff)",
        "✗ attempt 2 of 6: throttled (429), waited 1.5s (server hint)",
        "↶ attempt 3: taken back “Let me look up the weather in Oslo, so that I do”",
        "✗ attempt 3 of 6: network, ",
        "Let me look up the weather in Oslo, so that I do not have to guess.",
        "→ get_weather {\"city\":\"Oslo\"}",
        "✓ get_weather ok, ",
        "In Oslo it is 6 °C with light rain.",
        "✓ done: 2 turns, 5 attempts, ",
    ];
    for expected in expected {
        assert_eq!(
            beginning_with(last, expected).len(),
            1,
            "{expected}: {last:#?}"
        );
    }
    assert!(has_colour(&watched));
    Ok(())
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() -> TestResult {
    let mut command = steadfast(&["run", "--initial-delay", "1ms", PROMPT]);

    let watched = WINDOW.watch(command.env("NO_COLOR", "1"))?;

    assert_eq!(watched.status, Some(0));
    assert!(!has_colour(&watched));
    // The countdown and the erasing do not depend on it.
    assert!(watched.written.contains("\u{1b}[K") && watched.written.contains("\u{1b}[J"));
    Ok(())
}

#[test]
fn text_is_erased_over_several_rows_of_a_narrow_window() -> TestResult {
    let window = Window {
        rows: 30,
        columns: 20,
    };

    let watched = window.watch(&mut steadfast(&["run", "--initial-delay", "1ms", PROMPT]))?;

    let wrapped = |screen: &Vec<String>| {
        screen
            .windows(2)
            .any(|rows| rows == ["Let me look up the w", "eather"])
    };
    assert!(
        watched.screens.iter().any(wrapped),
        "{:#?}",
        watched.screens
    );
    let last = watched.last_screen();
    assert_eq!(
        beginning_with(last, "Let me look up the w").len(),
        1,
        "{last:#?}"
    );
    assert_eq!(
        beginning_with(last, "In Oslo it is 6").len(),
        1,
        "{last:#?}"
    );
    Ok(())
}

#[test]
fn text_that_has_scrolled_away_is_marked_as_taken_back() -> TestResult {
    let sim = SimProcess::start(&["--fault", "cut@end"])?;
    let base_url = sim.base_url()?;
    let prompt = "a line of the prompt\n".repeat(12);
    let mut command = steadfast(&[
        "run",
        "--model",
        "openai:m",
        "--base-url",
        &base_url,
        "--initial-delay",
        "1ms",
        &prompt,
    ]);
    let window = Window {
        rows: 8,
        columns: 60,
    };

    let watched = window.watch(command.env("OPENAI_API_KEY", "any"))?;

    assert_eq!(watched.status, Some(0));
    let sign = "↶ attempt 1: the text above is taken back";
    assert!(
        watched
            .screens
            .iter()
            .any(|screen| beginning_with(screen, sign).len() == 1)
    );
    assert!(!watched.written.contains("\u{1b}[J"));
    Ok(())
}

#[test]
fn interrupt_in_mid_sentence_keeps_the_text_and_says_that_it_does_not_count() -> TestResult {
    let mut command = steadfast(&["run", "--initial-delay", "1ms", PROMPT]);

    let watched = WINDOW.watch_until(&mut command, "In Oslo it is", Signal::INT)?;

    assert_eq!(watched.status, Some(130));
    let last = watched.last_screen();
    assert_eq!(beginning_with(last, "In Oslo it is").len(), 1, "{last:#?}");
    assert_eq!(
        beginning_with(last, "↶ attempt 1: the text above is taken back").len(),
        1
    );
    assert_eq!(
        beginning_with(
            last,
            "■ cancelled before the model was done (cancelled): 2 turns"
        )
        .len(),
        1,
        "{last:#?}"
    );
    Ok(())
}

#[test]
fn models_cannot_steer_the_terminal() -> TestResult {
    let sim = SimProcess::start(&[])?;
    let base_url = sim.base_url()?;
    let prompt = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m";
    for (terminal, events) in [
        ("xterm-256color", "text"),
        ("dumb", "text"),
        ("xterm-256color", "jsonl"),
        ("dumb", "jsonl"),
    ] {
        let mut command = steadfast(&[
            "run",
            "--model",
            "openai:m",
            "--base-url",
            &base_url,
            "--events",
            events,
            prompt,
        ]);
        command.env("OPENAI_API_KEY", "any").env("TERM", terminal);

        let watched = WINDOW.watch(&mut command)?;

        assert_eq!(watched.status, Some(0), "{}", watched.written);
        assert!(watched.written.contains("This is the Steadfast simulator"));
        for steering in ["\u{1b}[2J", "\u{1b}]", "\u{7}", "\u{9b}"] {
            assert!(
                !watched.written.contains(steering),
                "{terminal}, {events}: {:?}",
                watched.written
            );
        }
    }
    Ok(())
}
