//! The orders of events and hooks that the pages show are those of real runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use steadfast::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, AgentEvent, AttemptDiscardedEvent, BeforeInvocationEvent, BeforeModelCallEvent,
    BeforeToolCallEvent, BeforeToolsEvent, CancellationToken, EventLoopThrottleEvent,
    ForceStopEvent, FunctionTool, HookEvent, MessageAddedEvent, ModelErrorKind, Role, ToolError,
    secs,
    testing::{Reply, ScriptedModel},
};
use tokio::time::Instant;

use crate::page::{blocks, read, section};

/// What hooks were asked and observers were told, in one list.
#[derive(Clone)]
struct Order(Arc<Mutex<(Instant, Vec<String>)>>);

impl Order {
    fn push(&self, line: String) {
        let mut order = self.0.lock().unwrap();
        let passed = order.0.elapsed();
        if !passed.is_zero() {
            order.1.push(format!("       ({passed:?} later)"));
            order.0 = Instant::now();
        }
        order.1.push(line);
    }

    fn watch<E: HookEvent>(&self, builder: AgentBuilder) -> AgentBuilder {
        let order = self.clone();
        builder.on(move |_: &mut E| order.push(format!("asked  {}", E::NAME)))
    }

    fn watch_all(&self, builder: AgentBuilder) -> AgentBuilder {
        let builder = self.watch::<BeforeInvocationEvent>(builder);
        let builder = self.watch::<AfterInvocationEvent>(builder);
        let builder = self.watch::<MessageAddedEvent>(builder);
        let builder = self.watch::<BeforeModelCallEvent>(builder);
        let builder = self.watch::<AfterModelCallEvent>(builder);
        let builder = self.watch::<BeforeToolsEvent>(builder);
        let builder = self.watch::<AfterToolsEvent>(builder);
        let builder = self.watch::<BeforeToolCallEvent>(builder);
        let builder = self.watch::<AfterToolCallEvent>(builder);
        let builder = self.watch::<EventLoopThrottleEvent>(builder);
        let builder = self.watch::<AttemptDiscardedEvent>(builder);
        let builder = self.watch::<ForceStopEvent>(builder);
        let order = self.clone();
        builder.observe(move |event: &AgentEvent| order.push(format!("told   {}", told(event))))
    }
}

/// The event's type, and what tells it from others of its type.
fn told(event: &AgentEvent) -> String {
    let stored = serde_json::to_value(event).unwrap();
    let kind = stored["type"].as_str().unwrap();
    let detail = match event {
        AgentEvent::Message(event) if event.message().role == Role::Assistant => "the answer",
        AgentEvent::Message(event) if event.message().text().is_empty() => "the results",
        AgentEvent::Message(_) => "the prompt",
        AgentEvent::TextDelta(delta) => return format!("{kind}: {}", delta.text()),
        AgentEvent::EventLoopThrottle(event) => return format!("{kind}: {:?}", event.delay()),
        AgentEvent::AttemptDiscarded(_) => stored["reason"].as_str().unwrap(),
        AgentEvent::ForceStop(_) => stored["error"]["kind"].as_str().unwrap(),
        AgentEvent::Result(_) => stored["stop_reason"].as_str().unwrap(),
        _ => return kind.to_owned(),
    };
    format!("{kind}: {detail}")
}

/// Runs a prompt of a script and compares its order with the one on the page.
async fn check(page: &str, heading: &str, replies: impl IntoIterator<Item = Reply>) {
    check_cancelled_after(secs(3_600), page, heading, replies).await;
}

async fn check_cancelled_after(
    life: Duration,
    page: &str,
    heading: &str,
    replies: impl IntoIterator<Item = Reply>,
) {
    let order = Order(Arc::new(Mutex::new((Instant::now(), Vec::new()))));
    let weather = FunctionTool::new("weather", "", |_: Value| async {
        Ok::<_, ToolError>("light rain")
    });
    let builder = Agent::builder().model(ScriptedModel::new(replies));
    let agent = order.watch_all(builder.tool(weather)).build().unwrap();
    let token = CancellationToken::new();
    let mut run = agent
        .prompt("Umbrella?")
        .cancel_on(token.clone())
        .into_future();

    if tokio::time::timeout(life, &mut run).await.is_err() {
        token.cancel();
        let _result = run.await;
    }

    let lines = order.0.lock().unwrap().1.join("\n") + "\n";
    let text = read(page);
    let shown = blocks(section(&text, heading), "text");
    let shown = shown.first().map_or("", String::as_str);
    assert!(shown == lines, "{page}, `{heading}` should be\n{lines}");
}

fn look() -> Reply {
    Reply::tool_call("weather", json!({"city": "Oslo"}))
}

#[tokio::test(start_paused = true)]
async fn text_turn_has_the_order_on_the_page() {
    check(
        "docs/concepts/loop.md",
        "### A text turn",
        [Reply::text("Yes.")],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn tool_turn_has_the_order_on_the_page() {
    let replies = [look(), Reply::text("Yes.")];
    check("docs/concepts/loop.md", "### A tool turn", replies).await;
}

#[tokio::test(start_paused = true)]
async fn throttled_turn_has_the_order_on_the_page() {
    let replies = [
        Reply::text("Ye").then_fail(ModelErrorKind::Throttled),
        Reply::text("Yes."),
    ];
    check("docs/concepts/loop.md", "### A throttled turn", replies).await;
}

#[tokio::test(start_paused = true)]
async fn failed_run_has_the_order_on_the_page() {
    let replies = [Reply::fail(ModelErrorKind::Auth)];
    check("docs/concepts/loop.md", "### A failed run", replies).await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_has_the_order_on_the_page() {
    let page = "docs/concepts/cancellation.md";
    let replies = [Reply::throttled()];
    check_cancelled_after(secs(1), page, "### A cancelled wait", replies).await;
}
