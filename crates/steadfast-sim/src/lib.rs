//! A model provider on your own machine: it throttles like the real one, and it fails on demand.
//!
//! [`Simulator`] is a local HTTP server that speaks several [`Wire`]s on one port, streaming and not:
//! OpenAI chat completions and responses, Anthropic messages, Amazon Bedrock's Converse, Gemini and
//! Ollama's own. Point any client of theirs at it, with any key: OpenAI's at
//! [`Simulator::base_url`], the others' at
//! [`Simulator::url`]. There it meets what real providers do to their clients:
//!
//! - **It answers.** Without being told what: it calls the first tool that it is offered, repeats
//!   the tool's result, or quotes the prompt. Or what you tell it:
//!   [`SimulatorBuilder::answer`].
//! - **It throttles.** A [`RateLimit`] refuses with the vendor's 429, its headers, and as much of a
//!   hint when to come back as [`HintStyle`] allows. All wires share one limit.
//! - **It fails.** A [`FaultScript`] such as `503*2, cut@text, hang` says what goes wrong with
//!   which request, down to the byte after which the connection is reset.
//! - **It replays.** A [`Cassette`] holds traffic that a provider once answered, of any vendor.
//! - **It remembers.** [`Simulator::requests`] lists what clients sent and what became of it.
//!
//! It understands nothing, and it judges nobody: whether a client does the right thing is for your
//! test to say. It does not depend on the rest of Steadfast.
//!
//! # Example
//!
//! The first request meets a rate limit, the second one an answer.
//!
//! ```
//! use serde_json::{Value, json};
//! use steadfast_sim::Simulator;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let sim = Simulator::builder()
//!         .faults("429:retry-after=1".parse()?)
//!         .start()
//!         .await?;
//!     let ask = || {
//!         reqwest::Client::new()
//!             .post(format!("{}/chat/completions", sim.base_url()))
//!             .bearer_auth("any key")
//!             .json(&json!({"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}))
//!             .send()
//!     };
//!
//!     let refused = ask().await?;
//!     assert_eq!(refused.status(), 429);
//!     assert_eq!(refused.headers()["retry-after"], "1");
//!
//!     let answer: Value = ask().await?.json().await?;
//!     assert_eq!(
//!         answer["choices"][0]["message"]["content"],
//!         "This is the Steadfast simulator, not a model. You said: “Hi”",
//!     );
//!
//!     assert_eq!(sim.requests().len(), 2);
//!     sim.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! # What it refuses
//!
//! What the vendors refuse, with their status and in their form:
//!
//! | | OpenAI chat | Anthropic messages |
//! |---|---|---|
//! | 401 | no `Authorization: Bearer KEY` | neither `x-api-key` nor a bearer key |
//! | 400 | no JSON, no model, no messages | the same, no `anthropic-version`, no `max_tokens`, fields of the wrong type or out of range |
//! | 400 | a tool call without its result, a result without its call, two results for one call | the same, also for calls that the vendor's servers run |
//! | 400 | an identifier twice in one message, or of more than 40 characters | an identifier twice in the conversation |
//! | 400 | names of tools and calls with other characters than letters, digits, `_` and `-`, or more than 64 | the same; more than 128 (tools), 200 (calls) |
//! | 400 | an answer without content and calls, images that are not the user's | empty texts, a failed result that says nothing, thinking at the end of a message or not the simulator's own |
//! | 404 | paths but `/v1/chat/completions` and `/v1/models`, models whose name starts with `nonexistent` | the same, but `/v1/messages` and `/v1/models` |
//! | 405 | the wrong method | the same |
//! | 413 | bodies over 64 MB | bodies over 32 MB |
//!
//! Ollama asks for no key and refuses no history. It answers 400 where a value is of another type
//! than its server reads (arguments that are no object, a property's schema that is none, images
//! that are not base64), 404 on paths but `/api/chat` and `/api/tags` and for the same models, 405,
//! and 413 for bodies over 64 MB. A request without messages loads the model and says nothing.
//!
//! Servers that are compatible with a vendor have its paths elsewhere, and so has the simulator:
//! behind any words with a version in them for OpenAI (`/openai/v1/…`, `/api/paas/v4/…`), behind any
//! words for Anthropic (`/anthropic/v1/…`). The path of a wrong base URL, such as
//! `/chat/completions` or `/v1/v1/messages`, gets the vendor's 404, whose message names the right one.
//!
//! Bedrock's wire refuses with 400 and `ValidationException`: conversations that do not begin with
//! the user or whose roles do not alternate, blank texts, calls and results that do not match,
//! `toolUseId`s and names of tools that are not of 1 to 64 letters, digits, `_` and `-`, tool blocks
//! without `toolConfig`, documents without a proper name of their own or without a text beside them,
//! thinking that is not the simulator's own or is missing before results, fields out of range, and
//! models whose name starts with `nonexistent`. Without a signature or a bearer key it is 403. The
//! model and whether to stream stand in the path: any that ends in `/model/MODEL/converse` or
//! `/model/MODEL/converse-stream`.
//!
//! At `/v1/responses` OpenAI's other wire refuses the same as its chat wire, and: fields of the chat
//! wire, fewer than 16 `max_output_tokens`, identifiers of calls that come twice in the conversation or
//! have more than 64 characters, items and parts of unknown types, and reasoning that is not the
//! simulator's own, that nothing follows that came of it, or that is neither stored nor encrypted.
//! Images may stand in results there.
//!
//! Gemini refuses with 400 what it calls `INVALID_ARGUMENT`: contents that are missing, empty or of
//! another role, parts that hold nothing, or two things; as many results as calls, in their order, and
//! no others; names that do not begin like a word; signatures that were changed, and from Gemini 3 on
//! a first call without one in the turn that is not over; more than 20 MB. No key is its 403, and a
//! path without `/v1beta` or another version its 404.
//!
//! So a client whose history it takes has kept calls and results together, under identifiers and
//! names that the vendor takes as well. It says nothing about what is not in this table.
//! Anthropic's versions 2023-06-01 and 2026-10-21 are told apart by what they refuse; messages of
//! the role `system` are refused in both, as by most of its models. Thinking is signed: what an
//! answer thought comes back unchanged or is refused, and with `thinking` enabled it may not be
//! left out before tool results.
//!
//! `GET …/models`, and Ollama's `GET …/api/tags`, list two models; any other name works as well. It
//! is in Anthropic's form for requests with `anthropic-version` or `x-api-key`, in Gemini's for those
//! with `x-goog-api-key`, and so are errors about unknown paths. A
//! refused request takes no item from the fault script, and only a request that is otherwise in
//! order counts against the rate limit.
//!
//! # Faults
//!
//! | Written | What happens to the request |
//! |---|---|
//! | `ok` | it is answered |
//! | `429`, `503`, `529`, any status from 400 to 599 | it gets the status with the vendor's body |
//! | `429:retry-after=2`, `503:retry-after-ms=250` | the same, with a hint when to come back |
//! | `429:quota` | it gets a 429 that will not go away |
//! | `reset`, `reset@…` | a TCP reset, before any answer or at a moment in it |
//! | `cut`, `cut@…` | the connection closes, before any answer or without the body's end |
//! | `hang`, `hang@…` | nothing more comes, and the connection stays open |
//! | `error@…`, `error@…:rate_limit`, `error@…:overloaded` | the stream ends with an error |
//! | `no-end`, `no-end@…` | the body ends in order, without the answer's end |
//! | `empty` | 200 with an empty body |
//! | `html` | 200 with an HTML page |
//! | `malformed` | one line of the stream is not JSON |
//! | `garbage-utf8` | one string in the stream is not UTF-8 |
//! | `huge-line` | one line of the stream has 10 MB |
//! | `error-200` | 200 with an error object as JSON |
//! | `keepalive` | comments (OpenAI, Gemini), `ping` events (Anthropic) or empty pieces (Ollama) for ever, and no answer |
//!
//! Each wire says them in its own words:
//!
//! | | OpenAI chat | Anthropic messages | Gemini | Ollama |
//! |---|---|---|---|---|
//! | `429:quota` | `insufficient_quota` | `rate_limit_error` with the code `enforced_spend_limit_reached` | `RESOURCE_EXHAUSTED` with a quota `…PerDay…` | the sentence about a usage limit |
//! | a hint | `retry-after`, `retry-after-ms` | the same | `RetryInfo` in the body | as OpenAI |
//! | `error@…` | `data: {"error": …}` | `event: error` | `data: {"error": …}` | the line `{"error": "…"}` |
//! | its kinds | `server_error`, `rate_limit_exceeded`, `server_is_overloaded` | `api_error`, `rate_limit_error`, `overloaded_error` | `INTERNAL`, `RESOURCE_EXHAUSTED`, `UNAVAILABLE` | a sentence; ollama.com's `StatusCode` 429 and 503 |
//! | without a stream | 500, 429, 503 | 500, 429, 529 | 500, 429, 503 | 500, 429, 503 |
//! | the answer's end | `finish_reason` and `[DONE]` | `message_delta` and `message_stop` | `finishReason` | the line with `"done": true` |
//!
//! Bedrock says them with its codes in `x-amzn-errortype`, in a stream as exceptions:
//! `internalServerException`, `throttlingException`, `serviceUnavailableException` (without a stream
//! 500, 429, 503). `429:quota` is a `ThrottlingException` of tokens per day. `malformed` is an event
//! with wrong checksums, `keepalive` repeats an event of a type that nobody knows, and the answer's
//! end is `messageStop` and `metadata`. It tells nothing of its limits in headers.
//!
//! OpenAI's responses have the words of its chat wire, behind `event: error` in a stream; their end is
//! `response.completed`.
//!
//! The moments `@…` are [`Moment`]s: `@start`, `@text` (after the first piece of text), `@tool`
//! (after complete tool calls), `@end`, `@N` (after so many bytes). An answer that says no text, or
//! calls no tool, has no such moment: there the fault strikes after the first piece of what it has,
//! so `@tool` at a request without tools strikes after a few words. A suffix repeats an item:
//! `503*3` three times, `503*` for ever.

mod answer;
mod answer_block;
mod anthropic;
mod bedrock;
mod built_in_answer;
mod cassette;
mod chat_request;
mod conversation;
mod dialect;
mod error;
mod fault;
mod gemini;
mod headers;
mod identifier;
mod ollama;
mod openai;
mod openai_responses;
mod pieces;
mod rate_limit;
mod reception;
mod reply;
mod schema_arguments;
mod seen_request;
mod sent_body;
mod server;
mod signature;
mod simulator;
mod socket;
mod text_pieces;
mod tokens;
mod wire;

pub use answer::Answer;
pub use cassette::{Cassette, RecordedExchange};
pub use chat_request::{ChatRequest, ToolResult};
pub use error::Error;
pub use fault::{Fault, FaultScript, Moment, RetryHint, StreamError};
pub use rate_limit::{HintStyle, RateLimit};
pub use seen_request::SeenRequest;
pub use simulator::{Simulator, SimulatorBuilder};
pub use wire::Wire;

/// Futures and values that a multi-threaded runtime must be able to move.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Simulator>();
    is_send_and_sync::<SimulatorBuilder>();
    is_send_and_sync::<Error>();
};
