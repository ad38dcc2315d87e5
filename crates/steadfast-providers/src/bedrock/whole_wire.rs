//! An answer of Converse, which comes whole: the same deltas as from a stream.

use aws_sdk_bedrockruntime::{
    operation::converse::ConverseOutput,
    types::{
        self, CitationGeneratedContent, ContentBlock, ReasoningContentBlock, ToolResultBlock,
        ToolResultContentBlock, ToolUseBlock, ToolUseType,
    },
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind};

use super::{
    document::to_value,
    stream_wire::{own, redacted_thinking, settle, signed_thinking, usage},
};
use crate::http_client::Head;

/// Decodes an answer.
pub(super) fn deltas(answer: ConverseOutput, head: &Head) -> Result<Vec<ModelDelta>, ModelError> {
    let message = match answer.output {
        Some(types::ConverseOutput::Message(message)) => message,
        _ => {
            let message = "the body holds no message";
            return Err(head.locate(ModelError::new(ModelErrorKind::Protocol, message)));
        }
    };
    let mut deltas = vec![ModelDelta::Started {
        request_id: head.request_id(),
    }];
    for (index, block) in message.content.into_iter().enumerate() {
        add_block(index, block, &mut deltas);
    }
    let spoke = deltas.len() > 1;
    deltas.extend(answer.usage.as_ref().map(usage).map(ModelDelta::Usage));
    let stop = settle(&answer.stop_reason, spoke, head)?;
    deltas.push(ModelDelta::Stop(stop));
    Ok(deltas)
}

fn add_block(index: usize, block: ContentBlock, deltas: &mut Vec<ModelDelta>) {
    match block {
        ContentBlock::Text(text) => deltas.push(ModelDelta::Text(text)),
        ContentBlock::CitationsContent(cited) => {
            for piece in cited.content.into_iter().flatten() {
                if let CitationGeneratedContent::Text(text) = piece {
                    deltas.push(ModelDelta::Text(text));
                }
            }
        }
        ContentBlock::ReasoningContent(ReasoningContentBlock::ReasoningText(thinking)) => {
            deltas.push(ModelDelta::Reasoning(thinking.text));
            let signature = thinking.signature.filter(|signature| !signature.is_empty());
            deltas.extend(signature.map(|signature| signed_thinking(&signature)));
        }
        ContentBlock::ReasoningContent(ReasoningContentBlock::RedactedContent(data)) => {
            deltas.push(redacted_thinking(&BASE64_STANDARD.encode(data)));
        }
        ContentBlock::ToolUse(call) if call.r#type == Some(ToolUseType::ServerToolUse) => {
            deltas.push(own("toolUse", server_call(&call)));
        }
        ContentBlock::ToolUse(call) => {
            deltas.push(ModelDelta::ToolUseStart {
                index,
                id: if call.tool_use_id.is_empty() {
                    format!("call_{index}")
                } else {
                    call.tool_use_id
                },
                name: call.name,
            });
            deltas.push(ModelDelta::ToolUseInput {
                index,
                json: to_value(&call.input).to_string(),
            });
        }
        ContentBlock::ToolResult(result) => {
            deltas.push(own("toolResult", server_result(&result)));
        }
        // Media have no place in an answer here, and what the SDK does not know cannot be carried.
        _ => {}
    }
}

fn server_call(call: &ToolUseBlock) -> Value {
    json!({
        "toolUseId": call.tool_use_id,
        "name": call.name,
        "input": to_value(&call.input),
        "type": "server_tool_use",
    })
}

fn server_result(result: &ToolResultBlock) -> Value {
    let content = result.content.iter().filter_map(|piece| match piece {
        ToolResultContentBlock::Text(text) => Some(json!({ "text": text })),
        ToolResultContentBlock::Json(document) => Some(json!({ "json": to_value(document) })),
        _ => None,
    });
    let mut block = json!({
        "toolUseId": result.tool_use_id,
        "content": content.collect::<Vec<_>>(),
    });
    let words = [
        ("type", result.r#type.clone()),
        (
            "status",
            result
                .status
                .as_ref()
                .map(|status| status.as_str().to_owned()),
        ),
    ];
    if let Some(block) = block.as_object_mut() {
        for (field, word) in words {
            block.extend(word.map(|word| (field.to_owned(), word.into())));
        }
    }
    block
}
