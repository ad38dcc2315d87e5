//! The error of a configuration that cannot work; it knows nothing of what is configured.

use std::{error, fmt};

/// A configuration value that was refused when it was built.
///
/// It names the field, so that a program with many settings can say which one to change.
///
/// ```
/// use steadfast_resilience::ConfigError;
///
/// let error = ConfigError::new("share", "must be a number from 0 to 10, got `20`")
///     .with_hint("it is no percentage: 0.2 allows 20 retries for 100 calls");
/// assert_eq!(error.to_string(), "`share` must be a number from 0 to 10, got `20`");
/// assert_eq!(error.field(), "share");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Refused>);

/// Behind a pointer, so that results which are hardly ever errors stay small.
#[derive(Clone, PartialEq, Eq)]
struct Refused {
    field: String,
    problem: String,
    hint: Option<String>,
}

impl ConfigError {
    /// Names a field and what is wrong with it, as a clause that follows the name.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(Box::new(Refused {
            field: field.into(),
            problem: problem.into(),
            hint: None,
        }))
    }

    /// Names a count that is zero.
    ///
    /// ```
    /// use steadfast_resilience::ConfigError;
    ///
    /// let error = ConfigError::zero_count("concurrency");
    /// assert_eq!(error.to_string(), "`concurrency` must be at least 1, got `0`");
    /// ```
    pub fn zero_count(field: impl Into<String>) -> Self {
        Self::new(field, "must be at least 1, got `0`")
    }

    /// Names a time that is zero.
    ///
    /// ```
    /// use steadfast_resilience::ConfigError;
    ///
    /// let error = ConfigError::zero_time("window");
    /// assert_eq!(error.to_string(), "`window` must be longer than zero");
    /// ```
    pub fn zero_time(field: impl Into<String>) -> Self {
        Self::new(field, "must be longer than zero")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Returns the field whose value was refused.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.0.field
    }

    /// Returns what to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.0.field, self.0.problem)
    }
}

/// The same sentence with its hint: this is what `main` prints when it returns the error.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        match &self.0.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl error::Error for ConfigError {}
