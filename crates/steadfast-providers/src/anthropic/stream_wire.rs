//! The answer of the messages wire: from events to deltas. Errors in it are classified next door.

mod event;
mod finish;
mod open_block;

use std::borrow::Cow;

use serde_json::{Value, json, value::RawValue};
use steadfast_core::{ModelDelta, ModelError};

use super::{error_wire, request_wire::OPAQUE_KEY};
use crate::{
    answer::AnswerDecoder,
    answer_deltas::{AnswerDeltas, MAX_OPEN},
    error_wire::{ErrorObject, Verdict},
    event_stream::EventStream,
    finish::Finish,
    scalar::{Text, Word, is_error, mend_surrogates, read_usage},
    shape::read_shape,
};
use event::{Block, BlockDelta, BlockKind, Event, Whole, WireUsage};
use open_block::{Open, OpenBlock};

/// The end of a stream as other wires have it: some gateways send it here too.
const DONE: &[u8] = b"[DONE]";

/// Types of events whose shape is known.
const KNOWN_EVENTS: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];

/// Types of deltas whose shape is known.
const KNOWN_DELTAS: [&str; 4] = [
    "text_delta",
    "thinking_delta",
    "signature_delta",
    "input_json_delta",
];

/// Decodes the events of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// Whether anything was said that is part of the answer: text, a call or a block of the
    /// provider's own.
    spoke: bool,
    /// Blocks that have begun and not ended; texts are not counted.
    open: Vec<OpenBlock>,
    usage: WireUsage,
    /// Why the answer ended, once it was said.
    stop: Option<(Finish, String)>,
}

impl AnswerDecoder for StreamDecoder {
    type Framing = EventStream;

    fn take_event(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError> {
        if data == DONE {
            return Ok(true);
        }
        let mut event = Event::default();
        match read_shape(&mut event, data) {
            Ok(()) => {}
            Err(_) if self.passes_over(data) => return Ok(false),
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
        if is_error(event.error) {
            return Err(Self::classify(deltas.head(), data));
        }
        let index = event.index.unwrap_or_default();
        let kind = event.kind.as_ref().map_or("", |Word(kind)| kind);
        match kind {
            "content_block_delta" => {
                if let Some(delta) = &mut event.delta {
                    self.take_delta(index, delta, data, deltas)?;
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.take_block(index, block, deltas)?;
                }
            }
            "content_block_stop" => self.close(index, deltas),
            "message_start" => {
                deltas.start();
                self.take_usage(event.message.and_then(|message| message.usage), deltas);
            }
            "message_delta" => {
                deltas.start();
                let reason = event.delta.and_then(|delta| delta.stop_reason);
                self.take_stop_reason(reason);
                self.take_usage(event.usage, deltas);
            }
            "message_stop" => {
                self.finish(deltas)?;
                return Ok(true);
            }
            "error" => return Err(Self::classify(deltas.head(), data)),
            // An object without a type is of something between, and may be an error.
            "" => return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err),
            // Keep-alives, and what the vendor adds: it asks clients to pass over the unknown.
            _ => {}
        }
        Ok(false)
    }

    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        let whole = match serde_json::from_slice::<Whole<'_>>(body) {
            Ok(whole) => whole,
            Err(error) => return Err(Self::unexpected(deltas.head(), body, "the body", error)),
        };
        let Some(content) = whole.content else {
            return Err(Self::classify_if_error(deltas.head(), body)
                .unwrap_or_else(|| deltas.head().nothing_in_body()));
        };
        deltas.start();
        for (index, block) in content.into_iter().enumerate() {
            self.take_block(index, block, deltas)?;
            self.close(index, deltas);
        }
        self.take_stop_reason(whole.stop_reason);
        self.take_usage(whole.usage, deltas);
        self.finish(deltas)
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        error_wire::judge(error, status)
    }
}

impl StreamDecoder {
    /// Returns whether an event is of a type that is not known, which may have any shape. A delta of
    /// such a type belongs to a block of the provider's own.
    fn passes_over(&mut self, data: &[u8]) -> bool {
        let Ok(event) = serde_json::from_slice::<Value>(data) else {
            return false;
        };
        let word = |path: &str| event.pointer(path).and_then(Value::as_str);
        match (word("/type"), word("/delta/type")) {
            (Some("content_block_delta"), Some(kind)) if !KNOWN_DELTAS.contains(&kind) => {
                let index = event.get("index").and_then(Value::as_u64);
                let index = index.and_then(|index| usize::try_from(index).ok());
                if let Some(Open::Own(own)) = index.and_then(|index| self.find(index)) {
                    own.grow(data);
                }
                true
            }
            (Some(kind), _) => !KNOWN_EVENTS.contains(&kind) && event.get("error").is_none(),
            (None, _) => false,
        }
    }

    /// Takes the beginning of a block. What it holds already is said at once; only where it is a
    /// whole message is that more than nothing.
    fn take_block(
        &mut self,
        index: usize,
        raw: &RawValue,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.start();
        // Some gateways never end a block, and a signature belongs behind its own thinking.
        let thinking = |block: &mut OpenBlock| matches!(block.open, Open::Thinking { .. });
        for block in self.open.extract_if(.., thinking) {
            deltas.extend(block.close());
        }
        if self.open.len() >= MAX_OPEN {
            return Err(deltas.too_many("blocks open at once"));
        }
        let unexpected = |error| deltas.head().unexpected("a block of the answer", error);
        let BlockKind { kind: Text(kind) } = serde_json::from_str(raw.get()).map_err(unexpected)?;
        let open = match &*kind {
            "text" | "thinking" | "redacted_thinking" | "tool_use" => {
                let block = serde_json::from_str(raw.get()).map_err(unexpected)?;
                self.take_known_block(index, &kind, block, deltas)
            }
            // Of a type that is not known, the fields may have any shape.
            _ => {
                self.spoke = true;
                Some(Open::own(raw))
            }
        };
        let block = open.map(|open| OpenBlock { index, open });
        self.open.extend(block);
        Ok(())
    }

