//! A cell of the program: the binary itself against the simulator in this process. Its arguments are
//! here, what it must come to is not.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use steadfast_sim::{Simulator, Wire};
use tokio::runtime::Handle;

use crate::{
    TestResult,
    axes::{Cell, Strategy},
    contract::{Ended, INITIAL_DELAY, MAX_ATTEMPTS, expected},
    script::{self, PROMPT},
    sheet::Sheet,
};

/// The wires that `--model` can name, and the variable of their keys.
const PROVIDERS: &[(Wire, &str, &str)] = &[
    (Wire::OpenAiChat, "openai:any", "OPENAI_API_KEY"),
    (Wire::Anthropic, "anthropic:any", "ANTHROPIC_API_KEY"),
    #[cfg(feature = "bedrock")]
    (Wire::Bedrock, "bedrock:any", "AWS_ACCESS_KEY_ID"),
    (
        Wire::OpenAiResponses,
        "openai-responses:any",
        "OPENAI_API_KEY",
    ),
    (Wire::Gemini, "gemini:any", "GEMINI_API_KEY"),
    (Wire::Ollama, "ollama:any", "OLLAMA_API_KEY"),
];

/// How long a run may take in cells of silence. The program has no flag for a model's silence, and
/// waits two minutes: here its deadline comes first, and late enough for the call to be made on a
/// machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long any process may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the wires that the program speaks.
pub(crate) fn wires() -> Vec<Wire> {
    PROVIDERS.iter().map(|(wire, ..)| *wire).collect()
}

/// Computes what the program comes to: the run's contract, as an exit status and the last line.
pub(crate) fn expected_of_program(cell: &Cell) -> Sheet {
    // The program has no tool: the call is answered with an error, and the run goes on.
    let run = expected(cell, |_, _| None);
    let (status, end) = match &run.ended {
        Ended::Result => (0, "result EndTurn".to_owned()),
        Ended::Failed(failed) => (1, format!("force_stop {}", failed.kind.name())),
    };
    // A silent server is not retried before the deadline, and the deadline ends the run.
    let silent = cell.is_silent();
    let before = cell.strikes.turn as usize;
    if silent {
        sheet(1, "force_stop deadline", before, 1, before - 1)
    } else {
        sheet(status, &end, run.requests, run.discarded, run.tool_runs)
    }
}

fn sheet(status: i32, end: &str, requests: usize, discarded: usize, tools: usize) -> Sheet {
    vec![
        format!("exit status {status}"),
        format!("last line: {end}"),
        format!("{requests} requests seen"),
        format!("{discarded} times attempt_discarded"),
        format!("{tools} times tool_finished"),
        "1 ending, every line JSON".to_owned(),
    ]
}

/// Runs the program for a cell.
pub(crate) fn meet(cell: &Cell, runtime: &Handle) -> TestResult<Sheet> {
    let simulator = Simulator::builder()
        .faults(cell.script())
        .answer(script::answer);
    let simulator = runtime.block_on(simulator.start())?;
    let (status, stdout) = finish(command(cell, &simulator)?)?;
    let requests = simulator.requests().len();
    runtime.block_on(simulator.stop());

    let read: Result<Vec<Value>, _> = stdout.lines().map(serde_json::from_str).collect();
    let Ok(lines) = read else {
        return Ok(vec![format!("exit status {status:?}"), stdout]);
    };
    let is = |line: &Value, kind: &str| line.get("type").is_some_and(|found| found == kind);
    let count = |kind: &str| lines.iter().filter(|line| is(line, kind)).count();
    let word = |line: &Value, place: &str| {
        let found = line.pointer(place).and_then(Value::as_str);
        found.unwrap_or("nothing").to_owned()
    };
    let end = match lines.last() {
        Some(line) if is(line, "result") && word(line, "/stop_reason") == "end_turn" => {
            "result EndTurn".to_owned()
        }
        Some(line) => format!("{} {}", word(line, "/type"), word(line, "/error/kind")),
        None => "none".to_owned(),
    };
    let mut met = sheet(
        status.unwrap_or(-1),
        &end,
        requests,
        count("attempt_discarded"),
        count("tool_finished"),
    );
    met.pop();
    let endings = count("result") + count("force_stop");
    met.push(format!("{endings} ending, every line JSON"));
    Ok(met)
}

fn command(cell: &Cell, simulator: &Simulator) -> TestResult<Command> {
    let provider = PROVIDERS.iter().find(|(wire, ..)| *wire == cell.wire);
    let (_, model, key) = provider.ok_or("the program does not speak this wire")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    // What stands in the environment would change what the program does.
    command.env_clear().env(key, "any");
    if cell.wire == Wire::Bedrock {
        command
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", "us-east-1");
    }
    if let Some(root) = std::env::var_os("SystemRoot") {
        command.env("SystemRoot", root);
    }
    command.args(["run", "--events", "jsonl", "--model", model, "--base-url"]);
    command.arg(simulator.base_url_for(cell.wire));
    match cell.strategy {
        Strategy::Default => {
            let delay = format!("{}ms", INITIAL_DELAY.as_millis());
            command.args(["--max-attempts", &MAX_ATTEMPTS.to_string()]);
            command.args(["--initial-delay", &delay]);
        }
        Strategy::None => {
            command.args(["--retry", "none"]);
        }
        other => return Err(format!("the program has no strategy {other:?}").into()),
    }
    if cell.is_silent() {
        let deadline = format!("{}ms", DEADLINE.as_millis());
        command.args(["--deadline", &deadline]);
    }
    command.arg(PROMPT);
    Ok(command)
}

/// Runs a command to its end, and returns its exit status and what it wrote on standard output.
fn finish(mut command: Command) -> TestResult<(Option<i32>, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Running(command.stderr(Stdio::null()).spawn()?);
    let stdout = running.0.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_string(&mut text)?;
        }
        Ok::<_, std::io::Error>(text)
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status.code();
        }
        if began.elapsed() > PATIENCE {
            return Err("the process did not end".into());
        }
        thread::sleep(Duration::from_millis(2));
    };
    let text = reader.join().map_err(|_| "a reader panicked")?;
    Ok((status, text?))
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
