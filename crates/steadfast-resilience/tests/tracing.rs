//! What is written for who installs a subscriber: a line for each retry, for its end, for each wait, for
//! each change of a circuit and for each hedge.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, stream};
use steadfast_resilience::{
    AdaptiveLimiter, Backoff, CircuitBreaker, Cost, Limiter, Retry, RetryBudget, RetryQuota, hedge,
    hedge_if, millis, rate_limited_stream, retry_stream, secs,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

type TestResult = Result<(), Box<dyn Error>>;

/// The fields of one line, its message and its level among them.
type Line = BTreeMap<&'static str, String>;

/// Keeps the lines of this crate. There are no spans.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Lines {
    fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("steadfast_resilience")
    }

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level().to_string();
        let mut fields = Fields(Line::from([("level", level)]));
        event.record(&mut fields);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(fields.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Fields(Line);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Keeps the lines that this thread writes from here on.
fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    (lines.clone(), tracing::subscriber::set_default(lines))
}

fn line_at<const N: usize>(level: Level, fields: [(&'static str, &str); N]) -> Line {
    let mut line = Line::from(fields.map(|(name, value)| (name, value.to_owned())));
    line.insert("level", level.to_string());
    line
}

fn line<const N: usize>(fields: [(&'static str, &str); N]) -> Line {
    line_at(Level::DEBUG, fields)
}

#[tokio::test(start_paused = true)]
async fn retries_and_their_end_are_written_with_their_fields() {
    // AT-11.
    let (lines, _guard) = listen();
    let retry = Retry::new(Backoff::exponential(secs(1)))
        .operation_type("tool")
        .operation_name("search")
        .step_id("step-7")
        .error_kind(|_: &&str| "network".to_owned())
        .request_id(|_| Some("req-1".to_owned()));

    let failed = retry.max_attempts(2).map(|retry| async move {
        let _: Result<(), _> = retry.run(async || Err("no route")).await;
    });
    failed.unwrap().await;

    let retried = line([
        ("message", "waiting before a retry"),
        ("operation", "search"),
        ("operation_type", "tool"),
        ("step", "step-7"),
        ("attempt", "1"),
        ("max_attempts", "2"),
        ("error", "no route"),
        ("error_kind", "network"),
        ("request_id", "req-1"),
        ("delay", "1s"),
    ]);
    let ended = line([
        ("message", "giving up"),
        ("operation", "search"),
        ("operation_type", "tool"),
        ("step", "step-7"),
        ("attempt", "2"),
        ("max_attempts", "2"),
        ("error", "no route"),
        ("why", "no attempt is left"),
    ]);
    assert_eq!(lines.take(), [retried, ended]);
}

/// Has an operation fail once, and says why it was given up.
async fn why(retry: Retry<&'static str>) -> Option<String> {
    let (lines, _guard) = listen();
    let _: Result<(), _> = retry.run(async || Err("no")).await;
    let last = lines.take().pop()?;
    last.get("why").cloned()
}

#[tokio::test(start_paused = true)]
async fn reason_to_give_up_is_written() -> TestResult {
    let retry = || Retry::<&str>::new(Backoff::constant(secs(10)));
    let year = secs(365 * 86_400);
    let spent = RetryBudget::builder()
        .floor_per_minute(0)
        .share(0.0)
        .build()?;

    let reasons = [
        why(retry().max_attempts(1)?).await,
        why(retry().retry_if(|_| false)).await,
        why(retry().deadline(secs(5))).await,
        why(retry().quota(RetryQuota::new(0), 1)).await,
        why(retry().budget(spent)).await,
        why(retry().hint(move |_| Some(year))).await,
    ];

    let expected = [
        "no attempt is left",
        "the error is not retried",
        "the wait would pass the deadline",
        "the quota is used up",
        "the retry budget is used up",
        "the server asks for more than is ever waited",
    ];
    assert_eq!(reasons.map(Option::unwrap_or_default), expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_its_retries_writes_why() -> TestResult {
    let (lines, _guard) = listen();
    let retry = || Retry::new(Backoff::constant(secs(1)));
    let cut = || stream::iter([Ok(1), Err("cut")]);
    let limiter = Limiter::builder().per_minute(1.0).burst(1).build()?;

    retry_stream(retry(), cut).count().await;
    let output = lines.take();
    let fails = || stream::iter([Err::<(), _>("no")]);
    rate_limited_stream(&limiter, fails)
        .retry(retry().deadline(secs(30)))
        .per_attempt()
        .count()
        .await;
    let late = lines.take();

    let last = |lines: Vec<Line>| {
        let mut line = lines.into_iter().last()?;
        Some((line.remove("attempt")?, line.remove("why")?))
    };
    let expected = ("1".to_owned(), "its reader has met items".to_owned());
    assert_eq!(last(output), Some(expected));
    let why = "the limiter would let it go behind the deadline".to_owned();
    assert_eq!(last(late), Some(("1".to_owned(), why)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_limiter_is_written_and_none_is_not() -> TestResult {
    let limiter = Limiter::builder()
        .per_second(10.0)
        .burst(1)
        .tokens_per_minute(60_000.0)
        .build()?;
    let (lines, _guard) = listen();

    let cost = Cost::request().tokens(500);
    drop(limiter.acquire(cost).await?);
    let free = lines.take();
    drop(limiter.acquire(cost).await?);

    let expected = line([
        ("message", "waiting for a limiter"),
        ("requests", "1"),
        ("tokens", "500"),
        ("expected_wait", "100ms"),
    ]);
    assert_eq!((free, lines.take()), (vec![], vec![expected]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wait_for_an_adaptive_limiter_is_written_once() {
    let limiter = AdaptiveLimiter::new();
    limiter.throttled();
    let (lines, _guard) = listen();

    let (waiting, answering) = (limiter.acquire(), async {
        // The rate changes while it waits.
        for _ in 0..3 {
            tokio::time::sleep(secs(1) / 10).await;
            limiter.answered();
        }
    });
    tokio::join!(waiting, answering);

    let expected = line([
        ("message", "waiting for an adaptive limiter"),
        ("expected_wait", "2s"),
    ]);
    assert_eq!(lines.take(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn changes_of_a_circuit_are_written_and_its_calls_are_not() -> TestResult {
    let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
    let (lines, _guard) = listen();

    for _ in 0..2 {
        breaker.begin("search")?.failed();
    }
    assert!(breaker.begin("search").is_err());
    tokio::time::advance(secs(30)).await;
    breaker.begin("search")?.succeeded();

    let opened = line_at(
        Level::WARN,
        [
            ("message", "a circuit opens: calls are refused"),
            ("key", "search"),
            ("open_for", "Some(30s)"),
        ],
    );
    let told = |message| line_at(Level::INFO, [("message", message), ("key", "search")]);
    let tried = told("a circuit is half-open: one call tries");
    let closed = told("a circuit closes: calls go again");
    assert_eq!(lines.take(), [opened, tried, closed]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hedge_is_written_if_it_is_made() -> TestResult {
    let (lines, _guard) = listen();
    let slow = || async {
        tokio::time::sleep(secs(2)).await;
        Ok::<_, String>(())
    };

    hedge(secs(3), slow).await?;
    hedge_if(millis(200), || false, slow).await?;
    assert_eq!(lines.take(), []);
    hedge(millis(200), slow).await?;

    let expected = line([
        ("message", "a call is slow: it is made a second time"),
        ("delay", "200ms"),
    ]);
    assert_eq!(lines.take(), [expected]);
    Ok(())
}
