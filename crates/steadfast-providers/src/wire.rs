//! How an answer is classified, asked without a network: the same code path as in a call.

use std::io;

use bytes::Bytes;
use futures_core::Stream;
use reqwest::{Body, Response};
use steadfast_core::{ModelError, ModelResponse, ModelStream};

#[cfg(any(
    feature = "anthropic",
    feature = "gemini",
    feature = "ollama",
    feature = "openai"
))]
use crate::{
    answer::{AnswerDecoder, read_answer},
    http_client::Head,
    secrets::Secrets,
};

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
        #[cfg(feature = "bedrock")]
        let answer = if self == Self::Bedrock {
            crate::bedrock::with_json_named(answer)
        } else {
            answer
        };
        self.open(Response::from(answer)).await?.response().await
    }

    /// Reads an answer whose body comes piece by piece, as over a connection; an error of the body
    /// is a connection that breaks. What is decoded is handed out as it comes.
    ///
    /// A header `content-type` says what the body is, as for [`read`](Self::read). Without one, an
    /// answer of Bedrock's is taken for a stream.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures_util::{StreamExt, stream};
    /// use steadfast_core::{ModelDelta, ModelErrorKind};
    /// use steadfast_providers::Wire;
    ///
    /// # #[cfg(feature = "openai")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pieces = ["data: {\"choices\": [{\"delta\": {\"content\": \"H", "i\"}}]}\n\n"];
    /// let body = stream::iter(pieces.map(|piece| Ok(Bytes::from(piece))));
    ///
    /// let mut deltas = Wire::OpenAiChat.stream(http::Response::new(body)).await?.skip(1);
    ///
    /// assert_eq!(deltas.next().await.transpose()?, Some(ModelDelta::Text("Hi".to_owned())));
    /// let error = deltas.next().await.and_then(Result::err);
    /// assert_eq!(error.map(|error| error.kind()), Some(ModelErrorKind::Truncated));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "openai"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// What the call would have failed with before its answer began.
    ///
    /// # Cancel safety
    ///
    /// As [`read`](Self::read).
    pub async fn stream<B>(self, answer: http::Response<B>) -> Result<ModelStream, ModelError>
    where
        B: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        self.open(Response::from(answer.map(Body::wrap_stream)))
            .await
    }

    async fn open(self, answer: Response) -> Result<ModelStream, ModelError> {
        match self {
            #[cfg(feature = "anthropic")]
            Self::Anthropic => open::<crate::anthropic::StreamDecoder>(answer).await,
            #[cfg(feature = "bedrock")]
            Self::Bedrock => crate::bedrock::open(answer).await,
            #[cfg(feature = "gemini")]
            Self::Gemini => open::<crate::gemini::StreamDecoder>(answer).await,
            #[cfg(feature = "ollama")]
            Self::Ollama => open::<crate::ollama::StreamDecoder>(answer).await,
            #[cfg(feature = "openai")]
            Self::OpenAiChat => open::<crate::openai_chat::StreamDecoder>(answer).await,
            #[cfg(feature = "openai")]
            Self::OpenAiResponses => open::<crate::openai_responses::StreamDecoder>(answer).await,
        }
    }
}

/// Reads an answer that our own code decodes.
#[cfg(any(
    feature = "anthropic",
    feature = "gemini",
    feature = "ollama",
    feature = "openai"
))]
async fn open<D: AnswerDecoder>(answer: Response) -> Result<ModelStream, ModelError> {
    let head = Head::new(&answer, Secrets::default());
    read_answer(head, answer, D::default()).await
}
