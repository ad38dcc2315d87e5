//! Recordings of the messages wire. What is expected is read by the plainest means: blocks by their
//! index, their pieces joined, the largest count of each usage.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, Message, ModelErrorKind, ModelSettings, Reasoning, Role, StopReason, ToolChoice,
    ToolResult, ToolUse,
};
use steadfast_providers::Anthropic;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

pub(crate) const ANTHROPIC: RecordedWire = RecordedWire {
    path: "/v1/messages",
    model: |name, base_url| {
        let builder = Anthropic::builder(name).base_url(base_url);
        Ok(Box::new(builder.api_key("sk-ant-test").build()?))
    },
    read_request,
    read_answer,
    error_kind,
    normalise,
};

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
    // Tools that run at the provider, and forms that an agent's tool has no place for.
    let plain = ["name", "description", "input_schema"];
    let is_plain = |tool: &Value| {
        let fields = tool.as_object();
        fields.is_some_and(|fields| {
            fields.len() == plain.len() && plain.iter().all(|field| fields.contains_key(*field))
        })
    };
    let recorded_tools = body["tools"].as_array().cloned().unwrap_or_default();
    let are_plain = recorded_tools.iter().all(is_plain);
    let mut settings = ModelSettings::new();
    for (field, value) in body.as_object().into_iter().flatten() {
        settings = match (field.as_str(), value) {
            ("model" | "messages" | "stream" | "system", _) => settings,
            ("tools", _) if are_plain => settings,
            ("max_tokens", value) => {
                settings.max_tokens(u32::try_from(value.as_u64().ok_or("max_tokens")?)?)
            }
            ("stop_sequences", Value::Array(texts)) => {
                settings.stop_sequences(texts.iter().filter_map(Value::as_str))
            }
            ("tool_choice", choice) if are_plain && *choice == json!({"type": "auto"}) => {
                settings.tool_choice(ToolChoice::Auto)
            }
            (field, value) => settings.extra(field, value.clone()),
        };
    }
    let tools = recorded_tools.iter().filter(|_| are_plain);
    let tools = tools
        .map(|tool| described(&tool["name"], &tool["description"], &tool["input_schema"]))
        .collect();
    Ok(RecordedRequest {
        model: body["model"].as_str().ok_or("no model")?.to_owned(),
        system: body.get("system").map(text_of),
        prompt: messages.pop().ok_or("no prompt")?,
        history: messages,
        tools,
        settings,
    })
}

fn block(recorded: &Value) -> ContentBlock {
    let text = |field: &str| recorded[field].as_str().unwrap_or_default();
    match text("type") {
        "text" => ContentBlock::text(text("text")),
        "thinking" => {
            let own = json!({"anthropic": {"signature": text("signature")}});
            ContentBlock::Reasoning(Reasoning::new(text("thinking")).with_opaque(own))
        }
        "tool_use" => {
            let input = recorded["input"].clone();
            ContentBlock::ToolUse(ToolUse::new(text("id"), text("name"), input))
        }
        "tool_result" => {
            let call = ToolUse::new(text("tool_use_id"), "", Value::Null);
            let content = vec![ContentBlock::text(text_of(&recorded["content"]))];
            let mut result = ToolResult::ok(&call, content);
            result.is_error = recorded["is_error"] == true;
            ContentBlock::ToolResult(result)
        }
        "redacted_thinking" => {
            let own = json!({"anthropic": {"data": text("data")}});
            ContentBlock::Reasoning(Reasoning::default().with_opaque(own))
        }
        _ => ContentBlock::Opaque {
            data: json!({"anthropic": recorded}),
        },
    }
}

/// A system prompt of one text is that text.
fn normalise(body: &mut Value) {
    if body["system"].is_array() {
        body["system"] = text_of(&body["system"]).into();
    }
    if let Some(body) = body.as_object_mut() {
        body.retain(|_, value| !value.is_null());
    }
}

/// The errors among the recordings.
fn error_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        400 => ModelErrorKind::InvalidRequest,
        404 => ModelErrorKind::NotFound,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    let body = String::from_utf8(exchange.body().to_vec())?;
    if body.starts_with('{') {
        let whole: Value = serde_json::from_str(&body)?;
        let blocks = whole["content"].as_array().ok_or("no content")?;
        return read_blocks(blocks, &whole["stop_reason"], &[&whole["usage"]]);
    }
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let mut blocks: Vec<Value> = Vec::new();
    let mut inputs: Vec<String> = Vec::new();
    let mut stop = &Value::Null;
    let mut usages = Vec::new();
    for event in &events {
        match event["type"].as_str() {
            Some("message_start") => usages.push(&event["message"]["usage"]),
            Some("content_block_start") => {
                blocks.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            Some("content_block_delta") => {
                let index = usize::try_from(event["index"].as_u64().ok_or("no index")?)?;
                for field in ["text", "thinking", "signature"] {
                    if let Some(piece) = event["delta"][field].as_str() {
                        let before = blocks[index][field].as_str().unwrap_or_default();
                        blocks[index][field] = format!("{before}{piece}").into();
                    }
                }
                inputs[index].push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            Some("message_delta") => {
                stop = &event["delta"]["stop_reason"];
                usages.push(&event["usage"]);
            }
            _ => {}
        }
    }
    for (block, input) in blocks.iter_mut().zip(inputs) {
        if !input.is_empty() {
            block["input"] = serde_json::from_str(&input).unwrap_or_else(|_| json!(input));
        }
    }
    read_blocks(&blocks, stop, &usages)
}

fn read_blocks(blocks: &[Value], stop: &Value, usages: &[&Value]) -> TestResult<Expected> {
    let mut expected = Expected::default();
    for block in blocks {
        let text = |field: &str| block[field].as_str().unwrap_or_default();
        match text("type") {
            "text" => expected.text.push_str(text("text")),
            "thinking" => expected.reasoning.push_str(text("thinking")),
            "redacted_thinking" => {}
            "tool_use" => {
                let call = (
                    text("id").into(),
                    text("name").into(),
                    block["input"].clone(),
                );
                expected.calls.push(call);
            }
            other => expected.own_blocks.push(other.to_owned()),
        }
    }
    expected.stop = match stop.as_str() {
        Some("end_turn") => StopReason::EndTurn,
        Some("max_tokens") => StopReason::MaxTokens,
        Some("stop_sequence") => StopReason::StopSequence,
        Some("tool_use") => StopReason::ToolUse,
        other => return Err(format!("stop reason {other:?}").into()),
    };
    let largest = |field: &str| {
        let counts = usages.iter().filter_map(|usage| usage[field].as_u64());
        counts.max().unwrap_or_default()
    };
    let input = largest("input_tokens")
        + largest("cache_read_input_tokens")
        + largest("cache_creation_input_tokens");
    expected.usage = (input, largest("output_tokens"));
    Ok(expected)
}
