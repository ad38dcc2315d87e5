//! The answer of Gemini's wire: from chunks to deltas. Errors in it are classified next door.

mod chunk;
mod finish;

use serde_json::{Value, json, value::RawValue};
use steadfast_core::{ModelDelta, ModelError, ModelErrorKind, StopReason};

use super::{
    error_wire,
    request_wire::{CALL, MADE_UP, OPAQUE_KEY, SIGNATURE, SIGNS},
};
use crate::{
    answer::AnswerDecoder,
    answer_deltas::AnswerDeltas,
    error_wire::{ErrorObject, Verdict},
    event_stream::EventStream,
    few::Few,
    finish::Finish,
    http_client::Head,
    scalar::{Text, Word, is_error, mend_surrogates},
    shape::read_shape,
};
use chunk::{Candidate, Chunk, FunctionCall, OwnParts, Part, PromptFeedback, WireUsage, is_first};

/// The end of a stream as other wires have it: some gateways send it here too.
const DONE: &[u8] = b"[DONE]";

/// Decodes the events of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// Whether anything was said that is part of the answer: text, a call or a part of the
    /// provider's own.
    spoke: bool,
    /// Whether the last that came were thoughts, to which nothing has been added yet.
    thinking: bool,
    calls: usize,
    /// What the vendor calls the answer: it makes the identities of calls that have none unique.
    response_id: Option<String>,
    usage: WireUsage,
    /// Whether the last part was the provider's own, such as code that it runs: more will follow,
    /// also behind a reason to stop.
    awaits_more: bool,
    /// Whether the answer is complete.
    over: bool,
}

impl AnswerDecoder for StreamDecoder {
    type Framing = EventStream;

    /// An image of 4K comes in one event, in base64.
    const LONGEST_EVENT: usize = 64 * 1024 * 1024;

    fn take_event(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError> {
        let was_over = self.over;
        match self.decode(data, deltas) {
            // What follows a complete answer is missed and not mourned.
            Err(_) if was_over => Ok(true),
            decoded => decoded,
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    /// Behind code that the vendor runs comes what it came to, and often a text.
    fn is_settled(&self, _: &AnswerDeltas) -> bool {
        self.over
    }

    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        // Asked for a stream in another form than events, servers send a list of its chunks.
        if let Ok(chunks) = serde_json::from_slice::<Vec<&RawValue>>(body) {
            for chunk in chunks {
                self.take_event(chunk.get().as_bytes(), deltas)?;
            }
        } else {
            let mut chunk = Chunk::default();
            match read_shape(&mut chunk, body) {
                Ok(()) if chunk.is_foreign() => {
                    return Err(Self::classify_if_error(deltas.head(), body)
                        .unwrap_or_else(|| deltas.head().nothing_in_body()));
                }
                Ok(()) => self.take_chunk(&mut chunk, body, deltas)?,
                Err(error) => {
                    return match mend_surrogates(body) {
                        Some(mended) => self.take_whole(&mended, deltas),
                        None => Err(Self::unexpected(deltas.head(), body, "the body", error)),
                    };
                }
            }
        }
        Ok(())
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        error_wire::judge(error, status)
    }
}

impl Chunk<'_> {
    /// Returns whether it is of something between: nothing that this wire knows stands in it.
    const fn is_foreign(&self) -> bool {
        self.candidates.is_none()
            && self.prompt_feedback.is_none()
            && self.usage_metadata.is_none()
            && self.response_id.is_none()
            && self.error.is_none()
    }
}

impl StreamDecoder {
    /// Decodes one event. Returns whether it was the last.
    fn decode(&mut self, data: &[u8], deltas: &mut AnswerDeltas) -> Result<bool, ModelError> {
        if data == DONE {
            return Ok(true);
        }
        let mut chunk = Chunk::default();
        match read_shape(&mut chunk, data) {
            // An object of something between passes, such as a ping; an error without `error` must
            // not.
            Ok(()) if chunk.is_foreign() => {
                Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err)
            }
            // What was said before a reason to stop is not all: after a tool that the vendor runs by
            // itself more may follow, and a reason again.
            Ok(()) => self.take_chunk(&mut chunk, data, deltas).map(|()| false),
            Err(error) => match mend_surrogates(data) {
                Some(mended) => self.decode(&mended, deltas),
                None => Err(Self::unexpected(
                    deltas.head(),
                    data,
                    "an event of the stream",
                    error,
                )),
            },
        }
    }

