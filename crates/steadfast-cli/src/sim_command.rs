//! `steadfast sim`: serves the simulator until somebody asks for the end.

use std::time::Duration;

use steadfast_sim::{Cassette, FaultScript, SeenRequest, Simulator};
use tokio::time::sleep;

use crate::{
    command_line::SimOptions,
    ending::Ending,
    output::Output,
    refusal::Refusal,
    stop_signal::StopSignal,
    styled_line::{Mark, StyledLine},
};

/// How often new requests are looked for, while there are some and otherwise.
const BUSY: Duration = Duration::from_millis(40);
const IDLE: Duration = Duration::from_millis(200);

/// How many requests the simulator remembers for us: enough for what comes between two looks.
const KEPT_REQUESTS: usize = 1_000;

/// Runs the command.
pub(crate) async fn serve(options: SimOptions, output: &mut Output) -> Result<Ending, Refusal> {
    let signal = StopSignal::listen()?;
    let mut builder = Simulator::builder()
        .listen(options.listen)
        .hint(options.hint)
        .faults(joined(&options.fault)?)
        .chunk_delay(options.chunk_delay)
        .keep_requests(KEPT_REQUESTS);
    match (options.limit, options.burst) {
        (Some(limit), Some(burst)) => builder = builder.rate_limit(limit.burst(burst)),
        (Some(limit), None) => builder = builder.rate_limit(limit),
        (None, Some(_)) => {
            return Err(Refusal::new(
                "`--burst` has no meaning without `--limit`",
                "such as `--limit 20/s --burst 20`",
            ));
        }
        (None, None) => {}
    }
    if let Some(path) = &options.cassette {
        builder = builder.cassette(Cassette::load(path)?.seed(options.seed));
    }
    let simulator = builder.start().await?;
    announce(&simulator, output);
    let mut log = RequestLog::default();
    let stopped = signal.token().cancelled();
    tokio::pin!(stopped);
    let mut pause = IDLE;
    loop {
        tokio::select! {
            () = &mut stopped => break,
            () = sleep(pause) => {
                let is_busy = log.catch_up(&simulator, output);
                pause = if is_busy { BUSY } else { IDLE };
            }
        }
    }
    log.catch_up(&simulator, output);
    simulator.stop().await;
    output
        .status
        .line(&StyledLine::marked(Mark::Ended).plain("ended"));
    Ok(Ending::Done)
}

/// Puts the scripts of several `--fault` one behind the other.
fn joined(scripts: &[FaultScript]) -> Result<FaultScript, Refusal> {
    let scripts: Vec<String> = scripts
        .iter()
        .map(ToString::to_string)
        .filter(|script| !script.is_empty())
        .collect();
    Ok(scripts.join(", ").parse::<FaultScript>()?)
}

fn announce(simulator: &Simulator, output: &mut Output) {
    // Whoever closed standard output has the address already, or does not want it.
    let _ = output
        .data
        .write(&format!("listening on {}\n", simulator.url()));
    let base_url = simulator.base_url();
    let line = StyledLine::marked(Mark::Noted)
        .dim("base URL for OpenAI clients: ")
        .plain(&base_url)
        .dim(", any key; Ctrl-C ends it");
    output.status.line(&line);
    if !simulator.address().ip().is_loopback() {
        let line = StyledLine::new()
            .alarm("warning:")
            .plain(" everybody who reaches this machine can use it, whatever their key");
        output.status.line(&line);
    }
}

/// Which requests have been shown.
#[derive(Debug, Default)]
struct RequestLog {
    last: Option<SeenRequest>,
}

impl RequestLog {
    /// Shows the requests since the last time and returns whether there were any.
    fn catch_up(&mut self, simulator: &Simulator, output: &mut Output) -> bool {
        let requests = simulator.requests();
        let known = self.last.as_ref().and_then(|last| {
            let is_last =
                |request: &SeenRequest| request.at == last.at && request.path == last.path;
            requests.iter().rposition(is_last)
        });
        if self.last.is_some() && known.is_none() {
            let line = StyledLine::marked(Mark::Noted).dim("more requests than can be shown");
            output.status.line(&line);
        }
        let new = requests
            .into_iter()
            .skip(known.map_or(0, |known| known + 1));
        let mut is_busy = false;
        for request in new {
            output.status.line(&described(&request));
            self.last = Some(request);
            is_busy = true;
        }
        is_busy
    }
}

fn described(request: &SeenRequest) -> StyledLine {
    let ok = request.fault.is_none() && request.status.is_some_and(|status| status.is_success());
    let mark = if ok { Mark::Worked } else { Mark::Failed };
    let line = StyledLine::marked(mark)
        .plain(request.method.as_str())
        .plain(" ")
        .plain(&request.path)
        .plain(" ");
    let line = match request.status {
        Some(status) => line.strong(status.as_str()),
        None => line.strong("no answer"),
    };
    match &request.fault {
        Some(fault) => line.dim(&format!(" (fault {fault})")),
        None => line,
    }
}
