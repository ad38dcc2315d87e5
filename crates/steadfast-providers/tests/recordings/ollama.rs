//! Recordings of Ollama's wire. What is expected is read by the plainest means: texts joined, calls
//! in order, the counts of the last line.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, Message, ModelSettings, Reasoning, Role, StopReason, ToolResult, ToolUse,
};
use steadfast_providers::Ollama;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

pub(crate) const OLLAMA: RecordedWire = RecordedWire {
    path: "/api/chat",
    model: |name, base_url| Ok(Box::new(Ollama::builder(name).base_url(base_url).build()?)),
    read_request,
    read_answer,
    error_kind: |status, body| panic!("no expectation for status {status}: {body}"),
    normalise,
};

/// Reads a recorded body.
fn read_request(body: &Value) -> TestResult<RecordedRequest> {
    let mut system = None;
    let mut messages: Vec<Message> = Vec::new();
    // Which calls have no result yet: the recording has no identities.
    let mut open: Vec<ToolUse> = Vec::new();
    for (place, recorded) in body["messages"]
        .as_array()
        .ok_or("no messages")?
        .iter()
        .enumerate()
    {
        let content = text_of(&recorded["content"]);
        match recorded["role"].as_str() {
            Some("system") => system = Some(content),
            Some("assistant") => {
                let message = assistant(recorded, place)?;
                open = message.tool_uses().cloned().collect();
                messages.push(message);
            }
            Some("tool") => {
                let result = ToolResult::ok(&open.remove(0), vec![ContentBlock::text(content)]);
                match messages.last_mut() {
                    Some(last) if last.role == Role::User => {
                        last.content.push(ContentBlock::ToolResult(result));
                    }
                    _ => messages.push(Message::tool_results([result])),
                }
            }
            _ => messages.push(user(recorded, content)?),
        }
    }
    let mut settings = ModelSettings::new();
    for (field, value) in body.as_object().into_iter().flatten() {
        settings = match field.as_str() {
            "model" | "messages" | "tools" | "stream" => settings,
            "options" => options(settings, value)?,
            field => settings.extra(field, value.clone()),
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

fn options(mut settings: ModelSettings, options: &Value) -> TestResult<ModelSettings> {
    let mut others = json!({});
    for (option, value) in options.as_object().into_iter().flatten() {
        match (option.as_str(), value.as_u64()) {
            ("num_predict", Some(limit)) => settings = settings.max_tokens(u32::try_from(limit)?),
            _ => others[option] = value.clone(),
        }
    }
    Ok(settings.extra("options", others))
}

fn user(recorded: &Value, content: String) -> TestResult<Message> {
    let mut blocks = vec![ContentBlock::text(content)];
    for image in recorded["images"].as_array().into_iter().flatten() {
        let data = image.as_str().ok_or("no image")?;
        blocks.push(ContentBlock::image_base64("image/png", data));
    }
    Ok(Message::new(Role::User, blocks))
}

fn assistant(recorded: &Value, place: usize) -> TestResult<Message> {
    let mut content = Vec::new();
    if let Some(text) = recorded["thinking"].as_str() {
        let own = json!({"ollama": {"text_in": "thinking"}});
        content.push(ContentBlock::Reasoning(
            Reasoning::new(text).with_opaque(own),
        ));
    }
    content.push(ContentBlock::text(text_of(&recorded["content"])));
    for (index, call) in recorded["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let function = &call["function"];
        content.push(ContentBlock::ToolUse(ToolUse::new(
            format!("call_{place}_{index}"),
            function["name"].as_str().ok_or("no name")?,
            function["arguments"].clone(),
        )));
    }
    Ok(Message::new(Role::Assistant, content))
}

/// The recording client asks for one piece where this project asks for a stream, sends empty options
/// and a type with each call, and leaves identities out.
fn normalise(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else {
        return;
    };
    fields.remove("stream");
    fields.retain(|name, value| name != "options" || *value != json!({}));
    for message in body["messages"].as_array_mut().into_iter().flatten() {
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            if let Some(call) = call.as_object_mut() {
                call.remove("id");
                call.remove("type");
            }
        }
        if let Some(message) = message.as_object_mut() {
            message.remove("tool_call_id");
            message.retain(|_, value| !value.is_null());
        }
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    let body = String::from_utf8(exchange.body().to_vec())?;
    let lines = match serde_json::from_str::<Value>(&body) {
        Ok(whole) => vec![whole],
        Err(_) => body
            .lines()
            .filter(|line| !line.is_empty())
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?,
    };
    let mut expected = Expected::default();
    let mut reason = String::new();
    for line in &lines {
        let message = &line["message"];
        let text = |field: &str| message[field].as_str().unwrap_or_default();
        expected.text.push_str(text("content"));
        expected.reasoning.push_str(text("thinking"));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let index = expected.calls.len();
            let id = call["id"].as_str().map(str::to_owned);
            let name = call["function"]["name"].as_str().ok_or("no name")?;
            expected.calls.push((
                id.unwrap_or_else(|| format!("call_{index}")),
                name.to_owned(),
                call["function"]["arguments"].clone(),
            ));
        }
        if line["done"] == true {
            let tokens = |field: &str| line[field].as_u64().unwrap_or_default();
            expected.usage = (tokens("prompt_eval_count"), tokens("eval_count"));
            reason = line["done_reason"].as_str().ok_or("no reason")?.to_owned();
        }
    }
    expected.stop = match reason.as_str() {
        "length" => StopReason::MaxTokens,
        "stop" if !expected.calls.is_empty() => StopReason::ToolUse,
        "stop" => StopReason::EndTurn,
        other => return Err(format!("done reason `{other}`").into()),
    };
    Ok(expected)
}
