//! Answers of the Anthropic wire without faults, streamed and in one piece.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator, Wire};

use crate::client::{
    End, Seen, TestResult, ask_on, client, prompt_on, request_on, see, streamed, weather_on, with,
};

const WIRE: Wire = Wire::Anthropic;

async fn check(answer: Answer, body: Value) -> Result<Seen, steadfast_sim::Error> {
    let sim = Simulator::builder()
        .answer(move |_| answer.clone())
        .start()
        .await?;
    let seen = ask_on(WIRE, &sim, &body).await;
    sim.stop().await;
    Ok(seen)
}

async fn stream(answer: Answer) -> Result<Seen, steadfast_sim::Error> {
    check(answer, streamed(prompt_on(WIRE, "Hi"))).await
}

/// Returns the names of the events; one that is not the type of its data is marked.
fn names(seen: &Seen) -> Vec<String> {
    let text = seen.text();
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap_or_default();
        let name = name.strip_prefix("event: ").unwrap_or("no name");
        let data = data.strip_prefix("data: ").unwrap_or_default();
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        match data.get("type") {
            Some(kind) if kind == name => name.to_owned(),
            kind => format!("{name} with data of type {kind:?}"),
        }
    });
    events.collect()
}

#[tokio::test]
async fn text_streams_as_named_events() -> TestResult {
    let seen = stream(Answer::text("It rains in Oslo.").usage(9, 4)).await?;

    assert_eq!((seen.status, seen.end), (200, End::InOrder));
    assert_eq!(
        seen.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(
        names(&seen),
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(seen.words(), "It rains in Oslo.");
    assert_eq!(seen.finish_reason().as_deref(), Some("end_turn"));
    assert!(seen.is_done());
    Ok(())
}

#[tokio::test]
async fn events_have_the_vendors_shape() -> TestResult {
    let seen = stream(Answer::text("Hello").usage(9, 4)).await?;

    let data = seen.data();
    let message = &data[0]["message"];
    assert!(message["id"].as_str().unwrap().starts_with("msg_01"));
    assert_eq!(message["type"], "message");
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["model"], "gpt-test");
    assert_eq!(message["content"], json!([]));
    assert_eq!(message["stop_reason"], Value::Null);
    assert_eq!(message["usage"]["input_tokens"], 9);
    assert_eq!(message["usage"]["output_tokens"], 1);
    assert_eq!(message["usage"]["cache_read_input_tokens"], 0);
    assert_eq!(message["usage"]["cache_creation_input_tokens"], 0);
    assert_eq!(
        data[1],
        json!({"type": "content_block_start", "index": 0,
               "content_block": {"type": "text", "text": ""}})
    );
    assert_eq!(
        data[3],
        json!({"type": "content_block_delta", "index": 0,
               "delta": {"type": "text_delta", "text": "Hello"}})
    );
    assert_eq!(data[4], json!({"type": "content_block_stop", "index": 0}));
    assert_eq!(
        data[5],
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": null, "stop_details": null},
            "usage": {"input_tokens": 9, "cache_creation_input_tokens": 0,
                      "cache_read_input_tokens": 0, "output_tokens": 4},
        })
    );
    assert_eq!(data[6], json!({"type": "message_stop"}));
    Ok(())
}

