//! Answers of the OpenAI wire without faults, and what answers of all wires have in common.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator, Wire};

use crate::client::{
    End, Seen, TestResult, ask, ask_on, client, ended, prompt, prompt_on, see, streamed, weather_on,
};

async fn check(answer: Answer, body: Value) -> Result<Seen, steadfast_sim::Error> {
    let sim = Simulator::builder()
        .answer(move |_| answer.clone())
        .start()
        .await?;
    let seen = ask(&sim, &body).await;
    sim.stop().await;
    Ok(seen)
}

#[tokio::test]
async fn text_streams_in_pieces_and_ends() -> TestResult {
    let text = "It rains in Oslo, so take an umbrella.";

    let seen = check(Answer::text(text), streamed(prompt("Hi"))).await?;

    assert_eq!((seen.status, seen.end), (200, End::InOrder));
    assert_eq!(
        seen.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(seen.said("content"), text);
    assert_eq!(seen.finish_reason().as_deref(), Some("stop"));
    assert!(seen.is_done());
    assert!(seen.data().len() > 5, "{}", seen.text());
    Ok(())
}

#[tokio::test]
async fn chunks_have_the_vendors_shape() -> TestResult {
    let seen = check(Answer::text("Hello"), streamed(prompt("Hi"))).await?;

    let data = seen.data();
    let first = &data[0];
    assert_eq!(first["object"], "chat.completion.chunk");
    assert_eq!(first["model"], "gpt-test");
    assert!(first["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(first["created"].as_u64().unwrap() > 1_700_000_000);
    assert!(first["system_fingerprint"].is_string());
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(data[1]["choices"][0]["delta"], json!({"content": "Hello"}));
    assert!(data[..3].iter().all(|chunk| chunk["id"] == first["id"]));
    assert!(data.iter().all(|chunk| chunk.get("usage").is_none()));
    Ok(())
}

#[tokio::test]
async fn parallel_tool_calls_stream_by_index() -> TestResult {
    let answer = Answer::tool_call("get_weather", json!({"city": "Oslo"}))
        .then_tool_call("get_weather", json!({"city": "Bergen"}));

    let seen = check(answer, streamed(prompt("Hi"))).await?;

    let mut arguments = [String::new(), String::new()];
    let mut heads = Vec::new();
    for chunk in seen.data() {
        let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
        if let Some(index) = call["index"].as_u64() {
            let part = call["function"]["arguments"].as_str().unwrap();
            arguments[usize::try_from(index)?].push_str(part);
        }
        if call["id"].is_string() {
            assert_eq!(call["type"], "function");
            assert_eq!(call["function"]["name"], "get_weather");
            heads.push(call["id"].clone());
        }
    }
    assert_eq!(arguments, [r#"{"city":"Oslo"}"#, r#"{"city":"Bergen"}"#]);
    assert_eq!(heads.len(), 2);
    assert_ne!(heads[0], heads[1]);
    assert_eq!(seen.finish_reason().as_deref(), Some("tool_calls"));
    Ok(())
}

#[tokio::test]
async fn reasoning_and_refusals_have_their_own_fields() -> TestResult {
    let thoughtful = Answer::reasoning("Let me think.").then_text("Yes.");
    let unwilling = Answer::refusal("I cannot help with that.");

    let thought = check(thoughtful.clone(), streamed(prompt("Hi"))).await?;
    let refused = check(unwilling.clone(), streamed(prompt("Hi"))).await?;
    let whole = check(thoughtful, prompt("Hi")).await?.json();
    let whole_refusal = check(unwilling, prompt("Hi")).await?.json();

    assert_eq!(thought.said("reasoning_content"), "Let me think.");
    assert_eq!(thought.said("content"), "Yes.");
    assert_eq!(refused.said("refusal"), "I cannot help with that.");
    assert_eq!(refused.said("content"), "");
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Let me think.");
    assert_eq!(message["content"], "Yes.");
    let message = &whole_refusal["choices"][0]["message"];
    assert_eq!(message["refusal"], "I cannot help with that.");
    assert_eq!(message["content"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn unary_answer_is_one_object() -> TestResult {
    let answer = Answer::text("It rai").finish("length").usage(12, 3);

    let seen = check(answer, prompt("Hi")).await?;

    let body = seen.json();
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(
        seen.header("content-length"),
        seen.bytes.len().to_string().as_str()
    );
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], "It rai");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["prompt_tokens"], 12);
    assert_eq!(body["usage"]["completion_tokens"], 3);
    assert_eq!(body["usage"]["total_tokens"], 15);
    Ok(())
}

#[tokio::test]
async fn usage_chunk_comes_only_when_asked_for() -> TestResult {
    let mut body = streamed(prompt("Hi"));
    body["stream_options"] = json!({"include_usage": true});

    let seen = check(Answer::text("Hello").usage(9, 2), body).await?;

    let data = seen.data();
    let usage = &data[data.len() - 2];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 11);
    assert!(seen.is_done());
    Ok(())
}

#[tokio::test]
async fn built_in_answers_go_once_round_the_loop() -> TestResult {
    let sim = Simulator::start().await?;
    let mut body = weather_on(Wire::OpenAiChat);

    let asked = ask(&sim, &body).await.json();
    let message = asked["choices"][0]["message"].clone();
    let call = message["tool_calls"][0].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "rain, 7 °C"}));
    let told = ask(&sim, &body).await.json();

    assert_eq!(asked["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(call["function"]["name"], "get_weather");
    assert_eq!(call["function"]["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(
        told["choices"][0]["message"]["content"],
        "I looked it up with get_weather: rain, 7 °C."
    );
    Ok(())
}

#[tokio::test]
async fn answers_carry_the_vendors_headers() -> TestResult {
    let sim = Simulator::start().await?;

    let first = ask(&sim, &prompt("Hi")).await;
    let second = ask(&sim, &prompt("Hi")).await;

    assert!(first.header("x-request-id").starts_with("req_"));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert!(first.header("openai-processing-ms").parse::<u64>()? >= 1);
    assert_eq!(first.header("x-ratelimit-limit-requests"), "");
    Ok(())
}

#[tokio::test]
async fn paths_of_compatible_servers_reach_the_model() -> TestResult {
    let sim = Simulator::start().await?;

    for prefix in ["/v1", "/openai/v1", "/api/paas/v4", "/v1beta/openai"] {
        let url = format!("{}{prefix}/chat/completions", sim.url());
        let request = client()?.post(url).bearer_auth("key").json(&prompt("Hi"));

        assert_eq!(see(request).await.status, 200, "{prefix}");
    }
    Ok(())
}

#[tokio::test]
async fn models_are_listed() -> TestResult {
    let sim = Simulator::start().await?;

    let url = format!("{}/models", sim.base_url());
    let body = see(client()?.get(url).bearer_auth("key")).await.json();

    assert_eq!(body["object"], "list");
    assert_eq!(body["data"][0]["id"], "steadfast-sim");
    Ok(())
}

#[tokio::test]
async fn answerer_may_look_at_the_request() -> TestResult {
    let sim = Simulator::builder()
        .answer(|request| match request.prompt().as_str() {
            "ping" => Answer::text(format!("pong on {:?}", request.wire())),
            _ => Answer::built_in(request),
        })
        .start()
        .await?;

    for wire in Wire::all() {
        let pong = ask_on(*wire, &sim, &streamed(prompt_on(*wire, "ping"))).await;
        let other = ask_on(*wire, &sim, &streamed(prompt_on(*wire, "else"))).await;

        assert_eq!(pong.words(), format!("pong on {wire:?}"));
        assert!(other.words().contains("“else”"));
    }
    Ok(())
}

#[tokio::test]
async fn finish_reasons_are_said_in_each_wires_words() -> TestResult {
    let cases = [
        ["stop", "stop", "end_turn", "completed", "STOP", "stop"],
        ["end_turn", "stop", "end_turn", "completed", "STOP", "stop"],
        [
            "tool_use",
            "tool_calls",
            "tool_use",
            "completed",
            "STOP",
            "stop",
        ],
        [
            "tool_calls",
            "tool_calls",
            "tool_use",
            "completed",
            "STOP",
            "stop",
        ],
        [
            "length",
            "length",
            "max_tokens",
            "max_output_tokens",
            "MAX_TOKENS",
            "length",
        ],
        [
            "max_tokens",
            "length",
            "max_tokens",
            "max_output_tokens",
            "MAX_TOKENS",
            "length",
        ],
        [
            "content_filter",
            "content_filter",
            "refusal",
            "content_filter",
            "SAFETY",
            "stop",
        ],
        [
            "refusal",
            "content_filter",
            "refusal",
            "content_filter",
            "SAFETY",
            "stop",
        ],
        [
            "stop_sequence",
            "stop",
            "stop_sequence",
            "completed",
            "STOP",
            "stop",
        ],
        ["pause_turn"; 6],
        ["whatever"; 6],
    ];
    for [word, openai, anthropic, responses, gemini, ollama] in cases {
        for (wire, expected) in [
            (Wire::OpenAiChat, openai),
            (Wire::Anthropic, anthropic),
            (Wire::OpenAiResponses, responses),
            (Wire::Gemini, gemini),
            (Wire::Ollama, ollama),
        ] {
            let sim = Simulator::builder()
                .answer(move |_| Answer::text("x").finish(word))
                .start()
                .await?;

            let stream = ask_on(wire, &sim, &streamed(prompt_on(wire, "Hi"))).await;
            let whole = ask_on(wire, &sim, &prompt_on(wire, "Hi")).await.json();

            let reason = whole.pointer("/choices/0/finish_reason");
            let reason = reason.or(whole.get("stop_reason"));
            let reason = reason.or(whole.pointer("/candidates/0/finishReason"));
            let reason = reason.or(whole.get("done_reason"));
            let reason = reason.and_then(Value::as_str).or(ended(&whole));
            assert_eq!(reason, Some(expected), "{word} on {wire:?}");
            assert_eq!(stream.finish_reason().as_deref(), Some(expected));
        }
    }
    Ok(())
}

#[tokio::test]
async fn cached_tokens_are_counted_where_the_vendor_counts_them() -> TestResult {
    let sim = Simulator::builder()
        .answer(|_| Answer::text("x").usage(100, 5).cached_tokens(80))
        .start()
        .await?;

    let openai = ask(&sim, &prompt("Hi")).await.json();
    let wire = Wire::Anthropic;
    let anthropic = ask_on(wire, &sim, &prompt_on(wire, "Hi")).await.json();

    assert_eq!(openai["usage"]["prompt_tokens"], 100);
    assert_eq!(
        openai["usage"]["prompt_tokens_details"]["cached_tokens"],
        80
    );
    let wire = Wire::OpenAiResponses;
    let responses = ask_on(wire, &sim, &prompt_on(wire, "Hi")).await.json();
    let cached = &responses["usage"]["input_tokens_details"]["cached_tokens"];
    assert_eq!(responses["usage"]["input_tokens"], 100);
    assert_eq!(cached, 80);
    assert_eq!(anthropic["usage"]["input_tokens"], 20);
    assert_eq!(anthropic["usage"]["cache_read_input_tokens"], 80);
    assert_eq!(anthropic["usage"]["output_tokens"], 5);
    Ok(())
}

#[tokio::test]
async fn star_lasts_for_ever() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok, 503*".parse()?)
        .start()
        .await?;
    let mut statuses = Vec::new();

    for _ in 0..5 {
        let seen = ask(&sim, &prompt("Hi")).await;
        statuses.push(seen.status);
    }

    assert_eq!(statuses, [200, 503, 503, 503, 503]);
    Ok(())
}
