//! A virtual environment with the vendors' own Python clients.
//!
//! It is made below `target/` the first time and stays there; a later major version of a client
//! gets an environment of its own.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The versions of the clients.
const CLIENTS: [&str; 5] = [
    "openai>=3,<4",
    "anthropic>=2,<3",
    "boto3>=1.43,<2",
    "google-genai>=3,<4",
    "ollama>=0.6,<1",
];

/// What tells that an environment has them.
const HAS_CLIENTS: &str = "import openai, anthropic, boto3, google.genai, ollama; \
                           assert openai.__version__.startswith('3.'); \
                           assert anthropic.__version__.startswith('2.'); \
                           assert google.genai.__version__.startswith('3.')";

const ENVIRONMENT: &str = "python-openai-3-anthropic-2-boto3-1-google-genai-3-ollama-0";

const INSTALL: &str = "install python3 with its venv and pip (Debian: `apt-get install python3-venv \
                       python3-pip`), or set STEADFAST_SKIP_PYTHON=1 to skip this test";

/// Returns a Python that has the clients; none if the test is to be skipped, which is said.
pub(crate) fn python() -> Result<Option<PathBuf>, Box<dyn Error>> {
    if env::var_os("STEADFAST_SKIP_PYTHON").is_some_and(|value| value == "1") {
        say("skipped: STEADFAST_SKIP_PYTHON=1");
        return Ok(None);
    }
    if let Err(missing) = venv_is_there() {
        if env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            return Err(format!("{missing}, and `CI` is set; {INSTALL}").into());
        }
        say(&format!("skipped: {missing}; {INSTALL}"));
        return Ok(None);
    }
    python_with_clients().map(Some)
}

/// Says what is missing to make an environment: Debian packs `ensurepip` with venv.
fn venv_is_there() -> Result<(), String> {
    let mut import = Command::new("python3");
    import.args(["-c", "import venv, ensurepip"]);
    match import.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => Err("python3 has no venv".to_owned()),
        Err(error) => Err(format!("python3 does not start: {error}")),
    }
}

fn python_with_clients() -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder)?;
    let environment = folder.join(ENVIRONMENT);
    let python = environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    // Two tests must not install at the same time; the lock goes with the file handle.
    let lock = File::create(folder.join(format!("{ENVIRONMENT}.lock")))?;
    lock.lock()?;
    if !has_clients(&python) {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&environment);
        finished("python3 -m venv", &mut venv)?;
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.args(CLIENTS);
        finished("pip install", &mut pip)?;
    }
    Ok(python)
}

fn has_clients(python: &Path) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", HAS_CLIENTS]);
    import.output().is_ok_and(|output| output.status.success())
}

fn finished(what: &str, command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command
        .output()
        .map_err(|error| format!("`{what}` does not start: {error}; {INSTALL}"))?;
    succeeded(what, &output).map_err(|error| format!("{error}\n{INSTALL}").into())
}

/// Says what a program said if it failed.
pub(crate) fn succeeded(what: &str, output: &Output) -> Result<(), Box<dyn Error>> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // Printed, because the error of a test is shown in its `Debug` form, on one line.
    say(&said);
    Err(format!("{what} failed with {}", output.status).into())
}

/// Says something that is read even if the test passes: the harness keeps back what macros print.
fn say(text: &str) {
    // Where nobody listens, nothing is lost.
    let _ = writeln!(io::stderr(), "{text}");
}
