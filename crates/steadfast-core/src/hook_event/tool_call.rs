//! Events around the tools of a turn and around each single call.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    event::{EventScope, scoped},
    message::{Message, ToolResult, ToolUse},
    tool::{Tool, ToolError},
};

scoped!(
    BeforeToolsEvent,
    AfterToolsEvent,
    BeforeToolCallEvent,
    AfterToolCallEvent
);

/// The model asked for tools, and they are about to run.
#[derive(Debug)]
pub struct BeforeToolsEvent {
    pub(crate) scope: EventScope,
    pub(crate) message: Arc<Message>,
    /// Set to a text to run none of them: every call is answered with it, as an error.
    pub cancel: Option<String>,
}

impl BeforeToolsEvent {
    /// Returns the message that asks for them.
    #[must_use]
    pub const fn message(&self) -> &Arc<Message> {
        &self.message
    }
}

/// All tools of a turn have answered.
#[derive(Debug)]
pub struct AfterToolsEvent {
    pub(crate) scope: EventScope,
    pub(crate) results: Arc<Message>,
    /// Set to a text to end the run with it as the answer.
    ///
    /// The model is not called again.
    pub end_turn: Option<String>,
}

impl AfterToolsEvent {
    /// Returns the message of their results, in the order in which the model asked.
    #[must_use]
    pub const fn results(&self) -> &Arc<Message> {
        &self.results
    }
}

/// A tool is about to run. Happens again when a call is retried.
pub struct BeforeToolCallEvent {
    pub(crate) scope: EventScope,
    /// The call.
    ///
    /// Another name selects another tool, unless a hook selected one itself; the identity is the
    /// model's and stays.
    pub tool_use: ToolUse,
    /// Set to run this tool, whatever the name says.
    pub selected_tool: Option<Arc<dyn Tool>>,
    /// Set to a text to answer with it, as an error, instead of running the tool.
    pub cancel: Option<String>,
}

/// A tool answered or failed.
///
/// ```
/// use steadfast_core::{AfterToolCallEvent, HookRegistry, millis};
///
/// let mut hooks = HookRegistry::new();
/// hooks.on(|event: &mut AfterToolCallEvent| {
///     if event.error().is_some() && event.tries() < 3 {
///         event.retry_after(millis(100));
///     }
/// });
/// ```
pub struct AfterToolCallEvent {
    pub(crate) scope: EventScope,
    pub(crate) tool_use: ToolUse,
    pub(crate) error: Option<ToolError>,
    pub(crate) cancelled: Option<String>,
    pub(crate) duration: Duration,
    pub(crate) tries: u32,
    /// The result; what a hook leaves here is what the model sees.
    pub result: ToolResult,
    /// Whether the tool runs again.
    ///
    /// Clearing it clears the delay too. The last try that the cap allows stands, whatever this
    /// says.
    pub retry: bool,
    pub(crate) delay: Option<Duration>,
}

impl AfterToolCallEvent {
    /// Returns the call as it was run.
    #[must_use]
    pub const fn tool_use(&self) -> &ToolUse {
        &self.tool_use
    }

    /// Returns the tool's error.
    ///
    /// None too for an unknown tool or a refused call, whose `result` says what happened.
    #[must_use]
    pub const fn error(&self) -> Option<&ToolError> {
        self.error.as_ref()
    }

    /// Returns the text with which a hook refused the call.
    #[must_use]
    pub fn cancel_message(&self) -> Option<&str> {
        self.cancelled.as_deref()
    }

    /// Returns how long the tool took.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns how many times the tool was run for this call, this time included.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Asks for another run after a wait. The loop waits.
    pub const fn retry_after(&mut self, delay: Duration) {
        self.retry = true;
        self.delay = Some(delay);
    }

    /// A delay belongs to the retry it was declared with.
    pub(crate) const fn drop_stale_delay(&mut self) {
        if !self.retry {
            self.delay = None;
        }
    }
}

impl fmt::Debug for BeforeToolCallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeforeToolCallEvent")
            .field("scope", &self.scope)
            .field("tool_use", &self.tool_use)
            .field("selected_tool", &self.selected_tool.is_some())
            .field("cancel", &self.cancel)
            .finish()
    }
}

impl fmt::Debug for AfterToolCallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterToolCallEvent")
            .field("scope", &self.scope)
            .field("tool_use", &self.tool_use)
            .field("tries", &self.tries)
            .field("result", &self.result)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
