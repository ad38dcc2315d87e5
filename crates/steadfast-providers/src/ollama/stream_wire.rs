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
    http_client::Head,
    line_stream::LineStream,
    scalar::{Text, mend_surrogates, read_json},
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
        let line = match read_json::<Line<'_>>(data) {
            Ok(line) if line.is_error() => return Err(Self::classify(deltas.head(), data)),
            // An object of something between passes; an error without `error` must not.
            Ok(line) if line.is_foreign() => {
                return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err);
            }
            Ok(line) => line,
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
        };
        deltas.start();
        if let Some(message) = line.message {
            self.take_message(message, deltas);
        }
        if line.done != Some(true) {
            return Ok(false);
        }
        self.end_thoughts(deltas);
        let (input, output) = (line.prompt_eval_count.0, line.eval_count.0);
        if input.is_some() || output.is_some() {
            let usage = Usage::new(input.unwrap_or_default(), output.unwrap_or_default());
            deltas.push(ModelDelta::Usage(usage));
        }
        let reason = line.done_reason.map(|Text(reason)| reason);
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
    fn take_message(&mut self, message: Message<'_>, deltas: &mut AnswerDeltas) {
        if let Some(text) = said(message.thinking) {
            self.thinks = true;
            deltas.push(ModelDelta::Reasoning(text));
        }
        if let Some(text) = said(message.content) {
            self.end_thoughts(deltas);
            self.spoke = true;
            deltas.push(ModelDelta::Text(text));
        }
        for call in message.tool_calls.into_iter().flatten() {
            self.end_thoughts(deltas);
            self.take_call(call, deltas);
        }
    }

    /// Takes a call, which always comes whole. Older servers give it no identity.
    fn take_call(&mut self, call: WireCall<'_>, deltas: &mut AnswerDeltas) {
        let index = self.calls;
        self.calls += 1;
        self.spoke = true;
        let id = said(call.id).unwrap_or_else(|| format!("call_{index}"));
        let function = call.function.unwrap_or_default();
        deltas.push(ModelDelta::ToolUseStart {
            index,
            id,
            name: said(function.name).unwrap_or_default(),
        });
        if let Some(json) = function.arguments {
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
