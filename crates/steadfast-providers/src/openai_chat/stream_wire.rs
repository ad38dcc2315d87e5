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
    few::Few,
    finish::Finish,
    openai_error_wire,
    scalar::{Text, Word, mend_surrogates, read_usage},
    shape::read_shape,
};
use calls::Calls;
use chunk::{Chunk, Content, Delta, WireUsage};

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";

/// Decodes the events of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// The host that answers, if it is known.
    host: String,
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
        let mut chunk = Chunk::default();
        match read_shape(&mut chunk, data) {
            Ok(()) if chunk.is_error() => return Err(Self::classify(deltas.head(), data)),
            // An object of something between passes, such as a ping; an error without `error` must
            // not. A stream of nothing else has no end marker.
            Ok(()) if chunk.is_foreign() => {
                return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err);
            }
            Ok(()) => {}
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
        }
        self.take_chunk(&mut chunk, deltas)?;
        Ok(false)
    }

    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        let mut chunk = Chunk::default();
        match read_shape(&mut chunk, body) {
            Ok(()) if chunk.is_error() => Err(Self::classify(deltas.head(), body)),
            Ok(()) if chunk.choices.as_ref().is_none_or(Few::is_empty) => {
                Err(Self::classify_if_error(deltas.head(), body)
                    .unwrap_or_else(|| deltas.head().nothing_in_body()))
            }
            Ok(()) => self.take_chunk(&mut chunk, deltas),
            Err(error) => match mend_surrogates(body) {
                Some(mended) => self.take_whole(&mended, deltas),
                None => Err(Self::unexpected(deltas.head(), body, "the body", error)),
            },
        }
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        openai_error_wire::judge(error, status)
    }
}

impl StreamDecoder {
    /// Decodes an answer of this host.
    pub(super) fn of(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ..Self::default()
        }
    }

    fn take_chunk(
        &mut self,
        chunk: &mut Chunk<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.start();
        if let Some(error) = chunk.groq_error() {
            let error = format!(r#"{{"error":{error}}}"#);
            return Err(Self::classify(deltas.head(), error.as_bytes()));
        }
        // One choice is asked for, so there is one; a last chunk has none.
        if let Some(choice) = chunk.choices.iter_mut().flat_map(Few::iter_mut).next() {
            let at_stop_text = choice.names_stop_text();
            if let Some(delta) = choice.delta.as_mut().or(choice.message.as_mut()) {
                self.take_delta(delta, deltas)?;
            }
            // SGLang and older versions of Ollama send an empty reason with every chunk.
            if let Some(Word(reason)) = &choice.finish_reason
                && !reason.is_empty()
            {
                let finish = match finish::read(reason) {
                    Finish::Stop(StopReason::EndTurn) if at_stop_text => {
                        Finish::Stop(StopReason::StopSequence)
                    }
                    finish => finish,
                };
                self.take_finish(finish, reason, deltas)?;
            }
        }
        if let Some(usage) = read_usage::<WireUsage>(chunk.usage) {
            deltas.push(ModelDelta::Usage(usage.into()));
        }
        Ok(())
    }

    fn take_delta(
        &mut self,
        delta: &mut Delta<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let said = |text: Option<Text<'_>>| {
            text.map(|Text(text)| text.into_owned())
                .filter(|text| !text.is_empty())
        };
        // Some servers send the same thoughts under both names: the first name that came counts.
        for (field, text) in [
            ("reasoning_content", delta.reasoning_content.take()),
            ("reasoning", delta.reasoning.take()),
        ] {
            if let Some(text) = said(text)
                && *self.reasoning_field.get_or_insert(field) == field
            {
                deltas.push(ModelDelta::Reasoning(text));
            }
        }
        for detail in delta.reasoning_details.take().into_iter().flatten() {
            self.take_reasoning_detail(detail, deltas)?;
        }
        if let Some(content) = delta.content.take() {
            self.take_content(content, deltas);
        }
        if let Some(text) = said(delta.refusal.take()) {
            self.spoke = true;
            deltas.push(ModelDelta::Refusal(text));
        }
        if let Some(calls) = &mut delta.tool_calls {
            self.calls.take(calls, deltas)?;
            self.spoke |= !self.calls.is_empty();
        }
        Ok(())
    }

    /// Takes a text, or parts: Mistral's reasoning comes as parts, and its text beside them.
    fn take_content(&mut self, content: Content<'_>, deltas: &mut AnswerDeltas) {
        match content {
            Content::Text(text) => self.say(text, deltas),
            Content::Parts(parts) => {
                for part in parts {
                    match (&*part.kind.0, part.text, part.thinking) {
                        ("text", Some(Text(text)), _) => self.say(text, deltas),
                        ("thinking", _, Some(thoughts)) => think(thoughts, deltas),
                        _ => {}
                    }
                }
            }
        }
    }

    fn say(&mut self, text: Cow<'_, str>, deltas: &mut AnswerDeltas) {
        if !text.is_empty() {
            self.spoke = true;
            deltas.push(ModelDelta::Text(text.into_owned()));
        }
    }

    /// Joins the pieces of a detail, as OpenRouter documents them: texts of one type and index.
    fn take_reasoning_detail(
        &mut self,
        detail: Map<String, Value>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.keep(length_of(&detail))?;
        let continues = self.reasoning_details.last_mut().filter(|last| {
            let same = |field| last.get(field) == detail.get(field);
            same("type") && same("index") && !detail.contains_key("data")
        });
        let Some(last) = continues else {
            self.reasoning_details.push(detail);
            return Ok(());
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
        Ok(())
    }

    fn take_finish(
        &mut self,
        finish: Finish,
        reason: &str,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        if deltas.is_complete() {
            return Ok(());
        }
        self.calls.finish(deltas);
        let finish = finish.beside_calls(deltas);
        let stop = finish.settle(self.spoke, "finish reason", reason, deltas.head())?;
        self.push_opaque(deltas);
        deltas.push(ModelDelta::Stop(stop));
        Ok(())
    }

    /// Says in which fields the reasoning, and what came with the calls, go back on the next turn, and
    /// to which host: others refuse fields that they do not know.
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
            if !self.host.is_empty() {
                own.insert("host".to_owned(), json!(self.host));
            }
            deltas.push(ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: own })));
        }
    }
}

/// Returns about how much room an object takes.
fn length_of(object: &Map<String, Value>) -> usize {
    let length = |value: &Value| match value {
        Value::String(text) => text.len(),
        value => value.to_string().len(),
    };
    let fields = object
        .iter()
        .map(|(name, value)| name.len() + length(value));
    fields.sum::<usize>() + size_of::<Value>()
}

/// Takes thoughts that are a part: a text, or parts that are texts. Thoughts in thoughts may go on
/// without end, and say nothing.
fn think(thoughts: &RawValue, deltas: &mut AnswerDeltas) {
    let mut push = |text: Cow<'_, str>| {
        if !text.is_empty() {
            deltas.push(ModelDelta::Reasoning(text.into_owned()));
        }
    };
    match Content::read(thoughts) {
        Ok(Content::Text(text)) => push(text),
        Ok(Content::Parts(parts)) => {
            for part in parts {
                if let ("text", Some(Text(text))) = (&*part.kind.0, part.text) {
                    push(text);
                }
            }
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests;
