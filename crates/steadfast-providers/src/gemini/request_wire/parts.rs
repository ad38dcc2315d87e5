//! The parts of a content, as serde writes them: which block becomes which part is decided next door.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

/// One part. What it holds is one of its kinds; a signature may stand on any.
#[derive(Serialize)]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) kind: Kind<'a>,
    #[serde(rename = "thoughtSignature", skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<&'a str>,
}

/// What a part holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Kind<'a> {
    FunctionCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        args: Cow<'a, Map<String, Value>>,
    },
    FunctionResponse {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        response: Response<'a>,
    },
    InlineData {
        mime_type: &'a str,
        data: &'a str,
    },
    FileData {
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<&'static str>,
        file_uri: &'a str,
    },
    #[serde(untagged)]
    Text {
        text: Cow<'a, str>,
    },
    #[serde(untagged)]
    Thought {
        text: &'a str,
        thought: bool,
    },
    /// A part that came by this wire, as it came.
    #[serde(untagged)]
    Own(&'a Map<String, Value>),
}

/// What a function answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Response<'a> {
    Output(Cow<'a, str>),
    Error(Cow<'a, str>),
}

impl<'a> Part<'a> {
    pub(super) const fn of(kind: Kind<'a>) -> Self {
        let signature = None;
        Self { kind, signature }
    }

    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::of(Kind::Text { text: text.into() })
    }

    pub(super) const fn is_call(&self) -> bool {
        matches!(self.kind, Kind::FunctionCall { .. })
    }

    pub(super) const fn is_response(&self) -> bool {
        matches!(self.kind, Kind::FunctionResponse { .. })
    }
}
