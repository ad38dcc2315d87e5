//! Every example runs to its end without a key, and says what it is there to show.

use std::process::Command;

/// Variables that would lead an example somewhere else than to its simulator.
const CLEARED: [&str; 8] = [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];

#[test]
fn every_example_runs_without_a_key() {
    let cases = [
        ("building_an_agent", "2 turns, 3 attempts"),
        ("custom_retry_hook", "attempt 1 was blank"),
        ("disabling_retries", "come back in 7s"),
        ("listening_to_throttle_events", "is taken back"),
        ("own_provider", "Take one: it will rain.\n(2 attempts"),
    ];
    for (example, shown) in cases {
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--package", "steadfast-examples"]);
        command.args(["--example", example]);
        for variable in CLEARED {
            command.env_remove(variable);
        }
        let ran = command.output().unwrap();
        let out = String::from_utf8_lossy(&ran.stdout);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{example}: {errors}");
        assert!(out.contains(shown), "{example} said: {out}");
    }
}

#[test]
fn every_example_file_is_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let files = std::fs::read_dir(folder).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".rs").map(str::to_owned)
    });
    let source = include_str!("examples.rs");
    for file in files {
        assert!(
            source.contains(&format!("\"{file}\"")),
            "`{file}` is not run"
        );
    }
}
