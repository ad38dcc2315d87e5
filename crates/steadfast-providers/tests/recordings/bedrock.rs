//! Recordings of Converse and ConverseStream. What is expected is read by the plainest means: frames
//! by their lengths, blocks by their index.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, Model, ModelErrorKind, ModelSettings, Role, StopReason,
    ToolChoice, ToolResult, ToolUse,
};
use steadfast_providers::Bedrock;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

pub(crate) const STREAMED: RecordedWire = RecordedWire {
    path: "/converse-stream",
    model: |_, base_url| Ok(Box::new(builder(&base_url)?.build()?)),
    read_request,
    read_answer,
    error_kind,
    normalise,
};

pub(crate) const WHOLE: RecordedWire = RecordedWire {
    path: "/converse",
    model: |_, base_url| -> TestResult<Box<dyn Model>> {
        Ok(Box::new(builder(&base_url)?.whole_answers().build()?))
    },
    ..STREAMED
};

/// The model stands in the path of a call, in the escapes of an address.
fn builder(base_url: &str) -> TestResult<steadfast_providers::BedrockBuilder> {
    let (address, model) = base_url.split_once("/model/").ok_or("no model")?;
    Ok(Bedrock::builder(model.replace("%3A", ":"))
        .region("us-east-1")
        .credentials("AKIDTEST", "a secret of a test", None)
        .endpoint_url(address))
}

fn read_request(body: &Value) -> TestResult<RecordedRequest> {
    let mut messages = Vec::new();
    for recorded in body["messages"].as_array().ok_or("no messages")? {
        let blocks = recorded["content"].as_array().ok_or("no blocks")?;
        let role = match recorded["role"].as_str() {
            Some("assistant") => Role::Assistant,
            _ => Role::User,
        };
        messages.push(Message::new(role, blocks.iter().map(block)));
    }
    let mut settings = ModelSettings::new();
    for (field, value) in body.as_object().into_iter().flatten() {
        settings = match field.as_str() {
            "messages" | "system" | "toolConfig" => settings,
            "inferenceConfig" => {
                if let Some(limit) = value["maxTokens"].as_u64() {
                    settings = settings.max_tokens(u32::try_from(limit)?);
                }
                match value["temperature"].as_f64() {
                    Some(temperature) => settings.temperature(temperature),
                    None => settings,
                }
            }
            field => settings.extra(field, value.clone()),
        };
    }
    settings = match body["toolConfig"].get("toolChoice") {
        None => settings,
        Some(choice) if *choice == json!({"any": {}}) => settings.tool_choice(ToolChoice::Required),
        other => panic!("{other:?}"),
    };
    let tools = body["toolConfig"]["tools"].as_array().into_iter().flatten();
    let tools = tools.map(|tool| {
        let spec = &tool["toolSpec"];
        described(
            &spec["name"],
            &spec["description"],
            &spec["inputSchema"]["json"],
        )
    });
    Ok(RecordedRequest {
        model: String::new(),
        system: body.get("system").map(text_of),
        prompt: messages.pop().ok_or("no prompt")?,
        history: messages,
        tools: tools.collect(),
        settings,
    })
}

fn block(recorded: &Value) -> ContentBlock {
    let (kind, value) = recorded
        .as_object()
        .and_then(|fields| fields.iter().next())
        .unwrap_or_else(|| panic!("no block: {recorded}"));
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    match kind.as_str() {
        "text" => ContentBlock::text(value.as_str().unwrap_or_default()),
        "toolUse" => ContentBlock::ToolUse(ToolUse::new(
            text("toolUseId"),
            text("name"),
            value["input"].clone(),
        )),
        "toolResult" => {
            let call = ToolUse::new(text("toolUseId"), "", Value::Null);
            let content = value["content"].as_array().into_iter().flatten();
            let own = content.map(|own| ContentBlock::Opaque {
                data: json!({ "bedrock": own }),
            });
            ContentBlock::ToolResult(ToolResult::ok(&call, own.collect()))
        }
        "document" => ContentBlock::Document {
            source: serde_json::from_value(json!({
                "type": "base64",
                "media_type": "text/plain",
                "data": value["source"]["bytes"],
            }))
            .unwrap_or_else(|_| MediaSource::Url { url: String::new() }),
            name: Some(text("name").to_owned()),
        },
        other => panic!("{other}"),
    }
}

/// An empty configuration is none, and a name that was scrubbed is not one that the vendor takes.
fn normalise(body: &mut Value) {
    if let Some(body) = body.as_object_mut() {
        body.retain(|_, value| *value != json!({}));
    }
    for message in body["messages"].as_array_mut().into_iter().flatten() {
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if let Some(name) = block.pointer_mut("/document/name") {
                *name = name.as_str().unwrap_or_default().replace('_', " ").into();
            }
        }
    }
}

