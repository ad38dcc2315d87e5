//! Recordings of the chat wire. What is expected is read by the plainest means: texts joined,
//! arguments joined by index, the last usage.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

use serde_json::{Map, Value, json};
use steadfast_core::{
    ContentBlock, Message, ModelErrorKind, ModelSettings, Reasoning, Role, StopReason, ToolChoice,
    ToolResult, ToolUse,
};
use steadfast_providers::OpenAiChat;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

pub(crate) const CHAT: RecordedWire = RecordedWire {
    path: "/chat/completions",
    model: |name, base_url| {
        let builder = OpenAiChat::builder(name).base_url(base_url);
        Ok(Box::new(builder.api_key("sk-test").build()?))
    },
    read_request,
    read_answer,
    error_kind,
    normalise,
};

/// Reads a recorded body of the chat wire.
fn read_request(body: &Value) -> TestResult<RecordedRequest> {
    let mut system = None;
    let mut messages: Vec<Message> = Vec::new();
    for recorded in body["messages"].as_array().ok_or("no messages")? {
        match recorded["role"].as_str() {
            Some("system") => system = Some(text_of(&recorded["content"])),
            Some("assistant") => messages.push(assistant(recorded)?),
            Some("tool") => {
                let call = ToolUse::new(
                    recorded["tool_call_id"].as_str().ok_or("no id")?,
                    "",
                    Value::Null,
                );
                let result = ToolResult::ok(
                    &call,
                    vec![ContentBlock::text(text_of(&recorded["content"]))],
                );
                match messages.last_mut() {
                    Some(last) if last.role == Role::User => {
                        last.content.push(ContentBlock::ToolResult(result))
                    }
                    _ => messages.push(Message::tool_results([result])),
                }
            }
            _ => messages.push(user(&recorded["content"])),
        }
    }
    let mut settings = ModelSettings::new();
    for (field, value) in body.as_object().into_iter().flatten() {
        settings = match (field.as_str(), value) {
            ("model" | "messages" | "tools" | "stream" | "stream_options", _) => settings,
            ("max_tokens" | "max_completion_tokens", value) => {
                settings.max_tokens(u32::try_from(value.as_u64().ok_or("max_tokens")?)?)
            }
            ("temperature", value) if value.as_f64().is_some_and(|t| t <= 2.0) => {
                settings.temperature(value.as_f64().unwrap_or_default())
            }
            ("tool_choice", Value::String(choice)) if choice == "required" => {
                settings.tool_choice(ToolChoice::Required)
            }
            (field, value) => settings.extra(field, value.clone()),
        };
    }
    let tools = body["tools"].as_array().into_iter().flatten().map(|tool| {
        let function = &tool["function"];
        described(
            &function["name"],
            &function["description"],
            &function["parameters"],
        )
    });
    Ok(RecordedRequest {
        model: body["model"].as_str().ok_or("no model")?.to_owned(),
        system,
        prompt: messages.pop().ok_or("no prompt")?,
        history: messages,
        tools: tools.collect(),
        settings,
    })
}

fn user(content: &Value) -> Message {
    let parts = content.as_array().into_iter().flatten();
    let blocks: Vec<ContentBlock> = parts
        .map(|part| match part["image_url"]["url"].as_str() {
            Some(url) => ContentBlock::image_url(url),
            None => ContentBlock::text(part["text"].as_str().unwrap_or_default()),
        })
        .collect();
    if blocks.is_empty() {
        Message::user(text_of(content))
    } else {
        Message::new(Role::User, blocks)
    }
}

fn assistant(recorded: &Value) -> TestResult<Message> {
    let mut blocks = Vec::new();
    let mut own = Map::new();
    if let Some(text) = recorded["reasoning_content"].as_str() {
        own.insert("text_in".to_owned(), "reasoning_content".into());
        blocks.push(Reasoning::new(text));
    }
    if let Some(details) = recorded.get("reasoning_details") {
        own.insert("reasoning_details".to_owned(), details.clone());
        blocks.push(Reasoning::default());
    }
    let mut content: Vec<ContentBlock> = blocks
        .into_iter()
        .map(|block| {
            let opaque = serde_json::json!({"openai_chat": own});
            ContentBlock::Reasoning(block.with_opaque(opaque))
        })
        .collect();
    if !recorded["content"].is_null() {
        content.push(ContentBlock::text(text_of(&recorded["content"])));
    }
    for call in recorded["tool_calls"].as_array().into_iter().flatten() {
        let arguments = call["function"]["arguments"]
            .as_str()
            .ok_or("no arguments")?;
        content.push(ContentBlock::ToolUse(ToolUse::new(
            call["id"].as_str().ok_or("no id")?,
            call["function"]["name"].as_str().ok_or("no name")?,
            serde_json::from_str(arguments)?,
        )));
    }
    Ok(Message::new(Role::Assistant, content))
}

