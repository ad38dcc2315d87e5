//! A block whose end says something: thinking with its signature, and what the vendor's own tools
//! were asked and answered. Texts and calls of the agent's tools are told as they come.

use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ReasoningContentBlockDelta, ToolResultBlockDelta, ToolResultBlockStart,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};
use steadfast_core::ModelDelta;

use crate::bedrock::{document::to_value, request_wire::OPAQUE_KEY};

/// A block that is being told.
pub(super) enum OpenBlock {
    Thinking {
        signature: String,
        redacted: Vec<u8>,
    },
    ServerCall {
        id: String,
        name: String,
        json: String,
    },
    ServerResult {
        block: Map<String, Value>,
        content: Vec<Value>,
    },
}

impl OpenBlock {
    pub(super) const fn thinking() -> Self {
        Self::Thinking {
            signature: String::new(),
            redacted: Vec::new(),
        }
    }

    pub(super) const fn server_call(id: String, name: String) -> Self {
        let json = String::new();
        Self::ServerCall { id, name, json }
    }

    pub(super) fn server_result(start: &ToolResultBlockStart) -> Self {
        let mut block = Map::new();
        block.insert("toolUseId".to_owned(), start.tool_use_id.clone().into());
        let words = [
            ("type", start.r#type.clone()),
            (
                "status",
                start
                    .status
                    .as_ref()
                    .map(|status| status.as_str().to_owned()),
            ),
        ];
        for (field, word) in words {
            block.extend(word.map(|word| (field.to_owned(), word.into())));
        }
        Self::ServerResult {
            block,
            content: Vec::new(),
        }
    }

    pub(super) fn add_input(&mut self, piece: &str) {
        if let Self::ServerCall { json, .. } = self {
            json.push_str(piece);
        }
    }

    pub(super) fn add_signature(&mut self, piece: &str) {
        if let Self::Thinking { signature, .. } = self {
            signature.push_str(piece);
        }
    }

    pub(super) fn add_redacted(&mut self, piece: &[u8]) {
        if let Self::Thinking { redacted, .. } = self {
            redacted.extend_from_slice(piece);
        }
    }

    pub(super) fn add_results(&mut self, pieces: &[ToolResultBlockDelta]) {
        let Self::ServerResult { content, .. } = self else {
            return;
        };
        for piece in pieces {
            match piece {
                ToolResultBlockDelta::Text(piece) => match content.last_mut() {
                    Some(Value::Object(last)) if last.contains_key("text") => {
                        if let Some(Value::String(text)) = last.get_mut("text") {
                            text.push_str(piece);
                        }
                    }
                    _ => content.push(json!({ "text": piece })),
                },
                ToolResultBlockDelta::Json(piece) => {
                    content.push(json!({ "json": to_value(piece) }));
                }
                _ => {}
            }
        }
    }

    /// Returns what its end says.
    pub(super) fn close(self) -> Option<ModelDelta> {
        match self {
            Self::Thinking { redacted, .. } if !redacted.is_empty() => {
                let data = BASE64_STANDARD.encode(redacted);
                Some(redacted_thinking(&data))
            }
            Self::Thinking { signature, .. } => {
                (!signature.is_empty()).then(|| signed_thinking(&signature))
            }
            Self::ServerCall { id, name, json } => {
                let input = serde_json::from_str(&json);
                let input: Value = input.unwrap_or_else(|_| json!({ "input": json }));
                let call = json!({"toolUseId": id, "name": name, "input": input, "type": "server_tool_use"});
                Some(own("toolUse", call))
            }
            Self::ServerResult { mut block, content } => {
                block.insert("content".to_owned(), content.into());
                Some(own("toolResult", block.into()))
            }
        }
    }
}

/// Returns how much of a piece may be kept until its block ends. Calls of the agent's tools count
/// too: they are held to as much where answers are put together.
pub(super) fn kept_of(piece: &ContentBlockDelta) -> usize {
    match piece {
        ContentBlockDelta::ToolUse(piece) => piece.input.len(),
        ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Signature(signature)) => {
            signature.len()
        }
        ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::RedactedContent(data)) => {
            data.as_ref().len()
        }
        ContentBlockDelta::ToolResult(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                ToolResultBlockDelta::Text(text) => text.len(),
                ToolResultBlockDelta::Json(json) => to_value(json).to_string().len(),
                _ => 0,
            })
            .sum(),
        _ => 0,
    }
}

/// What the vendor wants back with thinking.
pub(in crate::bedrock) fn signed_thinking(signature: &str) -> ModelDelta {
    ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: { "signature": signature } }))
}

/// Thinking that only the vendor can read, in base64.
pub(in crate::bedrock) fn redacted_thinking(data: &str) -> ModelDelta {
    ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: { "redactedContent": data } }))
}

/// A block that goes back as it came.
pub(in crate::bedrock) fn own(block: &str, fields: Value) -> ModelDelta {
    ModelDelta::Opaque(json!({ OPAQUE_KEY: { block: fields } }))
}
