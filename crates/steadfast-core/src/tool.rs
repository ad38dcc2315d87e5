//! Tools: what the model may call. When and how often they run is the loop's business.

mod function_tool;

use std::{error, fmt, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use function_tool::FunctionTool;

use crate::{ConfigError, message::ContentBlock, run_id::RunId};

/// Something that the model may call.
///
/// Most tools are a [`FunctionTool`] around a closure; implement the trait for a tool that needs
/// the [`ToolContext`] or whose schema is known only at run time; the `impl` needs the attribute
/// `#[async_trait]`, which is re-exported here.
///
/// A tool that panics has failed: the model is told so, and the run goes on.
///
/// # Cancel safety
///
/// The future is dropped at its next await when the run is cancelled or reaches its deadline. A
/// tool whose effects must not be cut short spawns them, or checks [`ToolContext::cancelled`].
///
/// ```
/// use serde_json::{Value, json};
/// use steadfast_core::{Tool, ToolContext, ToolError, ToolOutput, ToolSpec, async_trait};
///
/// struct Now;
///
/// #[async_trait]
/// impl Tool for Now {
///     fn spec(&self) -> ToolSpec {
///         ToolSpec::new("now", "Tells the time.", json!({"type": "object", "properties": {}}))
///     }
///
///     async fn call(&self, _input: Value, _context: &ToolContext) -> Result<ToolOutput, ToolError> {
///         Ok(ToolOutput::text("half past nine"))
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool",
    note = "wrap a closure: `FunctionTool::new(\"name\", \"what it does\", |input: Input| async move {{ .. }})`"
)]
pub trait Tool: Send + Sync + 'static {
    /// Describes the tool to the model. Asked once, when the agent is built.
    fn spec(&self) -> ToolSpec;

    /// Runs the tool.
    ///
    /// # Errors
    ///
    /// What went wrong, for the model to read: an error becomes a failed result, and the run goes on.
    async fn call(&self, input: Value, context: &ToolContext) -> Result<ToolOutput, ToolError>;
}

#[async_trait]
impl<T: Tool + ?Sized> Tool for Arc<T> {
    fn spec(&self) -> ToolSpec {
        (**self).spec()
    }

    async fn call(&self, input: Value, context: &ToolContext) -> Result<ToolOutput, ToolError> {
        (**self).call(input, context).await
    }
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolSpec {
    /// The name by which the model calls it.
    pub name: String,
    /// What it does, for the model to read.
    pub description: String,
    /// The JSON Schema of its input, an object.
    pub input_schema: Value,
}

impl ToolSpec {
    /// Describes a tool.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema,
        }
    }

    /// Checks the name against what all providers accept: 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(allowed) {
            return Err(ConfigError::new(
                "tool",
                format!("has the name `{}`, which no provider accepts", self.name),
            )
            .with_hint("use 1 to 64 letters, digits, `_` or `-`"));
        }
        if !self.input_schema.is_object() {
            return Err(ConfigError::new(
                "tool",
                format!(
                    "`{}` has an input schema that is not a JSON object",
                    self.name
                ),
            ));
        }
        Ok(())
    }
}

/// What a tool call is told besides its input.
#[derive(Debug, Clone)]
pub struct ToolContext {
    pub(crate) run: RunId,
    pub(crate) turn: u32,
    pub(crate) call_id: String,
    pub(crate) cancel: CancellationToken,
}

impl ToolContext {
    /// Returns the run that calls.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// Returns the turn that calls, from 1.
    #[must_use]
    pub const fn turn(&self) -> u32 {
        self.turn
    }

    /// Returns the provider's identity of the call.
    ///
    /// It is the same when the call is tried again.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Completes when the run is stopped while tools run.
    ///
    /// Cancelled, late, failed or dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}

/// What a tool answers.
///
/// ```
/// use steadfast_core::ToolOutput;
///
/// let text = ToolOutput::text("6 °C, light rain");
/// let data = ToolOutput::json(&[1, 2, 3]);
/// # let _ = (text, data);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput {
    pub(crate) content: Vec<ContentBlock>,
}

impl ToolOutput {
    /// Answers with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::from_content([ContentBlock::text(text)])
    }

    /// Returns the content blocks.
    #[must_use]
    pub fn content(&self) -> &[ContentBlock] {
        &self.content
    }

    /// Answers with content blocks, such as an image.
    pub fn from_content(content: impl IntoIterator<Item = ContentBlock>) -> Self {
        Self {
            content: content.into_iter().collect(),
        }
    }

    /// Answers with a value in JSON.
    ///
    /// A value that is a text is the text itself, without quotes.
    ///
    /// # Errors
    ///
    /// A value that JSON cannot hold, such as a map whose keys are not texts.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, ToolError> {
        match serde_json::to_value(value)? {
            Value::String(text) => Ok(Self::text(text)),
            other => Ok(Self::text(other.to_string())),
        }
    }
}

/// Why a tool failed: a sentence that the model reads.
///
/// Any error converts into it, so that `?` works in a tool; a sentence becomes one with
/// [`ToolError::new`].
#[derive(Clone)]
pub struct ToolError(Arc<dyn error::Error + Send + Sync>);

impl ToolError {
    /// Makes an error of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn error::Error + Send + Sync>::from(
            sentence.into(),
        )))
    }

    /// Returns the error that the tool gave.
    #[must_use]
    pub fn source(&self) -> &(dyn error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

// Not an `Error` itself, so that every error converts into it.
impl<E: error::Error + Send + Sync + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolError({:?})", self.0.to_string())
    }
}
