//! A hook-based agent runtime with pluggable retry strategies.
//!
//! When the model does not answer, nothing is lost, nothing is shown twice, nothing waits longer
//! than it must, and you can see all of it.
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use steadfast::{Agent, FunctionTool, ModelRetryStrategy, ToolError, secs};
//! # use steadfast::testing::{Reply, ScriptedModel};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Place {
//!     /// The city, in English.
//!     city: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let get_weather = FunctionTool::new("get_weather", "Tells the weather of a city.", |place: Place| async move {
//!     Ok::<_, ToolError>(format!("{}: 6 °C, light rain", place.city))
//! });
//! # let model = ScriptedModel::new([
//! #     Reply::throttled(),
//! #     Reply::tool_call("get_weather", serde_json::json!({"city": "Oslo"})),
//! #     Reply::text("Yes: 6 °C and light rain."),
//! # ]);
//! let agent = Agent::builder()
//!     .model(model) // such as `OpenAiChat::builder("gpt-5").build()?`
//!     .retry_strategy(ModelRetryStrategy::new().max_attempts(3).initial_delay(secs(2)).max_delay(secs(60)))
//!     .tool(get_weather)
//!     .build()?;
//! let answer = agent.prompt("Should I take an umbrella to Oslo?").await?;
//! assert_eq!(answer.text(), "Yes: 6 °C and light rain.");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | you want to | start at |
//! |---|---|
//! | build an agent | [`Agent::builder`], [`FunctionTool`], [`Conversation`] |
//! | steer what happens next | [`HookProvider`], [`HookRegistry`], [`AfterModelCallEvent`] |
//! | decide about retries | [`ModelRetryStrategy`], [`AwsRetryStrategy`], [`FleetRetryStrategy`], [`NoopRetryStrategy`], [`RetryStrategy`] |
//! | protect a provider and yourself | [`Limiter`], [`CircuitBreaker`], [`RetryBudget`], [`Hedge`], [`Fallback`] |
//! | see all that happens | [`Prompt::stream`], [`AgentEvent`], [`EventLoopThrottleEvent`] |
//! | talk to a provider | `OpenAiChat`, `OpenAiResponses`, `Anthropic`, `Bedrock`, `Gemini`, `Ollama`, or your own [`Model`] |
//! | stop in good order | [`Prompt::cancel_on`], [`AgentBuilder::deadline`] |
//! | go on after a failure | [`RunError::into_run`], [`Agent::resume`] |
//! | test without a network | [`testing`] |
//!
//! Pages that explain instead of listing: [your first agent], [the agent loop], [hooks], [retry],
//! [protection], [cancellation], [events], [your own strategy], [your own provider], [testing your agent], and
//! coming [from Strands], [from AG2], [from AutoGen] or [from Aegeantic].
//!
//! [your first agent]: https://github.com/steadfast-rs/steadfast/blob/main/docs/guides/first-agent.md
//! [the agent loop]: https://github.com/steadfast-rs/steadfast/blob/main/docs/concepts/loop.md
//! [hooks]: https://github.com/steadfast-rs/steadfast/blob/main/docs/concepts/hooks.md
//! [retry]: https://github.com/steadfast-rs/steadfast/blob/main/docs/concepts/retry.md
//! [protection]: https://github.com/steadfast-rs/steadfast/blob/main/docs/concepts/protection.md
//! [cancellation]: https://github.com/steadfast-rs/steadfast/blob/main/docs/concepts/cancellation.md
//! [events]: https://github.com/steadfast-rs/steadfast/blob/main/docs/events.md
//! [your own strategy]: https://github.com/steadfast-rs/steadfast/blob/main/docs/guides/own-strategy.md
//! [your own provider]: https://github.com/steadfast-rs/steadfast/blob/main/docs/guides/own-provider.md
//! [testing your agent]: https://github.com/steadfast-rs/steadfast/blob/main/docs/guides/testing-your-agent.md
//! [from Strands]: https://github.com/steadfast-rs/steadfast/blob/main/docs/coming-from-strands.md
//! [from AG2]: https://github.com/steadfast-rs/steadfast/blob/main/docs/coming-from-ag2.md
//! [from AutoGen]: https://github.com/steadfast-rs/steadfast/blob/main/docs/coming-from-autogen.md
//! [from Aegeantic]: https://github.com/steadfast-rs/steadfast/blob/main/docs/coming-from-aegeantic.md
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `openai` (default) | `OpenAiChat` and `OpenAiResponses`: OpenAI's two wires, and compatible servers, such as Azure, Groq and Mistral |
//! | `anthropic` | `Anthropic`: Anthropic messages and compatible servers |
//! | `bedrock` | `Bedrock`: Amazon Bedrock, on the official SDK, which is large to compile |
//! | `gemini` | `Gemini`: Gemini's generateContent and its stream |
//! | `ollama` | `Ollama`: Ollama's own wire |
//!
//! With any of them comes `Wire`: how an answer is classified, asked without a network.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use steadfast_core::*;

