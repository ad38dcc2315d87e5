//! The documents are true: their code compiles and runs, their numbers and names exist.

#[path = "documents/events.rs"]
mod events;
#[path = "documents/hook_events.rs"]
mod hook_events;
#[path = "documents/orders.rs"]
mod orders;
#[path = "documents/page.rs"]
mod page;
#[path = "documents/pages.rs"]
mod pages;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use page::{ROOT, read};

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

/// Where the tests are that `docs/strands.md` names.
const CORE_TESTS: &str = "crates/steadfast-core/tests";

/// The scenarios of Strands that wait for a later version.
const LATER: [u32; 2] = [51, 61];

/// Reads `Strands 24, 25.` or `Strands 24: why` into its numbers.
fn citation(comment: &str) -> Option<BTreeSet<u32>> {
    let numbers = comment.strip_prefix("Strands ")?.split(['.', ':']).next()?;
    let numbers = numbers.split(", ").map(|number| number.parse().ok());
    numbers.collect()
}

/// The tests of the core as `file.rs::name`, and its programs that must not compile, with the scenarios
/// that each cites.
fn scenarios_of_tests() -> BTreeMap<String, BTreeSet<u32>> {
    let mut tests = BTreeMap::new();
    for file in files_in(CORE_TESTS) {
        let (mut cited, mut is_test) = (BTreeSet::new(), false);
        for line in read(&format!("{CORE_TESTS}/{file}")).lines() {
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(numbers) = line.strip_prefix("/// ").and_then(citation) {
                cited = numbers;
            } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(function) = function {
                let name = function.split('(').next().unwrap();
                if std::mem::take(&mut is_test) {
                    tests.insert(format!("{file}::{name}"), std::mem::take(&mut cited));
                }
                assert!(cited.is_empty(), "`{name}` in {file} is no test");
            }
        }
    }
    for program in files_in(&format!("{CORE_TESTS}/compile_fail")) {
        let text = read(&format!("{CORE_TESTS}/compile_fail/{program}"));
        let first = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//! "));
        let cited = first.and_then(citation).unwrap_or_default();
        tests.insert(format!("compile_fail/{program}"), cited);
    }
    tests
}

/// The names of the Rust files of a folder.
fn files_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".rs")).collect()
}

/// The rows of the tables of `docs/strands.md`: first cell, what Steadfast does, the tests that show it.
fn rows(page: &str) -> Vec<(String, String, BTreeSet<String>)> {
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [first, _there, here, shown] = cells[..] else {
            panic!("not four cells: {line}");
        };
        if first != "#" && first != "issue" && first != "---" {
            let names = shown.split('`').skip(1).step_by(2).map(str::to_owned);
            rows.push((first.to_owned(), here.to_owned(), names.collect()));
        }
    }
    rows
}

#[test]
fn scenarios_of_strands_have_a_row_each_and_tests_that_cite_them() {
    let tests = scenarios_of_tests();
    let page = read("docs/strands.md");
    let rows = rows(&page).into_iter();
    let rows: Vec<(u32, String, BTreeSet<String>)> = rows
        .filter_map(|(number, here, shown)| Some((number.parse().ok()?, here, shown)))
        .collect();

    let numbers: Vec<u32> = rows.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=71).collect::<Vec<_>>());
    for (number, here, shown) in &rows {
        let word = here.trim_start_matches("**").split("**").next().unwrap();
        let words = ["same", "better", "by type", "different", "later"];
        assert!(words.contains(&word), "{number}: {here}");
        assert_eq!(word == "later", LATER.contains(number), "{number}");
        assert_eq!(shown.is_empty(), LATER.contains(number), "{number}");
        let by_type = shown.iter().any(|name| name.starts_with("compile_fail/"));
        assert!(word != "by type" || by_type, "{number}");
        let citing = tests.iter().filter(|(_, cited)| cited.contains(number));
        let citing: BTreeSet<String> = citing.map(|(name, _)| name.clone()).collect();
        assert_eq!(
            shown, &citing,
            "{number}: the page, and the tests that cite it"
        );
    }
    let known = |number: &u32| (1..=71).contains(number);
    assert!(tests.values().flatten().all(known));
}

#[test]
fn reports_of_strands_users_name_tests_that_exist() {
    let tests = scenarios_of_tests();
    let page = read("docs/strands.md");
    let reports = page.split("## What their users report").nth(1).unwrap();

    let rows = rows(reports);

    assert!(rows.len() > 10);
    for (issue, here, shown) in rows {
        assert!(!shown.is_empty(), "{issue}: {here}");
        for name in shown {
            assert!(tests.contains_key(&name), "{issue}: there is no `{name}`");
        }
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
