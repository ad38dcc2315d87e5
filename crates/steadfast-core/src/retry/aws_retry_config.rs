//! AG2's and boto3's words for AWS's retry modes, and where their values come from.
//!
//! The environment is not read here: whoever builds a strategy hands it in.

use steadfast_resilience::ConfigError;

use super::aws_retry_strategy::{
    AwsRetryMode, AwsRetryRules, AwsRetrySettings, AwsRetryStrategy, SetBy,
};

/// AWS's retry configuration in the words that AG2 and boto3 have for it.
///
/// A value counts from the first of these places that has one, for the attempts and for the mode each:
///
/// 1. the program: [`total_max_attempts`](Self::total_max_attempts), or else
///    [`max_attempts`](Self::max_attempts), which counts *retries*; [`mode`](Self::mode)
/// 2. the environment: `AWS_MAX_ATTEMPTS`, which counts all attempts, and `AWS_RETRY_MODE`
/// 3. the profile in AWS's configuration file: `max_attempts`, which counts all attempts, and
///    `retry_mode`
/// 4. the default: of AWS with [`new`](Self::new), of AG2 with [`ag2`](Self::ag2)
///
/// | | mode | attempts |
/// |---|---|---|
/// | [`new`](Self::new) | `standard` | 3; with the mode `legacy` 5 |
/// | [`ag2`](Self::ag2) | `standard` | 5 in every mode |
/// | [`high_reliability`](Self::high_reliability) | `adaptive` | 10 |
/// | [`fast_fail`](Self::fast_fail) | `standard` | 2 |
/// | [`rate_limit_optimized`](Self::rate_limit_optimized) | `adaptive` | 8 |
/// | [`legacy`](Self::legacy) | `legacy` | 5 |
///
/// The last five are the rows of AG2's table. The values of the last four count as the program's.
///
/// ```
/// use steadfast_core::{AwsRetryConfig, AwsRetryMode, SetBy};
///
/// let config = AwsRetryConfig::ag2().total_max_attempts(7).max_attempts(3).mode(AwsRetryMode::Adaptive);
/// let retries = config.build(|_| None)?;
/// assert_eq!(retries.settings().total_max_attempts, 7);
/// assert_eq!(config.max_attempts, Some(3)); // given, and overruled
///
/// let environment = |name: &str| (name == "AWS_MAX_ATTEMPTS").then(|| "10".to_owned());
/// let settings = *AwsRetryConfig::ag2().build(environment)?.settings();
/// assert_eq!(settings.total_max_attempts, 10);
/// assert_eq!(settings.total_max_attempts_set_by, SetBy::Environment);
/// # Ok::<(), steadfast_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct AwsRetryConfig {
    /// All calls of a turn, the first included.
    pub total_max_attempts: Option<u32>,
    /// The retries of a turn: one less than its calls.
    pub max_attempts: Option<u32>,
    /// The mode.
    pub mode: Option<AwsRetryMode>,
    /// The set of rules.
    pub rules: AwsRetryRules,
    /// The attempts where nobody said how many; AWS's own where this is none.
    default_attempts: Option<u32>,
    profile_attempts: Option<String>,
    profile_mode: Option<String>,
}

impl AwsRetryConfig {
    /// Starts with AWS's own defaults: `standard` and 3 attempts; with the mode `legacy` 5.
    ///
    /// By the rules before 2026 the mode is `legacy`.
    pub const fn new() -> Self {
        Self {
            total_max_attempts: None,
            max_attempts: None,
            mode: None,
            rules: AwsRetryRules::V2026,
            default_attempts: None,
            profile_attempts: None,
            profile_mode: None,
        }
    }

    /// Starts with AG2's defaults: `standard` and 5 attempts.
    ///
    /// They are defaults, so the environment counts more, as AG2's documentation says.
    pub const fn ag2() -> Self {
        let mut config = Self::new();
        config.default_attempts = Some(5);
        config
    }

    /// AG2's "High Reliability", for critical applications: `adaptive`, 10 attempts.
    pub const fn high_reliability() -> Self {
        Self::preset(10, AwsRetryMode::Adaptive)
    }

    /// AG2's "Fast Fail", for quick detection of failures: `standard`, 2 attempts.
    pub const fn fast_fail() -> Self {
        Self::preset(2, AwsRetryMode::Standard)
    }

    /// AG2's "Rate Limit Optimized", for many calls: `adaptive`, 8 attempts.
    pub const fn rate_limit_optimized() -> Self {
        Self::preset(8, AwsRetryMode::Adaptive)
    }

    /// AG2's "Legacy", for backward compatibility: `legacy`, 5 attempts.
    pub const fn legacy() -> Self {
        Self::preset(5, AwsRetryMode::Legacy)
    }

    const fn preset(total_max_attempts: u32, mode: AwsRetryMode) -> Self {
        let mut config = Self::ag2();
        config.total_max_attempts = Some(total_max_attempts);
        config.mode = Some(mode);
        config
    }

    /// Sets all calls of a turn, the first included.
    pub const fn total_max_attempts(mut self, total_max_attempts: u32) -> Self {
        self.total_max_attempts = Some(total_max_attempts);
        self
    }

