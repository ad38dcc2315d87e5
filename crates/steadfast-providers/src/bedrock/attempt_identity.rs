//! Which call an attempt belongs to, as AWS's own clients tell it: one identity for all attempts of a
//! call, the attempt's number, and how many there are at most where the strategy says so.

use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::ModelRequest;

/// The identity of the call that all its attempts share.
const INVOCATION: HeaderName = HeaderName::from_static("amz-sdk-invocation-id");

/// Which attempt this is.
const ATTEMPT: HeaderName = HeaderName::from_static("amz-sdk-request");

/// What is told of an attempt. It travels with the request to the connector, behind the signature:
/// these headers are not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptIdentity {
    invocation: String,
    attempt: u32,
    max_attempts: Option<u32>,
}

impl AttemptIdentity {
    /// Reads it from a request. One that no run asks has none of its own, and keeps the SDK's.
    ///
    /// The attempts of a call see one history, and each call of a run a longer one.
    pub(super) fn of(request: &ModelRequest) -> Option<Self> {
        let run = u128::from(request.run());
        if run == 0 {
            return None;
        }
        let length = u128::try_from(request.history().len()).ok()?;
        let bits = format!("{:032x}", run.wrapping_add(length));
        let part = |from: usize, to: usize| bits.get(from..to).unwrap_or_default();
        let parts = [
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32),
        ];
        Some(Self {
            invocation: parts.join("-"),
            attempt: request.attempt(),
            max_attempts: request.max_attempts(),
        })
    }

    /// Replaces what the SDK says, which knows of one attempt only.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Ok(invocation) = HeaderValue::try_from(&self.invocation) {
            headers.insert(INVOCATION, invocation);
        }
        let attempt = match self.max_attempts {
            Some(max) => format!("attempt={}; max={max}", self.attempt),
            None => format!("attempt={}", self.attempt),
        };
        if let Ok(attempt) = HeaderValue::try_from(attempt) {
            headers.insert(ATTEMPT, attempt);
        }
    }
}
