//! What an agent asks of its model besides the messages. Which provider honours what is not known here.

use serde_json::{Map, Value};

use crate::ConfigError;

/// How the model is to answer. What is not set is left to the provider.
///
/// ```
/// use steadfast_core::ModelSettings;
///
/// let settings = ModelSettings::new().temperature(0.2).max_tokens(1_000);
/// # let _ = settings;
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct ModelSettings {
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// The share of probability to choose from.
    pub top_p: Option<f64>,
    /// The output limit in tokens.
    pub max_tokens: Option<u32>,
    /// The texts at which the model stops.
    pub stop_sequences: Vec<String>,
    /// Whether the model may, must or must not call tools.
    pub tool_choice: Option<ToolChoice>,
    /// Fields of the provider's own request body.
    pub extra: Map<String, Value>,
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// It may.
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Tool(String),
}

impl ModelSettings {
    /// Starts with nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the sampling temperature: 0 is the most deterministic.
    pub const fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets nucleus sampling: the share of probability to choose from.
    pub const fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Sets the output limit in tokens.
    pub const fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Sets the texts at which the model stops.
    pub fn stop_sequences<T: Into<String>>(
        mut self,
        stop_sequences: impl IntoIterator<Item = T>,
    ) -> Self {
        self.stop_sequences = stop_sequences.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether the model may, must or must not call tools.
    pub fn tool_choice(mut self, tool_choice: ToolChoice) -> Self {
        self.tool_choice = Some(tool_choice);
        self
    }

    /// Sets a field of the provider's own request body, sent as it is.
    ///
    /// It wins over what Steadfast would write there.
    pub fn extra(mut self, field: impl Into<String>, value: Value) -> Self {
        self.extra.insert(field.into(), value);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.temperature.is_some_and(|t| !t.is_finite() || t < 0.0) {
            return Err(ConfigError::new(
                "temperature",
                "must be a number of at least 0",
            ));
        }
        if self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return Err(ConfigError::new("top_p", "must be above 0 and at most 1"));
        }
        if self.max_tokens == Some(0) {
            return Err(ConfigError::new(
                "max_tokens",
                "must be at least 1, got `0`",
            ));
        }
        if self.stop_sequences.iter().any(String::is_empty) {
            return Err(ConfigError::new(
                "stop_sequences",
                "must not contain an empty text",
            ));
        }
        Ok(())
    }
}
