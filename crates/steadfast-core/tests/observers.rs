//! What observers and viewers are told of attempts and waits, and when.

use std::sync::{Arc, Mutex};

use steadfast_core::{
    Agent, AgentEvent, ModelError, ModelErrorKind, ModelRetryStrategy, Role, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

/// Tells an event, and of a wait all that whoever shows it needs.
fn line(began: Instant, event: &AgentEvent) -> String {
    match event {
        AgentEvent::EventLoopThrottle(event) => format!(
            "{:?}: attempt {} of {:?}, waits {:?} from {:?} on: {}",
            began.elapsed(),
            event.attempt(),
            event.max_attempts(),
            event.delay(),
            event.at(),
            event.error().map(ToString::to_string).unwrap_or_default(),
        ),
        other => {
            let stored = serde_json::to_value(other).unwrap_or_default();
            let name = stored.get("type").and_then(serde_json::Value::as_str);
            name.unwrap_or_default().to_owned()
        }
    }
}

/// Strands 52, 54.
#[tokio::test(start_paused = true)]
async fn viewer_and_observer_see_each_wait_when_it_begins() {
    let began = Instant::now();
    let observed: Arc<Mutex<Vec<String>>> = Arc::default();
    let observing = Arc::clone(&observed);
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::throttled(),
            Reply::throttled(),
            Reply::text("Yes."),
        ]))
        .retry_strategy(ModelRetryStrategy::new().initial_delay(secs(1)))
        .observe(move |event: &AgentEvent| observing.lock().unwrap().push(line(began, event)))
        .build()
        .unwrap();

    let mut events = agent.prompt("?").stream();
    let mut viewed = Vec::new();
    while let Some(event) = events.next().await {
        viewed.push(line(began, &event));
    }

    let error = ModelError::new(ModelErrorKind::Throttled, "rate limit reached").with_status(429);
    let expected = [
        "run_started",
        "message",
        "attempt_started",
        "attempt_discarded",
        &format!("0ns: attempt 1 of Some(6), waits 1s from 0ns on: {error}"),
        "attempt_started",
        "attempt_discarded",
        &format!("1s: attempt 2 of Some(6), waits 2s from 1s on: {error}"),
        "attempt_started",
        "text_delta",
        "message",
        "result",
    ];
    assert_eq!(viewed, expected);
    assert_eq!(*observed.lock().unwrap(), expected);
}

/// Strands 64: what a span of each attempt would show.
#[tokio::test(start_paused = true)]
async fn each_attempt_begins_once_and_ends_once_and_says_how() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let seeing = Arc::clone(&seen);
    let replies = [
        Reply::throttled().after(secs(1)),
        Reply::text("half").then_cut(),
        Reply::text("Yes.").after(secs(2)),
    ];
    let agent = Agent::builder()
        .model(ScriptedModel::new(replies))
        .observe(move |event: &AgentEvent| {
            let attempt = event.scope().attempt;
            let told = match event {
                AgentEvent::AttemptStarted(_) => format!("{attempt} began"),
                AgentEvent::AttemptDiscarded(event) => {
                    let kind = event.error().map(ModelError::kind);
                    format!("{attempt} failed: {kind:?}")
                }
                AgentEvent::Message(event) if event.message().role == Role::Assistant => {
                    format!("{attempt} answered")
                }
                _ => return,
            };
            let at = event.scope().at.as_secs();
            seeing.lock().unwrap().push(format!("{at}s: {told}"));
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let expected = [
        "0s: 1 began",
        "1s: 1 failed: Some(Throttled)",
        "5s: 2 began",
        "5s: 2 failed: Some(Truncated)",
        "13s: 3 began",
        "15s: 3 answered",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}
