//! Runs against a provider of another process: recorded conversations, prompts from standard input.

use std::{env, path::Path, process::Command};

use serde_json::{Value, json};
use steadfast_sim::Simulator;

use crate::process::{Finished, SimProcess, TestResult, finish, finish_with_input, steadfast};

/// A conversation with a tool that nobody registered, in the form of recorded traffic.
const TIDES: &str = r#"
when: {path: /v1/chat/completions, method: POST}
then:
  status: 200
  header:
  - {name: content-type, value: text/event-stream}
  body: |+
    data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Looking at the tide tables."},"finish_reason":null}]}

    data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_tide","type":"function","function":{"name":"look_up_tide","arguments":"{\"harbour\":\"Bodø\"}"}}]},"finish_reason":null}]}

    data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

    data: [DONE]

---
when: {path: /v1/chat/completions, method: POST}
then:
  status: 200
  header:
  - {name: content-type, value: text/event-stream}
  body: |+
    data: {"id":"c2","object":"chat.completion.chunk","created":2,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"I have no tide tables"},"finish_reason":null}]}

    data: {"id":"c2","object":"chat.completion.chunk","created":2,"model":"m","choices":[{"index":0,"delta":{"content":", sorry."},"finish_reason":null}]}

    data: {"id":"c2","object":"chat.completion.chunk","created":2,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

    data: [DONE]

"#;

/// A run against a provider of another process.
fn run_against(base_url: &str, arguments: &[&str]) -> Command {
    let to_it = ["run", "--model", "openai:m", "--base-url", base_url];
    steadfast(&[&to_it, arguments].concat())
}

/// Runs a prompt from standard input against a cassette.
fn replay(cassette: &Path, arguments: &[&str]) -> TestResult<Finished> {
    let cassette = cassette.to_str().ok_or("the path is not UTF-8")?;
    let sim = SimProcess::start(&["--cassette", cassette, "--seed", "7"])?;
    let mut command = run_against(&sim.base_url()?, &[arguments, &["-"]].concat());
    finish_with_input(&mut command, "When is high water in Bodø?\n".as_bytes())
}

fn replay_tides(arguments: &[&str]) -> TestResult<Finished> {
    let folder = tempfile::tempdir()?;
    let cassette = folder.path().join("tides.yaml");
    std::fs::write(&cassette, TIDES)?;
    replay(&cassette, arguments)
}

fn last(events: &[Value]) -> Value {
    events.last().cloned().unwrap_or_default()
}

#[test]
fn unknown_tool_becomes_a_failed_result_and_the_run_goes_on() -> TestResult {
    let run = replay_tides(&[])?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "I have no tide tables, sorry.\n");
    let expected = [
        "Looking at the tide tables.",
        "→ look_up_tide {\"harbour\":\"Bodø\"}",
        "✗ look_up_tide failed, ",
        "· the model is told of look_up_tide: ",
        "✓ done: 2 turns, 2 attempts, ",
    ];
    for (line, expected) in run.stderr.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    Ok(())
}

#[test]
fn limit_of_turns_ends_cleanly_after_the_tools() -> TestResult {
    let run = replay_tides(&["--max-turns", "1", "--events", "jsonl"])?;
    let events = run.events()?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(last(&events)["type"], "result");
    assert_eq!(last(&events)["stop_reason"], "limit_turns");
    let prompt = &events[1]["message"]["content"][0]["text"];
    assert_eq!(prompt, "When is high water in Bodø?");
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    Ok(())
}

#[test]
fn recorded_tool_conversation_ends_at_the_limit_of_turns() -> TestResult {
    let Some(recordings) = env::var_os("STEADFAST_RECORDINGS") else {
        return Ok(());
    };
    let name = "openai/completions_api/completions_api_raw_followup_uses_tool_result_without_new_tool_calls.yaml";

    let run = replay(
        &Path::new(&recordings).join(name),
        &["--max-turns", "1", "--events", "jsonl"],
    )?;
    let events = run.events()?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(last(&events)["stop_reason"], "limit_turns");
    let tool = events
        .iter()
        .find(|event| event["type"] == "tool_finished")
        .unwrap();
    assert_eq!(
        (&tool["name"], &tool["ok"]),
        (&"lookup_harbor_label".into(), &false.into())
    );
    Ok(())
}

#[test]
fn fleet_strategy_waits_for_the_hint_and_tells_it_as_a_pacer() -> TestResult {
    let sim = SimProcess::start(&["--fault", "429:retry-after-ms=200"])?;
    let arguments = ["--retry", "fleet", "--events", "jsonl", "Hi"];

    let mut command = run_against(&sim.base_url()?, &arguments);
    let run = finish(command.env("OPENAI_API_KEY", "any"))?;
    let events = run.events()?;

    let throttle = events
        .iter()
        .find(|event| event["type"] == "event_loop_throttle");
    let throttle = throttle.ok_or("no throttle was told")?;
    assert_eq!(throttle["decided_by"], "pacer");
    let delay = throttle["delay_ms"].as_f64().unwrap_or_default();
    assert!((100.0..400.0).contains(&delay), "{throttle}");
    let result = events.last().ok_or("no events")?;
    assert_eq!(
        (&result["type"], &result["attempts"]),
        (&json!("result"), &json!(2))
    );
    Ok(())
}

#[test]
fn retry_flags_reach_the_strategy() -> TestResult {
    let sim = SimProcess::start(&["--fault", "429:retry-after-ms=50, 503", "--fault", "500"])?;
    let arguments = [
        "--events",
        "jsonl",
        "--max-attempts",
        "4",
        "--initial-delay",
        "20ms",
        "--max-delay",
        "30ms",
        "Hi",
    ];

    let mut command = run_against(&sim.base_url()?, &arguments);
    let run = finish(command.env("OPENAI_API_KEY", "any"))?;
    let events = run.events()?;

    let waits: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "event_loop_throttle")
        .map(|wait| {
            (
                wait["delay_ms"].as_f64().unwrap(),
                wait["max_attempts"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(waits, [(50.0, 4), (30.0, 4), (30.0, 4)], "{}", run.stdout);
    assert_eq!(run.status, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn system_prompt_and_output_limit_reach_the_model() -> TestResult {
    let sim = Simulator::start().await?;
    let arguments = ["--system", "Be brief", "--max-tokens", "9", "Hi"];

    let mut command = run_against(&sim.base_url(), &arguments);
    let run = finish(command.env("OPENAI_API_KEY", "any"))?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let bodies: Vec<_> = sim.requests().into_iter().map(|seen| seen.body).collect();
    let [body] = bodies.as_slice() else {
        return Err(format!("{} requests", bodies.len()).into());
    };
    let said = json!([
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]);
    assert_eq!(body["messages"], said);
    assert_eq!(body["max_tokens"], 9);
    Ok(())
}
