//! Reading a page: its sections, tables and code blocks.

use std::{collections::BTreeSet, fs, path::Path};

/// The top of the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands below a heading, up to the next one.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = format!("\n{heading}\n");
    let (_, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no heading `{heading}`"));
    let ends = ["\n## ", "\n### "].map(|next| rest.find(next));
    let end = ends.into_iter().flatten().min();
    &rest[..end.unwrap_or(rest.len())]
}

/// The code blocks of a language, without their fences.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let opened = text.split(&fence).skip(1);
    opened
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// The rows of the tables in a text whose first cell is a name in backticks, as cells.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').skip(1).map(str::trim).collect())
        .collect()
}

/// The names in backticks.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The names that serde knows of a type: it says them when it meets another one.
pub(crate) fn known<T: serde::de::DeserializeOwned>(
    unknown: serde_json::Value,
) -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<T>(unknown) else {
        panic!("`?` is a name");
    };
    let sentence = error.to_string();
    // Of two it says "expected `a` or `b`", of more "expected one of `a`, …".
    names(sentence.split_once("expected ").unwrap().1)
}
