//! Recordings of Gemini's wire. What is expected is read by the plainest means: the parts of all
//! chunks in their order, the last of each count.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a recording that lacks a field is to fail the test"
)]

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, Message, ModelErrorKind, ModelSettings, Reasoning, Role, StopReason, ToolResult,
    ToolUse,
};
use steadfast_providers::Gemini;
use steadfast_sim::RecordedExchange;

use crate::wire::{Expected, RecordedRequest, RecordedWire, TestResult, described, text_of};

/// What stands between the address and the model's name.
const MODELS: &str = "/v1beta/models/";

pub(crate) const GEMINI: RecordedWire = RecordedWire {
    path: ":streamGenerateContent",
    // The model's name stands in the path.
    model: |_, base_url| {
        let (address, name) = base_url.split_once(MODELS).ok_or("no model")?;
        let builder = Gemini::builder(name).base_url(address);
        Ok(Box::new(builder.api_key("AIza-test").build()?))
    },
    read_request,
    read_answer,
    error_kind,
    normalise,
};

fn read_request(body: &Value) -> TestResult<RecordedRequest> {
    let mut messages = Vec::new();
    for recorded in body["contents"].as_array().ok_or("no contents")? {
        let parts = recorded["parts"].as_array().ok_or("no parts")?;
        let role = match recorded["role"].as_str() {
            Some("model") => Role::Assistant,
            _ => Role::User,
        };
        let mut calls = 0;
        messages.push(Message::new(
            role,
            parts.iter().flat_map(|part| blocks(part, &mut calls)),
        ));
    }
    let mut settings = ModelSettings::new();
    let mut rest = json!({});
    for (field, value) in body["generationConfig"].as_object().into_iter().flatten() {
        settings = match field.as_str() {
            "maxOutputTokens" => {
                settings.max_tokens(u32::try_from(value.as_u64().ok_or("limit")?)?)
            }
            "temperature" => settings.temperature(value.as_f64().ok_or("temperature")?),
            "topP" => settings.top_p(value.as_f64().ok_or("topP")?),
            "stopSequences" => {
                let texts = value.as_array().ok_or("stopSequences")?;
                settings.stop_sequences(texts.iter().filter_map(Value::as_str))
            }
            _ => {
                rest[field] = value.clone();
                settings
            }
        };
    }
    if rest != json!({}) {
        settings = settings.extra("generationConfig", rest);
    }
    let mut tools = Vec::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        match tool["functionDeclarations"].as_array() {
            Some(declarations) => tools.extend(declarations.iter().map(|tool| {
                let schema = tool
                    .get("parameters")
                    .unwrap_or(&tool["parametersJsonSchema"]);
                described(&tool["name"], &tool["description"], schema)
            })),
            None => settings = settings.extra("tools", json!([tool])),
        }
    }
    Ok(RecordedRequest {
        model: String::new(),
        system: body["systemInstruction"].get("parts").map(text_of),
        prompt: messages.pop().ok_or("no prompt")?,
        history: messages,
        tools,
        settings,
    })
}

fn blocks(part: &Value, calls: &mut usize) -> Vec<ContentBlock> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = |own: Value| ContentBlock::Opaque {
        data: json!({ "gemini": own }),
    };
    let mut id = |value: &Value| {
        let id = identity(value, &Value::Null, *calls);
        *calls += 1;
        id
    };
    let signature = part.get("thoughtSignature");
    if let Some(call) = part.get("functionCall") {
        let call = ToolUse::new(id(call), text(&call["name"]), call["args"].clone());
        let signed = signature.map(|it| own(json!({"signs": "call", "thoughtSignature": it})));
        return [ContentBlock::ToolUse(call)]
            .into_iter()
            .chain(signed)
            .collect();
    }
    if let Some(response) = part.get("functionResponse") {
        let call = ToolUse::new(id(response), text(&response["name"]), Value::Null);
        let answer = &response["response"];
        let keys = ["output", "error", "result"];
        let text = said(keys.iter().find_map(|key| answer.get(key)));
        let mut result = ToolResult::ok(&call, vec![ContentBlock::text(text)]);
        result.is_error = answer.get("error").is_some();
        return vec![ContentBlock::ToolResult(result)];
    }
    if let Some(image) = part.get("inlineData") {
        return vec![ContentBlock::image_base64(
            text(&image["mimeType"]),
            text(&image["data"]),
        )];
    }
    match part.get("text") {
        Some(thought) if part["thought"] == true => {
            let own = signature.map_or(json!({}), |it| json!({"thoughtSignature": it}));
            let thought = Reasoning::new(text(thought)).with_opaque(json!({ "gemini": own }));
            vec![ContentBlock::Reasoning(thought)]
        }
        Some(said) if signature.is_none() => vec![ContentBlock::text(text(said))],
        _ => vec![own(part.clone())],
    }
}

