//! Which retry strategy is meant by `--retry` and the flags that go with it.

use std::time::Duration;

use steadfast::{ModelRetryStrategy, NoopRetryStrategy};

use crate::{command_line::RunOptions, refusal::Refusal};

/// The strategies that are known and not built yet.
const NOT_BUILT_YET: [&str; 4] = ["aws-legacy", "aws-standard", "aws-adaptive", "fleet"];

/// What works now, for hints.
const WORKS_NOW: &str = "these work now: `default` and `none`";

/// The strategy of a run.
#[derive(Debug)]
pub(crate) enum RetryChoice {
    Default(ModelRetryStrategy),
    None(NoopRetryStrategy),
}

impl RetryChoice {
    /// Reads the flags. The first wait is `initial_delay` if the user said nothing about it.
    pub(crate) fn new(
        options: &RunOptions,
        initial_delay: Option<Duration>,
    ) -> Result<Self, Refusal> {
        match options.retry.as_str() {
            "default" => Ok(Self::Default(default_strategy(options, initial_delay))),
            "none" => none(options),
            known if NOT_BUILT_YET.contains(&known) => Err(Refusal::new(
                format!("the retry strategy `{known}` is not built yet"),
                WORKS_NOW,
            )),
            unknown => Err(Refusal::new(
                format!("unknown retry strategy `{unknown}`"),
                WORKS_NOW,
            )),
        }
    }
}

fn default_strategy(options: &RunOptions, initial_delay: Option<Duration>) -> ModelRetryStrategy {
    let mut strategy = ModelRetryStrategy::new();
    if let Some(max_attempts) = options.max_attempts {
        strategy = strategy.max_attempts(max_attempts);
    }
    if let Some(initial_delay) = options.initial_delay.or(initial_delay) {
        strategy = strategy.initial_delay(initial_delay);
    }
    if let Some(max_delay) = options.max_delay {
        strategy = strategy.max_delay(max_delay);
    }
    if let Some(max_hint) = options.max_hint {
        strategy = strategy.max_hint(max_hint);
    }
    strategy
}

fn none(options: &RunOptions) -> Result<RetryChoice, Refusal> {
    let given = [
        ("--max-attempts", options.max_attempts.is_some()),
        ("--initial-delay", options.initial_delay.is_some()),
        ("--max-delay", options.max_delay.is_some()),
        ("--max-hint", options.max_hint.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(RetryChoice::None(NoopRetryStrategy)),
        Some((flag, _)) => Err(Refusal::new(
            format!("`{flag}` has no meaning with `--retry none`"),
            "leave out one of the two",
        )),
    }
}
