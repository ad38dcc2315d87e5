//! Decides what each request gets: a refusal, a recorded answer, or an answer with its fault.
//!
//! It holds the state that requests share (bucket, faults, cassette, list of requests) and never
//! waits for anything, so its lock is never held across an await.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cassette::Player;
use crate::fault::{FaultQueue, RetryHint, disturb};
use crate::openai::{self, ErrorBody, Wanted};
use crate::rate_limit::Bucket;
use crate::reply::{Draft, Pace, Reply};
use crate::{Answer, Cassette, ChatRequest, Fault, FaultScript, HintStyle, RateLimit, SeenRequest};

/// The limit that the error of a `429` fault names if the simulator has none.
const NAMED_LIMIT: u64 = 60;

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
    pub(crate) fn undisturbed(draft: Draft) -> Self {
        Self {
            draft,
            fault: Fault::Ok,
            limit_headers: HeaderMap::new(),
            recut: None,
            body: Value::Null,
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

    /// Returns the time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.ledger().requests.iter().cloned().collect()
    }

    /// Decides what a request gets.
    pub(crate) fn decide(&self, head: &Parts, body: &[u8]) -> Decision {
        let json = serde_json::from_slice(body).ok();
        let is_json = json.is_some();
        let request = ChatRequest::new(json.unwrap_or_default());
        let mut decision = self.replay(head, &request).unwrap_or_else(|| {
            let answer = openai::check(head, is_json, &request).map(|wanted| match wanted {
                Wanted::Models => Decision::undisturbed(openai::models()),
                Wanted::Answer => self.answer(&request),
            });
            answer.unwrap_or_else(|refusal| Decision::undisturbed(*refusal))
        });
        decision.body = request.into_body();
        decision
    }

    /// Records a request, and says what is sent in which order.
    pub(crate) fn conclude(&self, arrival: Duration, head: Parts, decision: Decision) -> Reply {
        let Decision {
            mut draft,
            fault,
            limit_headers,
            recut,
            body,
        } = decision;
        let is_recorded = recut.is_some() && fault == Fault::Ok;
        if !is_recorded {
            let took = self.now().saturating_sub(arrival);
            draft.headers.extend(openai::headers(self.number(), took));
        }
        draft.headers.extend(limit_headers);
        let mut headers = head.headers;
        if let Some(key) = headers.get_mut(AUTHORIZATION) {
            // Whoever prints the headers does not want to print the key.
            key.set_sensitive(true);
        }
        self.remember(SeenRequest {
            method: head.method,
            path: head.uri.path().to_owned(),
            headers,
            body,
            status: (!draft.silent).then_some(draft.status),
            fault: (fault != Fault::Ok).then_some(fault),
            at: arrival,
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
    fn replay(&self, head: &Parts, request: &ChatRequest) -> Option<Decision> {
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
            return Some(Decision::undisturbed(
                player.nothing_left(&head.method, path),
            ));
        };
        let (limit_headers, admitted) = self.admit(bucket.as_mut(), request.model());
        let mut decision = match admitted {
            Err(refusal) => Decision::undisturbed(*refusal),
            Ok(()) => {
                let fault = faults.take();
                if fault == Fault::Ok {
                    player.use_up(index);
                }
                Decision {
                    recut: Some(player.seed()),
                    ..self.disturbed(fault, draft, request.model())
                }
            }
        };
        decision.limit_headers = limit_headers;
        Some(decision)
    }

    /// Lets the model answer, if the rate limit admits the request.
    fn answer(&self, request: &ChatRequest) -> Decision {
        let (limit_headers, admitted) = {
            let mut ledger = self.ledger();
            let (headers, admitted) = self.admit(ledger.bucket.as_mut(), request.model());
            (headers, admitted.map(|()| ledger.faults.take()))
        };
        let mut decision = match admitted {
            Err(refusal) => Decision::undisturbed(*refusal),
            Ok(fault) => {
                // Without the lock: an answerer may ask the simulator what it has seen.
                let answer = (self.answerer)(request);
                let draft = openai::draft(&answer, request, self.number());
                self.disturbed(fault, draft, request.model())
            }
        };
        decision.limit_headers = limit_headers;
        decision
    }

    /// Asks the rate limit. Returns its headers, and a refusal if it does not admit the request.
    fn admit(
        &self,
        bucket: Option<&mut Bucket>,
        model: &str,
    ) -> (HeaderMap, Result<(), Box<Draft>>) {
        let Some(bucket) = bucket else {
            return (HeaderMap::new(), Ok(()));
        };
        let admitted = bucket.take(Instant::now());
        let mut headers = openai::rate_limit_headers(bucket);
        let refused = admitted.map_err(|wait| {
            let hint = match self.hint {
                HintStyle::Integer => RetryHint::in_whole_seconds(wait),
                HintStyle::Exact => RetryHint::in_millis(wait),
                HintStyle::None => {
                    // With nothing remaining, the time of the reset would be a hint as well.
                    headers.remove(openai::RESET_HEADER);
                    RetryHint::None
                }
            };
            Box::new(self.error(StatusCode::TOO_MANY_REQUESTS, hint, model))
        });
        (headers, refused)
    }

    fn disturbed(&self, fault: Fault, draft: Draft, model: &str) -> Decision {
        let draft = disturb(&fault, draft, |status, hint| {
            self.error(status, hint, model)
        });
        Decision {
            fault,
            ..Decision::undisturbed(draft)
        }
    }

    fn error(&self, status: StatusCode, hint: RetryHint, model: &str) -> Draft {
        let body = ErrorBody::for_status(status, model, self.requests_per_minute, hint);
        let mut draft = body.into_draft(status);
        draft.headers.extend(openai::hint_headers(hint));
        draft
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing that holds the lock leaves it half written, so a panic elsewhere is no reason to
        // stop answering.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reception {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reception").finish_non_exhaustive()
    }
}
