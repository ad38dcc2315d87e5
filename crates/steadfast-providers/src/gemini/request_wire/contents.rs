//! Contents and their parts, as the vendor takes them: roles alternate, results come first and are as
//! many as the calls before. Settings and tools are written next door.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use steadfast_core::{
    ContentBlock, History, MediaSource, Message, ModelError, ModelErrorKind, Reasoning, Role,
    ToolResult, ToolUse,
};

use super::{
    CALL, MADE_UP, OPAQUE_KEY, SIGNATURE, SIGNS,
    parts::{Kind, Part, Response},
};
use crate::{
    call_identity::{CallIdentities, wire_name},
    request_body::{NO_PROMPT, as_object, block_name, media_of, unsupported_by},
};

/// What Google documents for calls that came by another provider: without any signature, Gemini 3
/// refuses them while their turn is not over.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The longest name of a function that the vendor takes, in characters.
const LONGEST_NAME: usize = 64;

/// One content of the wire.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

/// Writes a history: neighbours of one role become one content, and one that says nothing is left
/// out.
pub(super) fn contents<'a>(
    model: &str,
    history: &'a History,
) -> Result<Vec<Content<'a>>, ModelError> {
    let mut writer = Writer {
        ids: CallIdentities::new(|_| true, usize::MAX),
        signs: signs_calls(model),
    };
    let spoken: Vec<&Message> = history.iter().map(|message| &**message).collect();
    let mut contents: Vec<Content<'_>> = Vec::with_capacity(spoken.len());
    for neighbours in spoken.chunk_by(|one, next| one.role == next.role) {
        let is_answer = neighbours.first().map(|message| message.role) == Some(Role::Assistant);
        let mut parts = Vec::new();
        if is_answer {
            writer.ids.begin_answer();
        }
        for message in neighbours {
            if is_answer {
                parts.extend(writer.answer(message));
            } else {
                writer.user(&message.content, &mut parts)?;
            }
        }
        push(
            &mut contents,
            if is_answer { "model" } else { "user" },
            parts,
        );
    }
    let prompted = spoken
        .last()
        .is_some_and(|last| last.role != Role::Assistant);
    if prompted && contents.last().is_none_or(|last| last.role != "user") {
        // Left out, the answer before it would be last, for the model to go on with.
        let message = "the last message says nothing: Gemini's wire takes no empty prompt";
        return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
    }
    Ok(contents)
}

/// Adds what neighbours of one role say. Between two of a role there may have been one that says
/// nothing.
fn push<'a>(contents: &mut Vec<Content<'a>>, role: &'static str, parts: Vec<Part<'a>>) {
    if parts.is_empty() {
        return;
    }
    match contents.last_mut() {
        Some(last) if last.role == role => last.parts.extend(parts),
        None if role == "model" => {
            // The vendor wants a call right behind what the user says, and its clients let no
            // conversation begin otherwise.
            let prompt = vec![Part::text(NO_PROMPT)];
            contents.push(Content {
                role: "user",
                parts: prompt,
            });
            contents.push(Content { role, parts });
        }
        _ => contents.push(Content { role, parts }),
    }
    if let Some(last) = contents.last_mut().filter(|_| role == "user") {
        // Results answer the calls of the content before: nothing may come between.
        last.parts.sort_by_key(|part| !part.is_response());
    }
}

/// Returns whether the model wants a signature on its calls: Gemini 3 does, and what comes after it.
fn signs_calls(model: &str) -> bool {
    let version = model.strip_prefix("gemini-").unwrap_or_default();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    let major: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    major.is_some_and(|major| major >= 3)
}

/// Writes the contents of one request.
struct Writer<'a> {
    ids: CallIdentities<'a>,
    /// Whether the model wants a signature on its calls.
    signs: bool,
}

