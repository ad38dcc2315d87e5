//! Decides what each request gets: a refusal, a recorded answer, or an answer with its fault.
//!
//! It speaks no wire: what is said in which words is up to the request's dialect.
//!
//! It holds the state that requests share (bucket, faults, cassette, list of requests) and never
//! waits for anything, so its lock is never held across an await.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cassette::Player;
use crate::dialect::{Caller, Failure, ResetTime, Wanted};
use crate::fault::{FaultQueue, RetryHint, disturb};
use crate::rate_limit::Bucket;
use crate::reply::{Draft, Pace, Reply};
use crate::{
    Answer, Cassette, ChatRequest, Fault, FaultScript, HintStyle, RateLimit, SeenRequest, Wire,
    wire,
};

/// The limit that the error of a `429` fault names if the simulator has none.
const NAMED_LIMIT: u64 = 60;

/// The headers in which clients send their keys.
const KEY_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Answers for the model.
pub(crate) type Answerer = Box<dyn Fn(&ChatRequest) -> Answer + Send + Sync>;

/// Who is told of each request.
pub(crate) type Watcher = Box<dyn Fn(&SeenRequest) + Send + Sync>;

/// What all connections share.
pub(crate) struct Reception {
    hint: HintStyle,
    requests_per_minute: u64,
    answerer: Answerer,
    chunk_delay: Duration,
    kept_requests: usize,
    watcher: Option<Watcher>,
    started: Instant,
    numbers: AtomicU64,
    stopping: CancellationToken,
    ledger: Mutex<Ledger>,
}

/// What changes from request to request.
struct Ledger {
    bucket: Option<Bucket>,
    faults: FaultQueue,
    player: Option<Player>,
    requests: VecDeque<SeenRequest>,
}

/// A request that has come, before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) wire: Wire,
    /// Its number, from which all identifiers in its answer are made.
    number: u64,
    /// When it came, since the start.
    at: Duration,
}

/// What a request gets, before it is recorded and sent.
#[derive(Debug)]
pub(crate) struct Decision {
    draft: Draft,
    fault: Fault,
    /// The headers of the rate limit, if it was asked.
    limit_headers: HeaderMap,
    /// The seed of the cuts, if the answer comes from a cassette.
    recut: Option<u64>,
    body: Value,
}

impl Decision {
    /// Sends a draft as it is.
    fn undisturbed(draft: Draft) -> Self {
        Self {
            draft,
            fault: Fault::Ok,
            limit_headers: HeaderMap::new(),
            recut: None,
            body: Value::Null,
        }
    }

    fn disturbed(fault: Fault, draft: Draft, caller: &Caller<'_>) -> Self {
        let draft = disturb(&fault, draft, caller);
        Self {
            fault,
            ..Self::undisturbed(draft)
        }
    }
}

impl Reception {
    pub(crate) fn new(
        limit: Option<RateLimit>,
        hint: HintStyle,
        faults: FaultScript,
        answerer: Answerer,
    ) -> Self {
        let started = Instant::now();
        Self {
            hint,
            requests_per_minute: limit.map_or(NAMED_LIMIT, RateLimit::requests_per_minute),
            answerer,
            chunk_delay: Duration::ZERO,
            kept_requests: usize::MAX,
            watcher: None,
            started,
            numbers: AtomicU64::new(1),
            stopping: CancellationToken::new(),
            ledger: Mutex::new(Ledger {
                bucket: limit.map(|limit| Bucket::full(limit, started)),
                faults: faults.into(),
                player: None,
                requests: VecDeque::new(),
            }),
        }
    }

    pub(crate) fn with_cassette(self, cassette: Option<Cassette>) -> Self {
        self.ledger().player = cassette.map(Player::new);
        self
    }

    pub(crate) fn with_chunk_delay(mut self, delay: Duration) -> Self {
        self.chunk_delay = delay;
        self
    }

