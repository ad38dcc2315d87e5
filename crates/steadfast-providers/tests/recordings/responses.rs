//! Recordings of the responses wire. What is expected is read by the plainest means: items as they
//! stand at their end, and the status and usage of the last event.
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
use steadfast_providers::OpenAiResponses;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

pub(crate) const RESPONSES: RecordedWire = RecordedWire {
    path: "/responses",
    model: |name, base_url| {
        let builder = OpenAiResponses::builder(name).base_url(base_url);
        Ok(Box::new(builder.api_key("sk-test").build()?))
    },
    read_request,
    read_answer,
    error_kind,
    normalise,
};

fn read_request(body: &Value) -> TestResult<RecordedRequest> {
    let mut messages: Vec<Message> = Vec::new();
    if let Value::String(prompt) = &body["input"] {
        messages.push(Message::user(prompt));
    }
    for recorded in body["input"].as_array().into_iter().flatten() {
        let (role, blocks) = item(recorded)?;
        let is_message = role == Role::User && recorded["role"].is_string();
        match messages.last_mut() {
            Some(last) if last.role == role && !is_message => last.content.extend(blocks),
            _ => messages.push(Message::new(role, blocks)),
        }
    }
    // Tools that run at the provider, and forms that an agent's tool has no place for.
    let plain = ["type", "name", "description", "parameters"];
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
            ("model" | "input" | "stream" | "instructions", _) => settings,
            ("tools", _) if are_plain => settings,
            ("max_output_tokens", value) => {
                settings.max_tokens(u32::try_from(value.as_u64().ok_or("max_output_tokens")?)?)
            }
            ("temperature", value) => settings.temperature(value.as_f64().ok_or("temperature")?),
            ("tool_choice", choice) if are_plain => match (choice.as_str(), &choice["name"]) {
                (Some("required"), _) => settings.tool_choice(ToolChoice::Required),
                (Some("none"), _) => settings.tool_choice(ToolChoice::None),
                (_, Value::String(name)) => settings.tool_choice(ToolChoice::Tool(name.clone())),
                _ => settings.tool_choice(ToolChoice::Auto),
            },
            (field, value) => settings.extra(field, value.clone()),
        };
    }
    let tools = recorded_tools.iter().filter(|_| are_plain);
    let tools = tools
        .map(|tool| described(&tool["name"], &tool["description"], &tool["parameters"]))
        .collect();
    Ok(RecordedRequest {
        model: body["model"].as_str().ok_or("no model")?.to_owned(),
        system: body["instructions"].as_str().map(str::to_owned),
        prompt: messages.pop().ok_or("no prompt")?,
        history: messages,
        tools,
        settings,
    })
}

/// Reads an item: who says it, and what.
fn item(recorded: &Value) -> TestResult<(Role, Vec<ContentBlock>)> {
    let text = |field: &str| recorded[field].as_str().unwrap_or_default();
    let own = json!({ "openai_responses": recorded });
    Ok(match (text("type"), text("role")) {
        ("message" | "", "assistant") => {
            let said = ContentBlock::text(text_of(&recorded["content"]));
            (Role::Assistant, vec![said])
        }
        ("message" | "", _) => (Role::User, user(&recorded["content"])),
        ("reasoning", _) => {
            let thought = Reasoning::new(text_of(&recorded["summary"])).with_opaque(own);
            (Role::Assistant, vec![ContentBlock::Reasoning(thought)])
        }
        ("function_call", _) => {
            let input = serde_json::from_str(text("arguments"))?;
            let call = ToolUse::new(text("call_id"), text("name"), input);
            (Role::Assistant, vec![ContentBlock::ToolUse(call)])
        }
        ("function_call_output", _) => {
            let call = ToolUse::new(text("call_id"), "", Value::Null);
            let result = ToolResult::ok(&call, user(&recorded["output"]));
            (Role::User, vec![ContentBlock::ToolResult(result)])
        }
        _ => (Role::Assistant, vec![ContentBlock::Opaque { data: own }]),
    })
}

