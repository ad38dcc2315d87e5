//! The answer of Ollama's wire: from lines to deltas. Errors in it are classified next door.

mod finish;
mod line;

use serde_json::{Value, json};
use steadfast_core::{ModelDelta, ModelError, Usage};

use super::{error_wire, request_wire::OPAQUE_KEY};
use crate::{
    answer::AnswerDecoder,
    answer_deltas::AnswerDeltas,
    error_wire::{ErrorObject, Verdict},
    few::Few,
    http_client::Head,
    line_stream::LineStream,
    scalar::{Count, Text, Word, mend_surrogates},
    shape::read_shape,
};
use line::{Line, Message, WireCall};

/// Decodes the lines of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// Whether anything was said that is part of the answer: text or a call.
    spoke: bool,
    /// Whether thoughts have come that nothing has followed yet.
    thinks: bool,
    calls: usize,
}

impl AnswerDecoder for StreamDecoder {
    type Framing = LineStream;

    fn take_event(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError> {
        let mut line = Line::default();
        match read_shape(&mut line, data) {
            Ok(()) if line.is_error() => return Err(Self::classify(deltas.head(), data)),
            // An object of something between passes; an error without `error` must not.
            Ok(()) if line.is_foreign() => {
                return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err);
            }
            Ok(()) => {}
            Err(error) => {
                return match mend_surrogates(data) {
                    Some(mended) => self.take_event(&mended, deltas),
                    None => Err(Self::unexpected(
                        deltas.head(),
                        data,
                        "a line of the stream",
                        error,
                    )),
                };
            }
        }
        deltas.start();
        if let Some(message) = &mut line.message {
            self.take_message(message, deltas);
        }
        if line.done != Some(true) {
            return Ok(false);
        }
        self.end_thoughts(deltas);
        let tokens = |count: Option<Count>| count.and_then(|Count(tokens)| tokens);
        let (input, output) = (tokens(line.prompt_eval_count), tokens(line.eval_count));
        if input.is_some() || output.is_some() {
            let usage = Usage::new(input.unwrap_or_default(), output.unwrap_or_default());
            deltas.push(ModelDelta::Usage(usage));
        }
        let reason = line.done_reason.map(|Word(reason)| reason);
        let reason = reason.unwrap_or_default();
        let stop = finish::read(&reason, self.spoke).settle(
            self.spoke,
            "done reason",
            &reason,
            deltas.head(),
        )?;
        deltas.push(ModelDelta::Stop(stop));
        Ok(true)
    }

    /// A whole answer is a stream of one line.
    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        match self.take_event(body, deltas) {
            Ok(true) => Ok(()),
            Ok(false) => Err(deltas.head().nothing_in_body()),
            Err(error) => Err(error),
        }
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        error_wire::judge(error, status)
    }

    /// An answer has a `message` too: an object, where that of an error is a sentence.
    fn classify_if_error(head: &Head, data: &[u8]) -> Option<ModelError> {
        let body = serde_json::from_slice::<Value>(data).ok()?;
        let is_answer = body.get("message").is_some_and(Value::is_object);
        if is_answer && body.get("error").is_none_or(Value::is_null) {
            return None;
        }
        crate::error_wire::classify_if_error(head, data, Self::judge)
    }
}

impl StreamDecoder {
    fn take_message(&mut self, message: &mut Message<'_>, deltas: &mut AnswerDeltas) {
        if let Some(text) = said(message.thinking.take()) {
            self.thinks = true;
            deltas.push(ModelDelta::Reasoning(text));
        }
        if let Some(text) = said(message.content.take()) {
            self.end_thoughts(deltas);
            self.spoke = true;
            deltas.push(ModelDelta::Text(text));
        }
        for call in message.tool_calls.iter_mut().flat_map(Few::iter_mut) {
            self.end_thoughts(deltas);
            self.take_call(call, deltas);
        }
    }

    /// Takes a call, which always comes whole. Older servers give it no identity.
    fn take_call(&mut self, call: &mut WireCall<'_>, deltas: &mut AnswerDeltas) {
        let index = self.calls;
        self.calls += 1;
        self.spoke = true;
        let owned = |word: Option<Word<'_>>| word.map(|Word(word)| word.into_owned());
        let id = owned(call.id.take()).filter(|id| !id.is_empty());
        let (name, arguments) = match &mut call.function {
            Some(function) => (function.name.take(), function.arguments.take()),
            None => (None, None),
        };
        deltas.push(ModelDelta::ToolUseStart {
            index,
            id: id.unwrap_or_else(|| format!("call_{index}")),
            name: owned(name).unwrap_or_default(),
        });
        if let Some(json) = arguments {
            let json = json.0.into_owned();
            deltas.push(ModelDelta::ToolUseInput { index, json });
        }
    }

    /// Marks thoughts as this wire's, so that they go back on the next turn.
    fn end_thoughts(&mut self, deltas: &mut AnswerDeltas) {
        if std::mem::take(&mut self.thinks) {
            let own = json!({ OPAQUE_KEY: { "text_in": "thinking" } });
            deltas.push(ModelDelta::ReasoningOpaque(own));
        }
    }
}

fn said(text: Option<Text<'_>>) -> Option<String> {
    text.map(|Text(text)| text.into_owned())
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
