//! What the error wires share: what a status means, and how a verdict becomes an error. The rules by
//! code and sentence are each wire's own.

pub(crate) mod google;
mod object;

use serde_json::Value;
use steadfast_core::{ModelError, ModelErrorKind as Kind};

use crate::{
    answer::without_mark,
    http_client::Head,
    rate_limits::rate_limits,
    retry_hint::{aws_retry_after, retry_after, should_retry},
};
pub(crate) use object::ErrorObject;

/// The longest sentence of a vendor that is kept, in characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 600;

/// What an error is, and what decided it.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) why: String,
}

impl Verdict {
    /// Decides by something that is named with its value, such as a code or a type.
    pub(crate) fn by(what: &str, value: &str, kind: Kind) -> Self {
        let why = format!("{what} `{value}`");
        Self { kind, why }
    }

    /// Decides by a part of a documented sentence.
    pub(crate) fn by_sentence(part: &str, kind: Kind) -> Self {
        Self::by("the sentence", part, kind)
    }

    /// Decides by what a status means where nothing better is known.
    pub(crate) fn by_status(status: u16) -> Self {
        let kind = match status {
            401 | 403 => Kind::Auth,
            402 => Kind::QuotaExhausted,
            404 => Kind::NotFound,
            408 | 504 => Kind::Timeout,
            413 => Kind::TooLarge,
            429 => Kind::Throttled,
            // 498 is Groq's, 529 Anthropic's and several others'.
            498 | 503 | 529 => Kind::Overloaded,
            501 | 505 => Kind::Unsupported,
            409 | 425 => Kind::Server,
            300..=399 => Kind::NotFound,
            400..=499 => Kind::InvalidRequest,
            _ => Kind::Server,
        };
        let why = match status {
            200..=299 => "an error without a known code".to_owned(),
            status => format!("status {status}"),
        };
        Self { kind, why }
    }
}

/// Decides by a code that servers of every wire send: many offer several wires, with one set of
/// codes.
pub(crate) fn by_code(what: &str, code: &str) -> Option<Verdict> {
    let kind = match code {
        // OpenAI's, and Moonshot's.
        "insufficient_quota" | "exceeded_current_quota_error" => Kind::QuotaExhausted,
        // OpenAI's, and llama.cpp's.
        "context_length_exceeded" | "exceed_context_size_error" => Kind::ContextOverflow,
        // Z.ai: the prompt exceeds the longest that is taken.
        "1261" => Kind::ContextOverflow,
        // Z.ai: concurrency and frequency; then the calls of a day, and used-up plans.
        "1302" | "1305" => Kind::Throttled,
        "1304" => Kind::QuotaExhausted,
        code => match code.parse::<u16>().ok()? {
            1113 | 1308..=1321 => Kind::QuotaExhausted,
            _ => return None,
        },
    };
    Some(Verdict::by(what, code, kind))
}

/// Sentences by which servers say that the context is too long.
const OVERFLOWS: [&str; 13] = [
    // vLLM: "This model's maximum context length is 4096 tokens. However, …"; Mistral: "Prompt … too
    // large for model with 32768 maximum context length"
    "maximum context length",
    // SGLang: "The input (5000 tokens) is longer than the model's context length (4096 tokens)."
    "is longer than the model's context length",
    // vLLM: "The decoder prompt (length 2136) is longer than the maximum model length of 2048."
    "is longer than the maximum model length",
    // xAI: "This model's maximum prompt length is 131072 but the request contains 136973 tokens."
    "maximum prompt length is",
    // llama.cpp: "request (13392 tokens) exceeds the available context size (8192 tokens)", and
    // before that "the request exceeds the available context size. try increasing …"
    "exceeds the available context size",
    // LM Studio: "The number of tokens to keep from the initial prompt is greater than the context
    // length. …", and "Trying to keep the first 4096 tokens when context the overflows. …"
    "to keep from the initial prompt is greater than the context length",
    "when context the overflows",
    // OpenAI: "Your input exceeds the context window of this model. …"
    "exceeds the context window",
    // Moonshot: "Your request exceeded model token limit: 262144"
    "exceeded model token limit",
    // Z.ai: "tokens in request more than max tokens allowed", and "Prompt exceeds max length"
    "tokens in request more than max tokens allowed",
    "Prompt exceeds max length",
    // Ollama: "prompt too long; exceeded max context length by 4 tokens"
    "exceeded max context length",
    // Ollama: "the input length exceeds the context length"
    "exceeds the context length",
];

/// Statuses that say what is wrong by themselves, whatever the sentence happens to name.
const SPEAKING: [u16; 6] = [401, 403, 408, 429, 503, 529];

