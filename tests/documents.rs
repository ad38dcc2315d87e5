//! The documents are true: their code compiles and runs, their numbers and names exist.

use std::{fs, path::Path, process::Command};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The README's Rust is compiled as doctests of the crate `steadfast`; that it runs, the examples show.
#[test]
fn readme_code_is_the_examples_word_for_word() {
    let readme = read("README.md");
    for (fence, example) in [
        ("```rust,no_run\n", "examples/building_an_agent.rs"),
        ("```rust\n", "examples/custom_retry_hook.rs"),
    ] {
        let example = read(example);
        let block = readme
            .split(fence)
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let own = ["let model =", "use steadfast::"];
        for line in block
            .lines()
            .filter(|line| !own.iter().any(|own| line.contains(own)))
        {
            assert!(
                example.contains(line),
                "README says `{line}`, the example does not"
            );
        }
    }
}

#[test]
fn readme_names_the_current_version() {
    let version = env!("CARGO_PKG_VERSION");
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(read("README.md").contains(&format!("steadfast = \"{minor}\"")));
    assert!(read("CHANGELOG.md").contains(&format!("## {version}")));
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "DECISIONS.md",
        "docs/architecture.md",
        "docs/events.md",
        "docs/benchmarks.md",
    ] {
        let text = read(file);
        let folder = Path::new(ROOT).join(file).parent().unwrap().to_owned();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") {
                assert!(folder.join(path).exists(), "{file} links to `{target}`");
            }
        }
    }
}

#[test]
fn files_that_the_documents_name_exist() {
    let text = read("docs/architecture.md");
    for name in text
        .split('`')
        .filter(|name| name.ends_with(".rs") && name.contains('/'))
    {
        assert!(
            Path::new(ROOT).join("crates").join(name).exists(),
            "docs/architecture.md names `{name}`"
        );
    }
}

#[test]
fn events_page_lists_every_event() {
    let page = read("docs/events.md");
    for name in [
        "run_started",
        "attempt_started",
        "text_delta",
        "reasoning_delta",
        "attempt_discarded",
        "event_loop_throttle",
        "message",
        "tool_started",
        "tool_finished",
        "force_stop",
        "result",
    ] {
        assert!(page.contains(&format!("| `{name}`")), "`{name}` is missing");
    }
}

#[test]
fn ci_calls_the_readmes_test_command() {
    let readme = read("README.md");
    let ci = read(".ci/run");
    let command = "cargo test --workspace";
    assert!(readme.contains(command));
    assert!(ci.lines().any(|line| line.trim() == command), "{ci}");
}

#[test]
fn licences_are_both_there() {
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted"));
    assert!(read("LICENSE-APACHE").contains("Apache License"));
    let tracked = Command::new("git")
        .args(["ls-files", "LICENSE*"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(tracked.stdout).unwrap().lines().count(),
        2
    );
}
