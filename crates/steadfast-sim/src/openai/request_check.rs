//! What OpenAI refuses before it looks at limits: requests without key, sense or target.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, StatusCode};

use super::ErrorBody;
use crate::ChatRequest;
use crate::reply::Draft;

/// What a request that is in order asks for.
pub(crate) enum Wanted {
    Answer,
    Models,
}

/// Refuses what OpenAI refuses before it looks at limits.
pub(crate) fn check(
    head: &Parts,
    is_json: bool,
    request: &ChatRequest,
) -> Result<Wanted, Box<Draft>> {
    let refuse = |status, error: ErrorBody| Err(Box::new(error.into_draft(status)));
    let path = head.uri.path().trim_end_matches('/');
    let (wanted, method) = if path.ends_with("/chat/completions") {
        (Wanted::Answer, Method::POST)
    } else if path.ends_with("/models") {
        (Wanted::Models, Method::GET)
    } else {
        let error = ErrorBody::invalid(format!("There is nothing at {} {path}.", head.method));
        return refuse(StatusCode::NOT_FOUND, error);
    };
    if head.method != method {
        let error = ErrorBody::invalid(format!("{path} takes {method}, not {}.", head.method));
        return refuse(StatusCode::METHOD_NOT_ALLOWED, error);
    }
    if !has_key(head) {
        return refuse(StatusCode::UNAUTHORIZED, ErrorBody::no_key());
    }
    if matches!(wanted, Wanted::Models) {
        return Ok(wanted);
    }
    let model = request.model();
    let problem = if !is_json {
        "The body of the request is not JSON."
    } else if model.is_empty() {
        "The request names no model."
    } else if request.messages().is_empty() {
        "The request has no messages."
    } else if model.starts_with("nonexistent") {
        return refuse(StatusCode::NOT_FOUND, ErrorBody::model_not_found(model));
    } else {
        return Ok(wanted);
    };
    refuse(StatusCode::BAD_REQUEST, ErrorBody::invalid(problem))
}

fn has_key(head: &Parts) -> bool {
    let value = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let words = value.and_then(|value| value.split_once(' '));
    words.is_some_and(|(scheme, key)| {
        scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()
    })
}
