//! `steadfast sim`: serves the simulator until somebody asks for the end.

mod request_log;

use steadfast_sim::{Cassette, FaultScript, SeenRequest, Simulator};

use self::request_log::request_log;
use crate::{
    command_line::SimOptions,
    ending::Ending,
    output::Output,
    refusal::Refusal,
    stop_signal::StopSignal,
    styled_line::{Mark, StyledLine},
};

/// Runs the command.
pub(crate) async fn serve(options: SimOptions, output: &mut Output) -> Result<Ending, Refusal> {
    let signal = StopSignal::listen()?;
    let mut builder = Simulator::builder()
        .listen(options.listen)
        .hint(options.hint)
        .faults(joined(&options.fault)?)
        .chunk_delay(options.chunk_delay);
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
    let (logger, mut log) = request_log();
    let simulator = builder
        .keep_requests(0)
        .on_request(move |request| logger.add(described(request)))
        .start()
        .await?;
    announce(&simulator, output);
    let stopped = signal.token().cancelled();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(lines) = log.next() => show(&lines, output),
        }
    }
    log.close();
    while let Some(lines) = log.next().await {
        show(&lines, output);
    }
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
    let line = StyledLine::marked(Mark::Noted)
        .dim("base URL for OpenAI clients: ")
        .plain(&simulator.base_url())
        .dim(", for all others: ")
        .plain(&simulator.url())
        .dim(", any key; Ctrl-C ends it");
    output.status.line(&line);
    if !simulator.address().ip().is_loopback() {
        let line = StyledLine::new()
            .alarm("warning:")
            .plain(" everybody who reaches this machine can use it, whatever their key");
        output.status.line(&line);
    }
}

fn show(lines: &[StyledLine], output: &mut Output) {
    for line in lines {
        output.status.line(line);
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
