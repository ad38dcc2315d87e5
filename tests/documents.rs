//! The documents are true: their code compiles and runs, their numbers and names exist.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::json;
use steadfast::AgentEvent;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Takes a text out that only one of two files has; it must be there once.
fn without(text: &str, own: &str) -> String {
    assert_eq!(text.matches(own).count(), 1, "`{own}` in\n{text}");
    text.replacen(own, "", 1)
}

/// The README's Rust is compiled as doctests of the crate `steadfast`; that it runs, the examples show.
#[test]
fn readme_code_is_the_examples_word_for_word() {
    struct Case {
        fence: &'static str,
        example: &'static str,
        /// What only the README says.
        readmes: &'static [&'static str],
        /// What only the example says.
        examples: &'static [&'static str],
    }
    let cases = [
        Case {
            fence: "```rust,no_run\n",
            example: "examples/building_an_agent.rs",
            readmes: &[
                "    let model = OpenAiChat::builder(\"gpt-5-mini\").build()?; // with OPENAI_API_KEY\n",
            ],
            examples: &[
                "use steadfast_sim::Simulator;\n",
                r#"    // A provider that answers the first call with a 429, as the real one does.
    let simulator = Simulator::builder().faults("429".parse()?).start().await?;
    let mut provider = OpenAiChat::builder("gpt-5-mini");
    if !std::env::args().any(|argument| argument == "--live") {
        provider = provider.base_url(simulator.base_url()).api_key("none");
    }
    let model = provider.build()?;
"#,
                r#"    println!(
        "({} turns, {} attempts, {:?} waited)",
        answer.turns(),
        answer.attempts(),
        answer.waited()
    );
"#,
            ],
        },
        Case {
            fence: "```rust\n",
            example: "examples/custom_retry_hook.rs",
            readmes: &["use steadfast::{AfterModelCallEvent, HookProvider, HookRegistry};\n"],
            examples: &[
                "                println!(\"attempt {} was blank, asking again\", event.attempt());\n",
            ],
        },
    ];
    let readme = read("README.md");
    for case in cases {
        let block = readme.split(case.fence).nth(1).unwrap();
        let block = block.split("```").next().unwrap().to_owned();

        let shared = case
            .readmes
            .iter()
            .fold(block, |text, own| without(&text, own));
        let example = case
            .examples
            .iter()
            .fold(read(case.example), |text, own| without(&text, own));

        assert!(shared.lines().count() > 10, "{shared}");
        assert!(
            example.contains(&shared),
            "{} is not what the README says:\n{shared}",
            case.example
        );
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
    let rows: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| *name != "type")
        .collect();

    let unknown = serde_json::from_value::<AgentEvent>(json!({"type": "?"})).unwrap_err();

    // Serde names the types that it knows when it meets another one.
    let sentence = unknown.to_string();
    let (_, known) = sentence.split_once("expected one of ").unwrap();
    let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
    assert_eq!(rows, known);
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
