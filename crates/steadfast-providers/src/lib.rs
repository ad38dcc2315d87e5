//! Model providers for Steadfast: one attempt per call, every failure classified once.
//!
//! A provider builds the vendor's request, makes one HTTP call and decodes the stream into deltas.
//! It never retries: the agent's retry strategy does, and layers that retry multiply. What went
//! wrong becomes a [`ModelErrorKind`](steadfast_core::ModelErrorKind) here, where status, headers
//! and body are at hand, and nobody downstream reads text.
//!
//! Programs use these types through the crate `steadfast`.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without a provider there is nothing here.
#![cfg(any(
    feature = "openai",
    feature = "anthropic",
    feature = "bedrock",
    feature = "gemini",
    feature = "ollama"
))]
#![cfg_attr(
    not(any(
        feature = "openai",
        feature = "anthropic",
        feature = "gemini",
        feature = "ollama"
    )),
    expect(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "the SDK does for Bedrock what the other providers share"
    )
)]

mod answer;
mod answer_deltas;
mod base_url;
#[cfg(any(feature = "anthropic", feature = "bedrock"))]
mod block_messages;
mod call_identity;
mod crowd;
mod delta_stream;
mod endpoint;
mod error_wire;
#[cfg(any(feature = "anthropic", feature = "gemini", feature = "openai"))]
mod event_stream;
#[cfg(any(feature = "gemini", feature = "ollama", feature = "openai"))]
mod few;
mod finish;
mod framing;
mod http_client;
#[cfg(any(
    feature = "anthropic",
    feature = "gemini",
    feature = "ollama",
    feature = "openai"
))]
mod lines;
mod rate_limits;
mod request_body;
mod retry_hint;
mod scalar;
mod secrets;
#[cfg(any(
    feature = "anthropic",
    feature = "gemini",
    feature = "ollama",
    feature = "openai"
))]
mod shape;
mod wire;

#[cfg(feature = "anthropic")]
mod anthropic;
#[cfg(feature = "bedrock")]
mod bedrock;
#[cfg(feature = "gemini")]
mod gemini;
#[cfg(feature = "ollama")]
mod line_stream;
#[cfg(feature = "ollama")]
mod ollama;
#[cfg(feature = "openai")]
mod openai_chat;
#[cfg(feature = "openai")]
mod openai_error_wire;
#[cfg(feature = "openai")]
mod openai_responses;

#[cfg(feature = "anthropic")]
pub use anthropic::{Anthropic, AnthropicBuilder};
#[cfg(feature = "bedrock")]
pub use bedrock::{Bedrock, BedrockBuilder};
#[cfg(feature = "gemini")]
pub use gemini::{Gemini, GeminiBuilder};
#[cfg(feature = "ollama")]
pub use ollama::{Ollama, OllamaBuilder};
#[cfg(feature = "openai")]
pub use openai_chat::{CompatibleServer, OpenAiChat, OpenAiChatBuilder};
#[cfg(feature = "openai")]
pub use openai_responses::{OpenAiResponses, OpenAiResponsesBuilder};
pub use wire::Wire;
