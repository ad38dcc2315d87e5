//! The answer of the chat wire: from chunks to deltas. Errors in it are classified next door.

use std::{borrow::Cow, collections::VecDeque};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json, value::RawValue};
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind, StopReason, Usage};

use super::{error_wire, request_wire::OPAQUE_KEY};
use crate::http_client::Head;

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";

/// One chunk of a stream, or a whole answer: they differ in `delta` and `message` only. It borrows
/// what it can from the event.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default, alias = "message")]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    /// DeepSeek's and llama.cpp's name.
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    /// OpenRouter's and Groq's name.
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(default)]
    reasoning_details: Option<Vec<Map<String, Value>>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Arguments<'a>>,
}

/// A text that is borrowed where it has no escapes; `Option<Cow>` alone would always be copied.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Arguments are JSON in a string; some servers send the object itself.
struct Arguments<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if raw.starts_with('"') {
            let Text(text) = serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
            return Ok(Self(text));
        }
        Ok(Self(Cow::Borrowed(raw)))
    }
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached part.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let prompt = wire.prompt_tokens_details.unwrap_or_default();
        let mut usage = Self::new(
            wire.prompt_tokens.unwrap_or_default(),
            wire.completion_tokens.unwrap_or_default(),
        );
        usage.cache_read_tokens = prompt
            .cached_tokens
            .or(wire.prompt_cache_hit_tokens)
            .unwrap_or_default();
        usage.cache_write_tokens = prompt.cache_write_tokens.unwrap_or_default();
        let details = wire.completion_tokens_details.unwrap_or_default();
        usage.reasoning_tokens = details.reasoning_tokens.unwrap_or_default();
        usage
    }
}

/// Decodes the events of one answer.
pub(super) struct StreamDecoder {
    head: Head,
    started: bool,
    finished: bool,
    calls: Vec<OpenCall>,
    /// In which field reasoning came, and what details with it: it goes back the same way.
    reasoning_field: Option<&'static str>,
    reasoning_details: Vec<Map<String, Value>>,
}

/// A call that was begun, by what the server calls it.
struct OpenCall {
    index: Option<usize>,
    id: String,
}

impl StreamDecoder {
    pub(super) const fn new(head: Head) -> Self {
        Self {
            head,
            started: false,
            finished: false,
            calls: Vec::new(),
            reasoning_field: None,
            reasoning_details: Vec::new(),
        }
    }

    /// Returns whether the end marker has come.
    pub(super) const fn is_complete(&self) -> bool {
        self.finished
    }

    /// Adds to an error what is known of the answer in which it happened.
    pub(super) fn locate(&self, error: ModelError) -> ModelError {
        let error = error.with_status(self.head.status.as_u16());
        match self.head.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }

    /// Decodes one event. Returns whether it was the last.
    pub(super) fn take_event(
        &mut self,
        data: &[u8],
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<bool, ModelError> {
        if data == DONE {
            return Ok(true);
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| {
            let message = "an event of the stream is not the JSON that was expected";
            self.locate(ModelError::new(ModelErrorKind::Protocol, message).with_source(error))
        })?;
        self.take_chunk(chunk, deltas)?;
        Ok(false)
    }

    fn take_chunk(
        &mut self,
        chunk: Chunk<'_>,
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<(), ModelError> {
        if let Some(error) = chunk.error.filter(|error| error.get() != "null") {
            return Err(error_wire::classify_in_stream(&self.head, error.get()));
        }
        if !self.started {
            self.started = true;
            let request_id = self.head.request_id();
            deltas.push_back(ModelDelta::Started { request_id });
        }
        // One choice is asked for, so there is one; a last chunk has none.
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            if let Some(delta) = choice.delta {
                self.take_delta(delta, deltas);
            }
            if let Some(Text(reason)) = choice.finish_reason {
                self.take_finish(&reason, deltas)?;
            }
        }
        if let Some(usage) = chunk.usage {
            deltas.push_back(ModelDelta::Usage(usage.into()));
        }
        Ok(())
    }

    fn take_delta(&mut self, delta: Delta<'_>, deltas: &mut VecDeque<ModelDelta>) {
        let said = |text: Option<Text<'_>>| {
            text.map(|Text(text)| text.into_owned())
                .filter(|text| !text.is_empty())
        };
        // Some servers send the same thoughts under both names: the first name that came counts.
        for (field, text) in [
            ("reasoning_content", delta.reasoning_content),
            ("reasoning", delta.reasoning),
        ] {
            if let Some(text) = said(text)
                && *self.reasoning_field.get_or_insert(field) == field
            {
                deltas.push_back(ModelDelta::Reasoning(text));
            }
        }
        for detail in delta.reasoning_details.into_iter().flatten() {
            self.take_reasoning_detail(detail);
        }
        if let Some(text) = said(delta.content) {
            deltas.push_back(ModelDelta::Text(text));
        }
        if let Some(text) = said(delta.refusal) {
            deltas.push_back(ModelDelta::Refusal(text));
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.take_call(call, deltas);
        }
    }

