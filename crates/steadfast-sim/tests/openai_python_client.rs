//! OpenAI's own Python client against the simulator, unchanged: see `openai_python_client.py`.
//!
//! Needs python3 with venv and pip, and the package index the first time: the client is installed
//! into a virtual environment below `target/` and stays there. Without python3 or its venv the test
//! says that it is skipped, or fails if `CI` is set; `STEADFAST_SKIP_PYTHON=1` skips it anywhere.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use steadfast_sim::Simulator;

/// The version of the client; another major version gets an environment of its own.
const CLIENT: &str = "openai>=3,<4";
const ENVIRONMENT: &str = "openai-python-3";

const INSTALL: &str = "install python3 with its venv and pip (Debian: `apt-get install python3-venv \
                       python3-pip`), or set STEADFAST_SKIP_PYTHON=1 to skip this test";

#[tokio::test]
async fn official_python_client_works_unchanged() -> Result<(), Box<dyn Error>> {
    if env::var_os("STEADFAST_SKIP_PYTHON").is_some_and(|value| value == "1") {
        say("skipped: STEADFAST_SKIP_PYTHON=1");
        return Ok(());
    }
    if let Err(missing) = venv_is_there() {
        if env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            return Err(format!("{missing}, and `CI` is set; {INSTALL}").into());
        }
        say(&format!("skipped: {missing}; {INSTALL}"));
        return Ok(());
    }
    let python = python_with_client()?;
    let sim = Simulator::builder()
        .faults("ok*2, 429, 429:retry-after-ms=5, ok, error@text:overloaded".parse()?)
        .start()
        .await?;

    let output = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openai_python_client.py"))
        .env("OPENAI_BASE_URL", sim.base_url())
        .env("OPENAI_API_KEY", "any key")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .await?;

    succeeded("the client's script", &output)?;
    let statuses: Vec<_> = sim
        .requests()
        .iter()
        .filter_map(|request| request.status)
        .collect();
    assert_eq!(statuses, [200, 200, 429, 429, 200, 200, 200]);
    Ok(())
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

/// Returns a Python that has the client, which is installed if it is not there.
fn python_with_client() -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder)?;
    let environment = folder.join(ENVIRONMENT);
    let python = environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    // Two test processes must not install at the same time; the lock goes with the file handle.
    let lock = File::create(folder.join(format!("{ENVIRONMENT}.lock")))?;
    lock.lock()?;
    if !has_client(&python) {
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
            CLIENT,
        ]);
        finished("pip install", &mut pip)?;
    }
    Ok(python)
}

fn has_client(python: &Path) -> bool {
    let mut import = Command::new(python);
    import.args([
        "-c",
        "import openai; assert openai.__version__.startswith('3.')",
    ]);
    import.output().is_ok_and(|output| output.status.success())
}

fn finished(what: &str, command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command
        .output()
        .map_err(|error| format!("`{what}` does not start: {error}; {INSTALL}"))?;
    succeeded(what, &output).map_err(|error| format!("{error}\n{INSTALL}").into())
}

fn succeeded(what: &str, output: &Output) -> Result<(), Box<dyn Error>> {
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
