//! What an AWS retry strategy goes by, and who set it. Nothing is read or decided here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use steadfast_resilience::ConfigError;

/// One of the three retry modes that AWS's SDKs have.
///
/// ```
/// use steadfast_core::AwsRetryMode;
///
/// assert_eq!("adaptive".parse::<AwsRetryMode>()?, AwsRetryMode::Adaptive);
/// assert_eq!(
///     "nope".parse::<AwsRetryMode>().unwrap_err().to_string(),
///     "`mode` must be `legacy`, `standard` or `adaptive`, got `nope`"
/// );
/// # Ok::<(), steadfast_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AwsRetryMode {
    /// Botocore's first rules: no cap on waits, no quota.
    Legacy,
    /// The rules that all AWS SDKs share: waits of at most 20 seconds, and a quota of retries.
    Standard,
    /// The same, and a limiter that slows all sends down after a throttle.
    Adaptive,
}

impl AwsRetryMode {
    /// Returns the name that AWS's tools use, such as `standard`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Standard => "standard",
            Self::Adaptive => "adaptive",
        }
    }

    /// Returns the calls that AWS's own tools make at most, where nobody said how many.
    pub(in crate::retry) const fn total_max_attempts(self) -> u32 {
        match self {
            Self::Legacy => 5,
            Self::Standard | Self::Adaptive => 3,
        }
    }

    /// Reads a mode from a field or a variable of this name.
    pub(in crate::retry) fn parse(name: &str, value: &str) -> Result<Self, ConfigError> {
        [Self::Legacy, Self::Standard, Self::Adaptive]
            .into_iter()
            .find(|mode| mode.name() == value)
            .ok_or_else(|| {
                ConfigError::new(
                    name,
                    format!("must be `legacy`, `standard` or `adaptive`, got `{value}`"),
                )
            })
    }
}

impl fmt::Display for AwsRetryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AwsRetryMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        Self::parse("mode", value)
    }
}

/// Which set of AWS's rules a strategy goes by.
///
/// AWS changed the rules of `standard` and `adaptive` for everybody in November 2026 (botocore 1.44,
/// `BehaviorVersion::v2026_11_10()` of the Rust SDK). `legacy` is the same in both sets.
///
/// | | [`V2026`](Self::V2026) | [`Pre2026`](Self::Pre2026) |
/// |---|---|---|
/// | first delay after a throttle, before jitter | 1 s | 1 s |
/// | first delay after any other failure | 0.05 s | 1 s |
/// | `x-amz-retry-after` | waited, up to 5 s longer than the delay | ignored |
/// | quota: a throttle costs | 5 of 500 | 5 of 500 |
/// | quota: a timeout costs | 14 | 10 |
/// | quota: any other failure costs | 14 | 5 |
/// | a 429 whose code AWS does not know | is a throttle | is not retried |
/// | mode where nobody said which | `standard` | `legacy` |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AwsRetryRules {
    /// The rules since November 2026; AWS's specification calls them 2.1.
    #[default]
    V2026,
    /// The rules before; AWS's specification calls them 2.0.
    Pre2026,
}

impl AwsRetryRules {
    /// Returns the mode of AWS's own tools where nobody said which.
    pub(in crate::retry) const fn mode(self) -> AwsRetryMode {
        match self {
            Self::V2026 => AwsRetryMode::Standard,
            Self::Pre2026 => AwsRetryMode::Legacy,
        }
    }
}

/// Who set a value of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SetBy {
    /// The program.
    Program,
    /// An environment variable: `AWS_MAX_ATTEMPTS` or `AWS_RETRY_MODE`.
    Environment,
    /// The profile in AWS's configuration file: `max_attempts` or `retry_mode`.
    Profile,
    /// Nobody.
    Default,
}

/// What a strategy goes by in the end, and who set it.
///
/// ```
/// use steadfast_core::{AwsRetryMode, AwsRetryStrategy, SetBy};
///
/// let retries = AwsRetryStrategy::adaptive().total_max_attempts(7);
/// assert_eq!(
///     serde_json::to_value(retries.settings())?,
///     serde_json::json!({
///         "total_max_attempts": 7, "total_max_attempts_set_by": "program",
///         "mode": "adaptive", "mode_set_by": "program",
///         "rules": "v2026",
///     })
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AwsRetrySettings {
    /// The most calls of one turn, the first included.
    pub total_max_attempts: u32,
    /// Who set the most calls.
    pub total_max_attempts_set_by: SetBy,
    /// The mode.
    pub mode: AwsRetryMode,
    /// Who set the mode.
    pub mode_set_by: SetBy,
    /// The set of rules.
    pub rules: AwsRetryRules,
}

impl AwsRetrySettings {
    /// What a user changes to have more attempts.
    pub(super) const fn attempts_field(&self) -> &'static str {
        match self.total_max_attempts_set_by {
            SetBy::Environment => "AWS_MAX_ATTEMPTS",
            SetBy::Profile => "max_attempts",
            SetBy::Program | SetBy::Default => "total_max_attempts",
        }
    }
}
