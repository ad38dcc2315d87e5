//! The faults: what a fault is, where in an answer it strikes, and how it is spelt.
//!
//! What a fault does to an answer is in `fault/disturb.rs`, the order of faults in
//! `fault/script.rs`; nothing here touches a connection.
//!
//! ```
//! use steadfast_sim::{Fault, Moment};
//!
//! let fault: Fault = "cut@text".parse()?;
//!
//! assert_eq!(fault, Fault::Cut(Moment::Text));
//! assert_eq!(fault.to_string(), "cut@text");
//! # Ok::<(), steadfast_sim::Error>(())
//! ```

mod disturb;
mod hint;
mod parse;
mod script;

use std::fmt;
use std::time::Duration;

use http::StatusCode;

pub(crate) use disturb::disturb;
pub(crate) use script::FaultQueue;
pub use script::FaultScript;

/// Describes one thing that goes wrong with one request.
///
/// Parsed from the words in backticks, and displayed as such. Where a [`Moment`] is written `@…`,
/// it is one of `@start`, `@text`, `@tool`, `@end` or `@N` (a number of body bytes).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_sim::{Fault, RetryHint};
///
/// let fault: Fault = "429:retry-after-ms=1500".parse()?;
///
/// let Fault::Status { status, hint } = fault else { panic!() };
/// assert_eq!(status, 429);
/// assert_eq!(hint, RetryHint::AfterMillis(Duration::from_millis(1500)));
/// # Ok::<(), steadfast_sim::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// `ok`: no fault, the request is answered.
    Ok,
    /// `500`, `429:retry-after=2`, `503:retry-after-ms=250`: an error status with the vendor's
    /// body.
    Status {
        /// The status, 400 to 599 when parsed.
        status: StatusCode,
        /// What the error says about when to come back.
        hint: RetryHint,
    },
    /// `429:quota`: the status of a rate limit with the body of an exhausted budget
    /// (`insufficient_quota`; for Anthropic the code `enforced_spend_limit_reached`, for Gemini a
    /// quota of a day, for Ollama the sentence about a usage limit).
    Quota,
    /// `reset`, `reset@…`: a TCP reset.
    Reset(Moment),
    /// `hang`, `hang@…`: the answer goes no further, and the connection stays open.
    Hang(Moment),
    /// `cut`, `cut@…`: the connection is closed in good order, but the body is not ended.
    Cut(Moment),
    /// `no-end`, `no-end@…`: the body ends in good order, but the answer in it does not: no
    /// `finish_reason` and `[DONE]`, no `message_delta` and `message_stop`, no `finishReason`, no line
    /// that is `done`.
    NoEnd(Moment),
    /// `error@text`, `error@start:overloaded`: an error in the stream, and then its end.
    /// An answer that is not a stream gets the matching status instead.
    Error(Moment, StreamError),
    /// `empty`: status 200 and an empty body.
    Empty,
    /// `html`: status 200 and an HTML page, as a proxy in the way would send.
    Html,
    /// `malformed`: after the first content a `data` line that is not JSON; the stream goes on.
    Malformed,
    /// `garbage-utf8`: the first content has bytes in its JSON string that are not UTF-8.
    GarbageUtf8,
    /// `huge-line`: the first content is one `data` line of 10 MB.
    HugeLine,
    /// `error-200`: status 200 and an error object as JSON, also if a stream was asked for.
    Error200,
    /// `keepalive`: status 200, then `: keep-alive` comments, `ping` events or empty pieces for
    /// ever, as the vendor would send them while the model thinks, and no answer.
    KeepAlive,
}

