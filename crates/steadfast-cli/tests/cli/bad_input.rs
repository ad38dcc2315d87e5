//! Wrong command lines and configurations: one line, a hint, exit status 2, and no secret.

use crate::process::{Finished, TestResult, finish, finish_with_input, steadfast};

const SECRET: &str = "sk-secret0123456789abcdef";

/// Refuses `arguments` with one line that contains `expected`, and a hint.
fn check(arguments: &[&str], expected: &str) -> TestResult {
    let refused = finish(steadfast(arguments).env("OPENAI_API_KEY", SECRET))?;
    check_refusal(&refused, &arguments.join(" "), expected);
    Ok(())
}

/// Checks that a command was refused with one line, a hint, and no secret.
pub(crate) fn check_refusal(refused: &Finished, what: &str, expected: &str) {
    let lines: Vec<_> = refused.stderr.lines().collect();
    let line = |index: usize| lines.get(index).copied().unwrap_or_default();
    let (error, blank, hint) = (line(0), line(1), line(2));
    assert_eq!(refused.status, Some(2), "{what}: {}", refused.stderr);
    assert!(refused.stdout.is_empty(), "{what}: {}", refused.stdout);
    assert_eq!(lines.len(), 3, "{what}: {}", refused.stderr);
    assert!(error.starts_with("error: "), "{what}: {error}");
    assert!(error.contains(expected), "{what}: {error}");
    assert!(blank.is_empty(), "{what}: {blank}");
    assert!(
        hint.starts_with("hint: ") && hint.len() > 10,
        "{what}: {hint}"
    );
    for text in [&refused.stdout, &refused.stderr] {
        assert!(
            !text.contains("secret") && !text.contains("panicked"),
            "{what}: {text}"
        );
    }
}

#[test]
fn wrong_models_are_refused_with_a_hint() -> TestResult {
    let cases = [
        ("nosuch:model", "unknown provider `nosuch`"),
        ("nosuch", "unknown provider `nosuch`"),
        ("", "unknown provider ``"),
        (":", "unknown provider ``"),
        ("gpt-5", "`--model gpt-5` does not say whose model it is"),
        ("openai", "`--model openai` names a provider and no model"),
        ("openai:", "`--model openai:` names a provider and no model"),
        ("openai: ", "names a provider and no model"),
        ("sim:fast", "no models to choose from"),
        (
            "anthropic",
            "`--model anthropic` names a provider and no model",
        ),
        ("anthropic: ", "names a provider and no model"),
        (
            "claude-sonnet-5",
            "`--model claude-sonnet-5` does not say whose model it is",
        ),
        (
            "openai-responses",
            "`--model openai-responses` names a provider and no model",
        ),
        ("gemini", "`--model gemini` names a provider and no model"),
        ("ollama", "`--model ollama` names a provider and no model"),
        ("azure:gpt-5", "`AZURE_OPENAI_ENDPOINT` is missing"),
        ("openrouter:a/b", "`OPENROUTER_API_KEY` is missing"),
        ("groq:llama", "`GROQ_API_KEY` is missing"),
        ("mistral:small", "`MISTRAL_API_KEY` is missing"),
        ("deepseek:chat", "`DEEPSEEK_API_KEY` is missing"),
        ("xai:grok", "`XAI_API_KEY` is missing"),
        (
            "llamacpp",
            "`--model llamacpp` names a provider and no model",
        ),
        ("vllm:", "`--model vllm:` names a provider and no model"),
        ("lmstudio: ", "names a provider and no model"),
    ];
    for (model, expected) in cases {
        check(&["run", "--model", model, "Hi"], expected)?;
    }
    Ok(())
}

