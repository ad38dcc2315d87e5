//! The invariants of `docs/architecture.md`, held by the repository itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The longest that a file may be without its tests, in lines.
const MAX_LINES: usize = 500;

/// What cargo knows of the workspace, on this machine's platform.
fn metadata(arguments: &[&str]) -> Value {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--filter-platform", host])
        .args(arguments)
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The packages of a crate's normal dependency tree on this machine, itself included.
fn dependency_tree(package: &str, features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
        ])
        .args(features)
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let name_and_version = |line: &str| {
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(name_and_version).collect()
}

/// What each crate of ours may depend on directly, among our own.
fn allowed_arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("steadfast-resilience", &[] as &[_]),
        ("steadfast-core", &["steadfast-resilience"]),
        ("steadfast-providers", &["steadfast-core"]),
        ("steadfast-sim", &[]),
        ("steadfast", &["steadfast-core", "steadfast-providers"]),
        ("steadfast-cli", &["steadfast", "steadfast-sim"]),
        ("steadfast-examples", &["steadfast", "steadfast-sim"]),
        ("steadfast-tests", &["steadfast", "steadfast-sim"]),
        ("steadfast-benchmarks", &["steadfast", "steadfast-sim"]),
    ])
}

fn own_packages() -> Vec<Value> {
    metadata(&["--no-deps"])["packages"]
        .as_array()
        .unwrap()
        .clone()
}

fn normal_dependencies(package: &Value) -> Vec<&str> {
    let all = package["dependencies"].as_array().unwrap();
    let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
    normal
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let allowed = allowed_arrows();
    for package in own_packages() {
        let name = package["name"].as_str().unwrap();
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is in no layer"));
        for dependency in normal_dependencies(&package) {
            if dependency.starts_with("steadfast") {
                assert!(
                    may.contains(&dependency),
                    "`{name}` depends on `{dependency}`"
                );
            }
        }
    }
}

#[test]
fn core_opens_no_socket_and_no_file() {
    let core = dependency_tree("steadfast-core", &[]);
    for forbidden in [
        "reqwest ",
        "hyper ",
        "mio ",
        "socket2 ",
        "rustls ",
        "tempfile ",
    ] {
        assert!(
            !core.iter().any(|package| package.starts_with(forbidden)),
            "core depends on {forbidden}"
        );
    }
    let packages = own_packages();
    let core = packages
        .iter()
        .find(|package| package["name"] == "steadfast-core")
        .unwrap();
    assert!(
        normal_dependencies(core).len() <= 12,
        "{:?}",
        normal_dependencies(core)
    );
    for file in rust_files("crates/steadfast-core/src") {
        let source = fs::read_to_string(&file).unwrap();
        for forbidden in [
            "std::fs",
            "std::net",
            "tokio::fs",
            "tokio::net",
            "std::process",
            "std::env",
        ] {
            assert!(
                !source.contains(forbidden),
                "{} uses `{forbidden}`",
                file.display()
            );
        }
    }
}

#[test]
fn default_build_stays_small() {
    let tree = dependency_tree("steadfast", &[]);
    assert!(tree.len() <= 110, "{} packages", tree.len());
    assert!(dependency_tree("steadfast", &["--no-default-features"]).len() <= 40);
}

/// What the AWS SDK, which only the feature `bedrock` has, still brings in an older version.
const OLDER_IN_THE_SDK: [&str; 3] = ["http", "http-body", "syn"];

#[test]
fn no_crate_comes_in_two_versions_but_in_the_aws_sdk() {
    for (features, allowed) in [(&[][..], &[][..]), (&["--all-features"], &OLDER_IN_THE_SDK)] {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in dependency_tree("steadfast", features) {
            let (name, version) = package.split_once(' ').unwrap();
            versions
                .entry(name.to_owned())
                .or_default()
                .push(version.to_owned());
        }
        versions.retain(|name, versions| versions.len() > 1 && !allowed.contains(&name.as_str()));
        assert!(versions.is_empty(), "{features:?}: {versions:?}");
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    const ALLOWED: [&str; 10] = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Unicode-3.0",
        "Zlib",
        "0BSD",
        "Unlicense",
        "CDLA-Permissive-2.0",
    ];
    for package in metadata(&[])["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("");
        let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
        let choices = plain.split(" OR ");
        let acceptable = choices.map(|choice| {
            choice.split(" AND ").all(|part| {
                let name = part.trim().split(" WITH ").next().unwrap_or_default();
                ALLOWED.contains(&name.trim())
            })
        });
        assert!(
            acceptable.into_iter().any(|ok| ok),
            "{}: `{licence}`",
            package["name"]
        );
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for file in rust_files("crates") {
        let source = fs::read_to_string(&file).unwrap();
        let shown = file.display();
        let tests_module = file.file_name().unwrap() == "tests.rs";
        let code = match tests_module {
            true => "",
            false => source
                .split("\n#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default(),
        };
        assert!(
            code.lines().count() <= MAX_LINES,
            "{shown} has {} lines",
            code.lines().count()
        );
        // Below `tests`, any other name would make cargo take the file for a test of its own.
        let shared_by_tests = file.ends_with("tests/support/mod.rs");
        assert!(
            shared_by_tests || file.file_name().unwrap() != "mod.rs",
            "{shown}"
        );
        assert!(
            tests_module || source.starts_with("//!"),
            "{shown} does not say what it is"
        );
    }
}

#[test]
fn only_one_file_reads_the_wall_clock_of_core() {
    let readers: Vec<PathBuf> = rust_files("crates/steadfast-core/src")
        .into_iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .contains("SystemTime::now()")
        })
        .collect();
    assert_eq!(readers.len(), 1, "{readers:?}");
    assert!(readers[0].ends_with("runtime.rs"));
}

#[test]
fn only_the_wires_read_what_vendors_say() {
    // Nobody downstream looks into an error's text: matching on it happens in no other place.
    let wires = ["error_wire", "retry_hint", "redact"];
    for folder in [
        "crates/steadfast-core/src",
        "crates/steadfast-providers/src",
    ] {
        for file in rust_files(folder) {
            let shown = file.display().to_string();
            let is_test = file.ends_with("tests.rs");
            if is_test || wires.iter().any(|wire| shown.contains(wire)) {
                continue;
            }
            let source = fs::read_to_string(&file).unwrap();
            for sniffing in [
                "message().contains(",
                "message().starts_with(",
                "to_string().contains(",
            ] {
                let code = source.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!code.contains(sniffing), "{shown} reads an error's text");
            }
        }
    }
}

#[test]
fn nothing_here_names_a_machine() {
    let tracked = Command::new("git")
        .args(["ls-files"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let own_name = Path::new(file!()).file_name().unwrap().to_owned();
    for file in String::from_utf8(tracked.stdout).unwrap().lines() {
        let path = Path::new(ROOT).join(file);
        if path.file_name() == Some(&own_name) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for path in ["/root/", "/work/", "/home/", "/Users/"] {
            assert!(!text.contains(path), "{file} names `{path}`");
        }
    }
}