fn user(content: &Value) -> Vec<ContentBlock> {
    let Some(parts) = content.as_array() else {
        return vec![ContentBlock::text(text_of(content))];
    };
    let part = |part: &Value| match part["image_url"].as_str() {
        Some(url) => ContentBlock::image_url(url),
        None => ContentBlock::text(part["text"].as_str().unwrap_or_default()),
    };
    parts.iter().map(part).collect()
}

/// A text is a part; arguments are compared as the JSON that they hold; what the vendor tells of an
/// item means nothing in a request; no tool is strict.
fn normalise(body: &mut Value) {
    if let Value::String(prompt) = &body["input"] {
        body["input"] = json!([{"role": "user", "content": prompt}]);
    }
    for item in body["input"].as_array_mut().into_iter().flatten() {
        let kind = item["type"].as_str().unwrap_or("message").to_owned();
        item["type"] = json!(kind);
        if kind == "message" {
            item["content"] = json!(text_of(&item["content"]));
        }
        if kind == "function_call" {
            let arguments = item["arguments"].as_str().map(serde_json::from_str);
            if let Some(Ok(parsed)) = arguments {
                item["arguments"] = parsed;
            }
        }
        if let Some(item) = item.as_object_mut()
            && kind != "reasoning"
        {
            item.remove("id");
            item.remove("status");
        }
    }
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        if let Some(tool) = tool.as_object_mut() {
            tool.remove("strict");
        }
    }
}

/// The errors among the recordings.
fn error_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        400 => ModelErrorKind::InvalidRequest,
        401 => ModelErrorKind::Auth,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    let body = String::from_utf8(exchange.body().to_vec())?;
    if body.starts_with('{') {
        let whole: Value = serde_json::from_str(&body)?;
        let items = whole["output"].as_array().ok_or("no output")?;
        return read_items(items, &whole);
    }
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let ended = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done");
    let items: Vec<Value> = ended.map(|event| event["item"].clone()).collect();
    let last = events.last().ok_or("no events")?;
    read_items(&items, &last["response"])
}

fn read_items(items: &[Value], response: &Value) -> TestResult<Expected> {
    let mut expected = Expected::default();
    let mut refused = false;
    for item in items {
        let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
        match item["type"].as_str() {
            Some("message") => {
                for part in item["content"].as_array().ok_or("no content")? {
                    let said = part["text"].as_str().or(part["refusal"].as_str());
                    expected.text.push_str(said.ok_or("a part says nothing")?);
                    refused |= part["type"] == "refusal";
                }
            }
            Some("reasoning") => {
                let parts = item["summary"].as_array().ok_or("no summary")?;
                let texts: Vec<&str> = parts.iter().filter_map(|p| p["text"].as_str()).collect();
                expected.reasoning.push_str(&texts.join("\n\n"));
            }
            Some("function_call") => {
                let arguments = text("arguments");
                let input = serde_json::from_str(&arguments).unwrap_or_else(|_| json!(arguments));
                let call = (text("call_id"), text("name"), input);
                expected.calls.push(call);
            }
            other => expected.own_blocks.push(other.ok_or("no type")?.to_owned()),
        }
    }
    let tokens = |field: &str| response["usage"][field].as_u64().unwrap_or_default();
    expected.usage = (tokens("input_tokens"), tokens("output_tokens"));
    let reason = response.pointer("/incomplete_details/reason");
    expected.stop = match (response["status"].as_str(), reason.and_then(Value::as_str)) {
        (Some("completed"), _) if !expected.calls.is_empty() => StopReason::ToolUse,
        (Some("completed"), _) if refused => StopReason::Refusal,
        (Some("completed"), _) => StopReason::EndTurn,
        (Some("incomplete"), Some("max_output_tokens")) => StopReason::MaxTokens,
        other => return Err(format!("status {other:?}").into()),
    };
    Ok(expected)
}
