//! From a recorded request to what an agent is given, for tests that send it again.
#![expect(
    clippy::indexing_slicing,
    reason = "a recording that lacks a field is to fail the test"
)]

use std::sync::Arc;

use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, Message, ModelSettings, Reasoning, Role, Tool, ToolChoice, ToolContext,
    ToolError, ToolOutput, ToolResult, ToolSpec, ToolUse, async_trait,
};

pub(crate) type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A recorded request in this project's terms.
pub(crate) struct RecordedRequest {
    pub(crate) model: String,
    pub(crate) system: Option<String>,
    pub(crate) history: Vec<Message>,
    pub(crate) prompt: Message,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) settings: ModelSettings,
}

/// A tool that is described as recorded and never run.
struct Described(ToolSpec);

#[async_trait]
impl Tool for Described {
    fn spec(&self) -> ToolSpec {
        self.0.clone()
    }

    async fn call(&self, _input: Value, _context: &ToolContext) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text("not asked for"))
    }
}

/// Reads a recorded body of the chat wire.
pub(crate) fn read_request(body: &Value) -> Result<RecordedRequest, Box<dyn std::error::Error>> {
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
        let text = |field: &str| function[field].as_str().unwrap_or_default();
        let spec = ToolSpec::new(
            text("name"),
            text("description"),
            function["parameters"].clone(),
        );
        Arc::new(Described(spec)) as Arc<dyn Tool>
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

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
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

fn assistant(recorded: &Value) -> Result<Message, Box<dyn std::error::Error>> {
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

/// Asserts that every field of the recorded request stands in ours with its value.
///
/// Texts in one part are texts; arguments are compared as the JSON that they hold; an image's level
/// of detail `auto` is the default.
pub(crate) fn assert_holds_fields(ours: &Value, recorded: &Value, label: &str) {
    for (field, value) in recorded.as_object().into_iter().flatten() {
        let mut ours = ours[field].clone();
        let mut value = value.clone();
        if field == "messages" {
            normalise(&mut ours);
            normalise(&mut value);
        }
        assert_eq!(ours, value, "{label}: `{field}`");
    }
}

fn normalise(messages: &mut Value) {
    for message in messages.as_array_mut().into_iter().flatten() {
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
        if let Some(message) = message.as_object_mut() {
            message.retain(|_, value| !value.is_null());
        }
    }
}
