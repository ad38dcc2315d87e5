//! The strategies that a storm compares: this project's own, and models of others'. What each does is
//! elsewhere; here they are listed and chosen.

use std::sync::Arc;

use steadfast::{
    AwsRetryStrategy, ConfigError, FleetRetryStrategy, HookProvider, Jitter, ModelRetryStrategy,
    NoopRetryStrategy, RetryQuota,
};

use super::{
    formula::{self, Failure, Formula},
    knowing_limiter::KnowingLimiter,
    learning_bucket::{LearningBucket, Rules},
    world::World,
};
use crate::refusal::Refusal;

/// One strategy of the comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strategy {
    pub(super) name: &'static str,
    /// What it is, in one line.
    pub(super) what: &'static str,
    pub(super) whose: Whose,
    shared: SharedBy,
    build: Build,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// A part of this project, as it is.
    Ours,
    /// The limiter that knows the limit.
    Measure,
    /// A model of what somebody else does.
    Others,
}

impl Whose {
    /// As it is called in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Measure => "measure",
            Self::Others => "model",
        }
    }
}

/// Who has one value of it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SharedBy {
    /// Nobody: each agent has its own.
    Nobody,
    Process,
    Everybody,
}

#[derive(Debug, Clone, Copy)]
enum Build {
    Formula(fn(&Failure) -> Option<f64>),
    With(fn(&World, u64) -> Built),
}

type Built = Result<Arc<dyn HookProvider>, ConfigError>;

/// The name of the limiter that knows the limit.
pub(super) const MEASURE: &str = "perfect";

/// The name of the fleet strategy.
pub(super) const FLEET: &str = "fleet";

/// What is compared if nothing else is said.
const USUAL: [&str; 12] = [
    FLEET,
    MEASURE,
    "default",
    "aws-adaptive-shared",
    "strands-python",
    "strands-typescript",
    "strands-botocore",
    "openai-python",
    "openai-python-10",
    "vercel",
    "litellm",
    "aimd-no-ceilings",
];