    /// Takes the beginning of a block, and returns what of it is said only at its end.
    fn take_known_block(
        &mut self,
        index: usize,
        kind: &str,
        block: Block<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Option<Open> {
        let owned = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
        match kind {
            "thinking" => {
                self.say(block.thinking, ModelDelta::Reasoning, deltas);
                let signature = owned(block.signature).unwrap_or_default();
                Some(Open::Thinking { signature })
            }
            "redacted_thinking" => {
                let data = owned(block.data).unwrap_or_default();
                let own = json!({ OPAQUE_KEY: { "data": data } });
                deltas.push(ModelDelta::ReasoningOpaque(own));
                None
            }
            "tool_use" => {
                self.spoke = true;
                deltas.push(ModelDelta::ToolUseStart {
                    index,
                    id: owned(block.id)
                        .filter(|id| !id.is_empty())
                        .unwrap_or_else(|| format!("call_{index}")),
                    name: owned(block.name).unwrap_or_default(),
                });
                let input = block.input.map(|input| input.get().to_owned());
                Some(Open::ToolUse { input })
            }
            _ => {
                self.say(block.text, ModelDelta::Text, deltas);
                None
            }
        }
    }

    fn take_delta(
        &mut self,
        index: usize,
        delta: &mut BlockDelta<'_>,
        data: &[u8],
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.start();
        // Some gateways leave the type out: then the field says it.
        let kind = match &delta.kind {
            Some(Word(kind)) => kind,
            None if delta.text.is_some() => "text_delta",
            None if delta.thinking.is_some() => "thinking_delta",
            None if delta.signature.is_some() => "signature_delta",
            None if delta.partial_json.is_some() => "input_json_delta",
            None => "",
        };
        match kind {
            "text_delta" => self.say(delta.text.take(), ModelDelta::Text, deltas),
            "thinking_delta" => self.say(delta.thinking.take(), ModelDelta::Reasoning, deltas),
            "signature_delta" => {
                if let (Some(Open::Thinking { signature }), Some(Text(piece))) =
                    (self.find(index), &delta.signature)
                {
                    deltas.keep(piece.len())?;
                    signature.push_str(piece);
                }
            }
            "input_json_delta" => {
                if let Some(Text(piece)) = delta
                    .partial_json
                    .take()
                    .filter(|Text(json)| !json.is_empty())
                {
                    self.take_input(index, piece, deltas)?;
                }
            }
            // Citations say where a text comes from; the text itself comes too.
            "citations_delta" => {}
            _ => {
                if let Some(Open::Own(own)) = self.find(index) {
                    deltas.keep(data.len())?;
                    own.grow(data);
                }
            }
        }
        Ok(())
    }

    fn take_input(
        &mut self,
        index: usize,
        piece: Cow<'_, str>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        match self.find(index) {
            Some(Open::Own(own)) => {
                deltas.keep(piece.len())?;
                own.input.push_str(&piece);
            }
            open => {
                // What the beginning held was a form to be filled.
                if let Some(Open::ToolUse { input }) = open {
                    *input = None;
                }
                let json = piece.into_owned();
                deltas.push(ModelDelta::ToolUseInput { index, json });
            }
        }
        Ok(())
    }

    fn say(
        &mut self,
        text: Option<Text<'_>>,
        kind: fn(String) -> ModelDelta,
        deltas: &mut AnswerDeltas,
    ) {
        if let Some(Text(text)) = text.filter(|Text(text)| !text.is_empty()) {
            let delta = kind(text.into_owned());
            self.spoke |= matches!(delta, ModelDelta::Text(_));
            deltas.push(delta);
        }
    }

    fn find(&mut self, index: usize) -> Option<&mut Open> {
        let mut blocks = self.open.iter_mut().rev();
        let block = blocks.find(|block| block.index == index)?;
        Some(&mut block.open)
    }

    fn close(&mut self, index: usize, deltas: &mut AnswerDeltas) {
        if let Some(place) = self.open.iter().rposition(|block| block.index == index) {
            deltas.extend(self.open.remove(place).close());
        }
    }

    fn take_usage(&mut self, usage: Option<&RawValue>, deltas: &mut AnswerDeltas) {
        if let Some(usage) = read_usage(usage) {
            self.usage.take_later(&usage);
            deltas.push(ModelDelta::Usage((&self.usage).into()));
        }
    }

    fn take_stop_reason(&mut self, reason: Option<Word<'_>>) {
        if let Some(Word(reason)) = reason.filter(|Word(reason)| !reason.is_empty()) {
            self.stop = Some((finish::read(&reason), reason.into_owned()));
        }
    }

    fn finish(&mut self, deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        for block in std::mem::take(&mut self.open) {
            deltas.extend(block.close());
        }
        let stop = self.stop.take();
        let stop = stop.map(|(finish, word)| (finish.beside_calls(deltas), word));
        let (finish, word) = stop.unwrap_or((Finish::Unknown, String::new()));
        let stop = finish.settle(self.spoke, "stop reason", &word, deltas.head())?;
        deltas.push(ModelDelta::Stop(stop));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
