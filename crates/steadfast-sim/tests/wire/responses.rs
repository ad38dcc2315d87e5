//! OpenAI's responses wire: what it says in its own words, and what only it refuses.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator, Wire};

use crate::client::{TestResult, ask_on, prompt_on, streamed, weather_on, with};

const WIRE: Wire = Wire::OpenAiResponses;

/// Answers every request with a thought, a word and a call.
async fn thoughtful() -> Result<Simulator, steadfast_sim::Error> {
    let answer = |_: &_| {
        Answer::reasoning("Hm")
            .then_text("I look.")
            .then_tool_call("get_weather", json!({}))
    };
    Simulator::builder().answer(answer).start().await
}

/// The same question, asking for thoughts that can come back.
fn thinking() -> Value {
    let body = with(weather_on(WIRE), "store", json!(false));
    with(body, "include", json!(["reasoning.encrypted_content"]))
}

#[tokio::test]
async fn stream_tells_each_item_from_its_beginning_to_its_end() -> TestResult {
    let sim = thoughtful().await?;

    let seen = ask_on(WIRE, &sim, &streamed(thinking())).await;

    let data = seen.data();
    let kinds = data.iter().filter_map(|data| data["type"].as_str());
    let kinds: Vec<&str> = kinds
        .map(|kind| kind.trim_start_matches("response."))
        .collect();
    let item = |inner: &[&'static str]| {
        let mut item = vec!["output_item.added"];
        item.extend(inner);
        item.push("output_item.done");
        item
    };
    let expected = [
        vec!["created", "in_progress"],
        item(&[
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        ]),
        item(&[
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
        ]),
        item(&[
            "function_call_arguments.delta",
            "function_call_arguments.done",
        ]),
        vec!["completed"],
    ];
    assert_eq!(kinds, expected.concat());
    for (number, data) in data.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
        assert!(
            seen.text()
                .contains(&format!("event: {}\n", data["type"].as_str().unwrap()))
        );
    }
    Ok(())
}

#[tokio::test]
async fn stream_ends_with_what_a_whole_answer_is() -> TestResult {
    let sim = thoughtful().await?;

    let stream = ask_on(WIRE, &sim, &streamed(thinking())).await;
    let whole = ask_on(WIRE, &sim, &thinking()).await.json();

    let last = stream.data().pop().unwrap();
    let kinds = |response: &Value| -> Vec<Value> {
        let items = response["output"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["type"].clone()).collect()
    };
    assert_eq!(kinds(&whole), ["reasoning", "message", "function_call"]);
    assert_eq!(kinds(&last["response"]), kinds(&whole));
    assert_eq!(last["response"]["usage"], whole["usage"]);
    assert_eq!(whole["status"], "completed");
    assert_eq!(whole["output"][0]["summary"][0]["text"], "Hm");
    assert_eq!(whole["output"][1]["content"][0]["text"], "I look.");
    assert_eq!(whole["output"][2]["arguments"], "{}");
    Ok(())
}

#[tokio::test]
async fn thoughts_come_back_unchanged_or_are_refused() -> TestResult {
    let sim = thoughtful().await?;
    let mut body = thinking();
    let answer = ask_on(WIRE, &sim, &body).await.json();
    let call = answer["output"][2]["call_id"].clone();
    let mut input = answer["output"].as_array().cloned().unwrap();
    input.push(json!({"type": "function_call_output", "call_id": call, "output": "rain"}));

    body["input"] = json!(input);
    let taken = ask_on(WIRE, &sim, &body).await;
    body["input"][0]["encrypted_content"] = json!("gAAAAAB");
    let changed = ask_on(WIRE, &sim, &body).await;

    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(changed.status, 400);
    assert_eq!(changed.error().1, "invalid_encrypted_content");
    Ok(())
}