/// The errors among the recordings.
fn error_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        400 => ModelErrorKind::InvalidRequest,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    if exchange.body().starts_with(b"{") {
        let whole: Value = serde_json::from_slice(exchange.body())?;
        let blocks = whole["output"]["message"]["content"].as_array();
        let blocks = blocks.ok_or("no content")?;
        return read_blocks(blocks, &whole["stopReason"], &whole["usage"]);
    }
    let mut blocks: Vec<Value> = Vec::new();
    let mut inputs: Vec<String> = Vec::new();
    let (mut stop, mut usage) = (Value::Null, Value::Null);
    for (kind, payload) in events(exchange.body()) {
        let index = payload["contentBlockIndex"].as_u64().unwrap_or_default();
        let index = usize::try_from(index)?;
        if kind.starts_with("contentBlock") {
            blocks.resize(blocks.len().max(index + 1), json!({}));
            inputs.resize(blocks.len(), String::new());
        }
        match kind.as_str() {
            "contentBlockStart" => blocks[index] = payload["start"].clone(),
            "contentBlockDelta" => {
                let delta = &payload["delta"];
                if let Some(piece) = delta["text"].as_str() {
                    let before = blocks[index]["text"].as_str().unwrap_or_default();
                    blocks[index]["text"] = format!("{before}{piece}").into();
                }
                for field in ["text", "signature"] {
                    if let Some(piece) = delta["reasoningContent"][field].as_str() {
                        let thinking = &mut blocks[index]["reasoningContent"]["reasoningText"];
                        let before = thinking[field].as_str().unwrap_or_default();
                        thinking[field] = format!("{before}{piece}").into();
                    }
                }
                inputs[index].push_str(delta["toolUse"]["input"].as_str().unwrap_or_default());
            }
            "messageStop" => stop = payload["stopReason"].clone(),
            "metadata" => usage = payload["usage"].clone(),
            _ => {}
        }
    }
    for (block, input) in blocks.iter_mut().zip(inputs) {
        if block["toolUse"].is_object() {
            let input = if input.is_empty() { "{}" } else { &input };
            block["toolUse"]["input"] = serde_json::from_str(input)?;
        }
    }
    read_blocks(&blocks, &stop, &usage)
}

/// Takes a stream apart: the name of each event, and its payload.
fn events(mut stream: &[u8]) -> Vec<(String, Value)> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_usize, |number, byte| (number << 8) | usize::from(*byte))
    };
    let mut events = Vec::new();
    while !stream.is_empty() {
        let (event, rest) = stream.split_at(number(&stream[..4]));
        stream = rest;
        let (mut headers, payload) = event[12..event.len() - 4].split_at(number(&event[4..8]));
        let mut kind = String::new();
        while !headers.is_empty() {
            let (name, rest) = headers[1..].split_at(usize::from(headers[0]));
            // Every header here is a text: type 7, then its length.
            let (value, rest) = rest[3..].split_at(number(&rest[1..3]));
            if name == b":event-type" {
                kind = String::from_utf8_lossy(value).into_owned();
            }
            headers = rest;
        }
        events.push((kind, serde_json::from_slice(payload).unwrap_or_default()));
    }
    events
}

fn read_blocks(blocks: &[Value], stop: &Value, usage: &Value) -> TestResult<Expected> {
    let mut expected = Expected::default();
    for block in blocks {
        expected
            .text
            .push_str(block["text"].as_str().unwrap_or_default());
        let thinking = &block["reasoningContent"]["reasoningText"]["text"];
        let thinking = thinking.as_str().unwrap_or_default();
        expected.reasoning.push_str(thinking);
        let call = &block["toolUse"];
        if call.is_object() {
            let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
            let call = (text("toolUseId"), text("name"), call["input"].clone());
            expected.calls.push(call);
        }
    }
    expected.stop = match stop.as_str() {
        Some("end_turn") => StopReason::EndTurn,
        Some("max_tokens") => StopReason::MaxTokens,
        Some("tool_use") => StopReason::ToolUse,
        Some("guardrail_intervened") => StopReason::GuardrailIntervened,
        other => return Err(format!("stop reason {other:?}").into()),
    };
    let count = |field: &str| usage[field].as_u64().unwrap_or_default();
    let input =
        count("inputTokens") + count("cacheReadInputTokens") + count("cacheWriteInputTokens");
    expected.usage = (input, count("outputTokens"));
    Ok(expected)
}