    /// Sets the retries of a turn, one less than its calls; 0 means no retry.
    ///
    /// Without effect where [`total_max_attempts`](Self::total_max_attempts) is set. Everywhere else
    /// in Steadfast a name with `max_attempts` counts calls; this one is AG2's and boto3's.
    pub const fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }

    /// Sets the mode.
    pub const fn mode(mut self, mode: AwsRetryMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Goes by another set of AWS's rules.
    pub const fn rules(mut self, rules: AwsRetryRules) -> Self {
        self.rules = rules;
        self
    }

    /// Hands in what the profile in AWS's configuration file says, as it stands there.
    ///
    /// ```
    /// use steadfast_core::{AwsRetryConfig, SetBy};
    ///
    /// let retries = AwsRetryConfig::new().profile(Some("4"), Some("adaptive")).build(|_| None)?;
    /// assert_eq!(retries.settings().total_max_attempts, 4);
    /// assert_eq!(retries.settings().mode_set_by, SetBy::Profile);
    /// # Ok::<(), steadfast_core::ConfigError>(())
    /// ```
    pub fn profile(mut self, max_attempts: Option<&str>, retry_mode: Option<&str>) -> Self {
        self.profile_attempts = max_attempts.map(str::to_owned);
        self.profile_mode = retry_mode.map(str::to_owned);
        self
    }

    /// Builds a strategy: reads what is set, and fixes it.
    ///
    /// `environment` is asked for variables by name; an empty one counts as unset. Usually it is
    /// `|name| env::var(name).ok()`, with the `env` of the standard library; `|_| None` leaves the
    /// environment out.
    ///
    /// # Errors
    ///
    /// A number of attempts that is not at least one, or a mode that does not exist, with the name of
    /// the field or variable that has it.
    ///
    /// ```
    /// use steadfast_core::AwsRetryConfig;
    ///
    /// let environment = |name: &str| (name == "AWS_MAX_ATTEMPTS").then(|| "x".to_owned());
    /// let refused = AwsRetryConfig::ag2().build(environment).unwrap_err();
    /// assert_eq!(refused.to_string(), "`AWS_MAX_ATTEMPTS` must be a whole number of at least 1, got `x`");
    /// ```
    pub fn build(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<AwsRetryStrategy, ConfigError> {
        let variable = |name| environment(name).filter(|value| !value.trim().is_empty());
        let (mode, mode_set_by) = self.effective_mode(variable(MODE))?;
        let (total, total_set_by) = self.effective_attempts(variable(ATTEMPTS), mode)?;
        Ok(AwsRetryStrategy::from_settings(AwsRetrySettings {
            total_max_attempts: total,
            total_max_attempts_set_by: total_set_by,
            mode,
            mode_set_by,
            rules: self.rules,
        }))
    }

    fn effective_mode(
        &self,
        variable: Option<String>,
    ) -> Result<(AwsRetryMode, SetBy), ConfigError> {
        if let Some(mode) = self.mode {
            return Ok((mode, SetBy::Program));
        }
        if let Some(value) = variable {
            return Ok((AwsRetryMode::parse(MODE, value.trim())?, SetBy::Environment));
        }
        if let Some(value) = &self.profile_mode {
            let mode = AwsRetryMode::parse("retry_mode", value.trim())?;
            return Ok((mode, SetBy::Profile));
        }
        let mode = match self.default_attempts {
            // AG2 says `standard` itself, whatever AWS's tools took at the time.
            Some(_) => AwsRetryMode::Standard,
            None => self.rules.mode(),
        };
        Ok((mode, SetBy::Default))
    }

    fn effective_attempts(
        &self,
        variable: Option<String>,
        mode: AwsRetryMode,
    ) -> Result<(u32, SetBy), ConfigError> {
        match (self.total_max_attempts, self.max_attempts) {
            (Some(0), _) => {
                return Err(
                    ConfigError::new("total_max_attempts", "must be at least 1, got `0`")
                        .with_hint("the first call counts; `max_attempts` counts retries"),
                );
            }
            (Some(total), _) => return Ok((total, SetBy::Program)),
            (None, Some(retries)) => return Ok((retries.saturating_add(1), SetBy::Program)),
            (None, None) => {}
        }
        if let Some(value) = variable {
            return Ok((attempts(ATTEMPTS, &value)?, SetBy::Environment));
        }
        if let Some(value) = &self.profile_attempts {
            return Ok((attempts("max_attempts", value)?, SetBy::Profile));
        }
        let default = self.default_attempts;
        Ok((default.unwrap_or(mode.total_max_attempts()), SetBy::Default))
    }
}

impl Default for AwsRetryConfig {
    fn default() -> Self {
        Self::new()
    }
}

const ATTEMPTS: &str = "AWS_MAX_ATTEMPTS";
const MODE: &str = "AWS_RETRY_MODE";

fn attempts(name: &str, value: &str) -> Result<u32, ConfigError> {
    match value.trim().parse() {
        Ok(0) | Err(_) => Err(ConfigError::new(
            name,
            format!("must be a whole number of at least 1, got `{value}`"),
        )),
        Ok(attempts) => Ok(attempts),
    }
}
