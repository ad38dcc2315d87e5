//! The contract, small enough to be read: what each fault is, what each strategy makes of it, and what
//! a run then tells. Every expectation of the matrix is computed from here; nothing is listed by cell.

use std::time::Duration;

use steadfast::{DecidedBy, ModelErrorKind as Kind, StopReason};
use steadfast_sim::{Fault, Moment, RetryHint, StreamError, Wire};

use crate::{
    axes::{BEHIND_THE_END, Cell, Strategy},
    lines,
    script::{self, TURNS},
    sheet::Sheet,
};

/// The default strategy, as the cells configure it.
pub(crate) const MAX_ATTEMPTS: u32 = 3;
pub(crate) const INITIAL_DELAY: Duration = Duration::from_millis(2);

/// The longest wait that Gemini asks for where a limit of a minute is used up; what takes longer is a
/// quota.
const LONGEST_LIMIT: Duration = Duration::from_secs(300);

/// The longest wait that a server may ask for, by default.
const MAX_HINT: Duration = Duration::from_secs(600);

/// What one failed attempt is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failed {
    pub(crate) kind: Kind,
    /// The status that the error has to tell; none where nothing is promised of it.
    pub(crate) status: Option<u16>,
    pub(crate) hint: Option<Duration>,
    pub(crate) seen: Seen,
}

/// How much of the answer is seen before the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    FirstPiece,
    AllText,
}

impl Seen {
    fn at(moment: Moment) -> Self {
        match moment {
            Moment::Text => Self::FirstPiece,
            Moment::Tool | Moment::End => Self::AllText,
            // Before anything, after the headers, within the first line.
            _ => Self::Nothing,
        }
    }

    pub(crate) fn text(self, turn: u32) -> String {
        let [first, second] = script::pieces(turn);
        match self {
            Self::Nothing => String::new(),
            Self::FirstPiece => first.to_owned(),
            Self::AllText => [first, second].concat(),
        }
    }
}

/// Says what a fault is to whoever made the call; none if the answer is complete all the same.
///
/// Each wire says it in its own words, and what they mean does not differ, but for one: Gemini has one
/// code for limits and quotas.
pub(crate) fn failure(fault: &Fault, wire: Wire) -> Option<Failed> {
    let (kind, seen) = kind_and_seen(fault)?;
    let hint = match *fault {
        Fault::Status {
            hint: RetryHint::After(hint) | RetryHint::AfterMillis(hint),
            ..
        } if passes(kind) => Some(hint),
        _ => None,
    };
    let kind = match (wire, kind, hint) {
        (Wire::Gemini, Kind::Throttled, Some(hint)) if hint > LONGEST_LIMIT => Kind::QuotaExhausted,
        (_, kind, _) => kind,
    };
    Some(Failed {
        kind,
        status: status(fault),
        hint,
        seen,
    })
}

/// The one table of kinds, and of what is seen before.
fn kind_and_seen(fault: &Fault) -> Option<(Kind, Seen)> {
    Some(match *fault {
        Fault::Ok => return None,
        // Once the end marker has come the answer is complete, whatever becomes of the connection.
        Fault::Reset(moment)
        | Fault::Hang(moment)
        | Fault::Cut(moment)
        | Fault::NoEnd(moment)
        | Fault::Error(moment, _)
            if moment == BEHIND_THE_END =>
        {
            return None;
        }
        Fault::Status { status, .. } => (kind_of_status(status.as_u16()), Seen::Nothing),
        // A 429 by status, but money does not come back by waiting.
        Fault::Quota => (Kind::QuotaExhausted, Seen::Nothing),
        // The connection broke: HTTP itself says that the body is not whole.
        Fault::Reset(moment) | Fault::Cut(moment) => (Kind::Network, Seen::at(moment)),
        Fault::Hang(moment) => (Kind::Timeout, Seen::at(moment)),
        // Keep-alives are no answer.
        Fault::KeepAlive => (Kind::Timeout, Seen::Nothing),
        // HTTP says that the body is whole, the wire that the answer is not: complete tool calls or
        // not, without its end marker it does not count.
        Fault::NoEnd(moment) => (Kind::Truncated, Seen::at(moment)),
        Fault::Error(moment, error) => (kind_of_stream_error(error), Seen::at(moment)),
        // The same words, as a whole body.
        Fault::Error200 => (kind_of_stream_error(StreamError::Server), Seen::Nothing),
        // Nothing, or a proxy's page: no end marker, and it passes as other broken answers do.
        Fault::Empty | Fault::Html => (Kind::Truncated, Seen::Nothing),
        // What came breaks the wire's format: not transient, whoever sent it means it.
        Fault::Malformed => (Kind::Protocol, Seen::FirstPiece),
        Fault::GarbageUtf8 | Fault::HugeLine => (Kind::Protocol, Seen::Nothing),
        // A fault that this table does not know: the test of the axes has failed already.
        _ => return None,
    })
}