#[test]
fn wrong_addresses_are_refused_by_the_name_of_the_flag() -> TestResult {
    let cases = [
        ("", "`--base-url` is not a URL"),
        ("nonsense", "`--base-url` is not a URL: `nonsense`"),
        (
            "host/v1?key=secret",
            "`--base-url` is not a URL: `host/v1…`",
        ),
        (
            "ftp://host/v1?key=secret#`secret",
            "`--base-url` is not an HTTP address: `ftp://host/v1…`",
        ),
        ("host/v1#secret", "`--base-url` is not a URL: `host/v1…`"),
        ("ftp://host/v1", "`--base-url` is not an HTTP address"),
        ("https://me:secret@", "`--base-url` is not a URL"),
        (
            "http://me:secret@host/v1",
            "`--base-url` must not contain a user or password",
        ),
        (
            "http://host/v1/chat/completions",
            "`--base-url` ends in the path of a call",
        ),
    ];
    for (base_url, expected) in cases {
        check(
            &["run", "--model", "openai:m", "--base-url", base_url, "Hi"],
            expected,
        )?;
    }
    check(
        &["run", "--base-url", "http://h/v1", "Hi"],
        "`--base-url` has no meaning",
    )?;
    check(
        &["run", "--model", "sim", "--base-url", "http://h/v1", "Hi"],
        "no meaning",
    )
}

#[test]
fn wrong_values_are_refused_by_the_name_of_the_flag() -> TestResult {
    let cases = [
        ("--max-attempts", "0", "`--max-attempts` cannot be `0`"),
        ("--max-attempts", "-1", "`--max-attempts` cannot be `-1`"),
        (
            "--max-attempts",
            "many",
            "`--max-attempts` cannot be `many`",
        ),
        ("--max-turns", "0", "`--max-turns` cannot be `0`"),
        ("--max-tokens", "1.5", "`--max-tokens` cannot be `1.5`"),
        (
            "--max-total-tokens",
            "0",
            "`--max-total-tokens` cannot be `0`",
        ),
        (
            "--max-total-tokens",
            "99999999999999999999",
            "cannot be `99999999999999999999`",
        ),
        (
            "--initial-delay",
            "4",
            "`--initial-delay` cannot be `4`: it is not a time",
        ),
        (
            "--initial-delay",
            "soon",
            "`--initial-delay` cannot be `soon`: it is not a time",
        ),
        (
            "--max-delay",
            "",
            "`--max-delay` cannot be ``: it is not a time",
        ),
        (
            "--max-hint",
            "10 parsecs",
            "`--max-hint` cannot be `10 parsecs`: it is not a time",
        ),
        (
            "--deadline",
            "0s",
            "`--deadline` cannot be `0s`: it leaves no time",
        ),
        (
            "--deadline",
            "99999999999999999999999y",
            "`--deadline` cannot be",
        ),
        ("--events", "xml", "`--events` cannot be `xml`"),
        ("--retry", "always", "unknown retry strategy `always`"),
    ];
    for (flag, value, expected) in cases {
        check(&["run", flag, value, "Hi"], expected)?;
    }
    Ok(())
}

#[test]
fn contradictions_are_refused() -> TestResult {
    let flags = [
        ("--max-attempts", "3"),
        ("--initial-delay", "1s"),
        ("--max-delay", "1s"),
        ("--max-hint", "1s"),
    ];
    for (flag, value) in flags {
        let expected = format!("`{flag}` has no meaning with `--retry none`");
        check(&["run", "--retry", "none", flag, value, "Hi"], &expected)?;
        if flag != "--max-hint" {
            let expected = format!("`{flag}` has no meaning with `--retry fleet`");
            check(&["run", "--retry", "fleet", flag, value, "Hi"], &expected)?;
        }
    }
    for (flag, value) in &flags[1..] {
        let expected = format!("`{flag}` has no meaning with `--retry aws-adaptive`");
        check(
            &["run", "--retry", "aws-adaptive", flag, value, "Hi"],
            &expected,
        )?;
    }
    check(
        &["sim", "--burst", "3"],
        "`--burst` has no meaning without `--limit`",
    )
}

#[test]
fn attempts_in_the_environment_are_refused_by_its_name() -> TestResult {
    let mut command = steadfast(&["run", "--retry", "aws-standard", "Hi"]);

    let refused = finish(command.env("AWS_MAX_ATTEMPTS", "x"))?;

    let expected = "AWS_MAX_ATTEMPTS must be a whole number of at least 1, got `x`";
    check_refusal(&refused, "AWS_MAX_ATTEMPTS=x", expected);
    Ok(())
}

