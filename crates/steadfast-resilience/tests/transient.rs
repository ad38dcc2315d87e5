//! What is taken for transient where a program asks, and what the default retry makes of it.

use std::{
    cell::Cell,
    error::Error,
    fmt,
    future::{pending, ready},
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_resilience::{
    Backoff, Retry, is_connection_error, is_timeout, millis, reads_transient, secs,
};
use tokio::time::timeout;

/// An error of a library that says nothing but where it came from.
#[derive(Debug)]
struct Outer(Box<dyn Error + Send + Sync>);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call failed")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

fn check(error: &(dyn Error + 'static), is_a_timeout: bool, is_of_the_connection: bool) {
    let found = (is_timeout(error), is_connection_error(error));

    assert_eq!(found, (is_a_timeout, is_of_the_connection), "{error:?}");
}

#[test]
fn every_broken_connection_is_a_connection_error() {
    // AE-9.
    for kind in [
        ErrorKind::BrokenPipe,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NotConnected,
    ] {
        check(&io::Error::from(kind), false, true);
    }
}

#[test]
fn other_errors_are_neither() {
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::InvalidData,
    ] {
        check(&io::Error::from(kind), false, false);
    }
    check(&io::Error::other("connection reset, timeout"), false, false);
    check(&fmt::Error, false, false);
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_the_system_and_of_tokio_are_found() {
    let elapsed = timeout(secs(1), pending::<()>()).await.unwrap_err();

    check(&elapsed, true, false);
    check(&io::Error::from(ErrorKind::TimedOut), true, false);
}

#[test]
fn sources_and_wrapped_errors_are_looked_through() {
    let reset = || io::Error::from(ErrorKind::ConnectionReset);
    check(&Outer(Box::new(reset())), false, true);
    check(&io::Error::other(Outer(Box::new(reset()))), false, true);
    check(
        &Outer(Box::new(io::Error::other(Outer(Box::new(reset()))))),
        false,
        true,
    );
    check(&Outer("connection reset".into()), false, false);
}

#[test]
fn markers_are_found_in_any_case() {
    // AT-5.
    for text in [
        "Timeout",
        "RATE LIMIT exceeded",
        "status 429",
        "Temporarily Unavailable, try later",
        "read: Connection reset by peer",
    ] {
        assert!(reads_transient(text), "{text}");
    }
    for text in [
        "",
        "invalid prompt",
        "unauthorized",
        "status 42",
        "ratelimit",
    ] {
        assert!(!reads_transient(text), "{text}");
    }
}

/// Fails for ever. Returns the number of calls and the waits before them.
async fn exhaust(retry: Retry<io::Error>, kind: ErrorKind) -> (u32, Vec<Duration>) {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let told = waits.clone();
    let calls = Cell::new(0);
    let retry = retry.on_retry(move |event| {
        if let Ok(mut waits) = told.lock() {
            waits.push(event.delay());
        }
    });
    let _failed = retry
        .run(|| {
            calls.set(calls.get() + 1);
            ready(Err::<(), _>(io::Error::from(kind)))
        })
        .await;
    let waits = waits.lock().map(|waits| waits.clone()).unwrap_or_default();
    (calls.get(), waits)
}

#[tokio::test(start_paused = true)]
async fn default_retry_waits_a_second_and_two_give_or_take_a_quarter() {
    // AE-1.
    for seed in 0..200 {
        let (calls, waits) = exhaust(Retry::default().seed(seed), ErrorKind::TimedOut).await;

        assert_eq!((calls, waits.len()), (3, 2));
        assert!(
            waits[0] >= millis(750) && waits[0] <= millis(1_250),
            "{waits:?}"
        );
        assert!(
            waits[1] >= millis(1_500) && waits[1] <= millis(2_500),
            "{waits:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn default_retry_never_waits_above_a_minute() {
    // AE-1.
    let retry = Retry::default().max_attempts(100).unwrap();

    let (_, waits) = exhaust(retry, ErrorKind::ConnectionRefused).await;

    assert_eq!(waits.len(), 99);
    assert!(waits.iter().all(|wait| *wait <= secs(60)), "{waits:?}");
    assert!(waits[50] >= secs(45), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn default_retry_leaves_other_errors_alone() {
    // AE-1, AE-8.
    let (calls, waits) = exhaust(Retry::default(), ErrorKind::PermissionDenied).await;

    assert_eq!((calls, waits.len()), (1, 0));
}

/// An error whose type says more than its text.
#[derive(Debug)]
enum CallError {
    BadKey(&'static str),
    ContextTooLong(&'static str),
    Server(&'static str),
    Unknown(&'static str),
}

impl CallError {
    fn is_transient(&self) -> bool {
        match self {
            Self::BadKey(_) | Self::ContextTooLong(_) => false,
            Self::Server(_) => true,
            Self::Unknown(text) => reads_transient(text),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::BadKey(text)
        | Self::ContextTooLong(text)
        | Self::Server(text)
        | Self::Unknown(text)) = self;
        f.write_str(text)
    }
}

#[tokio::test(start_paused = true)]
async fn type_of_an_error_decides_before_its_text() {
    // AT-6.
    for (error, calls) in [
        (CallError::BadKey as fn(_) -> _, 1),
        (CallError::ContextTooLong, 1),
        (CallError::Server, 3),
    ] {
        for text in ["429: rate limit, timeout", "nothing that is known"] {
            assert_eq!(calls_of(|| error(text)).await, calls, "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn text_decides_where_the_type_says_nothing() {
    assert_eq!(calls_of(|| CallError::Unknown("Connection RESET")).await, 3);
    assert_eq!(calls_of(|| CallError::Unknown("bad request")).await, 1);
}

async fn calls_of(error: impl Fn() -> CallError) -> u32 {
    let calls = Cell::new(0);
    let retry = Retry::new(Backoff::constant(secs(1))).retry_if(CallError::is_transient);
    let _failed = retry
        .run(|| {
            calls.set(calls.get() + 1);
            ready(Err::<(), _>(error()))
        })
        .await;
    calls.get()
}
