//! An error object in any of the forms that servers send. What it means is each wire's to decide.

use std::borrow::Cow;

use serde_json::Value;

use super::Verdict;

/// What an error object says.
pub(crate) struct ErrorObject<'a> {
    pub(crate) message: Cow<'a, str>,
    /// A code in words, or a number that is no status.
    pub(crate) code: Option<Cow<'a, str>>,
    /// A code that is a status.
    pub(crate) number: Option<u16>,
    pub(crate) kind: Option<&'a str>,
    /// The object itself, for what only one vendor sends.
    pub(crate) object: &'a Value,
}

impl<'a> ErrorObject<'a> {
    /// Returns whether a body or event is an error rather than an answer.
    pub(crate) fn is_in(body: &Value) -> bool {
        let body = body.get(0).unwrap_or(body);
        let word = |field: &str| body.get(field).and_then(Value::as_str);
        let says = |field| body.get(field).is_some_and(|value| !value.is_null());
        says("error")
            || word("object") == Some("error")
            // An event of another type may have a `message`, and is no error for it.
            || word("type").is_some_and(|kind| kind.to_ascii_lowercase().ends_with("error"))
            || (word("type").is_none() && (says("message") || says("detail")))
    }

    /// Finds the object: under `error`, bare (Mistral), in a list (Gemini's compatible endpoint), or
    /// a text alone (FastAPI's `detail`, and xAI's `error` beside its `code`).
    pub(crate) fn find(body: &'a Value) -> Self {
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
            object: error,
        }
    }

    /// Returns the text at a path, such as `/details/error_code`.
    pub(crate) fn text_at(&self, path: &str) -> Option<&'a str> {
        self.object.pointer(path)?.as_str()
    }

    /// Returns the code that is shown: the vendor's own, or else the type.
    pub(crate) fn shown_code(&self) -> Option<&str> {
        let code = self.code.as_deref();
        code.or_else(|| self.text_at("/details/error_code"))
            .or(self.kind)
    }

    /// The status that speaks: in a stream, and with OpenRouter at any time, it stands in the object.
    pub(crate) fn status(&self, of_answer: u16) -> u16 {
        match self.number {
            Some(number) if (200..300).contains(&of_answer) => number,
            _ => of_answer,
        }
    }

    /// Decides by the status that speaks.
    pub(crate) fn by_status(&self, of_answer: u16) -> Verdict {
        let status = self.status(of_answer);
        let verdict = Verdict::by_status(status);
        if status == of_answer {
            return verdict;
        }
        Verdict::by("error code", &status.to_string(), verdict.kind)
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