/// Texts in one part are texts; arguments are compared as the JSON that they hold; an image's level
/// of detail `auto` is the default; the recording client forgot the format of a detail.
fn normalise(body: &mut Value) {
    let messages = body["messages"].as_array_mut();
    for message in messages.into_iter().flatten() {
        let content = &message["content"];
        let parts = content.as_array().into_iter().flatten();
        if content.is_array() && parts.clone().all(|part| part["type"] == "text") {
            message["content"] = text_of(content).into();
        }
        for part in message["content"].as_array_mut().into_iter().flatten() {
            if let Some(image) = part["image_url"].as_object_mut() {
                image.remove("detail");
            }
        }
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            let arguments = &mut call["function"]["arguments"];
            if let Some(parsed) = arguments
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
            {
                *arguments = parsed;
            }
        }
        for detail in message["reasoning_details"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(detail) = detail.as_object_mut() {
                detail.remove("format");
            }
        }
        if let Some(message) = message.as_object_mut() {
            message.retain(|_, value| !value.is_null());
        }
    }
}

/// The errors among the recordings, each known by what it says.
fn error_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        400 if body.contains("exceed_context_size_error")
            || body.contains("maximum context length") =>
        {
            ModelErrorKind::ContextOverflow
        }
        400 if body.contains("invalid_model") => ModelErrorKind::NotFound,
        // llama.cpp's 500 for an image that it cannot fetch is permanent.
        400 | 500 => ModelErrorKind::InvalidRequest,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    let body = String::from_utf8(exchange.body().to_vec())?;
    let chunks: Vec<Value> = if body.starts_with('{') {
        vec![serde_json::from_str(&body)?]
    } else {
        body.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?
    };
    let mut expected = Expected::default();
    let mut arguments: Vec<String> = Vec::new();
    let mut finish = String::new();
    let mut refused = false;
    for chunk in &chunks {
        if let Some(usage) = chunk.get("usage").filter(|usage| !usage.is_null()) {
            let tokens = |field: &str| usage[field].as_u64().unwrap_or_default();
            expected.usage = (tokens("prompt_tokens"), tokens("completion_tokens"));
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            continue;
        };
        let delta = choice
            .get("delta")
            .or_else(|| choice.get("message"))
            .unwrap_or(&Value::Null);
        let text = |field: &str| delta[field].as_str().unwrap_or_default();
        expected.text.push_str(text("content"));
        expected.text.push_str(text("refusal"));
        refused |= !text("refusal").is_empty();
        expected.reasoning.push_str(text("reasoning_content"));
        expected.reasoning.push_str(text("reasoning"));
        for (place, call) in delta["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let index = call["index"]
                .as_u64()
                .map_or(place, |index| usize::try_from(index).unwrap_or_default());
            if index == expected.calls.len() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                expected.calls.push((
                    text(&call["id"]),
                    text(&call["function"]["name"]),
                    Value::Null,
                ));
                arguments.push(String::new());
            }
            arguments[index].push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            finish = reason.to_owned();
        }
    }
    for (call, arguments) in expected.calls.iter_mut().zip(arguments) {
        call.2 = match arguments.as_str() {
            // Groq's models write null for none, and a tool is called with an object.
            "" | "null" => json!({}),
            text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
    }
    expected.stop = match finish.as_str() {
        "length" => StopReason::MaxTokens,
        "tool_calls" => StopReason::ToolUse,
        "stop" if refused => StopReason::Refusal,
        "stop" => StopReason::EndTurn,
        other => return Err(format!("finish reason `{other}`").into()),
    };
    Ok(expected)
}
