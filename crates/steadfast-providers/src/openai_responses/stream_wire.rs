//! The answer of the responses wire: from events to deltas. What an error is, is said by
//! `openai_error_wire.rs`.

mod event;
mod finish;
mod open_item;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use steadfast_core::{ModelDelta, ModelError};

use super::request_wire::OPAQUE_KEY;
use crate::{
    answer::AnswerDecoder,
    answer_deltas::{AnswerDeltas, MAX_OPEN},
    error_wire::{ErrorObject, Verdict},
    event_stream::EventStream,
    openai_error_wire,
    scalar::{Arguments, Text, Word, is_error, mend_surrogates, read_usage},
    shape::read_shape,
};
use event::{Event, Item, ItemKind, PART_BREAK, Response, WireUsage};
use open_item::OpenItem;

/// What some servers send behind the last event, as other wires have it.
const DONE: &[u8] = b"[DONE]";

/// Types of events whose shape is known.
const KNOWN_EVENTS: [&str; 11] = [
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.function_call_arguments.delta",
    "response.output_item.added",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "error",
];

/// Decodes the events of one answer.
#[derive(Default)]
pub(crate) struct StreamDecoder {
    /// Whether anything was said that is part of the answer: text, a refusal, a call or an item of
    /// the provider's own.
    spoke: bool,
    /// Items that have begun and not ended.
    open: Vec<OpenItem>,
    /// How many items have begun.
    begun: usize,
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
            Err(_) if passes_over(data) => return Ok(false),
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
        if self.open.len() > MAX_OPEN {
            return Err(deltas.too_many("items open at once"));
        }
        let kind = event.kind.as_ref().map_or("", |Word(kind)| kind);
        match kind {
            "response.output_text.delta" => self.say(&mut event, ModelDelta::Text, deltas),
            "response.refusal.delta" => self.say(&mut event, ModelDelta::Refusal, deltas),
            "response.reasoning_summary_text.delta" => self.think(&mut event, "summary", deltas),
            "response.reasoning_text.delta" => self.think(&mut event, "content", deltas),
            "response.function_call_arguments.delta" => self.take_arguments(&mut event, deltas),
            "response.output_item.added" => {
                if let Some(item) = event.item {
                    self.begin(event.output_index, item, deltas)?;
                }
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.end(event.output_index, item, deltas)?;
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                let status = kind.trim_start_matches("response.");
                let response = match event.response {
                    Some(response) => read(deltas, "the end of the answer", response)?,
                    None => Response::default(),
                };
                self.finish(response, status, deltas)?;
                return Ok(true);
            }
            "error" => return Err(Self::classify(deltas.head(), data)),
            // An object without a type is of something between, and may be an error.
            "" => return Self::classify_if_error(deltas.head(), data).map_or(Ok(false), Err),
            "response.created" | "response.in_progress" => deltas.start(),
            // What the vendor adds, and what is said again at the end of its item.
            _ => {}
        }
        Ok(false)
    }

    fn take_whole(&mut self, body: &[u8], deltas: &mut AnswerDeltas) -> Result<(), ModelError> {
        let response = match serde_json::from_slice::<Response<'_>>(body) {
            Ok(response) => response,
            Err(error) => return Err(Self::unexpected(deltas.head(), body, "the body", error)),
        };
        if response.output.is_none() && response.status.is_none() {
            return Err(Self::classify_if_error(deltas.head(), body)
                .unwrap_or_else(|| deltas.head().nothing_in_body()));
        }
        self.finish(response, "", deltas)
    }

    fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
        openai_error_wire::judge(error, status)
    }
}

/// Returns whether an event is of a type that is not known, which may have any shape.
fn passes_over(data: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return false;
    };
    let kind = event.get("type").and_then(Value::as_str);
    let is_error = event.get("error").is_some_and(|error| !error.is_null());
    kind.is_some_and(|kind| !KNOWN_EVENTS.contains(&kind)) && !is_error
}

