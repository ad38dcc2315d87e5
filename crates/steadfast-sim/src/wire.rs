//! The wires that the simulator speaks, and which of them a request is in.
//!
//! What a wire says is in its own folder, as in `openai/` or `ollama/`, behind `dialect.rs`; a further
//! wire is a variant here and a folder there.

use http::request::Parts;

use crate::dialect::{Dialect, Wanted};
use crate::{anthropic, bedrock, gemini, ollama, openai, openai_responses};

/// Names a wire: the HTTP interface of one vendor, which others may speak as well.
///
/// One simulator speaks all of them on one port. The end of the path of a request says which one it is in;
/// where two vendors share a path (`…/models`), or where no vendor has one, headers that only one
/// vendor's clients send do.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Simulator, Wire};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sim = Simulator::start().await?;
///
/// assert_eq!(sim.base_url_for(Wire::OpenAiChat), format!("{}/v1", sim.url()));
/// assert_eq!(sim.base_url_for(Wire::Anthropic), sim.url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// OpenAI chat completions: `POST …/v1/chat/completions`.
    OpenAiChat,
    /// Anthropic messages: `POST …/v1/messages`.
    Anthropic,
    /// Amazon Bedrock: `POST …/model/MODEL/converse` and `…/converse-stream`.
    Bedrock,
    /// OpenAI responses: `POST …/v1/responses`.
    OpenAiResponses,
    /// Gemini: `POST …/models/MODEL:generateContent` and `…:streamGenerateContent`.
    Gemini,
    /// Ollama's own: `POST …/api/chat`.
    Ollama,
}

impl Wire {
    /// Returns all wires that this version of the simulator speaks.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &[
            Self::OpenAiChat,
            Self::Anthropic,
            Self::Bedrock,
            Self::OpenAiResponses,
            Self::Gemini,
            Self::Ollama,
        ]
    }

    /// Finds the wire of a request; what nobody recognises is answered in OpenAI's.
    pub(crate) fn of(head: &Parts) -> Self {
        let path = path(head);
        let wires = || Self::all().iter().copied();
        wires()
            .find(|wire| wire.dialect().wanted(path) == Some(Wanted::Answer))
            .or_else(|| wires().find(|wire| wire.dialect().has_own_headers(&head.headers)))
            // Of vendors that share a path, the first is as good as any.
            .or_else(|| wires().find(|wire| wire.dialect().wanted(path).is_some()))
            .unwrap_or(Self::OpenAiChat)
    }

    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::OpenAiChat => &openai::Chat,
            Self::Anthropic => &anthropic::Messages,
            Self::Bedrock => &bedrock::Converse,
            Self::OpenAiResponses => &openai_responses::Responses,
            Self::Gemini => &gemini::GenerateContent,
            Self::Ollama => &ollama::Ollama,
        }
    }
}

/// Returns the path as it is compared: a slash at the end makes no difference.
pub(crate) fn path(head: &Parts) -> &str {
    head.uri.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, header: Option<&'static str>, expected: Wire) {
        let mut request = http::Request::builder().uri(path);
        if let Some(header) = header {
            request = request.header(header, "x");
        }
        let (head, ()) = request.body(()).unwrap().into_parts();

        assert_eq!(Wire::of(&head), expected, "{path} {header:?}");
    }

    #[test]
    fn path_decides_before_headers() {
        let version = Some("anthropic-version");

        check("/v1/chat/completions", version, Wire::OpenAiChat);
        check("/chat/completions/", None, Wire::OpenAiChat);
        check("/v1/responses", version, Wire::OpenAiResponses);
        check("/codex/responses/", None, Wire::OpenAiResponses);
        check("/v1/messages", None, Wire::Anthropic);
        check("/anthropic/v1/messages/", None, Wire::Anthropic);
        check("/v1/messages?beta=true", None, Wire::Anthropic);
        check("/model/a.b-v1%3A0/converse", None, Wire::Bedrock);
        check("/x/model/m/converse-stream", version, Wire::Bedrock);
        check("/model/m/invoke", None, Wire::OpenAiChat);
        check("/ollama/api/chat", version, Wire::Ollama);
    }

    #[test]
    fn headers_decide_where_paths_do_not() {
        for path in ["/v1/models", "/v1/messages/count_tokens", "/"] {
            check(path, None, Wire::OpenAiChat);
            check(path, Some("authorization"), Wire::OpenAiChat);
            check(path, Some("x-api-key"), Wire::Anthropic);
            check(path, Some("anthropic-version"), Wire::Anthropic);
        }
        check("/api/tags", None, Wire::Ollama);
    }
}
