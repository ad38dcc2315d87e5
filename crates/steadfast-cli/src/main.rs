//! The program `steadfast`: runs an agent and shows all that happens, serves a simulated provider,
//! explains an answer, or lets strategies compete in a storm. How agents run and retry is not its
//! business: that is in the libraries.

mod argument_value;
mod command_line;
mod demonstration;
mod ending;
mod explain_command;
mod json_lines;
mod model_choice;
mod output;
mod provider;
mod refusal;
mod retry_choice;
mod run_command;
mod sim_command;
mod stop_signal;
mod storm_command;
mod styled_line;
mod text_view;

use std::process::ExitCode;

use crate::{
    command_line::{Command, Parsed},
    ending::Ending,
    output::Output,
    refusal::Refusal,
};

fn main() -> ExitCode {
    let mut output = Output::of_process();
    let command = match command_line::parse(std::env::args_os()) {
        Ok(Parsed::Command(command)) => command,
        Ok(Parsed::Told(told)) => return output.tell(&told).into(),
        Err(refusal) => return output.refuse(&refusal).into(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let refusal = Refusal::new(
                format!("the program cannot start: {error}"),
                "look at the limits on threads and open files",
            );
            return output.refuse(&refusal).into();
        }
    };
    let ended = runtime.block_on(carry_out(command, &mut output));
    let ending = ended.unwrap_or_else(|refusal| output.refuse(&refusal));
    // Whatever still hangs on a socket is not waited for.
    runtime.shutdown_background();
    ending.into()
}

async fn carry_out(command: Command, output: &mut Output) -> Result<Ending, Refusal> {
    match command {
        Command::Run(options) => run_command::run(*options, output).await,
        Command::Explain(options) => explain_command::explain(options, output).await,
        Command::Sim(options) => sim_command::serve(options, output).await,
        Command::Storm(options) => storm_command::storm(options, output).await,
    }
}