fn read<'a, T: Deserialize<'a>>(
    deltas: &AnswerDeltas,
    what: &str,
    raw: &'a RawValue,
) -> Result<T, ModelError> {
    let unexpected = |error| deltas.head().unexpected(what, error);
    serde_json::from_str(raw.get()).map_err(unexpected)
}

impl StreamDecoder {
    /// Finds the item that an event is about: by its place, else by its identity, else it is the
    /// latest.
    fn find(&mut self, event: &Event<'_>) -> Option<&mut OpenItem> {
        let mut items = self.open.iter_mut().rev();
        match (event.output_index, &event.item_id) {
            (Some(index), _) => items.find(|item| item.index == index),
            (None, Some(Word(id))) => items.find(|item| item.id.as_deref() == Some(&**id)),
            (None, None) => items.next(),
        }
    }

    /// Finds the item that a text belongs to. Where its beginning was not said, it begins here.
    fn find_spoken(&mut self, event: &Event<'_>) -> Option<&mut OpenItem> {
        if self.find(event).is_none() {
            let index = event.output_index.unwrap_or(self.begun);
            let id = event.item_id.as_ref().map(|Word(id)| id.to_string());
            self.begun += 1;
            self.open.push(OpenItem {
                id,
                ..OpenItem::new(index)
            });
        }
        self.find(event)
    }

    fn say(
        &mut self,
        event: &mut Event<'_>,
        kind: fn(String) -> ModelDelta,
        deltas: &mut AnswerDeltas,
    ) {
        // One that says nothing leaves it to the end of its item to say all.
        if event.says_something()
            && let Some(item) = self.find_spoken(event)
        {
            item.said = true;
        }
        self.push_text(event.delta.take(), kind, deltas);
    }

    fn push_text(
        &mut self,
        text: Option<Text<'_>>,
        kind: fn(String) -> ModelDelta,
        deltas: &mut AnswerDeltas,
    ) {
        if let Some(Text(text)) = text.filter(|Text(text)| !text.is_empty()) {
            self.spoke = true;
            deltas.push(kind(text.into_owned()));
        }
    }

    /// Takes a piece of thoughts, or of their summary: whichever comes first counts.
    fn think(&mut self, event: &mut Event<'_>, form: &'static str, deltas: &mut AnswerDeltas) {
        if !event.says_something() {
            return;
        }
        let part = event.summary_index.or(event.content_index);
        let mut is_next_part = false;
        if let Some(item) = self.find_spoken(event) {
            if *item.thoughts.get_or_insert(form) != form {
                return;
            }
            is_next_part = item.said && item.part != part;
            item.said = true;
            item.part = part;
        }
        if let Some(Text(text)) = event.delta.take() {
            if is_next_part {
                deltas.push(ModelDelta::Reasoning(PART_BREAK.to_owned()));
            }
            deltas.push(ModelDelta::Reasoning(text.into_owned()));
        }
    }

    fn take_arguments(&mut self, event: &mut Event<'_>, deltas: &mut AnswerDeltas) {
        if !event.says_something() {
            return;
        }
        let index = match self.find(event) {
            Some(item) => {
                item.said = true;
                item.index
            }
            None => event.output_index.unwrap_or_default(),
        };
        if let Some(Text(json)) = event.delta.take() {
            let json = json.into_owned();
            deltas.push(ModelDelta::ToolUseInput { index, json });
        }
    }

    /// Takes the beginning of an item.
    fn begin(
        &mut self,
        index: Option<usize>,
        raw: &RawValue,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        deltas.start();
        let what = "an item of the answer";
        let ItemKind { kind: Text(kind) } = read(deltas, what, raw)?;
        let index = index.unwrap_or(self.begun);
        self.begun += 1;
        let mut open = OpenItem::new(index);
        if let "message" | "function_call" = &*kind {
            let item: Item<'_> = read(deltas, what, raw)?;
            open.id = item.id.map(|Text(id)| id.into_owned());
            if kind == "function_call" {
                self.spoke = true;
                let owned = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
                let id = owned(item.call_id).filter(|id| !id.is_empty());
                deltas.push(ModelDelta::ToolUseStart {
                    index,
                    id: id
                        .or_else(|| open.id.clone())
                        .unwrap_or_else(|| format!("call_{index}")),
                    name: owned(item.name).unwrap_or_default(),
                });
            } else if let Some(Text(phase)) = item.phase {
                let beside = json!({ OPAQUE_KEY: { "phase": phase } });
                deltas.push(ModelDelta::Opaque(beside));
            }
        }
        self.open.push(open);
        Ok(())
    }

