//! What the events of hooks show: the loop's own counts, and what other hooks have written.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterModelCallEvent, AfterToolCallEvent, Agent, AgentEvent, BeforeToolCallEvent, FunctionTool,
    ModelDelta, StopReason, ToolError, secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

/// What was seen, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn look() -> FunctionTool {
    FunctionTool::new("look", "Looks.", |_: Value| async {
        Ok::<_, ToolError>("seen")
    })
}

#[tokio::test(start_paused = true)]
async fn attempt_shows_its_waits_its_time_and_whether_it_spoke() {
    let seen = Seen::default();
    let noting = seen.clone();
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::text("Yes."),
    ]);
    let agent = Agent::builder()
        .model(model)
        .on(move |event: &mut AfterModelCallEvent| {
            noting.note(format!(
                "{} {:?} {:?} {}",
                event.waits(),
                event.elapsed(),
                event.last_delay(),
                event.output_started()
            ));
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let expected = [
        "0 0ns None false",
        "1 4s Some(4s) true",
        "2 12s Some(8s) true",
    ];
    assert_eq!(seen.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn refused_call_shows_the_words_of_the_refusal() {
    let seen = Seen::default();
    let noting = seen.clone();
    let calls = [("look", json!({"at": "cards"})), ("look", json!({}))];
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::tool_calls(calls),
            Reply::text("Well."),
        ]))
        .tool(look())
        .on(|event: &mut BeforeToolCallEvent| {
            if event.tool_use.input.get("at").is_some() {
                event.cancel = Some("not the cards".into());
            }
        })
        .on(move |event: &mut AfterToolCallEvent| {
            noting.note(format!("{:?}", event.cancel_message()));
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    assert_eq!(seen.lines(), ["Some(\"not the cards\")", "None"]);
}

#[tokio::test(start_paused = true)]
async fn delay_of_a_tool_goes_with_the_retry_it_was_declared_with() {
    let model = ScriptedModel::new([Reply::tool_call("look", json!({})), Reply::text("Well.")]);
    // Asked in reverse: the last one declares a delay, the next takes the retry back, the first
    // retries at once.
    let agent = Agent::builder()
        .model(model)
        .tool(look())
        .on(|event: &mut AfterToolCallEvent| event.retry = event.tries() == 1)
        .on(|event: &mut AfterToolCallEvent| event.retry = false)
        .on(|event: &mut AfterToolCallEvent| event.retry_after(secs(9)))
        .build()
        .unwrap();
    let began = Instant::now();

    agent.prompt("?").await.unwrap();

    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn empty_pieces_are_no_events_and_no_output() {
    let seen = Seen::default();
    let noting = seen.clone();
    let pieces = [
        ModelDelta::Text(String::new()),
        ModelDelta::Reasoning(String::new()),
        ModelDelta::Refusal(String::new()),
        ModelDelta::Stop(StopReason::EndTurn),
    ];
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::deltas(pieces)]))
        .on(move |event: &mut AfterModelCallEvent| {
            noting.note(format!("{}", event.output_started()));
        })
        .build()
        .unwrap();
    let mut events = agent.prompt("?").stream();

    while let Some(event) = events.next().await {
        if let AgentEvent::TextDelta(_) | AgentEvent::ReasoningDelta(_) = event {
            seen.note(format!("{event:?}"));
        }
    }

    assert_eq!(seen.lines(), ["false"]);
}
