//! An error object in any of the forms that servers of this wire send. What it means is decided
//! next door.

use std::borrow::Cow;

use serde_json::Value;

/// What an error object says.
#[derive(Default)]
pub(super) struct ErrorObject<'a> {
    pub(super) message: Cow<'a, str>,
    /// A code in words, or a number that is no status.
    pub(super) code: Option<Cow<'a, str>>,
    /// A code that is a status.
    pub(super) number: Option<u16>,
    pub(super) kind: Option<&'a str>,
    pub(super) metadata: Option<&'a Value>,
    pub(super) inner_code: Option<&'a str>,
    details: Option<&'a Value>,
}

impl<'a> ErrorObject<'a> {
    /// Returns whether a body or event is an error rather than an answer.
    pub(super) fn is_in(body: &Value) -> bool {
        let body = body.get(0).unwrap_or(body);
        let word = |field: &str| body.get(field).and_then(Value::as_str);
        let says = |field| body.get(field).is_some_and(|value| !value.is_null());
        says("error")
            || word("object") == Some("error")
            || word("type") == Some("error")
            || says("message")
            || says("detail")
    }

    /// Finds the object: under `error`, bare (Mistral), in a list (Gemini's compatible endpoint), or
    /// a text alone (FastAPI's `detail`, and xAI's `error` beside its `code`).
    pub(super) fn find(body: &'a Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let own = body.get("error").filter(|error| !error.is_null());
        let message = own.and_then(Value::as_str);
        let error = own.filter(|error| error.is_object()).unwrap_or(body);
        let text = |field: &str| error.get(field).and_then(Value::as_str);
        let code = error.get("code");
        let number = code.and_then(|code| match code {
            Value::String(text) => text.parse().ok(),
            code => code.as_u64(),
        });
        let number = number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| (400..600).contains(number));
        let code = match code {
            _ if number.is_some() => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
            _ => None,
        };
        Self {
            message: message
                .map(Cow::Borrowed)
                .or_else(|| sentence(error.get("message")?))
                .or_else(|| sentence(error.get("detail")?))
                .unwrap_or_default(),
            code,
            number,
            kind: text("type").or_else(|| text("status")),
            metadata: error.get("metadata"),
            inner_code: error.pointer("/innererror/code").and_then(Value::as_str),
            details: error.get("details"),
        }
    }

    /// The status that speaks: in a stream, and with OpenRouter at any time, it stands in the object.
    pub(super) fn status(&self, of_answer: u16) -> u16 {
        match self.number {
            Some(number) if (200..300).contains(&of_answer) => number,
            _ => of_answer,
        }
    }

    /// Returns Google's reasons, such as `API_KEY_INVALID`.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &'a str> {
        self.details()
            .filter_map(|detail| detail.get("reason")?.as_str())
    }

    /// Returns whether one of Google's quotas of a day is used up.
    pub(super) fn names_daily_quota(&self) -> bool {
        self.details()
            .filter_map(|detail| detail.get("violations")?.as_array())
            .flatten()
            .filter_map(|violation| violation.get("quotaId")?.as_str())
            .any(|quota| quota.contains("PerDay") || quota.contains("Daily"))
    }

    fn details(&self) -> impl Iterator<Item = &'a Value> {
        self.details.and_then(Value::as_array).into_iter().flatten()
    }
}

/// Reads a sentence: a text, or FastAPI's list of what is wrong, alone or (Mistral) under `detail`.
fn sentence(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Array(list) => {
            let first = list.first()?;
            let problem = first.get("msg").and_then(Value::as_str)?;
            let place: Vec<String> = first
                .get("loc")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|step| {
                    step.as_str()
                        .map_or_else(|| step.to_string(), str::to_owned)
                })
                .collect();
            Some(match place.as_slice() {
                [] => Cow::Borrowed(problem),
                place => Cow::Owned(format!("{problem} at `{}`", place.join("."))),
            })
        }
        Value::Object(object) => sentence(object.get("detail").or_else(|| object.get("message"))?),
        _ => None,
    }
}
