//! Scripted streams, and what was met in them as words.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use steadfast_resilience::{Backoff, Resilient, ResilientStream, Retry, secs};

pub(crate) type Attempt = Vec<Result<u64, &'static str>>;
pub(crate) type Inner = Pin<Box<dyn Stream<Item = Result<u64, &'static str>>>>;

pub(crate) fn doubling() -> Retry<&'static str> {
    Retry::new(Backoff::exponential(secs(1)))
}

/// Opens the attempts in turn; behind them, a stream that fails at once.
pub(crate) fn script(attempts: impl Into<Vec<Attempt>>) -> impl FnMut() -> Inner {
    let mut attempts = attempts.into().into_iter();
    move || {
        let attempt = attempts
            .next()
            .unwrap_or_else(|| vec![Err("out of script")]);
        Box::pin(stream::iter(attempt))
    }
}

/// To milliseconds: what is less than a billionth of a request is not waited for.
fn rounded(wait: Duration) -> Duration {
    Duration::from_secs_f64((wait.as_secs_f64() * 1e3).round() / 1e3)
}

pub(crate) fn word(next: Result<Resilient<u64>, &'static str>) -> String {
    match next {
        Ok(Resilient::Item(item)) => item.to_string(),
        Ok(Resilient::Queued(wait)) => format!("queued:{:?}", rounded(wait)),
        Ok(Resilient::RateLimit(event)) => format!("go:{:?}", event.waited()),
        Ok(Resilient::Retry(event)) => format!("retry:{:?}", event.delay()),
        Ok(Resilient::Reset) => "reset".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error:{error}"),
    }
}

/// Reads to the end. What was met is shown as words.
pub(crate) async fn read<F: FnMut(u64) -> Inner>(stream: ResilientStream<Inner, F>) -> String {
    let words: Vec<String> = stream.map(word).collect().await;
    words.join(" ")
}