    pub(crate) fn with_kept_requests(mut self, count: usize) -> Self {
        self.kept_requests = count;
        self
    }

    pub(crate) fn with_watcher(mut self, watcher: Option<Watcher>) -> Self {
        self.watcher = watcher;
        self
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Takes note of a request.
    pub(crate) fn arrive(&self, head: &Parts) -> Arrival {
        Arrival {
            wire: Wire::of(head),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            at: self.started.elapsed(),
        }
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.ledger().requests.iter().cloned().collect()
    }

    /// Decides what a request gets.
    pub(crate) fn decide(&self, arrival: Arrival, head: &Parts, body: &[u8]) -> Decision {
        let json = serde_json::from_slice(body).ok();
        let is_json = json.is_some();
        let request =
            ChatRequest::for_wire(arrival.wire, json.unwrap_or_default()).at(wire::path(head));
        let caller = self.caller(arrival, request.model());
        let decision = self.replay(head, &caller).unwrap_or_else(|| {
            let answer = check(head, is_json, &request, &caller).map(|wanted| match wanted {
                Wanted::Models => Decision::undisturbed(caller.dialect().models()),
                Wanted::Answer => self.answer(&request, &caller),
            });
            answer.unwrap_or_else(|refusal| Decision::undisturbed(*refusal))
        });
        Decision {
            body: request.into_body(),
            ..decision
        }
    }

    /// Refuses a request whose body is too large to be read.
    pub(crate) fn too_large(&self, arrival: Arrival) -> Decision {
        let mut draft = self.caller(arrival, "").refuse(&Failure::TooLarge);
        // The rest of the body is not read, so the connection is of no further use.
        let close = HeaderValue::from_static("close");
        draft.headers.insert(CONNECTION, close);
        Decision::undisturbed(draft)
    }

    /// Records a request, and says what is sent in which order.
    pub(crate) fn conclude(&self, arrival: Arrival, head: Parts, decision: Decision) -> Reply {
        let Decision {
            mut draft,
            fault,
            limit_headers,
            recut,
            body,
        } = decision;
        let is_recorded = recut.is_some() && fault == Fault::Ok;
        if !is_recorded {
            let took = self.started.elapsed().saturating_sub(arrival.at);
            let headers = arrival.wire.dialect().headers(arrival.number, took);
            draft.headers.extend(headers);
        }
        draft.headers.extend(limit_headers);
        let mut headers = head.headers;
        // Whoever prints the headers does not want to print the keys, however many there are.
        for (name, value) in &mut headers {
            if KEY_HEADERS.contains(name) {
                value.set_sensitive(true);
            }
        }
        self.remember(SeenRequest {
            method: head.method,
            path: head.uri.path().to_owned(),
            headers,
            body,
            status: (!draft.silent).then_some(draft.status),
            fault: (fault != Fault::Ok).then_some(fault),
            at: arrival.at,
        });
        draft.into_reply(Pace {
            delay: self.chunk_delay,
            recut,
        })
    }

    fn remember(&self, request: SeenRequest) {
        // Without the lock, as for the answerer.
        if let Some(watcher) = &self.watcher {
            watcher(&request);
        }
        let requests = &mut self.ledger().requests;
        requests.push_back(request);
        while requests.len() > self.kept_requests {
            requests.pop_front();
        }
    }

    /// Answers from the cassette, if there is one.
    fn replay(&self, head: &Parts, caller: &Caller<'_>) -> Option<Decision> {
        let mut ledger = self.ledger();
        let Ledger {
            bucket,
            faults,
            player,
            ..
        } = &mut *ledger;
        let player = player.as_mut()?;
        let path = head.uri.path();
        let found = player.find(&head.method, path);
        let Some((index, draft)) = found.and_then(|index| Some((index, player.draft(index)?)))
        else {
            let draft = player.nothing_left(&head.method, path, caller);
            return Some(Decision::undisturbed(draft));
        };
        let (limit_headers, admitted) = self.admit(bucket.as_mut(), caller);
        let decision = match admitted {
            Err(refusal) => Decision::undisturbed(*refusal),
            Ok(()) => {
                let fault = faults.take();
                if fault == Fault::Ok {
                    player.use_up(index);
                }
                Decision {
                    recut: Some(player.seed()),
                    ..Decision::disturbed(fault, draft, caller)
                }
            }
        };
        Some(Decision {
            limit_headers,
            ..decision
        })
    }

    /// Lets the model answer, if the rate limit admits the request.
    fn answer(&self, request: &ChatRequest, caller: &Caller<'_>) -> Decision {
        let (limit_headers, admitted) = {
            let mut ledger = self.ledger();
            let (headers, admitted) = self.admit(ledger.bucket.as_mut(), caller);
            (headers, admitted.map(|()| ledger.faults.take()))
        };
        let decision = match admitted {
            Err(refusal) => Decision::undisturbed(*refusal),
            Ok(fault) => {
                // Without the lock: an answerer may ask the simulator what it has seen.
                let answer = (self.answerer)(request);
                let draft = caller.dialect().answer(&answer, request, caller.number);
                Decision::disturbed(fault, draft, caller)
            }
        };
        Decision {
            limit_headers,
            ..decision
        }
    }

    /// Asks the rate limit. Returns its headers, and a refusal if it does not admit the request.
    fn admit(
        &self,
        bucket: Option<&mut Bucket>,
        caller: &Caller<'_>,
    ) -> (HeaderMap, Result<(), Box<Draft>>) {
        let Some(bucket) = bucket else {
            return (HeaderMap::new(), Ok(()));
        };
        let admitted = bucket.take(Instant::now());
        let mut reset = ResetTime::Told;
        let refused = admitted.map_err(|wait| {
            let hint = match self.hint {
                HintStyle::Integer => RetryHint::in_whole_seconds(wait),
                HintStyle::Exact => RetryHint::in_millis(wait),
                HintStyle::None => {
                    // With nothing remaining, the time of the reset would be a hint as well.
                    reset = ResetTime::Hidden;
                    RetryHint::None
                }
            };
            let status = StatusCode::TOO_MANY_REQUESTS;
            Box::new(caller.refuse(&Failure::Status { status, hint }))
        });
        (caller.dialect().limit_headers(bucket, reset), refused)
    }

    fn caller<'a>(&self, arrival: Arrival, model: &'a str) -> Caller<'a> {
        Caller {
            wire: arrival.wire,
            number: arrival.number,
            model,
            requests_per_minute: self.requests_per_minute,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing that holds the lock leaves it half written, so a panic elsewhere is no reason to
        // stop answering.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses what the vendor refuses before it looks at limits.
fn check(
    head: &Parts,
    is_json: bool,
    request: &ChatRequest,
    caller: &Caller<'_>,
) -> Result<Wanted, Box<Draft>> {
    let refuse = |failure| Err(Box::new(caller.refuse(&failure)));
    let (method, path) = (&head.method, wire::path(head));
    let Some(wanted) = caller.dialect().wanted(path) else {
        return refuse(Failure::NothingHere { method, path });
    };
    if caller.dialect().has_wrong_base(path) {
        return refuse(Failure::WrongBase { method, path });
    }
    if *method != wanted.method() {
        return refuse(Failure::WrongMethod {
            method,
            path,
            allowed: &wanted.method(),
        });
    }
    if !caller.dialect().has_key(&head.headers) {
        return refuse(Failure::NoKey);
    }
    if wanted == Wanted::Answer {
        if !is_json {
            return refuse(Failure::NotJson);
        }
        caller.dialect().check(&head.headers, request, caller)?;
    }
    Ok(wanted)
}

impl fmt::Debug for Reception {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reception").finish_non_exhaustive()
    }
}