#[test]
fn prompts_that_are_not_there_are_refused() -> TestResult {
    check(&["run", ""], "the prompt is empty")?;
    check(&["run", " \n"], "the prompt is empty")?;
    check(
        &["run", "What", "should", "I", "wear?"],
        "there is one prompt, and `should` is",
    )?;

    let refused = finish_with_input(&mut steadfast(&["run", "-"]), b"\n\n")?;
    check_refusal(&refused, "empty input", "the prompt is empty");
    let refused = finish_with_input(&mut steadfast(&["run", "-"]), b"caf\xC3\x28")?;
    check_refusal(
        &refused,
        "no UTF-8",
        "cannot read the prompt from standard input",
    );
    Ok(())
}

#[test]
fn missing_keys_and_wrong_addresses_of_the_environment_are_named() -> TestResult {
    let refused = finish(&mut steadfast(&["run", "--model", "openai:gpt-5", "Hi"]))?;
    check_refusal(&refused, "no key", "`OPENAI_API_KEY` is missing");

    let mut command = steadfast(&["run", "--model", "openai:gpt-5", "Hi"]);
    let refused = finish(command.env("OPENAI_BASE_URL", "here"))?;
    check_refusal(
        &refused,
        "wrong variable",
        "`OPENAI_BASE_URL` is not a URL: `here`",
    );

    let mut command = steadfast(&["run", "--model", "openai:gpt-5", "Hi"]);
    let refused = finish(command.env("OPENAI_BASE_URL", "host/v1?key=secret"))?;
    check_refusal(
        &refused,
        "variable with a key",
        "`OPENAI_BASE_URL` is not a URL: `host/v1…`",
    );

    let mut command = steadfast(&["run", "--model", "openai:gpt-5", "Hi"]);
    let refused = finish(command.env("OPENAI_API_KEY", format!("{SECRET}\u{7}")))?;
    check_refusal(
        &refused,
        "wrong key",
        "contains characters that no header may hold",
    );
    Ok(())
}

#[test]
fn anthropic_is_refused_by_the_names_of_its_own() -> TestResult {
    let to = ["run", "--model", "anthropic:claude-sonnet-5"];
    let command = |arguments: &[&str]| {
        let mut command = steadfast(&[&to, arguments, &["Hi"]].concat());
        command.env("OPENAI_API_KEY", SECRET);
        command
    };

    let refused = finish(&mut command(&[]))?;
    check_refusal(&refused, "no key", "`ANTHROPIC_API_KEY` is missing");

    let refused = finish(command(&[]).env("ANTHROPIC_BASE_URL", "host?key=secret"))?;
    let expected = "`ANTHROPIC_BASE_URL` is not a URL: `host…`";
    check_refusal(&refused, "wrong variable", expected);
    assert!(
        refused.stderr.contains("`https://api.anthropic.com`"),
        "{}",
        refused.stderr
    );

    let refused = finish(command(&[]).env("ANTHROPIC_API_KEY", format!("{SECRET}\u{7}")))?;
    let expected = "`ANTHROPIC_API_KEY` contains characters";
    check_refusal(&refused, "wrong key", expected);

    for ending in ["/v1", "/v1/messages"] {
        let refused = finish(&mut command(&["--base-url", &format!("http://h{ending}")]))?;
        let expected = "`--base-url` ends in the path of a call";
        check_refusal(&refused, ending, expected);
    }
    Ok(())
}

#[test]
fn gemini_is_refused_by_the_names_of_its_own() -> TestResult {
    let to = ["run", "--model", "gemini:gemini-2.5-flash"];
    let command = |arguments: &[&str]| {
        let mut command = steadfast(&[&to, arguments, &["Hi"]].concat());
        command.env("OPENAI_API_KEY", SECRET);
        command
    };

    let refused = finish(&mut command(&[]))?;
    check_refusal(&refused, "no key", "`GEMINI_API_KEY` is missing");

    let refused = finish(command(&[]).env("GOOGLE_GEMINI_BASE_URL", "host?key=secret"))?;
    let expected = "`GOOGLE_GEMINI_BASE_URL` is not a URL: `host…`";
    check_refusal(&refused, "wrong variable", expected);

    for ending in ["/v1beta", "/v1beta/models"] {
        let refused = finish(&mut command(&["--base-url", &format!("http://h{ending}")]))?;
        let expected = "`--base-url` ends in the path of a call";
        check_refusal(&refused, ending, expected);
    }

    let odd = [
        "run",
        "--model",
        "gemini:tunedModels/a",
        "--base-url",
        "http://h",
        "Hi",
    ];
    let refused = finish(&mut steadfast(&odd))?;
    check_refusal(
        &refused,
        "an odd name",
        "`--model` has characters that no model's name has",
    );
    Ok(())
}

