//! The answer of the chat wire: from chunks to deltas. Errors in it are classified next door.

mod calls;
mod chunk;
mod finish;

use std::borrow::Cow;

use serde_json::{Map, Value, json, value::RawValue};
use steadfast_core::{ModelDelta, ModelError, StopReason};

use super::request_wire::OPAQUE_KEY;
use crate::{
    answer::AnswerDecoder,
    answer_deltas::AnswerDeltas,
    error_wire::{ErrorObject, Verdict},
    event_stream::EventStream,
    finish::Finish,
    openai_error_wire,
    scalar::{Text, mend_surrogates, read_usage},
};
use calls::Calls;
use chunk::{Chunk, Content, Delta, WireUsage};

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";

/// Decodes the events of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// Whether anything was said that is part of the answer: text, a refusal or a call.
    spoke: bool,
    calls: Calls,
    /// In which field reasoning came, and what details with it: it goes back the same way.
    reasoning_field: Option<&'static str>,
    reasoning_details: Vec<Map<String, Value>>,
}

impl AnswerDecoder for StreamDecoder {
    type Framing = EventStream;

    fn take_event(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError> {
        if data == DONE {
            return Ok(true);
        }
        let chunk = match serde_json::from_slice::<Chunk<'_>>(data) {
            Ok(chunk) if chunk.is_error() => return Err(Self::classify(deltas.head(), data)),
            // An object of something between passes, such as a ping; an error without `error` must
            // not. A stream of nothing else has no end marker.
            Ok(chunk) if chunk.is_foreign() => {
                return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err);
            }
            Ok(chunk) => chunk,
            // What follows a complete answer is missed and not mourned.
            Err(_) if deltas.is_complete() => return Ok(true),
            Err(error) => {
                return match mend_surrogates(data) {
                    Some(mended) => self.take_event(&mended, deltas),
                    None => Err(Self::unexpected(
                        deltas.head(),
                        data,
                        "an event of the stream",
                        error,
                    )),
                };
            }
        };
        self.take_chunk(chunk, deltas)?;
        Ok(false)
    }

    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        match serde_json::from_slice::<Chunk<'_>>(body) {
            Ok(chunk) if chunk.is_error() => Err(Self::classify(deltas.head(), body)),
            Ok(chunk) if chunk.choices.as_ref().is_none_or(Vec::is_empty) => {
                Err(Self::classify_if_error(deltas.head(), body)
                    .unwrap_or_else(|| deltas.head().nothing_in_body()))
            }
            Ok(chunk) => self.take_chunk(chunk, deltas),
            Err(error) => Err(Self::unexpected(deltas.head(), body, "the body", error)),
        }
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        openai_error_wire::judge(error, status)
    }
}

impl StreamDecoder {
    fn take_chunk(
        &mut self,
        chunk: Chunk<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.start();
        // One choice is asked for, so there is one; a last chunk has none.
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            let at_stop_text = choice.names_stop_text();
            if let Some(delta) = choice.delta.or(choice.message) {
                self.take_delta(delta, deltas)?;
            }
            // SGLang and older versions of Ollama send an empty reason with every chunk.
            if let Some(Text(reason)) = choice.finish_reason
                && !reason.is_empty()
            {
                let finish = match finish::read(&reason) {
                    Finish::Stop(StopReason::EndTurn) if at_stop_text => {
                        Finish::Stop(StopReason::StopSequence)
                    }
                    finish => finish,
                };
                self.take_finish(finish, &reason, deltas)?;
            }
        }
        if let Some(usage) = read_usage::<WireUsage>(chunk.usage) {
            deltas.push(ModelDelta::Usage(usage.into()));
        }
        Ok(())
    }

    fn take_delta(
        &mut self,
        delta: Delta<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
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
                deltas.push(ModelDelta::Reasoning(text));
            }
        }
        for detail in delta.reasoning_details.into_iter().flatten() {
            self.take_reasoning_detail(detail);
        }
        if let Some(content) = delta.content {
            self.take_content(content, deltas);
        }
        if let Some(text) = said(delta.refusal) {
            self.spoke = true;
            deltas.push(ModelDelta::Refusal(text));
        }
        if let Some(calls) = delta.tool_calls {
            self.calls.take(calls, deltas)?;
            self.spoke |= !self.calls.is_empty();
        }
        Ok(())
    }

    /// Takes a text, or parts: Mistral's reasoning comes as parts, and its text beside them.
    fn take_content(&mut self, content: Content<'_>, deltas: &mut AnswerDeltas) {
        let mut say = |text: Cow<'_, str>, deltas: &mut AnswerDeltas| {
            if !text.is_empty() {
                self.spoke = true;
                deltas.push(ModelDelta::Text(text.into_owned()));
            }
        };
        match content {
            Content::Text(text) => say(text, deltas),
            Content::Parts(parts) => {
                for part in parts {
                    match (&*part.kind.0, part.text, part.thinking) {
                        ("text", Some(Text(text)), _) => say(text, deltas),
                        ("thinking", _, Some(thinking)) => take_thoughts(thinking, deltas),
                        _ => {}
                    }
                }
            }
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

    fn take_finish(
        &mut self,
        finish: Finish,
        reason: &str,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let stop = finish.settle(self.spoke, "finish reason", reason, deltas.head())?;
        if !deltas.is_complete() {
            self.calls.finish(deltas);
            self.push_opaque(deltas);
            deltas.push(ModelDelta::Stop(stop));
        }
        Ok(())
    }

    /// Says in which fields the reasoning, and what came with the calls, go back on the next turn.
    fn push_opaque(&mut self, deltas: &mut AnswerDeltas) {
        let mut own = Map::new();
        if let Some(field) = self.reasoning_field {
            own.insert("text_in".to_owned(), json!(field));
        }
        if !self.reasoning_details.is_empty() {
            let details = std::mem::take(&mut self.reasoning_details);
            own.insert("reasoning_details".to_owned(), json!(details));
        }
        let extra = self.calls.take_extra();
        if !extra.is_empty() {
            own.insert("tool_calls".to_owned(), Value::Object(extra));
        }
        if !own.is_empty() {
            deltas.push(ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: own })));
        }
    }
}

/// Takes Mistral's reasoning, a text or parts that are texts.
fn take_thoughts(raw: &RawValue, deltas: &mut AnswerDeltas) {
    let texts = match serde_json::from_str(raw.get()) {
        Ok(Content::Text(text)) => vec![text],
        Ok(Content::Parts(parts)) => parts
            .into_iter()
            .filter(|part| part.kind.0 == "text")
            .filter_map(|part| part.text.map(|Text(text)| text))
            .collect(),
        Err(_) => Vec::new(),
    };
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    deltas.extend(texts.map(|text| ModelDelta::Reasoning(text.into_owned())));
}

#[cfg(test)]
mod tests;
