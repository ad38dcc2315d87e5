//! The stored form of events, as design section 7 documents it for other programs.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_core::{
    AfterModelCallEvent, Agent, AgentEvent, FunctionTool, ModelDelta, ModelError, ModelErrorKind,
    ModelRetryStrategy, NoopRetryStrategy, StopReason, ToolError, Usage, millis, secs,
    testing::{Reply, ScriptedModel},
};

/// Runs a prompt and returns the JSON of its events, checked to load back equal.
async fn stored(agent: &Agent) -> Vec<Value> {
    let mut stream = agent.prompt("Weather?").stream();
    let mut stored = Vec::new();
    while let Some(event) = stream.next().await {
        let value = serde_json::to_value(&event).unwrap_or_default();
        let loaded = serde_json::from_value::<AgentEvent>(value.clone());
        assert_eq!(loaded.ok().as_ref(), Some(&event), "{value}");
        // The text form too, since it is what is printed and read.
        let line = serde_json::to_string(&event).unwrap_or_default();
        assert_eq!(serde_json::from_str::<AgentEvent>(&line).ok(), Some(event));
        stored.push(value);
    }
    stored
}

/// Compares an event with its documented form; the run's identity is random.
fn check(event: &Value, expected: Value) {
    let mut event = event.clone();
    let fields = event.as_object_mut();
    let run = fields.and_then(|fields| fields.remove("run"));
    let run = run.as_ref().and_then(Value::as_str).unwrap_or_default();
    assert_eq!(run.len(), 32, "{event}");
    assert!(run.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(event, expected);
}

fn oslo() -> Value {
    json!({"city": "Oslo"})
}

#[tokio::test(start_paused = true)]
async fn every_event_of_a_result_has_its_documented_form() {
    let limited = ModelError::new(ModelErrorKind::Throttled, "slow down")
        .with_status(429)
        .with_code("rate_limit_exceeded")
        .with_retry_after(millis(7_500));
    let calls = [("weather", oslo()), ("nobody", json!({}))];
    let model = ScriptedModel::new([
        Reply::error(limited),
        Reply::tool_calls(calls)
            .preceded_by(ModelDelta::Text("Let me see.".into()))
            .preceded_by(ModelDelta::Reasoning("hm".into()))
            .with_usage(Usage::new(100, 20)),
        Reply::text("half").then_cut(),
        Reply::text("Rain.").with_usage(Usage::new(150, 5)),
    ]);
    let weather = FunctionTool::new("weather", "", |_: Value| async {
        tokio::time::sleep(millis(250)).await;
        Ok::<_, ToolError>("rain")
    });
    let agent = Agent::builder()
        .model(model)
        .tool(weather)
        .retry_strategy(ModelRetryStrategy::new().initial_delay(secs(1)))
        .build()
        .unwrap();

    let events = stored(&agent).await;

    let error = json!({
        "kind": "throttled", "status": 429, "code": "rate_limit_exceeded",
        "message": "slow down", "retry_after_ms": 7500,
    });
    let truncated = json!({
        "kind": "truncated", "status": null, "code": null,
        "message": "the stream ended without its end marker", "retry_after_ms": null,
    });
    let no_tool = "there is no tool `nobody`; the tools are `weather`";
    let expected = [
        json!({"type": "run_started", "turn": 1, "attempt": 0, "at_ms": 0, "schema": 1, "model": "scripted"}),
        json!({"type": "message", "turn": 1, "attempt": 0, "at_ms": 0, "message":
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]}}),
        json!({"type": "attempt_started", "turn": 1, "attempt": 1, "at_ms": 0}),
        json!({"type": "attempt_discarded", "turn": 1, "attempt": 1, "at_ms": 0,
            "reason": "model_error", "error": error}),
        json!({"type": "event_loop_throttle", "turn": 1, "attempt": 1, "at_ms": 0, "delay_ms": 7500,
            "max_attempts": 6, "error": error, "decided_by": "hint"}),
        json!({"type": "attempt_started", "turn": 1, "attempt": 2, "at_ms": 7500}),
        json!({"type": "reasoning_delta", "turn": 1, "attempt": 2, "at_ms": 7500, "text": "hm"}),
        json!({"type": "text_delta", "turn": 1, "attempt": 2, "at_ms": 7500, "text": "Let me see."}),
        json!({"type": "message", "turn": 1, "attempt": 2, "at_ms": 7500, "message": {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "text": "hm"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": oslo()},
                {"type": "tool_use", "id": "call_2", "name": "nobody", "input": {}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 100, "output_tokens": 20}}}),
        json!({"type": "tool_started", "turn": 1, "attempt": 2, "at_ms": 7500,
            "id": "call_1", "name": "weather", "input": oslo()}),
        json!({"type": "tool_started", "turn": 1, "attempt": 2, "at_ms": 7500,
            "id": "call_2", "name": "nobody", "input": {}}),
        json!({"type": "tool_finished", "turn": 1, "attempt": 2, "at_ms": 7500,
            "id": "call_2", "name": "nobody", "input": {}, "ok": false, "duration_ms": 0}),
        json!({"type": "tool_finished", "turn": 1, "attempt": 2, "at_ms": 7750,
            "id": "call_1", "name": "weather", "input": oslo(), "ok": true, "duration_ms": 250}),
        json!({"type": "message", "turn": 1, "attempt": 2, "at_ms": 7750, "message": {
        "role": "user",
        "content": [
            {"type": "tool_result", "id": "call_1", "name": "weather",
             "content": [{"type": "text", "text": "rain"}], "is_error": false},
            {"type": "tool_result", "id": "call_2", "name": "nobody",
             "content": [{"type": "text", "text": no_tool}], "is_error": true},
        ]}}),
        json!({"type": "attempt_started", "turn": 2, "attempt": 1, "at_ms": 7750}),
        json!({"type": "text_delta", "turn": 2, "attempt": 1, "at_ms": 7750, "text": "half"}),
        json!({"type": "attempt_discarded", "turn": 2, "attempt": 1, "at_ms": 7750,
            "reason": "model_error", "error": truncated}),
        json!({"type": "event_loop_throttle", "turn": 2, "attempt": 1, "at_ms": 7750, "delay_ms": 1000,
            "max_attempts": 6, "error": truncated, "decided_by": "backoff"}),
        json!({"type": "attempt_started", "turn": 2, "attempt": 2, "at_ms": 8750}),
        json!({"type": "text_delta", "turn": 2, "attempt": 2, "at_ms": 8750, "text": "Rain."}),
        json!({"type": "message", "turn": 2, "attempt": 2, "at_ms": 8750, "message": {
            "role": "assistant",
            "content": [{"type": "text", "text": "Rain."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 150, "output_tokens": 5}}}),
        json!({"type": "result", "turn": 2, "attempt": 2, "at_ms": 8750, "stop_reason": "end_turn",
            "text": "Rain.", "usage": {"input_tokens": 250, "output_tokens": 25}, "attempts": 4,
            "turns": 2, "duration_ms": 8750, "waited_ms": 8500}),
    ];
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(expected) {
        check(event, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn force_stop_tells_the_error_in_its_documented_form() {
    let error = ModelError::new(ModelErrorKind::QuotaExhausted, "no money")
        .with_status(429)
        .with_request_id("req_1");
    let quota = Agent::builder()
        .model(ScriptedModel::new([Reply::error(error)]))
        .retry_strategy(NoopRetryStrategy)
        .build()
        .unwrap();
    let late = Agent::builder()
        .model(ScriptedModel::new([Reply::throttled()]))
        .deadline(millis(2_500))
        .build()
        .unwrap();

    let of_quota = stored(&quota).await;
    let of_late = stored(&late).await;

    check(
        of_quota.last().unwrap(),
        json!({"type": "force_stop", "turn": 1, "attempt": 1, "at_ms": 0, "error": {
            "kind": "quota_exhausted", "status": 429, "code": null, "message": "no money",
            "retry_after_ms": null, "request_id": "req_1"}}),
    );
    check(
        of_late.last().unwrap(),
        json!({"type": "force_stop", "turn": 1, "attempt": 1, "at_ms": 0, "error": {
            "kind": "deadline",
            "message": "the next try in 4s would not come before the run's deadline",
            "retry_after_ms": 4000,
            "model_error": {"kind": "throttled", "status": 429, "code": null,
                "message": "rate limit reached", "retry_after_ms": null}}}),
    );
}

#[tokio::test(start_paused = true)]
async fn refusal_is_a_text_delta_and_a_refusal_block() {
    let answer = [
        ModelDelta::Refusal("I cannot.".into()),
        ModelDelta::Stop(StopReason::EndTurn),
    ];
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::deltas(answer)]))
        .build()
        .unwrap();

    let events = stored(&agent).await;

    assert_eq!(events[3]["type"], "text_delta");
    assert_eq!(
        events[4]["message"]["content"],
        json!([{"type": "refusal", "text": "I cannot."}])
    );
    assert_eq!(events[5]["stop_reason"], "refusal");
}

#[test]
fn unknown_event_is_refused_and_unknown_field_is_not() {
    let scope = r#""run":"00000000000000000000000000000001","turn":1,"attempt":1,"at_ms":0.5"#;

    let newer = serde_json::from_str(&format!(r#"{{"type":"attempt_started",{scope},"new":1}}"#));
    let unknown = serde_json::from_str::<AgentEvent>(&format!(r#"{{"type":"later",{scope}}}"#));

    assert!(matches!(newer, Ok(AgentEvent::AttemptStarted(event)) if event.turn() == 1));
    assert!(unknown.is_err());
}

#[tokio::test(start_paused = true)]
async fn longest_delay_is_told_and_loads_back() {
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::throttled(),
            Reply::text("Yes."),
        ]))
        .on(|event: &mut AfterModelCallEvent| event.retry_after(Duration::MAX))
        .build()
        .unwrap();
    let mut events = agent.prompt("?").stream();
    for _ in 0..4 {
        events.next().await.unwrap();
    }

    let throttle = events.next().await.unwrap();

    let stored = serde_json::to_string(&throttle).unwrap();
    assert_eq!(
        serde_json::from_str::<AgentEvent>(&stored).unwrap(),
        throttle
    );
}
