//! How an answer is classified, asked without a network: the same code path as in a call.

use reqwest::Response;
use steadfast_core::{ModelError, ModelResponse};

use crate::{answer::read_answer, http_client::Head, secrets::Secrets};

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
        let response = Response::from(answer);
        let head = Head::new(&response, Secrets::default());
        let stream = match self {
            #[cfg(feature = "anthropic")]
            Self::Anthropic => {
                read_answer::<crate::anthropic::StreamDecoder>(head, response).await?
            }
            #[cfg(feature = "ollama")]
            Self::Ollama => read_answer::<crate::ollama::StreamDecoder>(head, response).await?,
            #[cfg(feature = "openai")]
            Self::OpenAiChat => {
                read_answer::<crate::openai_chat::StreamDecoder>(head, response).await?
            }
            #[cfg(feature = "openai")]
            Self::OpenAiResponses => {
                read_answer::<crate::openai_responses::StreamDecoder>(head, response).await?
            }
        };
        stream.response().await
    }
}
