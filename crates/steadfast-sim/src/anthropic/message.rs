//! An answer as a JSON object: all of it, or the frame with which a stream begins.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::block::{ContentBlock, Stop, whole};
use crate::answer_block::Block;
use crate::identifier::identifier;
use crate::reply::Draft;
use crate::tokens::Tokens;

/// A message of the model.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    model: &'a str,
    id: String,
    r#type: &'static str,
    role: &'static str,
    content: Vec<ContentBlock<'a>>,
    stop_reason: Option<&'a str>,
    stop_sequence: Value,
    stop_details: Value,
    usage: Usage,
}

impl<'a> Message<'a> {
    /// Makes the frame of an answer that is to come.
    pub(super) fn begun(model: &'a str, number: u64, tokens: &Tokens) -> Self {
        Self {
            model,
            id: identifier("msg_01", !number, 22),
            r#type: "message",
            role: "assistant",
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: Value::Null,
            stop_details: Value::Null,
            usage: Usage::of_message(tokens, tokens.output.min(1)),
        }
    }

    /// Makes a whole answer.
    pub(super) fn whole(
        model: &'a str,
        number: u64,
        tokens: &Tokens,
        blocks: &'a [Block<'a>],
        stop: Stop<'a>,
    ) -> Self {
        Self {
            content: blocks.iter().map(whole).collect(),
            stop_reason: Some(stop.reason),
            stop_sequence: stop.sequence,
            stop_details: stop.details,
            usage: Usage::of_message(tokens, tokens.output),
            ..Self::begun(model, number, tokens)
        }
    }

    pub(super) fn into_draft(self) -> Draft {
        Draft::json(StatusCode::OK, &self)
    }
}

/// What an answer cost. What came from the cache is counted beside the other input, not in it.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_geo: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl Usage {
    /// The usage inside a message.
    fn of_message(tokens: &Tokens, output: u64) -> Self {
        Self {
            cache_creation: Some(CacheCreation::default()),
            output_tokens: output,
            output_tokens_details: None,
            service_tier: Some("standard"),
            inference_geo: Some("global"),
            ..Self::of_delta(tokens)
        }
    }

    /// The usage at the end of a stream, all of it counted again.
    pub(super) fn of_delta(tokens: &Tokens) -> Self {
        let details = OutputDetails {
            thinking_tokens: tokens.reasoning,
        };
        Self {
            input_tokens: tokens.input - tokens.cached,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: tokens.cached,
            cache_creation: None,
            output_tokens: tokens.output,
            output_tokens_details: (tokens.reasoning > 0).then_some(details),
            service_tier: None,
            inference_geo: None,
        }
    }
}