    fn take_chunk(
        &mut self,
        chunk: &mut Chunk<'_>,
        data: &[u8],
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        if is_error(chunk.error) {
            return Err(Self::classify(deltas.head(), data));
        }
        if self.response_id.is_none() {
            self.response_id = chunk.response_id.take().map(|Word(id)| id.into_owned());
        }
        deltas.start_as(|head| Some(head.secrets.mask(self.response_id.as_deref()?)));
        let candidates = chunk.candidates.iter_mut().flat_map(Few::iter_mut);
        let mut candidates = candidates.filter(|candidate| is_first(candidate.index));
        let candidate = candidates.next();
        if let Some(feedback) = &chunk.prompt_feedback {
            check_prompt(feedback, deltas.head())?;
        }
        if let Some(usage) = &chunk.usage_metadata {
            self.usage.take_later(usage);
            deltas.push(ModelDelta::Usage((&self.usage).into()));
        }
        candidate.map_or(Ok(()), |candidate| {
            self.take_candidate(candidate, data, deltas)
        })
    }

    fn take_candidate(
        &mut self,
        candidate: &mut Candidate<'_>,
        data: &[u8],
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let parts = candidate.content.as_mut();
        let parts = parts.and_then(|content| content.parts.as_mut());
        let mut own = None;
        for (place, part) in parts.into_iter().flat_map(Few::iter_mut).enumerate() {
            self.over = false;
            if part.is_known() {
                if part.comes_in_pieces() {
                    let message = "arguments that come in pieces are not read: leave out \
                                   `streamFunctionCallArguments`";
                    let error = ModelError::new(ModelErrorKind::Unsupported, message);
                    return Err(deltas.head().locate(error));
                }
                self.awaits_more = false;
                self.take_part(part, deltas);
                continue;
            }
            let own = own.get_or_insert_with(|| OwnParts::read(data));
            if let Some(part) = own.get_mut(place).map(Value::take) {
                self.take_own(part, deltas);
            }
        }
        match &candidate.finish_reason {
            Some(Word(reason)) if !reason.is_empty() => self.take_finish(reason, deltas),
            _ => Ok(()),
        }
    }

    fn take_part(&mut self, part: &mut Part<'_>, deltas: &mut AnswerDeltas) {
        let signature = part
            .thought_signature
            .take()
            .map(|Word(signature)| signature);
        let signature = signature.filter(|signature| !signature.is_empty());
        if let Some(call) = &mut part.function_call {
            self.end_thoughts(deltas);
            self.take_call(call, deltas);
            if let Some(signature) = signature {
                deltas.push(own(json!({ SIGNS: CALL, SIGNATURE: signature })));
            }
            return;
        }
        let text = part.text.take().map(|Text(text)| text).unwrap_or_default();
        if part.thought == Some(true) {
            // What was thought before came without this signature.
            if signature.is_some() {
                self.end_thoughts(deltas);
            }
            if !text.is_empty() {
                self.thinking = true;
                deltas.push(ModelDelta::Reasoning(text.into_owned()));
            }
            if let Some(signature) = signature {
                self.thinking = false;
                deltas.push(opaque(json!({ SIGNATURE: signature })));
            }
            return;
        }
        match signature {
            None if text.is_empty() => {}
            None => {
                self.end_thoughts(deltas);
                self.spoke = true;
                deltas.push(ModelDelta::Text(text.into_owned()));
            }
            // The last part of a stream, as it comes: what is signed is all that was said.
            Some(signature) if text.is_empty() => {
                self.end_thoughts(deltas);
                deltas.push(own(json!({ "text": "", SIGNATURE: signature })));
            }
            Some(signature) => {
                self.end_thoughts(deltas);
                self.spoke = true;
                let length = text.len();
                deltas.push(ModelDelta::Text(text.into_owned()));
                deltas.push(own(json!({ SIGNS: length, SIGNATURE: signature })));
            }
        }
    }