impl<'a> Writer<'a> {
    fn answer(&mut self, message: &'a Message) -> Vec<Part<'a>> {
        let mut parts = Vec::with_capacity(message.content.len());
        for block in &message.content {
            match block {
                ContentBlock::Text { text } | ContentBlock::Refusal { text } => {
                    parts.extend(text_part(text));
                }
                ContentBlock::Reasoning(reasoning) => parts.extend(thought(reasoning)),
                ContentBlock::ToolUse(call) => parts.push(self.call(call)),
                ContentBlock::Opaque { data } => {
                    if let Some(own) = own_part(data) {
                        take_own(own, &mut parts);
                    }
                }
                _ => {}
            }
        }
        // Of several calls the first is signed.
        if let Some(first) = parts.iter_mut().find(|part| part.is_call())
            && self.signs
        {
            first.signature.get_or_insert(NO_SIGNATURE);
        }
        parts
    }

    fn call(&mut self, call: &'a ToolUse) -> Part<'a> {
        Part::of(Kind::FunctionCall {
            id: sent(self.ids.call(&call.id)),
            name: function_name(&call.name),
            args: as_object(&call.input),
        })
    }

    /// Writes what a user's message holds.
    fn user(
        &mut self,
        content: &'a [ContentBlock],
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), ModelError> {
        for block in content {
            match block {
                ContentBlock::ToolResult(result) => {
                    parts.push(self.response(result));
                    push_media(parts, result)?;
                }
                block => push_block(parts, block)?,
            }
        }
        Ok(())
    }

    fn response(&mut self, result: &'a ToolResult) -> Part<'a> {
        let text = match result.content.as_slice() {
            [ContentBlock::Text { text }] => Cow::Borrowed(text.as_str()),
            _ => Cow::Owned(result.text()),
        };
        Part::of(Kind::FunctionResponse {
            id: sent(self.ids.result(&result.id)),
            name: function_name(&result.name),
            response: match result.is_error {
                true if text.trim().is_empty() => Response::Error(Cow::Borrowed("failed")),
                true => Response::Error(text),
                false => Response::Output(text),
            },
        })
    }
}

/// The vendor refuses a part without anything in it.
fn text_part(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then(|| Part::text(text))
}

/// A thought goes back as it came. That of another provider stays out: it means nothing here.
fn thought(reasoning: &Reasoning) -> Option<Part<'_>> {
    let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?;
    let signature = own.get(SIGNATURE).and_then(Value::as_str);
    if reasoning.text.is_empty() && signature.is_none() {
        return None;
    }
    let kind = Kind::Thought {
        text: &reasoning.text,
        thought: true,
    };
    Some(Part { kind, signature })
}

/// Returns what this wire put into opaque data.
fn own_part(data: &Value) -> Option<&Map<String, Value>> {
    data.get(OPAQUE_KEY)?
        .as_object()
        .filter(|own| !own.is_empty())
}

/// Takes a part that came by this wire, or the signature of the one before it.
fn take_own<'a>(own: &'a Map<String, Value>, parts: &mut Vec<Part<'a>>) {
    let signature = own.get(SIGNATURE).and_then(Value::as_str);
    match own.get(SIGNS) {
        // A history may have lost what was signed: then the signature is of nothing.
        Some(Value::String(kind)) if kind == CALL => {
            if let Some(last) = parts.last_mut().filter(|last| last.is_call()) {
                last.signature = signature;
            }
        }
        Some(length) => {
            let length = length
                .as_u64()
                .and_then(|length| usize::try_from(length).ok());
            sign_text(length.unwrap_or(usize::MAX), signature, parts);
        }
        None => parts.push(Part::of(Kind::Own(own))),
    }
}

/// Signs so many bytes at the end of the text before. What stands before them came as another part.
fn sign_text<'a>(length: usize, signature: Option<&'a str>, parts: &mut Vec<Part<'a>>) {
    let Some(Part {
        kind: Kind::Text {
            text: Cow::Borrowed(text),
        },
        signature: None,
    }) = parts.last()
    else {
        return;
    };
    let whole: &'a str = text;
    let place = whole.len().saturating_sub(length);
    let (before, signed) = whole.split_at_checked(place).unwrap_or(("", whole));
    parts.pop();
    parts.extend(text_part(before));
    parts.push(Part {
        signature,
        ..Part::text(signed)
    });
}

/// Adds one block of a user's message.
fn push_block<'a>(parts: &mut Vec<Part<'a>>, block: &'a ContentBlock) -> Result<(), ModelError> {
    match block {
        ContentBlock::Text { text } => parts.extend(text_part(text)),
        ContentBlock::Image { source } => parts.push(media(source)?),
        ContentBlock::Document { source, name } => {
            // The wire has no place for a name.
            parts.extend(
                name.as_ref()
                    .map(|name| Part::text(format!("Document `{name}`:"))),
            );
            parts.push(media(source)?);
        }
        ContentBlock::Opaque { data } => {
            parts.extend(own_part(data).map(|own| Part::of(Kind::Own(own))));
        }
        block => {
            let what = format!("{} in a user's message", block_name(block));
            return Err(unsupported(&what));
        }
    }
    Ok(())
}

/// Adds what of a result is not text: a function's response is JSON, and media stand beside it.
fn push_media<'a>(parts: &mut Vec<Part<'a>>, result: &'a ToolResult) -> Result<(), ModelError> {
    if let Some((from, blocks)) = media_of(result) {
        parts.push(Part::text(from));
        for block in blocks {
            push_block(parts, block)?;
        }
    }
    Ok(())
}

fn media(source: &MediaSource) -> Result<Part<'_>, ModelError> {
    Ok(Part::of(match source {
        MediaSource::Url { url } => Kind::FileData {
            mime_type: media_type(url),
            file_uri: url,
        },
        MediaSource::Base64 { media_type, data } => Kind::InlineData {
            mime_type: media_type,
            data,
        },
        _ => return Err(unsupported("this kind of media source")),
    }))
}

/// Returns the media type of what is at an address, as far as its ending says it: the vendor asks for
/// it, and knows it only of files that it holds itself.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        _ => return None,
    })
}

/// Returns the identity that is sent: none where the call came without one.
fn sent(id: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!id.starts_with(MADE_UP)).then_some(id)
}

/// Returns the name of a function as the vendor takes it. The model may have made it up; its result
/// says that there is no such tool.
fn function_name(name: &str) -> Cow<'_, str> {
    let begins = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if begins(name) && name.len() <= LONGEST_NAME && name.chars().all(is_taken) {
        return Cow::Borrowed(name);
    }
    let shaped = wire_name(name);
    if begins(&shaped) {
        return shaped;
    }
    let rest = shaped.chars().take(LONGEST_NAME - 1);
    Cow::Owned(std::iter::once('_').chain(rest).collect())
}

fn unsupported(what: &str) -> ModelError {
    unsupported_by("Gemini", what)
}