const fn kind_of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        402 => Kind::QuotaExhausted,
        404 => Kind::NotFound,
        // The server, or one behind it, did not answer in time.
        408 | 504 => Kind::Timeout,
        413 => Kind::TooLarge,
        // Conflicts and "too early" pass by themselves.
        409 | 425 | 500 | 502 => Kind::Server,
        429 => Kind::Throttled,
        501 => Kind::Unsupported,
        503 | 529 => Kind::Overloaded,
        _ => Kind::InvalidRequest,
    }
}

const fn kind_of_stream_error(error: StreamError) -> Kind {
    match error {
        StreamError::RateLimit => Kind::Throttled,
        StreamError::Overloaded => Kind::Overloaded,
        _ => Kind::Server,
    }
}

/// Whether waiting helps at all: a server that refuses a key asks to come back in vain.
const fn passes(kind: Kind) -> bool {
    is_transient(kind) || matches!(kind, Kind::QuotaExhausted)
}

/// The status that an error tells: its own, or in an answer the answer's.
///
/// Of the others nothing is promised: a connection that broke may not have brought one, and silence is
/// judged by the loop, which knows no status.
fn status(fault: &Fault) -> Option<u16> {
    match *fault {
        Fault::Status { status, .. } => Some(status.as_u16()),
        Fault::Quota => Some(429),
        Fault::Cut(moment) if moment != Moment::Request => Some(200),
        Fault::Error(..)
        | Fault::NoEnd(_)
        | Fault::Empty
        | Fault::Error200
        | Fault::Html
        | Fault::Malformed
        | Fault::GarbageUtf8
        | Fault::HugeLine => Some(200),
        _ => None,
    }
}

/// Returns whether the fault may throw away bytes that were sent before it: a reset does, if the
/// client has not read them.
pub(crate) const fn loses_bytes(fault: &Fault) -> bool {
    matches!(fault, Fault::Reset(_))
}

/// What the default strategy tries again: design, section 4.
const fn is_transient(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Throttled
            | Kind::Overloaded
            | Kind::Server
            | Kind::Network
            | Kind::Timeout
            | Kind::Truncated
    )
}

/// A retry, and the wait that is told before it, if one was declared.
pub(crate) struct Retry(Option<Wait>);

struct Wait {
    delay: Duration,
    decided_by: DecidedBy,
    max_attempts: Option<u32>,
}

