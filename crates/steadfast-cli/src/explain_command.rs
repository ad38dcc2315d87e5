//! `steadfast explain`: says how an answer of a provider is classified and what a run would do about
//! it. The provider's own code reads the answer and the default strategy decides; nothing is
//! decided here, and nothing of the body is repeated but the vendor's sentence.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Number;
use steadfast::{
    DecidedBy, FailedAttempt, ModelError, ModelErrorKind, ModelRetryStrategy, RetryDecision,
    RetryStrategy, StopReason,
};

use crate::{
    command_line::ExplainOptions,
    ending::Ending,
    json_lines,
    model_choice::left_out,
    output::Output,
    provider::{Known, Provider, listed},
    refusal::Refusal,
};

/// The longest body that is read: as much as providers read.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// How a header is written, for hints.
const HEADER_FORM: &str = "write it as it came, such as `--header 'retry-after: 7'`";

/// What an answer means: one object of these fields, all of them there.
#[derive(Debug, Serialize)]
struct Explanation {
    /// The kind of error; none for a complete answer.
    kind: Option<ModelErrorKind>,
    /// Whether the default strategy tries again after it, as the first failed attempt of a turn.
    retried: bool,
    /// How long it would wait first.
    delay_ms: Option<Number>,
    /// Who set that delay.
    decided_by: Option<DecidedBy>,
    /// Whether no later attempt would help.
    terminal: bool,
    why: String,
    /// How long the server asks to wait.
    retry_after_ms: Option<Number>,
    status: u16,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    /// Why the model stopped; none for an error.
    stop_reason: Option<StopReason>,
}

/// Runs the command.
pub(crate) async fn explain(
    options: ExplainOptions,
    output: &mut Output,
) -> Result<Ending, Refusal> {
    let provider = provider(&options.provider)?;
    let mut answer = Response::new(Vec::new());
    // Without a status there is a stream, and what goes wrong in a stream comes after this one.
    let status = options.status.unwrap_or(StatusCode::OK);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers(&options.headers)?;
    if options.stream {
        let stream = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, stream);
    }
    if let Some(path) = &options.body {
        *answer.body_mut() = body(path)?;
    }
    let explanation = match provider.wire.read(answer).await {
        Ok(answer) => Explanation::of_answer(status, answer.stop_reason, answer.request_id),
        Err(error) => Explanation::of_error(status, &error),
    };
    Ok(match json_lines::write(&explanation, &mut output.data) {
        Ok(()) => Ending::Done,
        Err(error) => output.unwritten(&error),
    })
}

impl Explanation {
    fn of_answer(status: StatusCode, stop: StopReason, request_id: Option<String>) -> Self {
        Self {
            kind: None,
            retried: false,
            delay_ms: None,
            decided_by: None,
            terminal: false,
            why: "the answer is complete".to_owned(),
            retry_after_ms: None,
            status: status.as_u16(),
            code: None,
            message: None,
            request_id: request_id.as_deref().map(masked),
            stop_reason: Some(stop),
        }
    }

    fn of_error(status: StatusCode, error: &ModelError) -> Self {
        let decision = ModelRetryStrategy::new().decide(&FailedAttempt::new(error, 1));
        let evidence = error.why().unwrap_or_else(|| error.message());
        let (wait, why) = match decision {
            RetryDecision::Retry {
                delay, decided_by, ..
            } => (Some((delay, decided_by)), evidence.to_owned()),
            RetryDecision::GiveUp { why: Some(why), .. } => (None, format!("{evidence}; {why}")),
            _ => (None, evidence.to_owned()),
        };
        let message = Some(error.message()).filter(|message| !message.is_empty());
        Self {
            kind: Some(error.kind()),
            retried: wait.is_some(),
            delay_ms: wait.and_then(|(delay, _)| millis(delay)),
            decided_by: wait.map(|(_, decided_by)| decided_by),
            terminal: !error.is_transient(),
            why,
            retry_after_ms: error.retry_after().and_then(millis),
            status: error.status().unwrap_or_else(|| status.as_u16()),
            code: error.code().map(masked),
            message: message.map(str::to_owned),
            request_id: error.request_id().map(masked),
            stop_reason: None,
        }
    }
}

/// Masks what is shaped like a credential, as in every error's message: code and identity come
/// from outside too.
fn masked(text: &str) -> String {
    let error = ModelError::new(ModelErrorKind::Protocol, text);
    error.message().to_owned()
}

/// Says a time in whole milliseconds: who comes back too early is refused again.
fn millis(time: Duration) -> Option<Number> {
    Number::from_u128(time.as_nanos().div_ceil(1_000_000))
}

/// Finds the provider whose answer it is.
fn provider(name: &str) -> Result<&'static Provider, Refusal> {
    match Known::of(name) {
        Known::Built(provider) => Ok(provider),
        Known::LeftOut => Err(left_out(name)),
        Known::Unknown => Err(Refusal::new(
            format!("unknown provider `{name}`"),
            format!("these are known: {}", listed("")),
        )),
    }
}

/// Reads the headers. A value may hold a key and is never repeated, nor is what may be one.
fn headers(given: &[String]) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    for header in given {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Refusal::new(
                "`--header` has no colon between a name and a value",
                HEADER_FORM,
            )
        })?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| {
            Refusal::new(
                "`--header` has no name of a header before the colon",
                HEADER_FORM,
            )
        })?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
            let name = masked(name.as_str());
            Refusal::new(
                format!("`--header` gives `{name}` a value that no header may hold"),
                HEADER_FORM,
            )
        })?;
        headers.try_append(name, value).map_err(|_| {
            Refusal::new(
                "`--header` is given more often than an answer has headers",
                "give the headers that say something about the error",
            )
        })?;
    }
    Ok(headers)
}

/// Reads the body from a file, or from standard input for `-`.
fn body(path: &Path) -> Result<Vec<u8>, Refusal> {
    let read = if path == Path::new("-") {
        read_to_limit(io::stdin().lock())
    } else {
        File::open(path).and_then(read_to_limit)
    };
    let body = read.map_err(|error| {
        Refusal::new(
            format!("`--body` cannot be read from `{}`: {error}", path.display()),
            "give a file, or `-` for standard input",
        )
    })?;
    body.ok_or_else(|| {
        Refusal::new(
            format!("`--body` is longer than {} MiB", MAX_BODY_BYTES >> 20),
            "no answer is that long: look at what the file is",
        )
    })
}

/// Reads to the end; none if that is too far away.
fn read_to_limit(source: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let length = source.take(MAX_BODY_BYTES + 1).read_to_end(&mut body)?;
    let fits = u64::try_from(length).is_ok_and(|length| length <= MAX_BODY_BYTES);
    Ok(fits.then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_whole_milliseconds_and_never_too_short() {
        for (time, expected) in [
            (Duration::from_secs(7), "7000"),
            (Duration::from_millis(12), "12"),
            (Duration::from_micros(1_500), "2"),
            (
                Duration::from_secs(u64::MAX / 1_000),
                "18446744073709551000",
            ),
        ] {
            let said = millis(time).map(|millis| millis.to_string());
            assert_eq!(said.as_deref(), Some(expected));
        }
    }
}