/// All of them.
pub(super) const STRATEGIES: [Strategy; 33] = [
    measure(
        MEASURE,
        "a limiter that knows the limit, first in, first out",
        |world, seed| Ok(Arc::new(KnowingLimiter::of(world, seed)?)),
    ),
    ours(
        FLEET,
        "FleetRetryStrategy: the agents of a process share a pacer",
        |_, seed| Ok(Arc::new(FleetRetryStrategy::new().seed(seed))),
    )
    .shared(),
    ours(
        "default",
        "ModelRetryStrategy: 6 attempts, 4 s x 2 up to 240 s",
        |_, _| Ok(Arc::new(ModelRetryStrategy::new())),
    ),
    ours(
        "full-jitter",
        "ModelRetryStrategy with full jitter: 6 attempts",
        |_, _| Ok(Arc::new(ModelRetryStrategy::new().jitter(Jitter::Full))),
    ),
    ours(
        "aws-legacy",
        "AwsRetryStrategy, legacy: 5 attempts",
        |_, _| Ok(Arc::new(AwsRetryStrategy::legacy())),
    ),
    ours(
        "aws-standard",
        "AwsRetryStrategy, standard: 3 attempts, a quota each",
        |_, _| Ok(Arc::new(AwsRetryStrategy::standard())),
    ),
    ours(
        "aws-standard-shared",
        "AwsRetryStrategy, standard, one quota for all",
        |_, _| Ok(Arc::new(AwsRetryStrategy::standard())),
    )
    .shared(),
    ours(
        "aws-adaptive",
        "AwsRetryStrategy, adaptive: standard and a limiter each",
        |_, _| Ok(Arc::new(AwsRetryStrategy::adaptive())),
    ),
    ours(
        "aws-adaptive-shared",
        "AwsRetryStrategy, adaptive, one limiter for all",
        |_, _| Ok(Arc::new(AwsRetryStrategy::adaptive())),
    )
    .shared(),
    ours("none", "NoopRetryStrategy: 1 attempt", |_, _| {
        Ok(Arc::new(NoopRetryStrategy))
    }),
    others(
        "strands-python",
        "throttles only: 4 s x 2 up to 240 s, 6 attempts, no jitter",
        formula::strands_python,
    ),
    others(
        "strands-typescript",
        "throttles only: 4 s x 2 up to 240 s, 6 attempts, full jitter",
        formula::strands_typescript,
    ),
    others(
        "strands-botocore",
        "Strands' 6 attempts over botocore's 3",
        formula::strands_over_botocore,
    ),
    others(
        "botocore-legacy",
        "random x 2^n, 5 attempts",
        formula::botocore_legacy,
    ),
    others(
        "botocore-standard",
        "3 attempts, a client for each agent",
        formula::botocore_standard,
    ),
    modelled(
        "botocore-standard-shared",
        "3 attempts, one client: 500 tokens of quota",
        |_, _| Ok(Arc::new(AwsRetryStrategy::standard())),
    ),
    others(
        "botocore-standard-5",
        "5 attempts, as AG2 sets it",
        formula::botocore_standard_5,
    ),
    modelled(
        "botocore-adaptive",
        "3 attempts, one client: its quota, its limiter",
        |_, _| Ok(Arc::new(AwsRetryStrategy::adaptive())),
    ),
    modelled(
        "botocore-limiter",
        "botocore's adaptive limiter: no quota, no end of attempts",
        |_, _| {
            Ok(Arc::new(
                AwsRetryStrategy::adaptive()
                    .total_max_attempts(u32::MAX)
                    .with_quota(RetryQuota::new(u32::MAX)),
            ))
        },
    ),
    others(
        "openai-python",
        "2 retries, 0.5 s x 2 up to 8 s",
        formula::openai_python,
    ),
    others(
        "openai-python-10",
        "set to 10 retries, 0.5 s x 2 up to 8 s",
        formula::openai_python_10,
    ),
    others(
        "google-genai",
        "opted in: 5 attempts, 1 s x 2",
        formula::google_genai,
    ),
    others("vercel", "2 retries, 2 s x 2, no jitter", formula::vercel),
    others(
        "litellm",
        "2 retries, 0.5 s x 2, one deployment",
        formula::litellm,
    ),
    others(
        "codex",
        "5 retries of the stream, 200 ms x 2",
        formula::codex,
    ),
    others(
        "pydantic-ai",
        "5 attempts, the hint or 1 s x 2",
        formula::pydantic_ai,
    ),
    others("agentrouter", "3 retries, 1 s x 2", formula::agentrouter),
    others(
        "aegeantic",
        "3 attempts, 1 s x 2 +-25 %",
        formula::aegeantic,
    ),
    others(
        "full-jitter-for-ever",
        "0.5 s x 2 up to 20 s, full jitter, no end of attempts",
        formula::full_jitter_for_ever,
    ),
    modelled(
        "aimd",
        "one bucket that adds and halves: 8 to 16/s, 8 under way",
        |_, _| Ok(Arc::new(LearningBucket::new(Rules::AIMD))),
    ),
    modelled(
        "aimd-no-ceilings",
        "one bucket that adds and halves, no ceilings",
        |_, _| Ok(Arc::new(LearningBucket::new(Rules::AIMD_WITHOUT_CEILINGS))),
    ),
    modelled(
        "atb",
        "arXiv:2510.04516: x 1.2 or halved, a bucket each",
        |_, _| Ok(Arc::new(LearningBucket::new(Rules::ATB))),
    )
    .by_agent(),
    modelled(
        "atb-shared",
        "arXiv:2510.04516, one bucket for all",
        |_, _| Ok(Arc::new(LearningBucket::new(Rules::ATB))),
    ),
];

const fn ours(name: &'static str, what: &'static str, build: fn(&World, u64) -> Built) -> Strategy {
    Strategy {
        name,
        what,
        whose: Whose::Ours,
        shared: SharedBy::Nobody,
        build: Build::With(build),
    }
}

const fn measure(
    name: &'static str,
    what: &'static str,
    build: fn(&World, u64) -> Built,
) -> Strategy {
    Strategy {
        whose: Whose::Measure,
        shared: SharedBy::Everybody,
        ..ours(name, what, build)
    }
}