impl Strategy {
    /// Decides about a failed attempt of a turn.
    pub(crate) fn decide(self, failed: &Failed, attempt: u32) -> Option<Retry> {
        match self {
            Self::None | Self::HookGivesUp => None,
            // A hook that only sets `retry` declares no wait: there is nothing to tell.
            Self::HookRetries => (attempt == 1).then_some(Retry(None)),
            // A wait that was declared is told, also one of no length.
            Self::Custom => (attempt <= 2).then_some(Retry(Some(Wait {
                delay: Duration::ZERO,
                decided_by: DecidedBy::Backoff,
                max_attempts: None,
            }))),
            Self::Default => {
                if attempt >= MAX_ATTEMPTS || !is_transient(failed.kind) {
                    return None;
                }
                let backoff = INITIAL_DELAY * 2_u32.pow(attempt - 1);
                let (delay, decided_by) = match failed.hint {
                    // What the server asks for is never shortened: then rather not at all.
                    Some(hint) if hint > MAX_HINT => return None,
                    Some(hint) if hint > backoff => (hint, DecidedBy::Hint),
                    _ => (backoff, DecidedBy::Backoff),
                };
                Some(Retry(Some(Wait {
                    delay,
                    decided_by,
                    max_attempts: Some(MAX_ATTEMPTS),
                })))
            }
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    Result,
    Failed(Failed),
}

/// A run as the contract tells it.
pub(crate) struct Expected {
    pub(crate) sheet: Sheet,
    pub(crate) ended: Ended,
    pub(crate) requests: usize,
    pub(crate) discarded: usize,
    pub(crate) tool_runs: usize,
}

/// Computes what a cell comes to. `said` is what was seen of an attempt in the run itself, for faults
/// of which the network decides how much that is.
pub(crate) fn expected(cell: &Cell, said: impl Fn(u32, u32) -> Option<String>) -> Expected {
    let mut run = Expected {
        sheet: vec!["run_started".to_owned()],
        ended: Ended::Result,
        requests: 0,
        discarded: 0,
        tool_runs: 0,
    };
    let mut history = vec![lines::prompt()];
    let mut requests = Vec::new();
    run.sheet.push(lines::message(&lines::prompt()));
    'turns: for turn in 1..=TURNS {
        for attempt in 1.. {
            run.sheet.push(lines::attempt(turn, attempt));
            requests.push(history.len());
            let met = cell.strikes.meets(turn, attempt);
            let failed = met.then(|| failure(&cell.fault, cell.wire)).flatten();
            let seen = failed.as_ref().map_or(Seen::AllText, |failed| failed.seen);
            let mut text = seen.text(turn);
            if failed.is_some()
                && loses_bytes(&cell.fault)
                && let Some(said) = said(turn, attempt).filter(|said| text.starts_with(said))
            {
                text = said;
            }
            run.sheet.extend(lines::says(turn, attempt, &text));
            let Some(failed) = failed else {
                break;
            };
            run.discarded += 1;
            run.sheet.push(lines::discarded(turn, attempt, &failed));
            match cell.strategy.decide(&failed, attempt) {
                Some(Retry(None)) => {}
                Some(Retry(Some(wait))) => {
                    let Wait {
                        delay,
                        decided_by,
                        max_attempts,
                    } = wait;
                    let line = lines::waits(turn, attempt, delay, decided_by, max_attempts);
                    run.sheet.push(line);
                }
                None => {
                    run.sheet.push(lines::force_stop(turn, attempt, &failed));
                    run.ended = Ended::Failed(failed);
                    // Of a turn that failed nothing stays, and of the first not even the prompt.
                    if turn == 1 {
                        history.clear();
                    }
                    break 'turns;
                }
            }
        }
        let answer = lines::answer(turn);
        run.sheet.push(lines::message(&answer));
        history.push(answer);
        if script::arguments(turn).is_some() {
            run.tool_runs += 1;
            run.sheet.extend(lines::tool_runs(turn));
            let result = lines::tool_result(turn);
            run.sheet.push(lines::message(&result));
            history.push(result);
        }
    }
    run.requests = requests.len();
    if run.ended == Ended::Result {
        let line = lines::result(StopReason::EndTurn, run.requests, TURNS);
        run.sheet.push(line);
    }
    let line = lines::counts(run.requests, run.requests, run.tool_runs);
    run.sheet.push(line);
    run.sheet
        .extend(history.iter().map(|message| lines::kept(message)));
    run.sheet
        .extend(requests.iter().map(|count| lines::request(*count)));
    run
}