/// Decides by a sentence that servers of every wire send: many offer several wires.
pub(crate) fn by_sentence(error: &ErrorObject<'_>, status: u16) -> Option<Verdict> {
    if SPEAKING.contains(&status) {
        return None;
    }
    let says = |part: &&str| error.message.contains(*part);
    // Gemini: "The input token count (1200000) exceeds the maximum number of tokens allowed
    // (1048576)."
    let said_by_gemini =
        says(&"input token count") && says(&"exceeds the maximum number of tokens");
    let gemini = said_by_gemini.then_some("input token count … exceeds the maximum");
    let said = OVERFLOWS.into_iter().find(says).or(gemini)?;
    Some(Verdict::by_sentence(said, Kind::ContextOverflow))
}

/// Classifies an answer that is an error by its status; `judge` decides where it has an error object.
pub(crate) fn classify(
    head: &Head,
    body: &[u8],
    judge: fn(&ErrorObject<'_>, u16) -> Verdict,
) -> ModelError {
    let whole = serde_json::from_slice::<Value>(without_mark(body)).ok();
    match whole.or_else(|| first_event(body)) {
        Some(body) => classify_json(head, &body, judge),
        None => {
            // A page or a text of something between: the status is all that speaks.
            let message = if head.status.is_redirection() {
                redirection(head)
            } else if body.is_empty() {
                "the body is empty".to_owned()
            } else {
                format!("the body is not JSON ({} bytes)", body.len())
            };
            let verdict = Verdict::by_status(head.status.as_u16());
            complete(head, verdict, &message, None, None)
        }
    }
}

/// Returns the first event of a body: some gateways send an error so, under its own status.
fn first_event(body: &[u8]) -> Option<Value> {
    let lines = body.split(|byte| *byte == b'\n');
    let mut data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    serde_json::from_slice(data.next()?).ok()
}

/// Classifies an event, or a body of success, if it is an error; servers send every form of error
/// under a status of success too.
pub(crate) fn classify_if_error(
    head: &Head,
    data: &[u8],
    judge: fn(&ErrorObject<'_>, u16) -> Verdict,
) -> Option<ModelError> {
    let body = serde_json::from_slice::<Value>(data).ok()?;
    ErrorObject::is_in(&body).then(|| classify_json(head, &body, judge))
}

/// Classifies an error object, in a body that was parsed.
pub(crate) fn classify_json(
    head: &Head,
    body: &Value,
    judge: fn(&ErrorObject<'_>, u16) -> Verdict,
) -> ModelError {
    let error = ErrorObject::find(body);
    let verdict = judge(&error, head.status.as_u16());
    // Masked before it is cut: half a secret is known to nobody.
    let message = head.secrets.mask(&error.message);
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    complete(head, verdict, &message, error.shown_code(), Some(body))
}

/// Makes the error: with status, identity, the server's own words on retrying, and all evidence.
fn complete(
    head: &Head,
    verdict: Verdict,
    message: &str,
    code: Option<&str>,
    body: Option<&Value>,
) -> ModelError {
    let error = head.locate(ModelError::new(verdict.kind, message));
    // Anthropic repeats the identity in the body, where nothing between can remove it.
    let own_id = body.and_then(|body| body.get("request_id")?.as_str());
    let error = match own_id.filter(|_| error.request_id().is_none()) {
        Some(id) => error.with_request_id(head.secrets.mask(id)),
        None => error,
    };
    let mut error = error.with_why(head.secrets.mask(&verdict.why));
    if let Some(code) = code {
        error = error.with_code(head.secrets.mask(code));
    }
    // A wait helps no other kind, even where a limit happens to be used up too.
    let may_wait = verdict.kind.is_transient() || verdict.kind == Kind::QuotaExhausted;
    let hint = retry_after(head, body, message).filter(|_| may_wait);
    if let Some(hint) = hint {
        let from = format!("wait from {}", hint.from);
        error = error.with_retry_after(hint.delay).with_why(from);
    }
    let error = error.with_aws_retry_after(aws_retry_after(&head.headers));
    // The headers of an answer are old when its stream fails.
    let error = match head.status.is_success() {
        true => error,
        false => error.with_rate_limits(rate_limits(&head.headers)),
    };
    match should_retry(&head.headers) {
        Some(true) if is_settled(verdict.kind) => error,
        Some(advice) => error
            .with_should_retry(advice)
            .with_why(format!("header `x-should-retry: {advice}`")),
        None => error,
    }
}

/// Says where an address redirects to; its query may hold anything.
fn redirection(head: &Head) -> String {
    let location = head.headers.get(http::header::LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    match location.and_then(|location| location.split(['?', '#']).next()) {
        Some(address) if !address.is_empty() && !address.contains('@') => {
            let address = head.secrets.mask(address);
            format!("the address redirects to `{address}`: is the base URL another?")
        }
        _ => "the address redirects: is the base URL another?".to_owned(),
    }
}

/// Kinds that no retry helps, whatever a header says: OpenAI asks to retry even where the money is
/// used up.
const fn is_settled(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::QuotaExhausted
            | Kind::TooLarge
            | Kind::ContextOverflow
            | Kind::Auth
            | Kind::ContentFiltered
    )
}
