//! The errors of Ollama's wire, classified from documented sentence and status, in this order: the
//! vendor gives no codes. Sources: its error page and its server's own messages, quoted at each rule.

use serde_json::Value;
use steadfast_core::ModelErrorKind as Kind;

use crate::error_wire::{self, ErrorObject, Verdict};

/// Decides what an error is. The status is the answer's, and says nothing of an error in mid-stream.
pub(super) fn judge(error: &ErrorObject<'_>, status: u16) -> Verdict {
    let of_answer = status;
    by_sentence(&error.message)
        .or_else(|| error_wire::by_sentence(error, error.status(of_answer)))
        .or_else(|| {
            let code = error.code.as_deref().or(error.kind)?;
            error_wire::by_code("error code", code)
        })
        .or_else(|| by_status_in_stream(error, of_answer))
        .unwrap_or_else(|| error.by_status(of_answer))
}

/// Sentences and what they mean, the more exact ones first.
const SENTENCES: [(&str, Kind); 22] = [
    // "server busy, please try again.  maximum pending requests exceeded"
    ("maximum pending requests exceeded", Kind::Overloaded),
    // ollama.com: "Server overloaded, please retry shortly (ref: …)"
    ("Server overloaded", Kind::Overloaded),
    // ollama.com: "timed out waiting for a concurrent request slot"
    ("waiting for a concurrent request slot", Kind::Throttled),
    // ollama.com: "you (name) have reached your session usage limit, please wait or upgrade to
    // continue", the same for an hour and for a week.
    ("usage limit", Kind::QuotaExhausted),
    // ollama.com: "this model requires a subscription, upgrade for access: …"
    ("requires a subscription", Kind::QuotaExhausted),
    // "model "qwen3" not found, try pulling it first"
    ("not found, try pulling it first", Kind::NotFound),
    // ""gemma:2b" does not support tools", the same for thinking and chat.
    ("does not support", Kind::Unsupported),
    // "… this model may be incompatible with your version of Ollama. …"
    ("incompatible with your version", Kind::Unsupported),
    // "'llama3.2-vision' is no longer compatible with your version of Ollama …"
    ("no longer compatible with your version", Kind::Unsupported),
    // "… error loading model: unknown model architecture: 'mllama'"
    ("unknown model architecture", Kind::Unsupported),
    // "this model is missing data required for image input"
    ("missing data required for image input", Kind::Unsupported),
    // "this model only supports one image while more than one image requested", with status 500
    ("only supports one image", Kind::InvalidRequest),
    // "failed to process inputs: image: unknown format", with status 500
    ("image: unknown format", Kind::InvalidRequest),
    // "timed out waiting for llama runner to start", after `OLLAMA_LOAD_TIMEOUT`
    ("timed out waiting for llama runner", Kind::Timeout),
    // "llama runner process has terminated: exit status 2"; newer ones say "llama-server process".
    ("process has terminated", Kind::Server),
    // "llama runner process no longer running: 2"
    ("process no longer running", Kind::Server),
    // "model runner has unexpectedly stopped, this may be due to resource limitations …"
    ("runner has unexpectedly stopped", Kind::Server),
    // "model requires more system memory (5.3 GiB) than is available (4.4 GiB)"
    ("requires more system memory", Kind::Server),
    // "model failed to load, this may be due to resource limitations or an internal error, …"
    ("model failed to load", Kind::Server),
    // "llama runner: failed to load model"
    ("failed to load model", Kind::Server),
    // "error parsing tool call: raw='{…', err=unexpected end of JSON input": the next call may be
    // well formed.
    ("error parsing tool call", Kind::Server),
    // "an error was encountered while running the model: CUDA error: out of memory"
    ("encountered while running the model", Kind::Server),
];

fn by_sentence(message: &str) -> Option<Verdict> {
    SENTENCES
        .iter()
        .find(|(part, _)| message.contains(part))
        .map(|(part, kind)| Verdict::by_sentence(part, *kind))
}

/// Errors that come from ollama.com through the user's own server have their status in the object:
/// `{"StatusCode":429,"Status":"429 Too Many Requests","error":"…"}`.
fn by_status_in_stream(error: &ErrorObject<'_>, of_answer: u16) -> Option<Verdict> {
    let status = ["StatusCode", "status_code", "status"]
        .iter()
        .find_map(|field| error.object.get(*field).and_then(Value::as_u64))
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status) && (200..300).contains(&of_answer))?;
    let verdict = Verdict::by_status(status);
    Some(Verdict::by(
        "error status",
        &status.to_string(),
        verdict.kind,
    ))
}
