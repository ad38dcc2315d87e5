//! Answers and refusals of Gemini's wire, streamed and in one piece.

use serde_json::{Value, json};
use steadfast_sim::{Answer, HintStyle, RateLimit, Simulator, Wire};

use crate::client::{
    End, Seen, TestResult, ask_on, client, prompt_on, request_on, see, streamed, weather_on,
};

const WIRE: Wire = Wire::Gemini;

async fn check(answer: Answer, body: Value) -> Result<Seen, steadfast_sim::Error> {
    let sim = Simulator::builder()
        .answer(move |_| answer.clone())
        .start()
        .await?;
    let seen = ask_on(WIRE, &sim, &body).await;
    sim.stop().await;
    Ok(seen)
}

/// Returns the parts of all chunks.
fn parts(chunks: &[Value]) -> Vec<Value> {
    let parts = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/candidates/0/content/parts")?.as_array());
    parts.flatten().cloned().collect()
}

#[tokio::test]
async fn text_streams_in_chunks_of_which_the_last_has_the_reason() -> TestResult {
    let answer = Answer::text("It rains in Oslo.").usage(9, 4);
    let seen = check(answer, streamed(prompt_on(WIRE, "Hi"))).await?;

    let chunks = seen.data();
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((seen.status, seen.end), (200, End::InOrder));
    assert!(seen.text().ends_with("\r\n\r\n"));
    assert_eq!(seen.words(), "It rains in Oslo.");
    assert!(
        others
            .iter()
            .all(|chunk| chunk.pointer("/candidates/0/finishReason").is_none())
    );
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"]["promptTokenCount"], 9);
    assert_eq!(last["usageMetadata"]["candidatesTokenCount"], 4);
    assert_eq!(last["modelVersion"], "gpt-test");
    Ok(())
}

#[tokio::test]
async fn calls_come_whole_and_the_first_is_signed() -> TestResult {
    let answer = Answer::reasoning("Hm")
        .then_tool_call("add", json!({"x": 1}))
        .then_tool_call("now", json!({}));
    for body in [weather_on(WIRE), streamed(weather_on(WIRE))] {
        let seen = check(answer.clone(), body).await?;

        let mut chunks = seen.data();
        chunks.extend(Some(seen.json()).filter(Value::is_object));
        let parts = parts(&chunks);
        assert_eq!(parts[0], json!({"text": "Hm", "thought": true}));
        assert_eq!(
            parts[1]["functionCall"],
            json!({"name": "add", "args": {"x": 1}})
        );
        assert!(parts[1]["thoughtSignature"].is_string());
        assert_eq!(
            parts[2],
            json!({"functionCall": {"name": "now", "args": {}}})
        );
    }
    Ok(())
}

#[tokio::test]
async fn arguments_that_are_not_json_end_the_answer() -> TestResult {
    let answer = Answer::tool_call("add", json!("{\"x\": "));
    let broken = check(answer.clone(), prompt_on(WIRE, "Hi")).await?.json();
    let cut = check(answer.finish("length"), prompt_on(WIRE, "Hi"))
        .await?
        .json();

    for (body, reason) in [(broken, "MALFORMED_FUNCTION_CALL"), (cut, "MAX_TOKENS")] {
        assert_eq!(body["candidates"][0]["finishReason"], reason);
        assert_eq!(body["candidates"][0]["content"]["parts"], json!([]));
    }
    Ok(())
}

#[tokio::test]
async fn hints_stand_in_the_body() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(3.0).burst(1))
        .hint(HintStyle::Integer)
        .start()
        .await?;
    let body = prompt_on(WIRE, "Hi");

    let admitted = ask_on(WIRE, &sim, &body).await;
    let refused = ask_on(WIRE, &sim, &body).await;

    assert_eq!((admitted.status, refused.status), (200, 429));
    assert_eq!(refused.header("retry-after"), "");
    let error = &refused.json()["error"];
    assert_eq!(error["details"][1]["retryDelay"], "20s");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("Please retry in 20s.")
    );
    Ok(())
}