    /// Takes an item at its end, where it stands whole. What was said of it before is not said again.
    fn end(
        &mut self,
        index: Option<usize>,
        raw: &RawValue,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let is_meant = |item: &OpenItem| index.is_none_or(|index| item.index == index);
        if !self.open.iter().any(is_meant) {
            self.begin(index, raw, deltas)?;
        }
        let Some(place) = self.open.iter().rposition(is_meant) else {
            return Ok(());
        };
        let open = self.open.remove(place);
        let what = "an item of the answer";
        let ItemKind { kind: Text(kind) } = read(deltas, what, raw)?;
        match &*kind {
            "message" if open.said => {}
            "message" => {
                let item: Item<'_> = read(deltas, what, raw)?;
                for part in item.parts() {
                    self.push_text(part.text, ModelDelta::Text, deltas);
                    self.push_text(part.refusal, ModelDelta::Refusal, deltas);
                }
            }
            "function_call" if open.said => {}
            "function_call" => {
                let item: Item<'_> = read(deltas, what, raw)?;
                if let Some(Arguments(json)) =
                    item.arguments.filter(|Arguments(json)| !json.is_empty())
                {
                    let (index, json) = (open.index, json.into_owned());
                    deltas.push(ModelDelta::ToolUseInput { index, json });
                }
            }
            "reasoning" => {
                if !open.said {
                    let item: Item<'_> = read(deltas, what, raw)?;
                    let text = item.thoughts();
                    if !text.is_empty() {
                        deltas.push(ModelDelta::Reasoning(text));
                    }
                }
                let own: Value = read(deltas, what, raw)?;
                deltas.push(ModelDelta::ReasoningOpaque(json!({ OPAQUE_KEY: own })));
            }
            _ => {
                self.spoke = true;
                let own: Value = read(deltas, what, raw)?;
                deltas.push(ModelDelta::Opaque(json!({ OPAQUE_KEY: own })));
            }
        }
        Ok(())
    }

    /// Takes the end of the answer, or a whole one. `said` is the status that the event names.
    fn finish(
        &mut self,
        response: Response<'_>,
        said: &str,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let status = response.status.map(|Text(status)| status);
        let status = status.as_deref().filter(|status| !status.is_empty());
        let status = match (said, status) {
            ("", status) => status.unwrap_or_default(),
            // The event is what the server means; only what it calls complete may yet be none.
            ("completed", Some(status @ ("incomplete" | "failed" | "cancelled"))) => status,
            (said, _) => said,
        };
        if status == "failed" || is_error(response.error) {
            let error = response.error.filter(|error| is_error(Some(error)));
            let error = error.map_or("{}", RawValue::get);
            return Err(Self::classify(deltas.head(), error.as_bytes()));
        }
        deltas.start();
        for (index, item) in response.output.into_iter().flatten().enumerate() {
            // Some servers say items only here.
            if index >= self.begun || self.open.iter().any(|open| open.index == index) {
                self.end(Some(index), item, deltas)?;
            }
        }
        if let Some(usage) = read_usage::<WireUsage>(response.usage) {
            deltas.push(ModelDelta::Usage(usage.into()));
        }
        let reason = response
            .incomplete_details
            .and_then(|details| details.reason);
        let reason = reason.as_ref().map_or("", |Text(reason)| reason);
        let (finish, word) = finish::read(status, reason);
        let finish = finish.beside_calls(deltas);
        let stop = finish.settle(self.spoke, "status", word, deltas.head())?;
        deltas.push(ModelDelta::Stop(stop));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
