//! `steadfast storm`: many agents against one throttled provider, strategy by strategy, in virtual time.
//!
//! The agents are real, the provider and the clock are not. What a strategy does is its own business.

mod admission;
mod chance;
mod comparison;
mod figures;
mod formula;
mod knowing_limiter;
mod learning_bucket;
mod picture;
mod provider;
mod scenario;
mod strategies;
mod table;
mod tally;
mod trial;
mod world;

use std::{fs::File, io::Write as _, path::Path};

use self::{
    comparison::Comparison,
    scenario::{SCENARIOS, Scenario},
    strategies::{STRATEGIES, Strategy},
};
use crate::{
    command_line::StormOptions, ending::Ending, output::Output, refusal::Refusal,
    stop_signal::StopSignal,
};

/// The most seeds of one comparison.
const MOST_SEEDS: u32 = 1_000;

/// Runs the command.
pub(crate) async fn storm(options: StormOptions, output: &mut Output) -> Result<Ending, Refusal> {
    if options.scenario.as_deref() == Some("list") {
        return Ok(tell(&listed_scenarios(), output));
    }
    if options.strategy.as_deref() == Some("list") {
        return Ok(tell(&listed_strategies(), output));
    }
    let scenario = Scenario::named(options.scenario.as_deref().unwrap_or("burst"))?;
    let strategies = strategies::chosen(options.strategy.as_deref())?;
    let world = scenario.world(&options)?;
    let seeds = seeds(&options)?;
    let picture = options
        .svg
        .as_deref()
        .map(PictureFile::create)
        .transpose()?;
    let signal = StopSignal::listen()?;
    let compared = tokio::task::spawn_blocking(move || Comparison::of(&strategies, world, seeds));
    let compared = tokio::select! {
        compared = compared => compared,
        () = signal.token().cancelled() => return Ok(Ending::Cancelled),
    };
    let comparison = match compared {
        Ok(compared) => compared?,
        // Nobody aborts it, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let written = if options.json {
        table::json(scenario, &comparison)
    } else {
        table::table(scenario, &comparison)
    };
    if let Some(file) = picture {
        let drawn = picture::picture(scenario, &comparison);
        if let Err(error) = file.write(&drawn) {
            output.error(&error, Some("look at the space there"));
            return Ok(Ending::ForceStop);
        }
    }
    Ok(tell(&written, output))
}

/// The file of a picture, opened before anything is computed for it.
#[derive(Debug)]
struct PictureFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> PictureFile<'a> {
    fn create(path: &'a Path) -> Result<Self, Refusal> {
        let file = File::create(path).map_err(|error| {
            Refusal::new(
                format!("`--svg` cannot be written to `{}`: {error}", path.display()),
                "give a file in a folder that exists, such as `storm.svg`",
            )
        })?;
        Ok(Self { path, file })
    }

    /// Writes the picture, or says why not.
    fn write(mut self, picture: &str) -> Result<(), String> {
        let written = self.file.write_all(picture.as_bytes());
        written.map_err(|error| format!("cannot write `{}`: {error}", self.path.display()))
    }
}

/// Reads the seeds: so many from the first on.
fn seeds(options: &StormOptions) -> Result<Vec<u64>, Refusal> {
    if options.seeds > MOST_SEEDS {
        return Err(Refusal::new(
            format!(
                "`--seeds` cannot be `{}`: there are at most {MOST_SEEDS}",
                options.seeds
            ),
            "five say enough",
        ));
    }
    let first = options.seed;
    Ok((0..options.seeds)
        .map(|next| first.wrapping_add(next.into()))
        .collect())
}

fn listed_scenarios() -> String {
    let line = |scenario: &Scenario| format!("{:14}{}\n", scenario.name, scenario.what);
    SCENARIOS.iter().map(line).collect()
}

fn listed_strategies() -> String {
    let line = |strategy: &Strategy| format!("{:26}{}\n", strategy.name, strategy.what);
    STRATEGIES.iter().map(line).collect()
}

fn tell(text: &str, output: &mut Output) -> Ending {
    match output.data.write(text) {
        Ok(()) => Ending::Done,
        Err(error) => output.unwritten(&error),
    }
}
