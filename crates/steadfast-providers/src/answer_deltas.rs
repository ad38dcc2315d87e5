//! The deltas of one answer that have been decoded and not yet taken, and what every wire says of an
//! answer in the same way: that it has begun, and that it is complete.

use std::collections::VecDeque;

use steadfast_core::ModelDelta;
#[cfg(any(feature = "anthropic", feature = "openai"))]
use steadfast_core::{ModelError, ModelErrorKind};

use crate::http_client::Head;

/// The most calls that an answer may make, and the most blocks that may be open at once: vendors allow
/// far fewer. Each piece looks for its own among them.
#[cfg(any(feature = "anthropic", feature = "openai"))]
pub(crate) const MAX_OPEN: usize = 1_024;

/// The most that is kept of blocks that have not ended, in bytes: as much as an answer may have.
#[cfg(any(feature = "anthropic", feature = "bedrock", feature = "openai"))]
pub(crate) const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// What an answer says.
#[derive(Debug)]
pub(crate) struct AnswerDeltas {
    head: Head,
    started: bool,
    complete: bool,
    /// The last call, if none of its arguments has come.
    bare_call: Option<usize>,
    /// How much decoders have kept for the end of a block.
    #[cfg(any(feature = "anthropic", feature = "openai"))]
    kept: usize,
    waiting: VecDeque<ModelDelta>,
}

impl AnswerDeltas {
    /// Begins with an answer of success, of which only the head has come.
    pub(crate) const fn new(head: Head) -> Self {
        Self {
            head,
            started: false,
            complete: false,
            bare_call: None,
            #[cfg(any(feature = "anthropic", feature = "openai"))]
            kept: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Counts what a decoder keeps until a block ends: nobody else sees how much it is.
    #[cfg(any(feature = "anthropic", feature = "openai"))]
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > MAX_KEPT_BYTES {
            return Err(self.head.blocks_too_long());
        }
        Ok(())
    }

    /// Returns the head of the answer, which its errors name.
    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    /// Says that the answer has begun, unless that was said.
    #[inline]
    pub(crate) fn start(&mut self) {
        self.start_as(|_| None);
    }

    /// The same, for an answer that names itself: its head may have no identity.
    pub(crate) fn start_as(&mut self, own_id: impl FnOnce(&Head) -> Option<String>) {
        if !self.started {
            self.started = true;
            let id = self.head.request_id();
            let request_id = id.or_else(|| own_id(&self.head));
            self.waiting.push_back(ModelDelta::Started { request_id });
        }
    }

    /// Says that an answer has more open at once than is accepted.
    #[cfg(any(feature = "anthropic", feature = "openai"))]
    pub(crate) fn too_many(&self, what: &str) -> ModelError {
        let message = format!("the answer has more than {MAX_OPEN} {what}");
        self.head
            .locate(ModelError::new(ModelErrorKind::Protocol, message))
    }

    /// Adds a delta; the one that says why the model stopped makes the answer complete.
    #[inline]
    pub(crate) fn push(&mut self, delta: ModelDelta) {
        self.start();
        match &delta {
            ModelDelta::Stop(_) => self.complete = true,
            ModelDelta::ToolUseStart { index, .. } => self.bare_call = Some(*index),
            ModelDelta::ToolUseInput { index, json } if !json.is_empty() => {
                self.bare_call = self.bare_call.filter(|bare| bare != index);
            }
            _ => {}
        }
        self.waiting.push_back(delta);
    }

    /// Returns whether the last call has no arguments, or none yet.
    #[cfg(any(feature = "anthropic", feature = "openai"))]
    pub(crate) const fn ends_in_bare_call(&self) -> bool {
        self.bare_call.is_some()
    }

    /// Returns whether the end marker has come.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns whether no delta waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the oldest delta that waits.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<ModelDelta> {
        self.waiting.pop_front()
    }

    /// Takes all that wait.
    pub(crate) fn into_waiting(self) -> VecDeque<ModelDelta> {
        self.waiting
    }
}

impl Extend<ModelDelta> for AnswerDeltas {
    fn extend<T: IntoIterator<Item = ModelDelta>>(&mut self, deltas: T) {
        for delta in deltas {
            self.push(delta);
        }
    }
}