/// What a function answered, as text.
fn said(answer: Option<&Value>) -> String {
    match answer {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The identity of a call, or of what answers it; the one that is made up if none came.
fn identity(value: &Value, response_id: &Value, place: usize) -> String {
    let made_up = || match response_id.as_str() {
        Some(answer) => format!("unnumbered_{answer}_{place}"),
        None => format!("unnumbered_{place}"),
    };
    value["id"].as_str().map_or_else(made_up, str::to_owned)
}

/// Takes out what means nothing, and names one thing by one name.
fn normalise(body: &mut Value) {
    remove_nulls(body);
    if let Some(system) = body.get_mut("systemInstruction") {
        *system = text_of(&system["parts"]).into();
    }
    if body["generationConfig"] == json!({}) {
        body["generationConfig"].take();
    }
    for content in body["contents"].as_array_mut().into_iter().flatten() {
        for part in content["parts"].as_array_mut().into_iter().flatten() {
            let result = part.pointer_mut("/functionResponse/response");
            if let Some(result) = result.filter(|result| result.get("result").is_some()) {
                *result = json!({ "output": said(result.get("result")) });
            }
        }
    }
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        for tool in tool["functionDeclarations"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(schema) = tool
                .as_object_mut()
                .and_then(|tool| tool.remove("parameters"))
            {
                tool["parametersJsonSchema"] = schema;
            }
        }
    }
    remove_nulls(body);
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|name, value| !(value.is_null() || name == "thought" && *value == false));
            object.values_mut().for_each(remove_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// The errors among the recordings.
fn error_kind(status: u16, body: &str) -> ModelErrorKind {
    match status {
        404 => ModelErrorKind::NotFound,
        503 => ModelErrorKind::Overloaded,
        other => panic!("no expectation for status {other}: {body}"),
    }
}

fn read_answer(exchange: &RecordedExchange) -> TestResult<Expected> {
    let body = String::from_utf8(exchange.body().to_vec())?;
    let chunks: Vec<Value> = if body.starts_with('{') {
        vec![serde_json::from_str(&body)?]
    } else {
        let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(serde_json::from_str).collect::<Result<_, _>>()?
    };
    let mut expected = Expected::default();
    let mut finish = None;
    for chunk in &chunks {
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            read_part(part, &chunk["responseId"], &mut expected);
        }
        finish = candidate["finishReason"].as_str().or(finish);
    }
    expected.stop = match finish {
        Some("STOP") if !expected.calls.is_empty() => StopReason::ToolUse,
        Some("STOP") => StopReason::EndTurn,
        Some("MAX_TOKENS") => StopReason::MaxTokens,
        other => return Err(format!("finish reason {other:?}").into()),
    };
    let last = |field: &str| {
        let counts = chunks.iter().rev();
        let mut counts = counts.filter_map(|chunk| chunk["usageMetadata"][field].as_u64());
        counts.next().unwrap_or_default()
    };
    let input = last("promptTokenCount") + last("toolUsePromptTokenCount");
    expected.usage = (
        input,
        last("candidatesTokenCount") + last("thoughtsTokenCount"),
    );
    Ok(expected)
}

fn read_part(part: &Value, response_id: &Value, expected: &mut Expected) {
    let signed = part.get("thoughtSignature").is_some();
    let text = part["text"].as_str();
    if let Some(call) = part.get("functionCall") {
        let id = identity(call, response_id, expected.calls.len());
        let name = call["name"].as_str().unwrap_or_default().to_owned();
        let args = call.get("args").cloned().unwrap_or_else(|| json!({}));
        expected.calls.push((id, name, args));
        expected
            .own_blocks
            .extend(signed.then(|| "signs".to_owned()));
    } else if let Some(text) = text.filter(|_| part["thought"] == true) {
        expected.reasoning.push_str(text);
    } else if let Some(text) = text {
        expected.text.push_str(text);
        let own = if text.is_empty() { "text" } else { "signs" };
        expected.own_blocks.extend(signed.then(|| own.to_owned()));
    } else {
        let own = part.as_object().and_then(|part| part.keys().next());
        expected.own_blocks.extend(own.cloned());
    }
}