#[cfg(any(
    feature = "anthropic",
    feature = "bedrock",
    feature = "gemini",
    feature = "ollama",
    feature = "openai"
))]
pub use steadfast_providers::Wire;
#[cfg(feature = "anthropic")]
pub use steadfast_providers::{Anthropic, AnthropicBuilder};
#[cfg(feature = "bedrock")]
pub use steadfast_providers::{Bedrock, BedrockBuilder};
#[cfg(feature = "openai")]
pub use steadfast_providers::{CompatibleServer, OpenAiChat, OpenAiChatBuilder};
#[cfg(feature = "gemini")]
pub use steadfast_providers::{Gemini, GeminiBuilder};
#[cfg(feature = "ollama")]
pub use steadfast_providers::{Ollama, OllamaBuilder};
#[cfg(feature = "openai")]
pub use steadfast_providers::{OpenAiResponses, OpenAiResponsesBuilder};

/// The pages of providers that are not in the default features.
#[cfg(all(doctest, feature = "anthropic"))]
#[doc = include_str!(concat!("../../../", "docs/providers/anthropic.md"))]
struct AnthropicPage;
#[cfg(all(doctest, feature = "gemini"))]
#[doc = include_str!(concat!("../../../", "docs/providers/gemini.md"))]
struct GeminiPage;
#[cfg(all(doctest, feature = "ollama"))]
#[doc = include_str!(concat!("../../../", "docs/providers/ollama.md"))]
struct OllamaPage;

/// The code of the README and of the pages below `docs` compiles and runs.
#[cfg(all(doctest, feature = "openai"))]
mod pages {
    macro_rules! page {
        ($($name:ident: $file:literal,)+) => {
            $(#[doc = include_str!(concat!("../../../", $file))] struct $name;)+
        };
    }

    page! {
        Readme: "README.md",
        Loop: "docs/concepts/loop.md",
        Hooks: "docs/concepts/hooks.md",
        Retry: "docs/concepts/retry.md",
        Protection: "docs/concepts/protection.md",
        Cancellation: "docs/concepts/cancellation.md",
        ComingFromAegeantic: "docs/coming-from-aegeantic.md",
        ComingFromAg2: "docs/coming-from-ag2.md",
        ComingFromAutogen: "docs/coming-from-autogen.md",
        ComingFromStrands: "docs/coming-from-strands.md",
        FirstAgent: "docs/guides/first-agent.md",
        ChoosingAStrategy: "docs/guides/choosing-a-strategy.md",
        OwnStrategy: "docs/guides/own-strategy.md",
        OpenAiChat: "docs/providers/openai-chat.md",
        OpenAiResponses: "docs/providers/openai-responses.md",
    }
}

/// The page of a provider that the default build does not have.
#[cfg(all(doctest, feature = "bedrock"))]
#[doc = include_str!("../../../docs/providers/bedrock.md")]
struct BedrockPage;