#[tokio::test]
async fn daily_quota_and_limit_are_told_apart_by_the_quotas_name() -> TestResult {
    let quota = |seen: &Seen| {
        let error = &seen.json()["error"];
        error["details"][0]["violations"][0]["quotaId"]
            .as_str()
            .map(str::to_owned)
    };
    let sim = Simulator::builder()
        .faults("429:quota, 429:retry-after=1, 429".parse()?)
        .start()
        .await?;
    let mut quotas = Vec::new();
    for _ in 0..3 {
        quotas.push(quota(&ask_on(WIRE, &sim, &prompt_on(WIRE, "Hi")).await));
    }

    assert!(
        quotas[0]
            .as_deref()
            .is_some_and(|quota| quota.contains("PerDay"))
    );
    assert!(
        quotas[1]
            .as_deref()
            .is_some_and(|quota| quota.contains("PerMinute"))
    );
    assert_eq!(quotas[2], None);
    Ok(())
}

#[tokio::test]
async fn wrong_requests_are_refused_in_the_vendors_form() -> TestResult {
    let sim = Simulator::start().await?;
    let client = client()?;
    let post = |path: &str| {
        let request = client.post(format!("{}{path}", sim.url()));
        request
            .header("x-goog-api-key", "key")
            .json(&prompt_on(WIRE, "Hi"))
    };
    let right = "/v1beta/models/m:generateContent";
    let unkeyed = client.post(format!("{}{right}", sim.url()));
    for (request, status, word, part) in [
        (unkeyed, 403, "PERMISSION_DENIED", "any key"),
        (
            post(right).body("{"),
            400,
            "INVALID_ARGUMENT",
            "Invalid JSON",
        ),
        (
            post(right).body("{}"),
            400,
            "INVALID_ARGUMENT",
            "contents is not specified",
        ),
        (
            post("/v1beta/models/nonexistent:generateContent"),
            404,
            "NOT_FOUND",
            "models/nonexistent",
        ),
        (
            post("/models/m:generateContent"),
            404,
            "NOT_FOUND",
            "without `/v1beta`",
        ),
        (
            post("/v1beta/models/m:countTokens"),
            404,
            "NOT_FOUND",
            "nothing at",
        ),
    ] {
        let seen = see(request).await;

        let error = &seen.json()["error"];
        assert_eq!(
            (seen.status, &error["status"]),
            (status, &json!(word)),
            "{part}"
        );
        assert_eq!(error["code"], status);
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn models_are_listed_in_the_vendors_form() -> TestResult {
    let sim = Simulator::start().await?;
    let request = client()?.get(format!("{}/v1beta/models", sim.url()));

    let seen = see(request.header("x-goog-api-key", "key")).await;

    assert_eq!(seen.json()["models"][0]["name"], "models/steadfast-sim");
    Ok(())
}

#[tokio::test]
async fn own_words_come_back_unchanged_or_are_refused() -> TestResult {
    let sim = Simulator::start().await?;
    let call = ask_on(WIRE, &sim, &weather_on(WIRE)).await.json();
    let part = call["candidates"][0]["content"]["parts"][0].clone();
    let mut body = weather_on(WIRE);
    let result =
        json!({"functionResponse": {"name": "get_weather", "response": {"output": "rain"}}});
    let contents = body["contents"].as_array_mut().unwrap();
    contents.push(json!({"role": "model", "parts": [part]}));
    contents.push(json!({"role": "user", "parts": [result]}));
    let mut forged = body.clone();
    forged["contents"][1]["parts"][0]["thoughtSignature"] = json!("made up");

    let answer = see(request_on(WIRE, &client()?, &sim).json(&body)).await;
    let refused = see(request_on(WIRE, &client()?, &sim).json(&forged)).await;

    assert!(
        answer.text().contains("get_weather: rain"),
        "{}",
        answer.text()
    );
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("Corrupted thought signature"));
    Ok(())
}
