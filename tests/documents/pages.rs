//! Every page: its code is compiled, its links lead somewhere, the tests that it names exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use steadfast::ModelErrorKind;

use crate::page::{ROOT, blocks, known, names, read, rows, section};

/// Pages whose code is word for word in a file that a test runs.
const WORD_FOR_WORD: [(&str, &str); 2] = [
    (
        "docs/guides/own-provider.md",
        "examples/own_provider/ollama.rs",
    ),
    (
        "docs/guides/testing-your-agent.md",
        "tests/testing_your_agent.rs",
    ),
];

/// All files of one kind in a folder and below, by their path in the repository.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn pages() -> Vec<String> {
    let top = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "DECISIONS.md",
    ];
    let mut pages = files("docs", "md");
    pages.extend(top.map(str::to_owned));
    pages
}

/// The name under which a heading is linked to.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        let folder = Path::new(&page).parent().unwrap();
        let targets = text.split("](").skip(1);
        for target in targets.filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() {
                PathBuf::from(&page)
            } else {
                folder.join(path)
            };
            assert!(
                Path::new(ROOT).join(&file).exists(),
                "{page} links to `{target}`"
            );
            if !place.is_empty() {
                let text = read(file.to_str().unwrap());
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == place),
                    "{page} links to `{target}`"
                );
            }
        }
    }
}

#[test]
fn front_page_links_pages_that_exist() {
    let manifest = read("Cargo.toml");
    let (_, repository) = manifest.split_once("\nrepository = \"").unwrap();
    let base = format!("{}/blob/main/", repository.split('"').next().unwrap());
    let front = read("crates/steadfast/src/lib.rs");

    let (prose, _) = front.split_once("# Features").unwrap();
    let links = prose.lines().filter_map(|line| line.split_once("]: "));
    let links: Vec<&str> = links.map(|(_, target)| target).collect();

    assert!(links.len() > 5);
    for link in links {
        let page = link.strip_prefix(&base).unwrap();
        assert!(
            Path::new(ROOT).join(page).exists(),
            "the front page links `{page}`"
        );
    }
}

#[test]
fn every_page_is_linked_from_another() {
    let pages = pages();
    let texts: Vec<(String, String)> = pages
        .iter()
        .map(|page| (page.clone(), read(page)))
        .collect();
    for page in files("docs", "md") {
        let name = page.rsplit('/').next().unwrap();
        let is_linked = texts
            .iter()
            .any(|(other, text)| *other != page && text.contains(&format!("{name})")));
        assert!(is_linked, "nothing links {page}");
    }
}

#[test]
fn code_of_every_page_is_compiled_or_word_for_word() {
    let compiled = read("crates/steadfast/src/lib.rs");
    for page in pages() {
        let code = blocks(&read(&page), "rust");
        if page == "DECISIONS.md" || compiled.contains(&format!("\"{page}\"")) {
            continue;
        }
        let source = WORD_FOR_WORD.iter().find(|(own, _)| *own == page);
        let source = source.map_or_else(String::new, |(_, file)| read(file));
        for block in code {
            assert!(
                source.contains(&block),
                "{page} has code of its own:\n{block}"
            );
        }
    }
}

#[test]
fn tests_that_pages_name_exist() {
    let files_of = |folder| files(folder, "rs");
    let sources = ["crates", "tests"].into_iter().flat_map(files_of);
    let sources: Vec<String> = sources.map(|file| read(&file)).collect();
    for page in files("docs", "md") {
        let is_test = |name: &String| {
            let words = name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            words && name.matches('_').count() > 3
        };
        let text = read(&page);
        for name in text.lines().flat_map(names).filter(is_test) {
            let start = format!("fn {name}(");
            let known = sources.iter().any(|source| source.contains(&start));
            assert!(known, "{page} names `{name}`");
        }
    }
}

#[test]
fn retry_page_says_what_is_retried() {
    let page = read("docs/concepts/retry.md");
    let rows = rows(section(&page, "## What is retried"));

    let mut shown = Vec::new();
    for row in rows {
        let name = row[0].trim_matches('`');
        let kind: ModelErrorKind = serde_json::from_value(json!(name)).unwrap();
        let word = if kind.is_transient() { "yes" } else { "no" };
        assert_eq!(row[2], word, "{name}");
        shown.push(name.to_owned());
    }

    shown.sort_unstable();
    let known: Vec<String> = known::<ModelErrorKind>(json!("?")).into_iter().collect();
    assert_eq!(shown, known);
}

/// What a source declares between two texts: the names that a line begins with after `start`.
fn declared(file: &str, opening: &str, start: &str) -> BTreeSet<String> {
    let source = read(file);
    let (_, rest) = source.split_once(opening).unwrap();
    let body = rest.split("\n}").next().unwrap();
    let names = body.lines().filter_map(|line| {
        let name = line.strip_prefix(start)?;
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        Some(name[..end.unwrap_or(name.len())].to_owned())
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The names in the first cells of a section's tables, without arguments.
fn listed(page: &str, heading: &str) -> BTreeSet<String> {
    let page = read(page);
    let rows = rows(section(&page, heading));
    let names = rows.into_iter().flat_map(|row| names(row[0]));
    let bare = |name: String| {
        name.trim_start_matches("….")
            .split('(')
            .next()
            .map(str::to_owned)
    };
    names.filter_map(bare).collect()
}

#[test]
fn lists_on_pages_are_those_of_the_code() {
    let core = |file: &str| format!("crates/steadfast-core/src/{file}");

    let deltas = declared(&core("model.rs"), "pub enum ModelDelta {", "    ");
    assert_eq!(
        listed("docs/guides/own-provider.md", "## From the wire to deltas"),
        deltas
    );

    let replies = core("testing/scripted_model.rs");
    let replies = declared(&replies, "\nimpl Reply {", "    pub fn ");
    assert_eq!(
        listed(
            "docs/guides/testing-your-agent.md",
            "## A script for the model"
        ),
        replies
    );

    let mut endings = declared(&core("usage.rs"), "pub enum StopReason {", "    ");
    endings.extend(declared(
        &core("run_error.rs"),
        "pub enum RunErrorKind {",
        "    ",
    ));
    // No run ends with the first two, and nothing interrupts one yet.
    endings.retain(|name| !["ToolUse", "PauseTurn", "Interrupt"].contains(&name.as_str()));
    assert_eq!(
        listed("docs/concepts/loop.md", "## How a run ends"),
        endings
    );
}

#[test]
fn examples_are_short() {
    for file in files("examples", "rs") {
        let source = read(&file);
        let (uses, code): (Vec<&str>, Vec<&str>) = source
            .split("\n\n")
            .partition(|part| part.starts_with("use ") || part.starts_with("//!"));
        let lines = code.iter().flat_map(|part| part.lines());
        let lines = lines.filter(|line| !line.trim().is_empty()).count();
        assert!(
            !uses.is_empty() && lines < 80,
            "{file} has {lines} lines of code"
        );
    }
}
