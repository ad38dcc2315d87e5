//! Programs that must not compile, and what the compiler says of them.

use std::{env, process::Command};

/// The oldest compiler whose words the `.stderr` files have. Older ones word some of them otherwise.
const MINOR_VERSION: u32 = 95;

fn minor_version() -> Option<u32> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.split('.').nth(1)?.parse().ok()
}

/// A newer compiler may find other words: `TRYBUILD=overwrite cargo test -p steadfast-core --test
/// compile_fail` takes them over, and the difference is then to be read.
#[test]
fn what_must_not_compile_does_not_and_says_why() {
    if minor_version().is_some_and(|minor| minor < MINOR_VERSION) {
        return;
    }

    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
