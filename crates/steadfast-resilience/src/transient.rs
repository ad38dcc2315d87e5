//! Questions that a retry may ask about errors which say nothing of themselves.
//!
//! None of them is asked unless a program asks it: an error that knows whether it is transient
//! should be believed.

use std::{
    error::Error,
    fmt::Display,
    io::{self, ErrorKind},
    iter::successors,
};

use tokio::time::error::Elapsed;

/// Returns whether an error, or one that it came of, is a timeout.
///
/// These are `io::ErrorKind::TimedOut` and tokio's `Elapsed`. HTTP clients have timeouts of their own
/// kind, which are not found: ask the client, as with reqwest's `Error::is_timeout`.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use steadfast_resilience::is_timeout;
///
/// assert!(is_timeout(&Error::from(ErrorKind::TimedOut)));
/// assert!(!is_timeout(&Error::from(ErrorKind::ConnectionReset)));
/// ```
#[must_use]
pub fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(cause) => cause.kind() == ErrorKind::TimedOut,
        None => cause.is::<Elapsed>(),
    })
}

/// Returns whether an error, or one that it came of, is a connection that failed.
///
/// These are connections that were refused, reset, aborted or never made, broken pipes, and hosts
/// and networks that cannot be reached.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use steadfast_resilience::is_connection_error;
///
/// assert!(is_connection_error(&Error::from(ErrorKind::ConnectionReset)));
/// assert!(!is_connection_error(&Error::from(ErrorKind::NotFound)));
/// ```
#[must_use]
pub fn is_connection_error(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| {
            matches!(
                cause.kind(),
                ErrorKind::BrokenPipe
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkDown
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::NotConnected
            )
        })
    })
}

/// Returns whether the text of an error reads as if another try could help.
///
/// It looks for `timeout`, `rate limit`, `429`, `temporarily unavailable` and `connection reset`,
/// in capitals or not. Text is the weakest evidence there is: let the error's type decide where it
/// can, and ask this about what is left.
///
/// ```
/// use steadfast_resilience::{Backoff, Retry, reads_transient, secs};
///
/// assert!(reads_transient("HTTP 429: Rate Limit exceeded"));
/// assert!(!reads_transient("no such user"));
///
/// enum CallError {
///     BadKey(String),
///     Reset,
///     Other(String),
/// }
/// let retry = Retry::new(Backoff::exponential(secs(1))).retry_if(|error: &CallError| match error {
///     CallError::BadKey(_) => false, // even if its text says "429"
///     CallError::Reset => true,
///     CallError::Other(text) => reads_transient(text),
/// });
/// # let _ = retry;
/// ```
#[must_use]
pub fn reads_transient(error: impl Display) -> bool {
    const MARKERS: [&str; 5] = [
        "timeout",
        "rate limit",
        "429",
        "temporarily unavailable",
        "connection reset",
    ];
    let text = error.to_string().to_lowercase();
    MARKERS.iter().any(|marker| text.contains(marker))
}

/// The error and what it came of. An `io::Error` hides the error that it wraps from its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        let wraps = error.downcast_ref::<io::Error>();
        match wraps.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
