//! `steadfast storm`: many agents against one throttled provider, strategy by strategy, in virtual time.
//!
//! The agents are real, the provider and the clock are not, unless `--real` asks for them. What a
//! strategy does is its own business.

mod admission;
mod bars;
mod chance;
mod comparison;
mod crowd;
mod figures;
mod formula;
mod knowing_limiter;
mod learning_bucket;
mod ledger;
mod picture;
mod picture_file;
mod provider;
mod real;
mod scenario;
mod strategies;
mod table;
mod tally;
mod trial;
mod world;

use serde_json::json;

use self::{
    comparison::Comparison,
    picture_file::PictureFile,
    real::Pair,
    scenario::{SCENARIOS, Scenario, Wishes},
    strategies::{FLEET, STRATEGIES, Strategy},
    world::World,
};
use crate::{
    command_line::StormOptions,
    ending::Ending,
    output::Output,
    refusal::Refusal,
    stop_signal::StopSignal,
    styled_line::{Mark, StyledLine},
    text_view::duration,
};

/// The most seeds of one comparison.
const MOST_SEEDS: u32 = 1_000;

/// Runs the command.
pub(crate) async fn storm(options: StormOptions, output: &mut Output) -> Result<Ending, Refusal> {
    if options.scenario.as_deref() == Some("list") {
        return Ok(tell(&listed_scenarios(options.json), output));
    }
    if options.strategy.as_deref() == Some("list") {
        return Ok(tell(&listed_strategies(options.json), output));
    }
    if options.bars {
        return show_bars(&options, output).await;
    }
    let storm = Storm::new(&options)?;
    let signal = StopSignal::listen()?;
    let picture = options
        .svg
        .as_deref()
        .map(PictureFile::create)
        .transpose()?;
    let outcome = async {
        match options.real {
            true => storm.really(options.json, output).await,
            false => storm.virtually(options.json).await,
        }
    };
    let outcome = tokio::select! {
        outcome = outcome => outcome?,
        () = signal.token().cancelled() => return Ok(Ending::Cancelled),
    };
    let told = tell(&outcome.written, output);
    if let Some(file) = picture {
        let drawn = picture::picture(storm.scenario, &outcome.comparison);
        if let Err(error) = file.write(&drawn) {
            output.error(&error, Some("look at the space there"));
            return Ok(Ending::ForceStop);
        }
    }
    Ok(match told {
        Ending::Done => outcome.ending,
        other => other,
    })
}

/// What is to be compared.
#[derive(Debug)]
struct Storm {
    scenario: &'static Scenario,
    world: World,
    strategies: Vec<&'static Strategy>,
    seeds: Vec<u64>,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    comparison: Comparison,
    /// The same for people, or for programs.
    written: String,
    ending: Ending,
}

impl Storm {
    fn new(options: &StormOptions) -> Result<Self, Refusal> {
        let scenario = Scenario::named(options.scenario.as_deref().unwrap_or("burst"))?;
        let usual = options.real.then_some(real::USUAL);
        let strategies = strategies::chosen(options.strategy.as_deref().or(usual))?;
        let mut asked = Wishes::from(options);
        if options.real {
            asked.agents.get_or_insert(real::USUAL_AGENTS);
        }
        let world = scenario.world(&asked)?;
        let world = match options.real {
            true => real::real_world(scenario, world)?,
            false => world,
        };
        Ok(Self {
            scenario,
            world,
            strategies,
            seeds: seeds(options, 1)?,
        })
    }

    async fn virtually(&self, json: bool) -> Result<Outcome, Refusal> {
        let (strategies, world) = (self.strategies.clone(), self.world.clone());
        let seeds = self.seeds.clone();
        let comparison = computed(move || Comparison::of(&strategies, world, seeds)).await?;
        let written = match json {
            true => table::json(self.scenario, &comparison),
            false => table::table(self.scenario, &comparison),
        };
        Ok(Outcome {
            comparison,
            written,
            ending: Ending::Done,
        })
    }

