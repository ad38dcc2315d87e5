//! What a message cost and why the model stopped. Prices are nobody's business here.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens of one model call, or of several added up.
///
/// ```
/// use steadfast_core::Usage;
///
/// let mut usage = Usage::new(100, 20);
/// usage += Usage::new(150, 5);
/// assert_eq!(usage.total(), 275);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that the model read, cached ones included.
    pub input_tokens: u64,
    /// Tokens that the model wrote, reasoning included.
    pub output_tokens: u64,
    /// Of the input, tokens that came from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_read_tokens: u64,
    /// Of the input, tokens that the provider wrote to its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Of the output, tokens of reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Usage {
    /// Makes a usage of input and output tokens.
    #[must_use]
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self {
            input_tokens,
            output_tokens,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
        }
    }

    /// Returns input and output together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

/// Why a model stopped, or why a run ended with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The model had said what it wanted to say.
    EndTurn,
    /// One of the stop sequences came up.
    StopSequence,
    /// The output limit was reached; a tool call that it cut is not run.
    MaxTokens,
    /// The model wants tools to be run. A run never ends with it.
    ToolUse,
    /// The provider paused a long answer, and the loop goes on by itself. A run never ends with it.
    PauseTurn,
    /// The model declined.
    Refusal,
    /// The provider's filter stopped the answer.
    ContentFiltered,
    /// A guardrail stopped the answer.
    GuardrailIntervened,
    /// The run reached its limit of turns.
    LimitTurns,
    /// The run reached its limit of tokens.
    LimitTokens,
    /// The run waits for a person.
    Interrupt,
    /// The run was cancelled.
    Cancelled,
}