const fn others(
    name: &'static str,
    what: &'static str,
    formula: fn(&Failure) -> Option<f64>,
) -> Strategy {
    Strategy {
        name,
        what,
        whose: Whose::Others,
        shared: SharedBy::Nobody,
        build: Build::Formula(formula),
    }
}

/// A model that is more than one formula. A process has one of it.
const fn modelled(
    name: &'static str,
    what: &'static str,
    build: fn(&World, u64) -> Built,
) -> Strategy {
    Strategy {
        whose: Whose::Others,
        shared: SharedBy::Process,
        ..ours(name, what, build)
    }
}

impl Strategy {
    /// One for all agents of a process.
    const fn shared(self) -> Self {
        Self {
            shared: SharedBy::Process,
            ..self
        }
    }

    /// One for each agent.
    const fn by_agent(self) -> Self {
        Self {
            shared: SharedBy::Nobody,
            ..self
        }
    }

    /// Returns whether it is compared if nothing else is said.
    pub(super) fn is_usual(&self) -> bool {
        USUAL.contains(&self.name)
    }

    /// Gives every agent its value, one and the same to those who share it.
    pub(super) fn hand_out(
        &self,
        world: &World,
        seed: u64,
    ) -> Result<Vec<Arc<dyn HookProvider>>, ConfigError> {
        let values = match self.shared {
            SharedBy::Nobody => world.agents,
            SharedBy::Process => world.processes,
            SharedBy::Everybody => 1,
        };
        let built = (0..values).map(|value| self.build(world, seed.wrapping_add(value.into())));
        let built: Vec<_> = built.collect::<Result<_, _>>()?;
        let of_agents = built.iter().cycle().take(world.agents as usize);
        Ok(of_agents.cloned().collect())
    }

    fn build(&self, world: &World, seed: u64) -> Built {
        match self.build {
            Build::Formula(formula) => Ok(Arc::new(Formula(formula))),
            Build::With(build) => build(world, seed),
        }
    }
}

/// Finds the strategy of this name.
pub(super) fn named(name: &str) -> Option<&'static Strategy> {
    STRATEGIES.iter().find(|strategy| strategy.name == name)
}

/// Reads `--strategy`: names with commas between them, or `all`.
pub(super) fn chosen(names: Option<&str>) -> Result<Vec<&'static Strategy>, Refusal> {
    match names {
        None => Ok(USUAL.iter().filter_map(|name| named(name)).collect()),
        Some("all") => Ok(STRATEGIES.iter().collect()),
        Some(names) => {
            let mut chosen: Vec<&'static Strategy> = Vec::new();
            for name in names.split(',').map(str::trim) {
                let strategy = named(name).ok_or_else(|| unknown(name))?;
                if !chosen.iter().any(|other| other.name == strategy.name) {
                    chosen.push(strategy);
                }
            }
            Ok(chosen)
        }
    }
}

fn unknown(name: &str) -> Refusal {
    let known: Vec<&str> = STRATEGIES.iter().map(|strategy| strategy.name).collect();
    Refusal::new(
        format!("`--strategy` names `{name}`, which is no strategy of the storm"),
        format!("`all`, `list`, or some of: {}", known.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_the_usual_ones_exist() {
        let names: std::collections::BTreeSet<_> =
            STRATEGIES.iter().map(|strategy| strategy.name).collect();

        assert_eq!(names.len(), STRATEGIES.len());
        assert_eq!(chosen(None).unwrap().len(), USUAL.len());
        assert_eq!(chosen(Some("all")).unwrap().len(), STRATEGIES.len());
    }

    #[test]
    fn processes_share_what_their_agents_share() {
        let world = World {
            processes: 3,
            ..World::burst(7, 20.0, 20)
        };
        let values = |name| -> usize {
            let handed_out = named(name).unwrap().hand_out(&world, 1).unwrap();
            let values: std::collections::BTreeSet<*const ()> = handed_out
                .iter()
                .map(|value| Arc::as_ptr(value).cast())
                .collect();
            assert_eq!(handed_out.len(), 7);
            values.len()
        };

        // A value without a size has no address of its own.
        let sharing = ["perfect", "aimd", "aws-standard"].map(values);

        assert_eq!(sharing, [1, 3, 7]);
    }
}