    async fn really(&self, json: bool, output: &mut Output) -> Result<Outcome, Refusal> {
        let takes = duration(real::expected(&self.strategies, &self.world));
        let line = StyledLine::marked(Mark::Noted)
            .dim("this is done in real time and takes about ")
            .plain(&takes)
            .dim("; a strategy is ended after ")
            .plain(&duration(self.world.longest));
        output.status.line(&line);
        let seed = self.seeds.first().copied().unwrap_or_default();
        let real = real::compared(&self.strategies, &self.world, seed).await?;
        let (real, pairs) = computed(move || {
            let pairs = Pair::all(&real)?;
            Ok((real, pairs))
        })
        .await?;
        let written = match json {
            true => table::json_of_pairs(self.scenario, &real.comparison, &pairs),
            false => table::table_of_pairs(self.scenario, &real, &pairs),
        };
        let agree = pairs.iter().all(|pair| pair.differences().is_empty());
        let ending = match agree {
            true => Ending::Done,
            false => Ending::ForceStop,
        };
        Ok(Outcome {
            comparison: real.comparison,
            written,
            ending,
        })
    }
}

/// Computes something on all cores, off the threads that listen to signals.
async fn computed<T: Send + 'static>(
    compute: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(compute).await {
        Ok(computed) => computed,
        // Nobody aborts it, so it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Holds strategies against the bars.
async fn show_bars(options: &StormOptions, output: &mut Output) -> Result<Ending, Refusal> {
    let strategies = strategies::chosen(options.strategy.as_deref().or(Some(FLEET)))?;
    let seeds = seeds(options, 5)?;
    let signal = StopSignal::listen()?;
    let (compared, those) = (strategies.clone(), seeds.clone());
    let reached = tokio::select! {
        reached = computed(move || bars::reached(&compared, &those)) => reached?,
        () = signal.token().cancelled() => return Ok(Ending::Cancelled),
    };
    let written = match options.json {
        true => table::array(bars::objects(&reached)),
        false => bars::table(&strategies, &seeds, &reached),
    };
    let held = reached.iter().all(bars::Reached::is_held);
    Ok(match tell(&written, output) {
        Ending::Done if !held => Ending::ForceStop,
        told => told,
    })
}

/// Reads the seeds: so many from the first on.
fn seeds(options: &StormOptions, usual: u32) -> Result<Vec<u64>, Refusal> {
    let count = options.seeds.unwrap_or(usual);
    if count > MOST_SEEDS {
        return Err(Refusal::new(
            format!("`--seeds` cannot be `{count}`: there are at most {MOST_SEEDS}"),
            "five say enough",
        ));
    }
    if options.real && count > 1 {
        return Err(Refusal::new(
            "`--seeds` has no meaning with `--real`",
            "a real storm has one seed, and luck besides: choose it with `--seed`",
        ));
    }
    let seed = |next: u32| options.seed.wrapping_add(next.into());
    Ok((0..count).map(seed).collect())
}

fn listed_scenarios(json: bool) -> String {
    let object = |scenario: &Scenario| {
        let (name, what) = (scenario.name, scenario.what);
        json!({"scenario": name, "what": what}).to_string()
    };
    let line = |scenario: &Scenario| format!("{:16}{}\n", scenario.name, scenario.what);
    match json {
        true => table::array(SCENARIOS.iter().map(object)),
        false => SCENARIOS.iter().map(line).collect(),
    }
}

fn listed_strategies(json: bool) -> String {
    let object = |strategy: &Strategy| {
        let (name, what) = (strategy.name, strategy.what);
        let (whose, usual) = (strategy.whose.name(), strategy.is_usual());
        json!({"strategy": name, "what": what, "whose": whose, "usual": usual}).to_string()
    };
    let line = |strategy: &Strategy| {
        let mark = if strategy.is_usual() { "*" } else { " " };
        format!("{:26}{mark} {}\n", strategy.name, strategy.what)
    };
    match json {
        true => table::array(STRATEGIES.iter().map(object)),
        false => {
            let lines: String = STRATEGIES.iter().map(line).collect();
            lines + "\n*: compared if none are named\n"
        }
    }
}

fn tell(text: &str, output: &mut Output) -> Ending {
    match output.data.write(text) {
        Ok(()) => Ending::Done,
        Err(error) => output.unwritten(&error),
    }
}
