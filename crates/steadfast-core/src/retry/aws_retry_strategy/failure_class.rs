//! Which failures AWS's retry modes retry, by code and status. How long they wait is not here.

use super::{AwsRetryMode, AwsRetryRules, AwsRetrySettings};
use crate::model::{ModelError, ModelErrorKind};

/// How a failure that is retried is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The caller is too fast.
    Throttle,
    /// No answer came in time.
    Timeout,
    /// Anything else that may pass.
    Other,
}

/// A throttle, whatever its status.
const THROTTLES: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestThrottled",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];

/// Not a throttle, and retried whatever its status. Bedrock's model says the last of itself, although
/// its status is 429.
const OTHERS: [&str; 3] = [
    "RequestTimeout",
    "RequestTimeoutException",
    "ModelNotReadyException",
];

/// What `legacy` retries at status 400.
const LEGACY_THROTTLES: [&str; 5] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "ProvisionedThroughputExceededException",
];

impl FailureClass {
    /// Classifies a failure; none if it is not retried.
    pub(super) fn of(error: &ModelError, settings: &AwsRetrySettings) -> Option<Self> {
        if is_settled(error.kind()) {
            return None;
        }
        // An error in mid-stream has the status of the answer, which says nothing of the error.
        let status = error.status().filter(|status| *status >= 400);
        match settings.mode {
            AwsRetryMode::Legacy => of_legacy(error, status),
            AwsRetryMode::Standard | AwsRetryMode::Adaptive => {
                of_standard(error, status, settings.rules)
            }
        }
    }
}

fn of_standard(
    error: &ModelError,
    status: Option<u16>,
    rules: AwsRetryRules,
) -> Option<FailureClass> {
    let code = error.code();
    match (code, status) {
        (Some(code), _) if THROTTLES.contains(&code) => Some(FailureClass::Throttle),
        (Some(code), _) if OTHERS.contains(&code) => Some(FailureClass::Other),
        (code, Some(status)) if code.is_none_or(is_code_of_aws) => match (status, rules) {
            (429, AwsRetryRules::V2026) => Some(FailureClass::Throttle),
            (500 | 502 | 503 | 504, _) => Some(FailureClass::Other),
            _ => None,
        },
        _ => of_kind(error),
    }
}

/// The class matters little here: `legacy` waits the same after all failures.
fn of_legacy(error: &ModelError, status: Option<u16>) -> Option<FailureClass> {
    let code = error.code();
    match status {
        Some(400) if code.is_some_and(|code| LEGACY_THROTTLES.contains(&code)) => {
            Some(FailureClass::Throttle)
        }
        Some(status) if code.is_none_or(is_code_of_aws) => match status {
            429 => Some(FailureClass::Throttle),
            500 | 502 | 503 | 504 | 509 => Some(FailureClass::Other),
            _ => None,
        },
        _ => of_kind(error),
    }
}

/// What no AWS server said: a connection that failed, an error in mid-stream, another vendor's.
fn of_kind(error: &ModelError) -> Option<FailureClass> {
    if !error.is_transient() {
        return None;
    }
    Some(match error.kind() {
        ModelErrorKind::Throttled => FailureClass::Throttle,
        ModelErrorKind::Timeout => FailureClass::Timeout,
        _ => FailureClass::Other,
    })
}

/// Whether a code is written as AWS writes its own: `ThrottlingException`, in one word of letters and
/// digits that begins with a capital and is not all of capitals. Other vendors write
/// `rate_limit_exceeded` or `RESOURCE_EXHAUSTED`.
fn is_code_of_aws(code: &str) -> bool {
    code.starts_with(|first: char| first.is_ascii_uppercase())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && code.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// What is known never to pass by waiting, whatever its code and status: a day's quota that is
/// answered as a throttle, a context that is too long answered with 500.
const fn is_settled(kind: ModelErrorKind) -> bool {
    matches!(
        kind,
        ModelErrorKind::QuotaExhausted
            | ModelErrorKind::TooLarge
            | ModelErrorKind::ContextOverflow
            | ModelErrorKind::Auth
            | ModelErrorKind::ContentFiltered
    )
}
