//! An answer that is an error, with all that vendors say of when to come back. The input is a text: a
//! letter for the wire and the status, a header in each line, a blank line, the body.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, header::DATE};
use steadfast_core::ModelErrorKind as Kind;
use steadfast_providers::Wire;

use super::{check_error, paused};

/// The longest wait that anything may ask for.
const LONGEST_HINT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Checks one refusal.
pub fn refusal(input: &[u8]) {
    let Some((wire, answer)) = parse(input) else {
        return;
    };
    paused(async {
        let (parts, body) = answer.into_parts();
        let (first, rest) = body.split_at(body.len() / 2);
        let pieces = [first, rest].map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let cut = http::Response::from_parts(parts.clone(), stream::iter(pieces));
        let cut = match wire.stream(cut).await {
            Ok(deltas) => deltas.response().await,
            Err(error) => Err(error),
        };
        let whole = wire.read(http::Response::from_parts(parts, body)).await;
        assert_eq!(cut.as_ref().err(), whole.as_ref().err());
        assert!(whole.is_err(), "a refusal was taken for an answer");
        let Err(error) = whole else {
            return;
        };
        check_error(&error);
        let hints = [error.retry_after(), error.aws_retry_after()];
        for hint in hints.into_iter().flatten() {
            assert!(hint <= LONGEST_HINT, "{hint:?}");
        }
        assert_ne!(error.retry_after(), Some(Duration::ZERO));
        assert!(error.why().is_some(), "{error:?}");
        if is_settled(error.kind()) {
            assert!(!error.is_transient(), "{error:?}");
        }
    });
}

/// Kinds that no retry helps, whatever a server says.
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

fn parse(input: &[u8]) -> Option<(Wire, http::Response<Vec<u8>>)> {
    let (wire, input) = input.split_first()?;
    let wires = [
        Wire::OpenAiChat,
        Wire::OpenAiResponses,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Ollama,
        Wire::Bedrock,
    ];
    let wire = *wires.get(usize::from(wire.checked_sub(b'a')?))?;
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let status: u16 = std::str::from_utf8(lines.next()?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let mut rest = lines.next().unwrap_or_default();
    let mut answer = http::Response::builder().status(status);
    while !rest.is_empty() {
        let mut lines = rest.splitn(2, |byte| *byte == b'\n');
        let line = lines.next()?;
        rest = lines.next().unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        answer = answer.header(name, value);
    }
    let mut answer = answer.body(rest.to_vec()).ok()?;
    // Without it a point in time is counted from now, which is another now for each reading.
    let date = HeaderValue::from_static("Sun, 22 Nov 2026 00:00:00 GMT");
    answer.headers_mut().entry(DATE).or_insert(date);
    // Success is the other targets' business.
    (answer.status().as_u16() >= 300).then_some((wire, answer))
}
