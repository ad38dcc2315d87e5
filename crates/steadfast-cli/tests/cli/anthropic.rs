//! Runs on Anthropic's wire: over real HTTP, against the simulator of this process and of another.

use serde_json::{Value, json};
use steadfast_sim::Simulator;

use crate::process::{Finished, SimProcess, TestResult, finish, finish_with_input, steadfast};

const SECRET: &str = "sk-ant-secret0123456789abcdef";
const ANSWER: &str = "This is the Steadfast simulator, not a model. You said: “Hi”";

/// A conversation with a tool that nobody registered, in the form of recorded traffic.
const TIDES: &str = r#"
when: {path: /v1/messages, method: POST}
then:
  status: 200
  header:
  - {name: content-type, value: text/event-stream}
  body: |+
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Looking at the tide tables."}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: content_block_start
    data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_tide","name":"look_up_tide","input":{}}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"harbour\":\"Bodø\"}"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":1}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":20}}

    event: message_stop
    data: {"type":"message_stop"}

---
when: {path: /v1/messages, method: POST}
then:
  status: 200
  header:
  - {name: content-type, value: text/event-stream}
  body: |+
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_2","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":40,"output_tokens":1}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I have no tide tables, sorry."}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":8}}

    event: message_stop
    data: {"type":"message_stop"}

"#;

/// Runs a prompt against an address, with a key.
fn run(url: &str, arguments: &[&str]) -> TestResult<Finished> {
    let to = ["run", "--model", "anthropic:claude-m", "--base-url", url];
    let mut command = steadfast(&[&to, arguments, &["Hi"]].concat());
    finish(command.env("ANTHROPIC_API_KEY", SECRET))
}

fn last(events: &[Value]) -> Value {
    events.last().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_is_answered_for_people_and_for_programs() -> TestResult {
    let sim = Simulator::start().await?;

    let text = run(&sim.url(), &[])?;
    let lines = run(&sim.url(), &["--events", "jsonl"])?;
    let events = lines.events()?;

    assert_eq!(text.status, Some(0), "{}", text.stderr);
    assert_eq!(text.stdout, format!("{ANSWER}\n"));
    assert!(
        text.stderr.starts_with("✓ done: 1 turn, 1 attempt, "),
        "{}",
        text.stderr
    );
    assert_eq!(lines.status, Some(0), "{}", lines.stderr);
    assert_eq!(events[0]["model"], "anthropic:claude-m");
    assert_eq!(last(&events)["type"], "result");
    assert_eq!(last(&events)["text"], ANSWER);
    let paths: Vec<_> = sim.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/v1/messages", "/v1/messages"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_options_reach_the_provider() -> TestResult {
    let sim = Simulator::start().await?;
    let mut command = steadfast(&[
        "run",
        "--model",
        "anthropic:claude-m",
        "--system",
        "Be brief",
        "--max-tokens",
        "90",
        "Hi",
    ]);
    command
        .env("ANTHROPIC_BASE_URL", sim.url())
        .env("ANTHROPIC_API_KEY", SECRET);

    let run = finish(&mut command)?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let seen = sim.requests().pop().ok_or("no request")?;
    assert_eq!(seen.headers["x-api-key"], SECRET);
    assert_eq!(seen.body["model"], "claude-m");
    assert_eq!(seen.body["system"], "Be brief");
    assert_eq!(seen.body["max_tokens"], 90);
    Ok(())
}

#[test]
fn tool_conversation_goes_through_another_process() -> TestResult {
    let folder = tempfile::tempdir()?;
    let cassette = folder.path().join("tides.yaml");
    std::fs::write(&cassette, TIDES)?;
    let cassette = cassette.to_str().ok_or("the path is not UTF-8")?;
    for (format, seed) in [("text", "7"), ("jsonl", "8")] {
        let sim = SimProcess::start(&["--cassette", cassette, "--seed", seed])?;
        let url = sim.url()?;
        let model = [
            "run",
            "--model",
            "anthropic:claude-m",
            "--base-url",
            &url,
            "--events",
            format,
            "-",
        ];

        let run = finish_with_input(
            &mut steadfast(&model),
            "When is high water in Bodø?\n".as_bytes(),
        )?;

        assert_eq!(run.status, Some(0), "{}", run.stderr);
        if format == "text" {
            assert_eq!(run.stdout, "I have no tide tables, sorry.\n");
            let expected = [
                "Looking at the tide tables.",
                "→ look_up_tide {\"harbour\":\"Bodø\"}",
                "✗ look_up_tide failed, ",
                "· the model is told of look_up_tide: ",
                "✓ done: 2 turns, 2 attempts, ",
            ];
            assert_eq!(run.stderr.lines().count(), expected.len(), "{}", run.stderr);
            for (line, expected) in run.stderr.lines().zip(expected) {
                assert!(line.starts_with(expected), "{line}");
            }
        } else {
            let events = run.events()?;
            let tool = events.iter().find(|event| event["type"] == "tool_started");
            assert_eq!(tool.ok_or("no tool")?["input"], json!({"harbour": "Bodø"}));
            assert_eq!(last(&events)["text"], "I have no tide tables, sorry.");
        }
    }
    Ok(())
}

#[test]
fn throttles_are_waited_out_as_long_as_the_server_asks() -> TestResult {
    let sim = SimProcess::start(&["--fault", "429:retry-after-ms=60, 529, cut@text"])?;
    let retries = ["--initial-delay", "20ms", "--max-delay", "30ms"];

    let run = run(
        &sim.url()?,
        &[&retries[..], &["--events", "jsonl"]].concat(),
    )?;
    let events = run.events()?;

    let waits: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "event_loop_throttle")
        .map(|wait| {
            (
                wait["delay_ms"].clone(),
                wait["decided_by"].clone(),
                wait["error"]["kind"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!(60), json!("hint"), json!("throttled")),
        (json!(30), json!("backoff"), json!("overloaded")),
        (json!(30), json!("backoff"), json!("network")),
    ];
    assert_eq!(waits, expected, "{}", run.stdout);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(last(&events)["text"], ANSWER);
    Ok(())
}

#[test]
fn refused_key_is_a_force_stop_that_shows_no_key() -> TestResult {
    let sim = SimProcess::start(&["--fault", "401*"])?;

    let refused = run(&sim.url()?, &[])?;

    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    let said = "error: the provider refused the credentials (401)";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    let end = "\n\nhint: check the API key and what it may do\n";
    assert!(refused.stderr.ends_with(end), "{}", refused.stderr);
    for text in [&refused.stdout, &refused.stderr] {
        assert!(!text.contains("secret"), "{text}");
    }
    Ok(())
}

#[test]
fn refusal_without_a_key_names_the_variable_of_the_provider() -> TestResult {
    let sim = SimProcess::start(&[])?;
    let url = sim.url()?;
    let to = ["run", "--model", "anthropic:m", "--base-url", &url, "Hi"];
    let mut command = steadfast(&to);

    // The key of another provider is none for this one.
    let run = finish(command.env("OPENAI_API_KEY", SECRET))?;

    assert_eq!(run.status, Some(1), "{}", run.stderr);
    let end = "hint: no key was sent: set the environment variable ANTHROPIC_API_KEY\n";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    Ok(())
}