#[tokio::test]
async fn built_in_answers_go_once_round_the_loop() -> TestResult {
    let sim = Simulator::start().await?;
    let mut body = with(weather_on(WIRE), "instructions", json!("Be brief."));
    let question = body["input"].clone();

    let asked = ask_on(WIRE, &sim, &body).await.json();
    let call = asked["output"][0].clone();
    body["input"] = json!([
        {"role": "user", "content": question},
        call,
        {"type": "function_call_output", "call_id": call["call_id"],
         "output": [{"type": "input_text", "text": "rain, 7 °C"}]},
    ]);
    let told = ask_on(WIRE, &sim, &body).await.json();

    assert_eq!(call["name"], "get_weather");
    assert_eq!(call["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(
        told["output"][0]["content"][0]["text"],
        "I looked it up with get_weather: rain, 7 °C."
    );
    Ok(())
}

#[tokio::test]
async fn named_tools_are_called_and_refusals_are_said() -> TestResult {
    let choice = json!({"type": "function", "name": "get_weather"});
    let sim = Simulator::start().await?;
    let named = with(weather_on(WIRE), "tool_choice", choice);
    let none = with(weather_on(WIRE), "tool_choice", json!("none"));
    let refusing = Simulator::builder()
        .answer(|_| Answer::refusal("No."))
        .start()
        .await?;

    let named = ask_on(WIRE, &sim, &named).await.json();
    let none = ask_on(WIRE, &sim, &none).await.json();
    let refused = ask_on(WIRE, &refusing, &prompt_on(WIRE, "Hi")).await.json();

    assert_eq!(named["output"][0]["type"], "function_call");
    assert_eq!(none["output"][0]["type"], "message");
    assert_eq!(refused["output"][0]["content"][0]["refusal"], "No.");
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_the_other_wire_is_refused() -> TestResult {
    let sim = Simulator::start().await?;
    let prompt = || prompt_on(WIRE, "Hi");
    let chat_tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let encrypted = json!(["reasoning.encrypted_content"]);
    let asking = |model: &str| {
        let body = with(prompt(), "model", json!(model));
        with(body, "include", encrypted.clone())
    };
    let unnamed = json!([{"role": "user", "content": [
        {"type": "input_file", "file_data": "data:,"},
    ]}]);
    for (body, expected) in [
        (with(prompt(), "messages", json!([])), "moved to 'input'"),
        (with(prompt(), "max_tokens", json!(9)), "max_output_tokens"),
        (
            with(prompt(), "max_output_tokens", json!(9)),
            "Expected a value >= 16",
        ),
        (
            with(prompt(), "stop", json!(["x"])),
            "Unknown parameter: 'stop'",
        ),
        (with(prompt(), "tools", chat_tool), "'tools[0].name'"),
        (
            with(
                weather_on(WIRE),
                "tool_choice",
                json!({"type": "function", "function": {}}),
            ),
            "'tool_choice.name'",
        ),
        (
            with(
                weather_on(WIRE),
                "tool_choice",
                json!({"type": "function", "name": "x"}),
            ),
            "not found in 'tools'",
        ),
        (asking("gpt-4o"), "not supported with this model"),
        (asking("gpt-3.5-turbo"), "not supported with this model"),
        (asking("chatgpt-4o-latest"), "not supported with this model"),
        (asking("gpt-5-chat-latest"), "not supported with this model"),
        (
            with(prompt(), "input", unnamed),
            "'input[0].content[0].filename'",
        ),
        (with(prompt(), "input", json!([])), "must be provided"),
        (with(prompt(), "model", json!("")), "'model'"),
    ] {
        let seen = ask_on(WIRE, &sim, &body).await;

        assert_eq!(seen.status, 400, "{body}");
        assert!(seen.text().contains(expected), "{}", seen.text());
    }
    let missing = with(prompt(), "model", json!("nonexistent-1"));
    assert_eq!(ask_on(WIRE, &sim, &missing).await.status, 404);
    Ok(())
}
