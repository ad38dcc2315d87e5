//! `docs/events.md` is the events as the code serialises them, and the hook events as it declares them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use steadfast::{
    Agent, AgentEvent, CallRole, ContentBlock, DecidedBy, DiscardReason, Fallback, FunctionTool,
    Hedge, HookProvider, HookRegistry, MediaSource, Message, Model, ModelDelta, ModelError,
    ModelErrorKind, ModelRequest, ModelRetryStrategy, ModelStream, Reasoning, StopReason,
    TokioRuntime, ToolError, ToolResult, ToolUse, Usage, async_trait, millis, secs,
    testing::{Reply, ScriptedModel},
};

use crate::page::{blocks, known, names, read, rows, section};

const PAGE: &str = "docs/events.md";
const COMMON: [&str; 5] = ["type", "run", "turn", "attempt", "at_ms"];

/// A model that brings its hedge along.
struct Hedged(ScriptedModel);

#[async_trait]
impl Model for Hedged {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.0.stream(request).await
    }

    fn register_hooks(&self, hooks: &mut HookRegistry) {
        Hedge::after(secs(5)).register_hooks(hooks);
    }
}

fn first(replies: impl IntoIterator<Item = Reply>) -> ScriptedModel {
    ScriptedModel::new(replies).named("openai:gpt-5-mini")
}

/// The events of a run as observers are told them, in their stored form.
///
/// Time is paused and chance is seeded, so they are the same each time.
async fn stored(model: impl Model) -> Vec<String> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let get_weather = FunctionTool::new("get_weather", "", |_: Value| async {
        tokio::time::sleep(millis(250)).await;
        Ok::<_, ToolError>("6 °C, light rain")
    });
    let agent = Agent::builder()
        .model(model)
        .tool(get_weather)
        .observe(move |event: &AgentEvent| {
            told.lock()
                .unwrap()
                .push(serde_json::to_string(event).unwrap());
        })
        .build()
        .unwrap();
    let runtime = TokioRuntime::seeded(7);
    let run = agent
        .prompt("Should I take an umbrella to Oslo?")
        .on_runtime(&runtime);
    // A model that never ends has its run dropped.
    let _either = tokio::time::timeout(secs(60), run).await;
    let events = events.lock().unwrap();
    events.clone()
}

/// Runs that tell every type of event.
async fn every_event() -> Vec<String> {
    let limited = ModelError::new(ModelErrorKind::Throttled, "Rate limit reached.")
        .with_status(429)
        .with_code("rate_limit_exceeded")
        .with_request_id("req_1")
        .with_retry_after(secs(12));
    let refused = ModelError::new(ModelErrorKind::Auth, "Incorrect API key provided.")
        .with_status(401)
        .with_code("invalid_api_key");
    let ends_well = [
        Reply::text("Let me").then_fail(ModelErrorKind::Network),
        Reply::error(limited),
        Reply::tool_call("get_weather", json!({"city": "Oslo"}))
            .preceded_by(ModelDelta::Reasoning("Oslo: look it up.".into()))
            .with_usage(Usage::new(120, 18)),
        Reply::text("Take one.").with_usage(Usage::new(150, 5)),
    ];
    let second = ScriptedModel::new([Reply::text("Yes.")]).named("anthropic:claude-haiku-4-5");
    let exhausted = first([Reply::fail(ModelErrorKind::QuotaExhausted)]);
    let mut events = stored(first(ends_well)).await;
    events.extend(stored(first([Reply::error(refused)])).await);
    events.extend(stored(first([Reply::hang()])).await);
    events.extend(stored(Fallback::new(exhausted).then(second)).await);
    let slow = [Reply::hang(), Reply::text("Yes.").after(secs(2))];
    events.extend(stored(Hedged(first(slow))).await);
    events
}

/// Whether a value is what the page says, such as `number or null`.
fn is_of_type(value: &Value, said: &str) -> bool {
    said.split(" or ").any(|kind| match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    })
}

