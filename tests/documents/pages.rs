//! Every page: its code is compiled, its links lead somewhere, the tests that it names exist.

use std::{
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
