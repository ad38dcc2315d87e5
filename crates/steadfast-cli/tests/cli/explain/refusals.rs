//! What `steadfast explain` cannot explain: one line, a hint, exit status 2, and no secret.

use super::SECRET;
use crate::{
    bad_input::check_refusal,
    process::{TestResult, finish, steadfast},
};

/// Refuses `arguments` with an error that contains `expected`, a hint, and nothing of a header.
fn refuse(arguments: &[&str], expected: &str) -> TestResult {
    let refused = finish(&mut steadfast(&[&["explain"], arguments].concat()))?;
    check_refusal(&refused, &arguments.join(" "), expected);
    Ok(())
}

#[test]
fn bodies_without_end_are_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("huge");
    std::fs::File::create(&file)?.set_len(100 << 20)?;
    let huge = file.to_str().ok_or("the path is not UTF-8")?;
    let of_body = |body| ["--provider", "openai", "--status", "500", "--body", body];

    refuse(&of_body(huge), "`--body` is longer than 64 MiB")?;
    if cfg!(unix) {
        refuse(&of_body("/dev/zero"), "`--body` is longer than 64 MiB")?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_by_the_name_of_the_flag() -> TestResult {
    let cases: [(&[&str], &str); 12] = [
        (&["--status", "99"], "`--status` cannot be `99`"),
        (&["--status", "600"], "`--status` cannot be `600`"),
        (&["--status", "-429"], "`--status` cannot be `-429`"),
        (&["--status", "teapot"], "`--status` cannot be `teapot`"),
        (&["--status", ""], "`--status` cannot be ``"),
        (
            &["--status", "429", "--header", SECRET],
            "`--header` has no colon",
        ),
        (
            &["--status", "429", "--header", ""],
            "`--header` has no colon",
        ),
        (
            &["--status", "429", "--header", ": sk-secret0123"],
            "`--header` has no name",
        ),
        (
            &["--status", "429", "--header", "my secret: x"],
            "`--header` has no name",
        ),
        (
            &["--status", "429", "--header", "retry-after: secret\u{7}"],
            "`--header` gives `retry-after` a value",
        ),
        (
            &["--status", "429", "--body", "/nonexistent"],
            "`--body` cannot be read from `/nonexistent`",
        ),
        (
            &["--status", "429", "--body", "/"],
            "`--body` cannot be read",
        ),
    ];
    for (arguments, expected) in cases {
        let arguments = [&["--provider", "openai"], arguments].concat();
        refuse(&arguments, expected)?;
    }
    Ok(())
}

#[test]
fn providers_that_are_not_there_are_refused() -> TestResult {
    for (provider, expected) in [
        ("cohere", "unknown provider `cohere`"),
        ("nosuch", "unknown provider `nosuch`"),
        ("", "unknown provider ``"),
        ("openai:gpt-5", "unknown provider `openai:gpt-5`"),
    ] {
        refuse(&["--provider", provider, "--status", "429"], expected)?;
    }
    Ok(())
}

#[test]
fn missing_flags_and_stray_words_are_refused_with_the_usage() -> TestResult {
    for (arguments, named) in [
        (&["--status", "429"][..], "--provider"),
        (&["--provider", "openai"], "--status"),
        (&["--provider", "openai", "--body", "x"], "--status"),
        (&["--provider", "openai", "--status", "429", "529"], "529"),
    ] {
        let refused = finish(&mut steadfast(&[&["explain"], arguments].concat()))?;

        assert_eq!(refused.status, Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty());
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
        let usage = "Usage: steadfast explain";
        assert!(refused.stderr.contains(usage), "{}", refused.stderr);
    }
    Ok(())
}