/// Names the place in an answer at which a fault strikes.
///
/// If there is nothing of the kind in the answer, `Text` and `Tool` are after the first content
/// that there is, or without content after the first chunk. In an answer that is not a stream, or
/// that comes from a cassette, `Text`, `Tool` and `End` are in the middle of the body.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Fault, Moment};
///
/// assert_eq!(Fault::Reset(Moment::Request).to_string(), "reset");
/// assert_eq!(Fault::Hang(Moment::Start).to_string(), "hang@start");
/// assert_eq!(Fault::Cut(Moment::Bytes(100)).to_string(), "cut@100");
/// assert_eq!(Fault::NoEnd(Moment::End).to_string(), "no-end");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Before anything was answered; not written.
    Request,
    /// `@start`: after the status line and the headers.
    Start,
    /// `@text`: after the first chunk of text; in an answer without text, after the first chunk of
    /// what it has.
    Text,
    /// `@tool`: after the last tool call is complete, before the answer says why it ended; in an
    /// answer that calls no tool, after the first chunk of what it has.
    ///
    /// So every request meets the fault of its place in the script, also one without tools. A test
    /// that is about a tool call makes sure that there is one, with
    /// [`SimulatorBuilder::answer`](crate::SimulatorBuilder::answer).
    Tool,
    /// `@end`: after all content, before the answer says why it ended.
    End,
    /// `@N`: after so many bytes of the body, or after the whole body if it is shorter.
    Bytes(usize),
}

/// Says which error an interrupted stream reports.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Fault, Moment, StreamError};
///
/// let fault = Fault::Error(Moment::Text, StreamError::RateLimit);
///
/// assert_eq!(fault.to_string(), "error@text:rate_limit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// Not written: `server_error` or `api_error`, the general one.
    Server,
    /// `:rate_limit`: `rate_limit_exceeded` or `rate_limit_error`.
    RateLimit,
    /// `:overloaded`: `server_is_overloaded` or `overloaded_error`.
    Overloaded,
}

/// Says what an error status tells the client about when to come back.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_sim::{Fault, RetryHint};
///
/// let fault: Fault = "503:retry-after=0.5".parse()?;
///
/// let Fault::Status { hint, .. } = fault else { panic!() };
/// assert_eq!(hint, RetryHint::After(Duration::from_millis(500)));
/// # Ok::<(), steadfast_sim::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryHint {
    /// Nothing.
    None,
    /// `:retry-after=2`: the header `retry-after`, in seconds.
    After(Duration),
    /// `:retry-after-ms=1500`: the header `retry-after-ms`.
    AfterMillis(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => formatter.write_str("ok"),
            Self::Status { status, hint } => write!(formatter, "{}{hint}", status.as_u16()),
            Self::Quota => formatter.write_str("429:quota"),
            Self::Reset(moment) => write!(formatter, "reset{moment}"),
            Self::Hang(moment) => write!(formatter, "hang{moment}"),
            Self::Cut(moment) => write!(formatter, "cut{moment}"),
            Self::NoEnd(Moment::End) => formatter.write_str("no-end"),
            // These two need an answer to happen in, so the earliest moment is its start.
            Self::NoEnd(Moment::Request) => formatter.write_str("no-end@start"),
            Self::NoEnd(moment) => write!(formatter, "no-end{moment}"),
            Self::Error(Moment::Request, error) => write!(formatter, "error@start{error}"),
            Self::Error(moment, error) => write!(formatter, "error{moment}{error}"),
            Self::Empty => formatter.write_str("empty"),
            Self::Html => formatter.write_str("html"),
            Self::Malformed => formatter.write_str("malformed"),
            Self::GarbageUtf8 => formatter.write_str("garbage-utf8"),
            Self::HugeLine => formatter.write_str("huge-line"),
            Self::Error200 => formatter.write_str("error-200"),
            Self::KeepAlive => formatter.write_str("keepalive"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => Ok(()),
            Self::Start => formatter.write_str("@start"),
            Self::Text => formatter.write_str("@text"),
            Self::Tool => formatter.write_str("@tool"),
            Self::End => formatter.write_str("@end"),
            Self::Bytes(count) => write!(formatter, "@{count}"),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Server => "",
            Self::RateLimit => ":rate_limit",
            Self::Overloaded => ":overloaded",
        })
    }
}

impl fmt::Display for RetryHint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::After(wait) => write!(formatter, ":retry-after={}", wait.as_secs_f64()),
            Self::AfterMillis(wait) => write!(formatter, ":retry-after-ms={}", wait.as_millis()),
        }
    }
}
