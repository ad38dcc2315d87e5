//! Streamed answers: named events, item by item.

use serde_json::{Value, json};

use super::event;
use super::output::{Item, Progress, Response};
use crate::answer::Content;
use crate::reply::{Chunk, Draft, Part};
use crate::text_pieces;

pub(super) fn draft(response: &Response<'_>) -> Draft {
    let mut events = Events::default();
    for name in ["response.created", "response.in_progress"] {
        events.push(Part::Frame, name, json!({"response": response.begun()}));
    }
    for (index, item) in response.items.iter().enumerate() {
        events.item(index, item);
    }
    let name = format!("response.{}", response.status());
    events.push(Part::End, &name, json!({"response": response.whole()}));
    Draft::stream(events.chunks)
}

/// The events so far. Each has its number.
#[derive(Default)]
struct Events {
    chunks: Vec<Chunk>,
}

/// The names of the events by which the text of an item comes.
struct Names {
    /// What a piece of the text is.
    kind: Part,
    part: &'static str,
    text: &'static str,
    /// The field that counts the parts.
    place: &'static str,
    /// The field that holds the text at its end.
    field: &'static str,
}

const SUMMARY: Names = Names {
    kind: Part::Reasoning,
    part: "response.reasoning_summary_part",
    text: "response.reasoning_summary_text",
    place: "summary_index",
    field: "text",
};

const OUTPUT: Names = Names {
    kind: Part::Text,
    part: "response.content_part",
    text: "response.output_text",
    place: "content_index",
    field: "text",
};

const REFUSAL: Names = Names {
    text: "response.refusal",
    field: "refusal",
    ..OUTPUT
};

impl Events {
    fn push(&mut self, part: Part, name: &str, mut data: Value) {
        if let Some(data) = data.as_object_mut() {
            data.insert("type".to_owned(), json!(name));
            data.insert("sequence_number".to_owned(), json!(self.chunks.len()));
        }
        let bytes = event(name, &data);
        self.chunks.push(Chunk { part, bytes });
    }

    fn item(&mut self, index: usize, item: &Item<'_>) {
        // The ends of a tool call belong to it, so that a fault after it strikes after its end.
        let edge = match item.content {
            Content::ToolCall { .. } => Part::ToolCall,
            _ => Part::Frame,
        };
        let at_edge = |progress| json!({"output_index": index, "item": item.object(progress)});
        self.push(edge, "response.output_item.added", at_edge(Progress::Begun));
        match item.content {
            Content::Reasoning(text) => self.text(&SUMMARY, index, item, text),
            Content::Text(text) => self.text(&OUTPUT, index, item, text),
            Content::Refusal(text) => self.text(&REFUSAL, index, item, text),
            Content::ToolCall { arguments, .. } => self.arguments(index, item, arguments),
        }
        self.push(edge, "response.output_item.done", at_edge(Progress::Ended));
    }

    fn text(&mut self, names: &Names, index: usize, item: &Item<'_>, text: &str) {
        let at = |field: &str, value: Value| {
            let place = names.place;
            json!({"item_id": item.id, "output_index": index, place: 0, field: value})
        };
        let whole = item.part().unwrap_or_default();
        let mut empty = whole.clone();
        if let Some(empty) = empty.as_object_mut() {
            empty.insert(names.field.to_owned(), json!(""));
        }
        self.push(
            Part::Frame,
            &format!("{}.added", names.part),
            at("part", empty),
        );
        for piece in text_pieces::words(text) {
            let name = format!("{}.delta", names.text);
            self.push(names.kind, &name, at("delta", json!(piece)));
        }
        let done = format!("{}.done", names.text);
        self.push(Part::Frame, &done, at(names.field, json!(text)));
        self.push(
            Part::Frame,
            &format!("{}.done", names.part),
            at("part", whole),
        );
    }

    fn arguments(&mut self, index: usize, item: &Item<'_>, arguments: &str) {
        let at = |field: &str, value: &str| json!({"item_id": item.id, "output_index": index, field: value});
        for piece in text_pieces::arguments(arguments) {
            let name = "response.function_call_arguments.delta";
            self.push(Part::ToolCall, name, at("delta", piece));
        }
        let name = "response.function_call_arguments.done";
        self.push(Part::ToolCall, name, at("arguments", arguments));
    }
}
