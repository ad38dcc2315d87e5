//! Which retry strategy is meant by `--retry` and the flags that go with it.

use std::time::Duration;

use steadfast::{
    AwsRetryConfig, AwsRetryMode, AwsRetryStrategy, FleetRetryStrategy, ModelRetryStrategy,
    NoopRetryStrategy,
};

use crate::{command_line::RunOptions, refusal::Refusal};

/// What there is, for hints.
const THERE_ARE: &str =
    "there are `default`, `none`, `aws-legacy`, `aws-standard`, `aws-adaptive` and `fleet`";

/// The strategy of a run.
#[derive(Debug)]
pub(crate) enum RetryChoice {
    Default(ModelRetryStrategy),
    None(NoopRetryStrategy),
    Aws(AwsRetryStrategy),
    Fleet(FleetRetryStrategy),
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
            "aws-legacy" => aws(options, AwsRetryMode::Legacy),
            "aws-standard" => aws(options, AwsRetryMode::Standard),
            "aws-adaptive" => aws(options, AwsRetryMode::Adaptive),
            "fleet" => fleet(options),
            unknown => Err(Refusal::new(
                format!("unknown retry strategy `{unknown}`"),
                THERE_ARE,
            )),
        }
    }

    /// Returns the most calls of one turn, where the user set it.
    pub(crate) fn max_attempts(&self, options: &RunOptions) -> Option<u32> {
        match self {
            Self::Default(_) | Self::None(_) => options.max_attempts,
            Self::Fleet(_) => None,
            Self::Aws(strategy) => Some(strategy.settings().total_max_attempts),
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
    let attempts = ("--max-attempts", options.max_attempts.is_some());
    match delays(options).into_iter().chain([attempts]).find(given) {
        None => Ok(RetryChoice::None(NoopRetryStrategy)),
        Some((flag, _)) => Err(Refusal::new(
            format!("`{flag}` has no meaning with `--retry none`"),
            "leave out one of the two",
        )),
    }
}

/// The mode is the flag's; the attempts are the flag's, or else those of `AWS_MAX_ATTEMPTS`, as AWS's
/// own tools have it.
fn aws(options: &RunOptions, mode: AwsRetryMode) -> Result<RetryChoice, Refusal> {
    if let Some((flag, _)) = delays(options).into_iter().find(given) {
        return Err(Refusal::new(
            format!("`{flag}` has no meaning with `--retry aws-{mode}`"),
            "AWS's modes have delays of their own: leave out one of the two",
        ));
    }
    let mut config = AwsRetryConfig::new().mode(mode);
    config.total_max_attempts = options.max_attempts;
    let strategy = config.build(|name| std::env::var(name).ok())?;
    Ok(RetryChoice::Aws(strategy))
}

/// A run's own pacer: what it learns in one turn helps it in the next.
fn fleet(options: &RunOptions) -> Result<RetryChoice, Refusal> {
    let attempts = ("--max-attempts", options.max_attempts.is_some());
    let [initial, longest, _] = delays(options);
    if let Some((flag, _)) = [initial, longest, attempts].iter().find(|flag| given(flag)) {
        return Err(Refusal::new(
            format!("`{flag}` has no meaning with `--retry fleet`"),
            "its delays are learned, and `--deadline` bounds it: leave out one of the two",
        ));
    }
    let fleet = FleetRetryStrategy::new();
    Ok(RetryChoice::Fleet(match options.max_hint {
        Some(max_hint) => fleet.max_hint(max_hint),
        None => fleet,
    }))
}

/// The flags about delays, and whether they were given.
fn delays(options: &RunOptions) -> [(&'static str, bool); 3] {
    [
        ("--initial-delay", options.initial_delay.is_some()),
        ("--max-delay", options.max_delay.is_some()),
        ("--max-hint", options.max_hint.is_some()),
    ]
}

fn given(flag: &(&'static str, bool)) -> bool {
    flag.1
}