#[test]
fn simulators_that_cannot_work_are_refused() -> TestResult {
    let cases = [
        ("--listen", "nowhere", "`--listen` cannot be `nowhere`"),
        ("--listen", "127.0.0.1", "`--listen` cannot be `127.0.0.1`"),
        (
            "--listen",
            "127.0.0.1:99999",
            "`--listen` cannot be `127.0.0.1:99999`",
        ),
        (
            "--listen",
            "203.0.113.1:80",
            "cannot listen on `203.0.113.1:80`",
        ),
        (
            "--limit",
            "20",
            "`--limit` cannot be `20`: it is not a rate",
        ),
        ("--limit", "0/s", "`--limit` cannot be `0/s`"),
        ("--limit", "-1/s", "`--limit` cannot be `-1/s`"),
        (
            "--limit",
            "20/fortnight",
            "`--limit` cannot be `20/fortnight`",
        ),
        ("--burst", "0", "`--burst` cannot be `0`"),
        ("--hint", "maybe", "`--hint` cannot be `maybe`"),
        ("--fault", "wobble", "unknown fault `wobble`"),
        ("--fault", "429,,500", "unknown fault ``"),
        (
            "--cassette",
            "/nonexistent.yaml",
            "cannot read cassette `/nonexistent.yaml`",
        ),
        ("--seed", "x", "`--seed` cannot be `x`"),
        ("--seed", "-1", "`--seed` cannot be `-1`"),
        (
            "--chunk-delay",
            "20",
            "`--chunk-delay` cannot be `20`: it is not a time",
        ),
    ];
    for (flag, value, expected) in cases {
        check(&["sim", flag, value], expected)?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("broken.yaml");
    std::fs::write(&file, "when: nothing\n")?;
    let path = file.to_str().ok_or("the path is not UTF-8")?;
    check(
        &["sim", "--cassette", path],
        "document 1: not a recorded exchange",
    )
}

#[test]
fn unknown_commands_and_flags_are_refused_with_the_usage() -> TestResult {
    for arguments in [
        &["swim"][..],
        &["run"],
        &["run", "--colour", "Hi"],
        &["sim", "--retry", "none"],
        &["sim", "Hi"],
        &[],
    ] {
        let refused = finish(steadfast(arguments).env("OPENAI_API_KEY", SECRET))?;

        assert_eq!(refused.status, Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty());
        assert!(
            refused.stderr.contains("Usage: steadfast"),
            "{}",
            refused.stderr
        );
        assert!(!refused.stderr.contains("secret"));
    }
    Ok(())
}

#[test]
fn help_shows_examples_and_exit_statuses() -> TestResult {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["sim", "--help"],
        &["explain", "--help"],
        &["storm", "--help"],
        &["run", "-h"],
    ] {
        let helped = finish(&mut steadfast(arguments))?;

        assert_eq!(helped.status, Some(0), "{arguments:?}");
        assert!(helped.stderr.is_empty());
        for part in [
            "Usage: steadfast",
            "Examples:\n  steadfast ",
            "Exit status:",
            "  2    bad usage",
        ] {
            assert!(
                helped.stdout.contains(part),
                "{arguments:?}: {}",
                helped.stdout
            );
        }
    }
    let wide = help_lines_wider_than_a_small_terminal()?;
    assert!(wide.is_empty(), "{wide:?}");
    let version = finish(&mut steadfast(&["--version"]))?;
    assert_eq!(
        version.stdout,
        concat!("steadfast ", env!("CARGO_PKG_VERSION"), "\n")
    );
    Ok(())
}

/// Examples must not wrap; what the options say wraps by itself.
fn help_lines_wider_than_a_small_terminal() -> TestResult<Vec<String>> {
    let mut wide = Vec::new();
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["sim", "--help"],
        &["explain", "--help"],
        &["storm", "--help"],
    ] {
        let page = finish(&mut steadfast(arguments))?.stdout;
        let after = page
            .rsplit_once("\n      --")
            .map_or("", |(_, after)| after);
        wide.extend(
            after
                .lines()
                .skip(1)
                .filter(|line| line.len() > 80)
                .map(str::to_owned),
        );
    }
    Ok(wide)
}