#[tokio::test(start_paused = true)]
async fn every_event_has_a_section_with_its_very_fields() {
    let page = read(PAGE);
    let mut told: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for line in every_event().await {
        let event: Value = serde_json::from_str(&line).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        told.entry(kind).or_default().push((line, event));
    }

    let types: BTreeSet<String> = told.keys().cloned().collect();
    assert_eq!(types, known::<AgentEvent>(json!({"type": "?"})));
    for (kind, events) in told {
        let text = section(&page, &format!("### `{kind}`"));
        let rows = rows(text);
        let own = rows.iter().map(|row| row[0].trim_matches('`').to_owned());
        let common = COMMON.map(str::to_owned);
        let fields: BTreeSet<String> = own.chain(common).collect();
        for (_, event) in &events {
            assert_eq!(keys(event.clone()), fields, "{kind}");
            for row in &rows {
                let value = &event[row[0].trim_matches('`')];
                assert!(is_of_type(value, row[1]), "{kind}, {}: {value}", row[0]);
            }
        }
        let example = blocks(text, "json").concat();
        let lines: Vec<String> = events.into_iter().map(|(line, _)| line).collect();
        let is_told = lines.iter().any(|line| *line == example.trim_end());
        assert!(
            is_told,
            "the example of {kind} is none of\n{}",
            lines.join("\n")
        );
    }
}

/// The keys of a stored value.
fn keys(value: Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The names in the first cells of a section's table.
fn first_cells(heading: &str) -> BTreeSet<String> {
    let page = read(PAGE);
    let rows = rows(section(&page, heading));
    rows.into_iter().flat_map(|row| names(row[0])).collect()
}

#[tokio::test]
async fn errors_of_a_model_have_the_fields_on_the_page() {
    let error = ModelError::new(ModelErrorKind::Throttled, "")
        .with_request_id("1")
        .with_aws_retry_after(secs(1))
        .with_should_retry(true)
        .with_why("");
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::error(error)]))
        .retry_strategy(ModelRetryStrategy::new().max_attempts(1))
        .build()
        .unwrap();

    let failed = agent.prompt("?").await.unwrap_err();

    let fields = first_cells("### An error of the model");
    assert_eq!(fields, keys(json!(failed.failure())));
}

#[test]
fn reasons_and_kinds_on_the_page_are_those_of_the_code() {
    let page = read(PAGE);
    let named = |heading: &str, field: &str| {
        let rows = rows(section(&page, heading));
        let row = rows
            .into_iter()
            .find(|row| row[0] == format!("`{field}`"))
            .unwrap();
        names(row[2])
    };

    let reasons = known::<DiscardReason>(json!("?"));
    assert_eq!(named("### `attempt_discarded`", "reason"), reasons);
    let decided = known::<DecidedBy>(json!("?"));
    assert_eq!(named("### `event_loop_throttle`", "decided_by"), decided);
    let roles = known::<CallRole>(json!("?"));
    assert_eq!(named("### `hedge_won`", "winner"), roles);
    let mut stops = named("### `result`", "stop_reason");
    // A run never ends with these, and its messages may.
    stops.extend(["tool_use", "pause_turn"].map(str::to_owned));
    assert_eq!(stops, known::<StopReason>(json!("?")));
}

#[test]
fn content_blocks_have_the_fields_on_the_page() {
    let call = ToolUse::new("call_1", "get_weather", json!({}));
    let document = ContentBlock::Document {
        source: MediaSource::Url { url: String::new() },
        name: Some(String::new()),
    };
    let blocks = [
        ContentBlock::text(""),
        ContentBlock::Refusal {
            text: String::new(),
        },
        ContentBlock::Reasoning(Reasoning::new("").with_opaque(json!(1))),
        ContentBlock::ToolUse(call.clone()),
        ContentBlock::ToolResult(ToolResult::ok(&call, Vec::new())),
        ContentBlock::image_url(""),
        document,
        ContentBlock::Opaque { data: json!({}) },
    ];
    let page = read(PAGE);
    let rows = rows(section(&page, "### A content block"));

    let shown: BTreeMap<&str, BTreeSet<String>> = rows
        .into_iter()
        .map(|row| (row[0].trim_matches('`'), names(row[1])))
        .collect();

    let kinds: BTreeSet<String> = shown.keys().map(|&kind| kind.to_owned()).collect();
    assert_eq!(kinds, known::<ContentBlock>(json!({"type": "?"})));
    for block in blocks {
        let stored = json!(block);
        let mut fields = keys(stored.clone());
        fields.remove("type");
        assert_eq!(shown[stored["type"].as_str().unwrap()], fields);
    }
}

#[test]
fn messages_and_usage_have_the_fields_on_the_page() {
    let mut message = Message::assistant("");
    message.stop_reason = Some(StopReason::EndTurn);
    let mut usage = Usage::new(1, 1);
    (
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    ) = (1, 1, 1);
    message.usage = Some(usage);

    assert_eq!(first_cells("### A message"), keys(json!(message)));
    assert_eq!(first_cells("### Usage"), keys(json!(usage)));
}
