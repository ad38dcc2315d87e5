//! Amazon Bedrock's wire as a client meets it: paths, signatures, events in the binary form.

use serde_json::{Value, json};
use steadfast_sim::Wire::Bedrock;
use steadfast_sim::{Answer, RateLimit, Simulator};

use crate::client::{
    End, Seen, TestResult, ask_on, client, prompt_on, see, streamed, weather_on, with,
};

async fn ask(sim: &Simulator, body: &Value) -> Seen {
    ask_on(Bedrock, sim, body).await
}

/// Meets one fault.
async fn meet(fault: &str, body: &Value) -> Result<Seen, Box<dyn std::error::Error>> {
    let sim = Simulator::builder().faults(fault.parse()?).start().await?;
    Ok(ask(&sim, body).await)
}

#[tokio::test]
async fn answer_is_the_same_whole_and_in_a_stream() -> TestResult {
    let answer = Answer::reasoning("Hm.")
        .then_text("I look it up.")
        .then_tool_call("get_weather", json!({"city": "Tromsø"}))
        .usage(100, 20)
        .cached_tokens(60);
    let sim = Simulator::builder()
        .answer(move |_| answer.clone())
        .start()
        .await?;

    let whole = ask(&sim, &weather_on(Bedrock)).await;
    let stream = ask(&sim, &streamed(weather_on(Bedrock))).await;

    let usage = json!({
        "inputTokens": 40, "outputTokens": 20, "totalTokens": 120,
        "cacheReadInputTokens": 60, "cacheWriteInputTokens": 0,
    });
    let message = whole.json();
    let content = &message["output"]["message"]["content"];
    assert_eq!(
        content[0]["reasoningContent"]["reasoningText"]["text"],
        "Hm."
    );
    assert_eq!(content[1]["text"], "I look it up.");
    assert_eq!(content[2]["toolUse"]["input"], json!({"city": "Tromsø"}));
    assert_eq!(
        (&message["stopReason"], &message["usage"]),
        (&json!("tool_use"), &usage)
    );
    assert_eq!(stream.words(), "I look it up.");
    assert_eq!(stream.all("/delta/reasoningContent/text"), "Hm.");
    assert_eq!(stream.arguments(), r#"{"city":"Tromsø"}"#);
    assert_eq!(stream.finish_reason().as_deref(), Some("tool_use"));
    assert_eq!(
        stream.data().last().map(|last| &last["usage"]),
        Some(&usage)
    );
    assert!(!stream.header("x-amzn-requestid").is_empty());
    Ok(())
}

#[tokio::test]
async fn statuses_have_their_codes_in_a_header() -> TestResult {
    for (fault, status, code) in [
        ("400", 400, "ValidationException"),
        ("403", 403, "AccessDeniedException"),
        ("404", 404, "ResourceNotFoundException"),
        ("408", 408, "ModelTimeoutException"),
        ("424", 424, "ModelErrorException"),
        ("429", 429, "ThrottlingException"),
        ("429:quota", 429, "ThrottlingException"),
        ("500", 500, "InternalServerException"),
        ("503", 503, "ServiceUnavailableException"),
        ("error@text:overloaded", 503, "ServiceUnavailableException"),
        ("529", 529, ""),
    ] {
        let seen = meet(fault, &prompt_on(Bedrock, "Hi")).await?;

        let (told, _) = seen
            .header("x-amzn-errortype")
            .split_once(':')
            .unwrap_or_default();
        assert_eq!((seen.status, told), (status, code), "{fault}");
        assert!(seen.json()["message"].is_string(), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_inside_a_stream_are_exceptions() -> TestResult {
    for (fault, kind) in [
        ("error@text", "internalServerException"),
        ("error@start:rate_limit", "throttlingException"),
        ("error@end:overloaded", "serviceUnavailableException"),
    ] {
        let seen = meet(fault, &streamed(prompt_on(Bedrock, "Hi"))).await?;

        assert_eq!((seen.status, seen.end), (200, End::InOrder));
        assert_eq!(seen.error().0, kind, "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn changed_events_have_their_new_length() -> TestResult {
    let body = streamed(prompt_on(Bedrock, "Hi"));
    for fault in ["garbage-utf8", "huge-line"] {
        let seen = meet(fault, &body).await?;

        assert!(seen.is_done(), "{fault}");
        assert_eq!(seen.finish_reason().as_deref(), Some("end_turn"), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_are_refused_as_by_the_vendor() -> TestResult {
    let sim = Simulator::start().await?;
    let good = prompt_on(Bedrock, "Hi");
    let tools = |tool: Value| with(good.clone(), "toolConfig", json!({"tools": [tool]}));
    let schema = json!({"json": {"type": "object"}});
    for (body, part) in [
        (json!([]), "JSON object"),
        (json!({}), "messages"),
        (json!({"messages": []}), "must start with a user message"),
        (
            with(good.clone(), "system", json!([{"text": " "}])),
            "system.0 is blank",
        ),
        (
            with(good.clone(), "inferenceConfig", json!({"maxTokens": 0})),
            "maxTokens",
        ),
        (
            with(good.clone(), "inferenceConfig", json!({"temperature": 1.5})),
            "temperature",
        ),
        (
            with(
                good.clone(),
                "inferenceConfig",
                json!({"stopSequences": [""]}),
            ),
            "stopSequences",
        ),
        (
            with(good.clone(), "toolConfig", json!({"tools": []})),
            "toolConfig.tools",
        ),
        (
            tools(json!({"toolSpec": {"name": "a b", "inputSchema": schema}})),
            "toolSpec.name",
        ),
        (
            tools(json!({"toolSpec": {"name": "a", "description": "", "inputSchema": schema}})),
            "description",
        ),
        (
            tools(json!({"toolSpec": {"name": "a", "inputSchema": {"json": {}}}})),
            "must be one of the following: object",
        ),
    ] {
        let seen = ask(&sim, &body).await;

        assert_eq!(seen.status, 400, "{body}");
        assert!(
            seen.json()["message"]
                .as_str()
                .unwrap_or_default()
                .contains(part),
            "{}",
            seen.text()
        );
    }
    let url = format!("{}/model/m/converse", sim.url());
    let unsigned = see(client()?.post(&url).json(&good)).await;
    let unknown = format!("{}/model/nonexistent-v1/converse", sim.url());
    let unknown = see(client()?.post(unknown).bearer_auth("key").json(&good)).await;
    let signature = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/bedrock/aws4_request";
    let signed = see(client()?
        .post(&url)
        .header("authorization", signature)
        .json(&good))
    .await;
    assert_eq!(
        (unsigned.status, unknown.status, signed.status),
        (403, 400, 200)
    );
    Ok(())
}

#[tokio::test]
async fn limit_refuses_without_saying_how_much_is_left() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(3.0).burst(1))
        .start()
        .await?;
    let body = prompt_on(Bedrock, "Hi");

    let admitted = ask(&sim, &body).await;
    let refused = ask(&sim, &body).await;

    assert_eq!((admitted.status, refused.status), (200, 429));
    let names: Vec<_> = admitted.headers.keys().map(ToString::to_string).collect();
    assert!(
        !names.iter().any(|name| name.contains("limit")),
        "{names:?}"
    );
    Ok(())
}
