//! What the end of an answer says. By which words each wire says it is its own.

use steadfast_core::{ModelError, ModelErrorKind, StopReason};

#[cfg(any(feature = "anthropic", feature = "openai"))]
use crate::answer_deltas::AnswerDeltas;
use crate::http_client::Head;

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop(StopReason),
    /// The answer broke off.
    Failed(ModelErrorKind),
    /// A word that no server was known to say. New ones appear and mostly mean an ordinary end, so
    /// an answer that says something stands; an empty one must not pass for a success.
    Unknown,
}

impl Finish {
    /// Takes care that a call is not run that may have been cut before its arguments: beside one that
    /// has none, a word that nobody knows is no ordinary end.
    #[cfg(any(feature = "anthropic", feature = "openai"))]
    pub(crate) fn beside_calls(self, deltas: &AnswerDeltas) -> Self {
        match self {
            Self::Unknown if deltas.ends_in_bare_call() => Self::Failed(ModelErrorKind::Server),
            known => known,
        }
    }

    /// Decides how the answer ended: `spoke` where it says anything.
    pub(crate) fn settle(
        self,
        spoke: bool,
        what: &str,
        word: &str,
        head: &Head,
    ) -> Result<StopReason, ModelError> {
        let kind = match self {
            Self::Stop(stop) => return Ok(stop),
            Self::Failed(kind) => kind,
            Self::Unknown if spoke => return Ok(StopReason::EndTurn),
            Self::Unknown => ModelErrorKind::Server,
        };
        let word = head.secrets.mask(word);
        let error = ModelError::new(kind, "the provider stopped the answer");
        Err(head
            .locate(error)
            .with_why(format!("{what} `{word}`"))
            .with_code(word))
    }
}
