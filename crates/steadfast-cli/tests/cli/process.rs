//! Processes of the program under test, with an environment that says nothing.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStderr, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// How long any process may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Variables that would change what the program does.
const CLEARED: [&str; 26] = [
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "AWS_MAX_ATTEMPTS",
    "OLLAMA_API_KEY",
    "OLLAMA_HOST",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "TERM",
    "CI",
    "RUST_BACKTRACE",
    "RUST_LOG",
];

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Reads standard output as events, one a line.
    pub(crate) fn events(&self) -> TestResult<Vec<Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }
}

pub(crate) fn steadfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.args(arguments);
    for variable in CLEARED {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end with nothing on standard input.
pub(crate) fn finish(command: &mut Command) -> TestResult<Finished> {
    finish_with_input(command, b"")
}

/// Runs a command to its end.
pub(crate) fn finish_with_input(command: &mut Command, input: &[u8]) -> TestResult<Finished> {
    let mut running = Running::start(command)?;
    if let Some(mut stdin) = running.child.stdin.take() {
        // A program that does not read its input may have closed it.
        let _ = stdin.write_all(input);
    }
    running.finish()
}

/// A process that is still running; it does not outlive the test.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<std::io::Result<String>>>,
    stderr: Option<JoinHandle<std::io::Result<String>>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> TestResult<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self {
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            child,
        })
    }

    pub(crate) fn finish(mut self) -> TestResult<Finished> {
        let status = wait(&mut self.child, PATIENCE)?;
        Ok(Finished {
            status,
            stdout: collected(self.stdout.take())?,
            stderr: collected(self.stderr.take())?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process; one that takes too long is an error.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> TestResult<Option<i32>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if began.elapsed() > patience {
            child.kill()?;
            return Err("the process did not end".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
pub(crate) fn send(child: &Child, signal: rustix::process::Signal) -> TestResult {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn collect(stream: impl Read + Send + 'static) -> JoinHandle<std::io::Result<String>> {
    std::thread::spawn(move || {
        let mut stream = stream;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

fn collected(stream: Option<JoinHandle<std::io::Result<String>>>) -> TestResult<String> {
    let Some(stream) = stream else {
        return Ok(String::new());
    };
    Ok(stream.join().map_err(|_| "a reader panicked")??)
}

/// `steadfast sim` as a process of its own.
#[derive(Debug)]
pub(crate) struct SimProcess {
    child: Child,
    stderr: Option<ChildStderr>,
    pub(crate) first_line: String,
}

impl SimProcess {
    pub(crate) fn start(arguments: &[&str]) -> TestResult<Self> {
        let mut child = steadfast(&[&["sim"], arguments].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut first_line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut first_line)?;
        }
        let stderr = child.stderr.take();
        Ok(Self {
            child,
            stderr,
            first_line: first_line.trim_end().to_owned(),
        })
    }

    /// Returns what Anthropic's clients take.
    pub(crate) fn url(&self) -> TestResult<String> {
        let url = self.first_line.strip_prefix("listening on ");
        Ok(url.ok_or("the first line is not the address")?.to_owned())
    }

    /// Returns what OpenAI's clients take.
    pub(crate) fn base_url(&self) -> TestResult<String> {
        Ok(format!("{}/v1", self.url()?))
    }

    /// Ends it as a service manager does, and returns its exit status and what it logged.
    #[cfg(unix)]
    pub(crate) fn end(
        mut self,
        signal: rustix::process::Signal,
    ) -> TestResult<(Option<i32>, String)> {
        send(&self.child, signal)?;
        let status = wait(&mut self.child, PATIENCE)?;
        let log = collected(self.stderr.take().map(collect))?;
        Ok((status, log))
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
