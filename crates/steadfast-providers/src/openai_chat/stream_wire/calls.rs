//! Tool calls as they arrive: which piece belongs to which call. Arguments are not parsed here.

use std::borrow::Cow;

use serde_json::{Map, Value};
use steadfast_core::{ModelDelta, ModelError};

use super::chunk::CallDelta;
use crate::{
    answer_deltas::{AnswerDeltas, MAX_OPEN},
    few::Few,
    scalar::{Arguments, Word},
};

/// The calls of one answer.
///
/// Servers differ: an index may be missing or the same for all calls, an identity may be missing or
/// come with every piece, a name may come late.
#[derive(Default)]
pub(super) struct Calls(Vec<OpenCall>);

/// A call of which something has come.
struct OpenCall {
    /// What the server calls it.
    index: Option<usize>,
    id: Option<String>,
    name: Option<String>,
    /// Arguments that came before the name.
    waiting: String,
    progress: Progress,
    extra: Option<Value>,
}

/// How far arguments have come, counted without keeping them.
#[derive(Default)]
struct Progress {
    depth: usize,
    in_text: bool,
    escaped: bool,
    begun: bool,
}

/// A piece of a call.
struct Piece<'a> {
    index: Option<usize>,
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    arguments: Cow<'a, str>,
}

impl Calls {
    /// Returns whether nothing has come.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the pieces of one event.
    pub(super) fn take(
        &mut self,
        pieces: &mut Few<CallDelta<'_>>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        let several = pieces.are_several();
        let mut taken = None;
        for (position, call) in pieces.iter_mut().enumerate() {
            let id = call
                .id
                .take()
                .map(|Word(id)| id)
                .filter(|id| !id.is_empty());
            let (name, arguments) = match &mut call.function {
                Some(function) => (function.name.take(), function.arguments.take()),
                None => (None, None),
            };
            // Entries of one list are different calls, whether or not they say so.
            let position = (several && id.is_none()).then_some(position);
            let piece = Piece {
                index: call.index.or(position),
                id,
                name: name.map(|Word(name)| name).filter(|name| !name.is_empty()),
                arguments: arguments.map(|Arguments(json)| json).unwrap_or_default(),
            };
            let place = match self.find(&piece, taken) {
                Some(place) => place,
                None if self.0.len() >= MAX_OPEN => return Err(deltas.too_many("calls")),
                None => {
                    self.0.push(OpenCall::new(piece.index));
                    self.0.len() - 1
                }
            };
            taken = Some(place);
            if let Some(open) = self.0.get_mut(place) {
                open.extra = call.extra_content.take().or(open.extra.take());
                open.advance(place, piece, deltas)?;
            }
        }
        Ok(())
    }

    /// Finds the call that a piece continues; `taken` is the call of the entry before it.
    fn find(&self, piece: &Piece<'_>, taken: Option<usize>) -> Option<usize> {
        let same_index = |open: &OpenCall| piece.index.is_none() || open.index == piece.index;
        if let Some(id) = &piece.id {
            let known = |open: &OpenCall| same_index(open) && open.id.as_deref() == Some(&**id);
            if let Some(place) = self.0.iter().rposition(known) {
                return Some(place);
            }
        }
        let place = self.0.iter().rposition(same_index)?;
        let named_beside = piece.name.is_some() && taken == Some(place);
        let continues = !named_beside && self.0.get(place)?.is_continued_by(piece);
        continues.then_some(place)
    }

    /// Begins the calls whose name never came: the agent answers that there is no such tool.
    pub(super) fn finish(&mut self, deltas: &mut AnswerDeltas) {
        for (place, open) in self.0.iter_mut().enumerate() {
            if open.name.is_none() {
                open.begin(place, String::new(), deltas);
            }
        }
    }

    /// Returns what goes back with the calls, by their identities.
    pub(super) fn take_extra(&mut self) -> Map<String, Value> {
        self.0
            .iter_mut()
            .filter_map(|open| Some((open.id.clone()?, open.extra.take()?)))
            .collect()
    }
}

impl OpenCall {
    fn new(index: Option<usize>) -> Self {
        Self {
            index,
            id: None,
            name: None,
            waiting: String::new(),
            progress: Progress::default(),
            extra: None,
        }
    }

    /// Decides about a piece that has this call's index and not its identity.
    fn is_continued_by(&self, piece: &Piece<'_>) -> bool {
        let complete = self.progress.is_complete();
        match (&piece.id, &piece.name) {
            // Another identity is another call; some servers draw a new one for every piece, but
            // then the name comes once.
            (Some(_), Some(_)) if self.id.is_some() => false,
            // Nothing but an identity is no call, and one may follow the last argument.
            (Some(_), None) if piece.arguments.is_empty() && self.name.is_some() => true,
            (Some(_), None) => !complete && (self.name.is_some() || self.id.is_none()),
            (_, Some(name)) => match self.name.as_deref() {
                Some(own) => own == &**name && !complete,
                None => true,
            },
            (None, None) => true,
        }
    }

    fn advance(
        &mut self,
        place: usize,
        piece: Piece<'_>,
        deltas: &mut AnswerDeltas,
    ) -> Result<(), ModelError> {
        if self.id.is_none() {
            self.id = piece.id.map(Cow::into_owned);
        }
        if self.name.is_none()
            && let Some(name) = piece.name
        {
            self.begin(place, name.into_owned(), deltas);
        }
        let json = piece.arguments;
        if json.is_empty() {
            return Ok(());
        }
        self.progress.advance(&json);
        if self.name.is_none() {
            deltas.keep(json.len())?;
            self.waiting.push_str(&json);
        } else {
            deltas.push(ModelDelta::ToolUseInput {
                index: place,
                json: json.into_owned(),
            });
        }
        Ok(())
    }

    fn begin(&mut self, place: usize, name: String, deltas: &mut AnswerDeltas) {
        let id = self.id.get_or_insert_with(|| format!("call_{place}"));
        deltas.push(ModelDelta::ToolUseStart {
            index: place,
            id: id.clone(),
            name: name.clone(),
        });
        self.name = Some(name);
        if !self.waiting.is_empty() {
            deltas.push(ModelDelta::ToolUseInput {
                index: place,
                json: std::mem::take(&mut self.waiting),
            });
        }
    }
}

impl Progress {
    fn advance(&mut self, json: &str) {
        for byte in json.bytes() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.begun |= !byte.is_ascii_whitespace();
        }
    }

    const fn is_complete(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_text
    }
}
