//! How a server wants a request of the chat wire to be written, where it differs from OpenAI. Which
//! server speaks which dialect, their list says.

use crate::call_identity::CallIdentities;

/// What a server takes and refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's, which most others understand.
    OpenAi,
    /// Azure's: the name of a deployment does not say what model it is.
    Azure,
    /// Mistral's: fields that are not its own are refused, and so are orders of messages that others
    /// take.
    Mistral,
}

impl Dialect {
    /// Returns whether usage must be asked for. Mistral tells it in any case.
    pub(super) fn asks_for_usage(self) -> bool {
        self != Self::Mistral
    }

    /// OpenAI's reasoning models refuse the older name, and most other servers know no other one.
    pub(super) fn output_limit_field(self, model: &str) -> &'static str {
        const NEW_NAME: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];
        let is_newer = match self {
            Self::OpenAi => NEW_NAME.iter().any(|family| model.starts_with(family)),
            Self::Azure => true,
            Self::Mistral => false,
        };
        if is_newer {
            "max_completion_tokens"
        } else {
            "max_tokens"
        }
    }

    /// Returns how calls are named. OpenAI takes 40 characters; Mistral: "must be a-z, A-Z, 0-9, with
    /// a length of 9".
    pub(super) fn call_identities<'a>(self) -> CallIdentities<'a> {
        match self {
            Self::OpenAi | Self::Azure => CallIdentities::new(|_| true, 40),
            Self::Mistral => CallIdentities::of_length(|c| c.is_ascii_alphanumeric(), 9),
        }
    }
}