#[tokio::test]
async fn blocks_follow_each_other_by_index() -> TestResult {
    let answer = Answer::reasoning("Let me think.")
        .then_text("I look.")
        .then_tool_call("get_weather", json!({"city": "Oslo"}))
        .then_tool_call("now", json!({}));

    let seen = stream(answer).await?;

    let data = seen.data();
    let blocks: Vec<_> = data
        .iter()
        .filter(|data| data["content_block"].is_object())
        .collect();
    let kinds: Vec<_> = blocks
        .iter()
        .map(|data| {
            (
                data["index"].as_u64(),
                data["content_block"]["type"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            (Some(0), Some("thinking")),
            (Some(1), Some("text")),
            (Some(2), Some("tool_use")),
            (Some(3), Some("tool_use")),
        ]
    );
    assert_eq!(
        names(&seen).iter().filter(|name| *name == "ping").count(),
        1
    );
    assert_eq!(names(&seen)[2], "ping");
    let ids = [2, 3].map(|index| blocks[index]["content_block"]["id"].as_str());
    assert!(ids[0].unwrap().starts_with("toolu_01"));
    assert_ne!(ids[0], ids[1]);
    assert_eq!(seen.finish_reason().as_deref(), Some("tool_use"));
    Ok(())
}

#[tokio::test]
async fn thoughts_stream_with_a_signature_at_their_end() -> TestResult {
    let seen = stream(Answer::reasoning("Let me think.").then_text("Yes.")).await?;

    let data = seen.data();
    let start = json!({"type": "thinking", "thinking": "", "signature": ""});
    assert_eq!(data[1]["content_block"], start);
    assert_eq!(seen.all("/delta/thinking"), "Let me think.");
    let signature = data
        .iter()
        .position(|data| data["delta"]["type"] == "signature_delta");
    assert_eq!(data[signature.unwrap() + 1]["type"], "content_block_stop");
    assert!(seen.all("/delta/signature").len() > 100);
    let usage = &data[data.len() - 2]["usage"];
    assert_eq!(usage["output_tokens_details"]["thinking_tokens"], 4);
    Ok(())
}

#[tokio::test]
async fn arguments_stream_as_partial_json() -> TestResult {
    let seen = stream(Answer::tool_call("get_weather", json!({"city": "Oslo"}))).await?;

    let data = seen.data();
    let block = &data[1]["content_block"];
    assert_eq!(
        (&block["name"], &block["input"]),
        (&json!("get_weather"), &json!({}))
    );
    assert_eq!(
        data[3]["delta"],
        json!({"type": "input_json_delta", "partial_json": ""})
    );
    assert_eq!(seen.arguments(), r#"{"city":"Oslo"}"#);
    Ok(())
}

#[tokio::test]
async fn call_without_arguments_streams_none() -> TestResult {
    let seen = stream(Answer::tool_call("now", json!({}))).await?;

    let deltas = names(&seen)
        .iter()
        .filter(|name| *name == "content_block_delta")
        .count();
    assert_eq!((deltas, seen.arguments().as_str()), (1, ""));
    Ok(())
}

#[tokio::test]
async fn unary_answer_is_one_message() -> TestResult {
    let answer = Answer::reasoning("Let me think.")
        .then_text("I look.")
        .then_tool_call("get_weather", json!({"city": "Oslo"}))
        .usage(12, 30);

    let seen = check(answer, prompt_on(WIRE, "Hi")).await?;

    let body = seen.json();
    let content = &body["content"];
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(
        (&body["type"], &body["role"]),
        (&json!("message"), &json!("assistant"))
    );
    assert_eq!(body["stop_reason"], "tool_use");
    assert_eq!(body["stop_sequence"], Value::Null);
    assert_eq!(content[0]["thinking"], "Let me think.");
    assert_eq!(content[1], json!({"type": "text", "text": "I look."}));
    assert_eq!(content[2]["input"], json!({"city": "Oslo"}));
    assert_eq!(body["usage"]["input_tokens"], 12);
    assert_eq!(body["usage"]["output_tokens"], 30);
    Ok(())
}

#[tokio::test]
async fn refusals_end_with_their_own_reason() -> TestResult {
    let seen = stream(Answer::refusal("I cannot help with that.")).await?;

    assert_eq!(seen.words(), "I cannot help with that.");
    assert_eq!(seen.finish_reason().as_deref(), Some("refusal"));
    let end = &seen.data()[seen.data().len() - 2];
    assert_eq!(end["delta"]["stop_details"]["type"], "refusal");
    Ok(())
}

#[tokio::test]
async fn stop_sequence_is_the_first_that_was_asked_for() -> TestResult {
    let body = with(prompt_on(WIRE, "Hi"), "stop_sequences", json!(["END"]));

    let body = check(Answer::text("x").finish("stop_sequence"), body)
        .await?
        .json();

    assert_eq!(
        (&body["stop_reason"], &body["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    Ok(())
}

/// The vendor's models always think first then, and its server wants the thought back.
#[tokio::test]
async fn enabled_thinking_brings_a_thought() -> TestResult {
    let mut body = with(prompt_on(WIRE, "Hi"), "max_tokens", json!(2000));
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});

    let silent = check(Answer::text("Yes."), body.clone()).await?.json();
    let aloud = check(Answer::reasoning("Hm.").then_text("Yes."), body)
        .await?
        .json();

    assert_eq!(silent["content"][0]["thinking"], "");
    assert!(
        !silent["content"][0]["signature"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    assert_eq!(silent["content"][1]["text"], "Yes.");
    assert_eq!(aloud["content"][0]["thinking"], "Hm.");
    assert_eq!(aloud["content"].as_array().unwrap().len(), 2);
    Ok(())
}

#[tokio::test]
async fn built_in_answers_go_once_round_the_loop() -> TestResult {
    let sim = Simulator::start().await?;
    let mut body = weather_on(WIRE);

    let asked = ask_on(WIRE, &sim, &body).await.json();
    let call = asked["content"][0].clone();
    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "rain, 7 °C"});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": asked["content"]}));
    messages.push(json!({"role": "user", "content": [result]}));
    let told = ask_on(WIRE, &sim, &body).await.json();

    assert_eq!(asked["stop_reason"], "tool_use");
    assert_eq!(
        (&call["name"], &call["input"]),
        (&json!("get_weather"), &json!({"city": "Oslo"}))
    );
    assert_eq!(
        told["content"][0]["text"],
        "I looked it up with get_weather: rain, 7 °C."
    );
    Ok(())
}

#[tokio::test]
async fn answers_carry_the_vendors_headers() -> TestResult {
    let sim = Simulator::start().await?;

    let first = ask_on(WIRE, &sim, &prompt_on(WIRE, "Hi")).await;
    let second = ask_on(WIRE, &sim, &prompt_on(WIRE, "Hi")).await;

    assert!(first.header("request-id").starts_with("req_01"));
    assert_ne!(first.header("request-id"), second.header("request-id"));
    assert_eq!(first.header("anthropic-organization-id").len(), 36);
    assert_eq!(first.header("anthropic-ratelimit-requests-limit"), "");
    assert_eq!(first.header("x-request-id"), "");
    Ok(())
}

#[tokio::test]
async fn keys_are_not_printed_with_the_requests() -> TestResult {
    let sim = Simulator::start().await?;

    let request = request_on(WIRE, &client()?, &sim).header("x-api-key", "secret");
    see(request.json(&prompt_on(WIRE, "Hi"))).await;

    let printed = format!("{:?}", sim.requests()[0].headers);
    assert!(
        printed.contains("x-api-key") && !printed.contains("secret"),
        "{printed}"
    );
    Ok(())
}

#[tokio::test]
async fn paths_of_compatible_servers_reach_the_model() -> TestResult {
    let sim = Simulator::start().await?;

    for prefix in ["", "/anthropic", "/api/coding"] {
        let request = client()?
            .post(format!("{}{prefix}/v1/messages?beta=true", sim.url()))
            .header("x-api-key", "key")
            .header("anthropic-version", "2023-06-01");

        let seen = see(request.json(&prompt_on(WIRE, "Hi"))).await;

        assert_eq!(seen.status, 200, "{prefix}");
    }
    Ok(())
}

#[tokio::test]
async fn models_are_listed_in_the_vendors_shape() -> TestResult {
    let sim = Simulator::start().await?;

    let request = client()?
        .get(format!("{}/v1/models", sim.url()))
        .header("x-api-key", "key")
        .header("anthropic-version", "2023-06-01");
    let body = see(request).await.json();

    assert_eq!(body["data"][0]["type"], "model");
    assert_eq!(body["first_id"], "steadfast-sim");
    assert_eq!(body["has_more"], false);
    Ok(())
}
