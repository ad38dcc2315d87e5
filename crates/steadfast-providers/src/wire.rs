//! How an answer is classified, asked without a network: the same code path as in a call.

use steadfast_core::{ModelError, ModelResponse};

/// A wire format whose answers can be read without a network.
///
/// For tests, and to explain what a provider's answer means: the answer takes the very path that it
/// takes in a call.
///
/// ```
/// use steadfast_core::ModelErrorKind;
/// use steadfast_providers::Wire;
///
/// # #[cfg(feature = "openai")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let body = r#"{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}"#;
/// let answer = http::Response::builder().status(429).body(body.into())?;
///
/// let error = Wire::OpenAiChat.read(answer).await.unwrap_err();
///
/// assert_eq!(error.kind(), ModelErrorKind::QuotaExhausted);
/// assert_eq!(error.why(), Some("error code `insufficient_quota`"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "openai"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// Anthropic messages.
    #[cfg(feature = "anthropic")]
    Anthropic,
    /// Amazon Bedrock's Converse and ConverseStream.
    #[cfg(feature = "bedrock")]
    Bedrock,
    /// Gemini's `generateContent` and its stream.
    #[cfg(feature = "gemini")]
    Gemini,
    /// Ollama's own wire.
    #[cfg(feature = "ollama")]
    Ollama,
    /// OpenAI chat completions.
    #[cfg(feature = "openai")]
    OpenAiChat,
    /// OpenAI responses.
    #[cfg(feature = "openai")]
    OpenAiResponses,
}

impl Wire {
    /// Reads an answer as its provider would.
    ///
    /// A header `content-type` says what the body is; without one, JSON is told from a stream of
    /// events by how it begins. It runs on tokio, with its timer.
    ///
    /// # Errors
    ///
    /// What the call would have failed with, before the answer or in the middle of it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing behind.
    pub async fn read(self, answer: http::Response<Vec<u8>>) -> Result<ModelResponse, ModelError> {
        let stream = match self {
            #[cfg(feature = "anthropic")]
            Self::Anthropic => read::<crate::anthropic::StreamDecoder>(answer).await?,
            #[cfg(feature = "bedrock")]
            Self::Bedrock => crate::bedrock::Bedrock::read(answer).await?,
            #[cfg(feature = "gemini")]
            Self::Gemini => read::<crate::gemini::StreamDecoder>(answer).await?,
            #[cfg(feature = "ollama")]
            Self::Ollama => read::<crate::ollama::StreamDecoder>(answer).await?,
            #[cfg(feature = "openai")]
            Self::OpenAiChat => read::<crate::openai_chat::StreamDecoder>(answer).await?,
            #[cfg(feature = "openai")]
            Self::OpenAiResponses => read::<crate::openai_responses::StreamDecoder>(answer).await?,
        };
        stream.response().await
    }
}

/// Reads an answer of a wire whose streams are server-sent events.
#[cfg(any(feature = "anthropic", feature = "openai"))]
async fn read<D: crate::answer::AnswerDecoder>(
    answer: http::Response<Vec<u8>>,
) -> Result<steadfast_core::ModelStream, ModelError> {
    let response = reqwest::Response::from(answer);
    let secrets = crate::secrets::Secrets::default();
    let head = crate::http_client::Head::new(&response, secrets);
    crate::answer::read_answer::<D>(head, response).await
}