    /// Calls come whole, in one event.
    fn take_call(&mut self, call: &mut FunctionCall<'_>, deltas: &mut AnswerDeltas) {
        self.spoke = true;
        let index = self.calls;
        self.calls += 1;
        let id = call.id.take().map(|Word(id)| id.into_owned());
        let made_up = || match &self.response_id {
            Some(answer) => format!("{MADE_UP}{answer}_{index}"),
            None => format!("{MADE_UP}{index}"),
        };
        deltas.push(ModelDelta::ToolUseStart {
            index,
            id: id.filter(|id| !id.is_empty()).unwrap_or_else(made_up),
            name: call
                .name
                .take()
                .map(|Word(name)| name.into_owned())
                .unwrap_or_default(),
        });
        let args = call.args.map(RawValue::get).filter(|args| *args != "null");
        if let Some(args) = args {
            let json = args.to_owned();
            deltas.push(ModelDelta::ToolUseInput { index, json });
        }
    }

    /// Keeps a part that only the provider understands.
    fn take_own(&mut self, part: Value, deltas: &mut AnswerDeltas) {
        if part.as_object().is_some_and(|part| !part.is_empty()) {
            self.end_thoughts(deltas);
            self.spoke = true;
            self.awaits_more = true;
            deltas.push(own(part));
        }
    }

    /// Marks thoughts as this wire's, so that they go back.
    fn end_thoughts(&mut self, deltas: &mut AnswerDeltas) {
        if std::mem::take(&mut self.thinking) {
            deltas.push(opaque(json!({})));
        }
    }

    fn take_finish(&mut self, reason: &str, deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        self.end_thoughts(deltas);
        let finish = match finish::read(reason) {
            // The vendor's models do this at times, and another attempt mostly says something.
            Finish::Stop(StopReason::EndTurn) if !self.spoke => {
                let error = ModelError::new(ModelErrorKind::Server, "the answer is empty");
                let why = format!("finish reason `{reason}` without an answer");
                return Err(deltas.head().locate(error).with_why(why));
            }
            finish => finish,
        };
        let stop = finish.settle(self.spoke, "finish reason", reason, deltas.head())?;
        self.over = !self.awaits_more;
        deltas.push(ModelDelta::Stop(stop));
        Ok(())
    }
}

impl Part<'_> {
    /// Returns whether all that it holds was read.
    const fn is_known(&self) -> bool {
        self.text.is_some() || self.function_call.is_some()
    }

    /// Returns whether it is a piece of a call: to run it would be to run another call.
    fn comes_in_pieces(&self) -> bool {
        let call = self.function_call.as_ref();
        call.is_some_and(|call| call.partial_args.is_some() || call.will_continue == Some(true))
    }
}

/// A prompt that a filter refused has no answer.
fn check_prompt(feedback: &PromptFeedback<'_>, head: &Head) -> Result<(), ModelError> {
    let Some(Word(reason)) = feedback
        .block_reason
        .as_ref()
        .filter(|Word(reason)| !reason.is_empty())
    else {
        return Ok(());
    };
    let said = feedback.block_reason_message.as_ref();
    let said = said.map(|Text(message)| head.secrets.mask(message));
    let message = said.unwrap_or_else(|| "the provider does not answer this prompt".to_owned());
    let reason = head.secrets.mask(reason);
    let error = ModelError::new(ModelErrorKind::ContentFiltered, message);
    Err(head
        .locate(error)
        .with_why(format!("block reason `{reason}`"))
        .with_code(reason))
}

fn own(part: Value) -> ModelDelta {
    ModelDelta::Opaque(json!({ OPAQUE_KEY: part }))
}

fn opaque(data: Value) -> ModelDelta {
    ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: data }))
}

#[cfg(test)]
mod tests;