    /// Joins the pieces of a detail, as OpenRouter documents them: texts of one type and index.
    fn take_reasoning_detail(&mut self, detail: Map<String, Value>) {
        let continues = self.reasoning_details.last_mut().filter(|last| {
            let same = |field| last.get(field) == detail.get(field);
            same("type") && same("index") && !detail.contains_key("data")
        });
        let Some(last) = continues else {
            self.reasoning_details.push(detail);
            return;
        };
        for (field, value) in detail {
            match (last.get_mut(&field), value) {
                (Some(Value::String(text)), Value::String(piece))
                    if field == "text" || field == "summary" =>
                {
                    text.push_str(&piece);
                }
                (_, Value::Null) => {}
                (_, value) => {
                    last.insert(field, value);
                }
            }
        }
    }

    /// Begins or continues a call. Servers differ: an index may be missing or the same for all
    /// calls, an identity may be missing or come with every piece.
    fn take_call(&mut self, call: CallDelta<'_>, deltas: &mut VecDeque<ModelDelta>) {
        let id = call.id.map(|Text(id)| id).filter(|id| !id.is_empty());
        let (name, arguments) = match call.function {
            Some(function) => (function.name, function.arguments),
            None => (None, None),
        };
        let same_index = |open: &OpenCall| call.index.is_none() || open.index == call.index;
        let known = self.calls.iter().rposition(|open| match &id {
            Some(id) => same_index(open) && open.id == **id,
            None => same_index(open),
        });
        let place = known.unwrap_or_else(|| {
            let place = self.calls.len();
            let id = id.map_or_else(|| format!("call_{place}"), Cow::into_owned);
            deltas.push_back(ModelDelta::ToolUseStart {
                index: place,
                id: id.clone(),
                name: name.map(|Text(name)| name.into_owned()).unwrap_or_default(),
            });
            self.calls.push(OpenCall {
                index: call.index,
                id,
            });
            place
        });
        if let Some(Arguments(json)) = arguments
            && !json.is_empty()
        {
            deltas.push_back(ModelDelta::ToolUseInput {
                index: place,
                json: json.into_owned(),
            });
        }
    }

    fn take_finish(
        &mut self,
        reason: &str,
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<(), ModelError> {
        let stop = match reason {
            "length" | "model_length" => StopReason::MaxTokens,
            "tool_calls" | "function_call" => StopReason::ToolUse,
            "content_filter" => StopReason::ContentFiltered,
            // OpenRouter's and Mistral's mark of an answer that broke off, DeepSeek's of no capacity.
            "error" => return Err(self.stopped(ModelErrorKind::Server, reason)),
            "insufficient_system_resource" => {
                return Err(self.stopped(ModelErrorKind::Overloaded, reason));
            }
            _ => StopReason::EndTurn,
        };
        if !self.finished {
            self.finished = true;
            self.push_opaque(deltas);
            deltas.push_back(ModelDelta::Stop(stop));
        }
        Ok(())
    }

    fn stopped(&self, kind: ModelErrorKind, reason: &str) -> ModelError {
        let message = "the provider stopped the answer";
        self.locate(ModelError::new(kind, message).with_code(reason))
    }

    /// Says in which fields the reasoning goes back on the next turn.
    fn push_opaque(&mut self, deltas: &mut VecDeque<ModelDelta>) {
        let mut own = Map::new();
        if let Some(field) = self.reasoning_field {
            own.insert("text_in".to_owned(), json!(field));
        }
        if !self.reasoning_details.is_empty() {
            let details = std::mem::take(&mut self.reasoning_details);
            own.insert("reasoning_details".to_owned(), json!(details));
        }
        if !own.is_empty() {
            deltas.push_back(ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: own })));
        }
    }
}

/// Decodes an answer that came whole.
pub(super) fn decode_whole(head: &Head, body: &[u8]) -> Result<VecDeque<ModelDelta>, ModelError> {
    let mut decoder = StreamDecoder::new(head.clone());
    let whitespace = body.iter().all(u8::is_ascii_whitespace);
    if whitespace {
        let message = "the body is empty";
        return Err(decoder.locate(ModelError::new(ModelErrorKind::Truncated, message)));
    }
    let chunk: Chunk<'_> = serde_json::from_slice(body).map_err(|error| {
        let message = "the body is not the JSON that was expected";
        decoder.locate(ModelError::new(ModelErrorKind::Protocol, message).with_source(error))
    })?;
    let mut deltas = VecDeque::new();
    if chunk.error.is_none() && chunk.choices.as_ref().is_none_or(Vec::is_empty) {
        return Err(error_wire::classify(head, body));
    }
    decoder.take_chunk(chunk, &mut deltas)?;
    Ok(deltas)
}
