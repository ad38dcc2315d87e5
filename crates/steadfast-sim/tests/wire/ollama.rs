//! Ollama's wire: streams of lines, and what is its own.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator, Wire};

use crate::client::{
    End, Seen, TestResult, ask_on, client, prompt, prompt_on, see, streamed, weather_on, with,
};

const WIRE: Wire = Wire::Ollama;

/// Asks for one answer.
async fn check(answer: Answer, body: Value) -> Result<Seen, Box<dyn std::error::Error>> {
    let sim = Simulator::builder()
        .answer(move |_| answer.clone())
        .start()
        .await?;
    let seen = ask_on(WIRE, &sim, &body).await;
    assert_eq!((seen.status, seen.end), (200, End::InOrder));
    Ok(seen)
}

#[tokio::test]
async fn answer_is_streamed_unless_the_request_says_no() -> TestResult {
    let plain = check(Answer::text("one two three"), prompt("Hi")).await?;
    let whole = check(Answer::text("one two three"), prompt_on(WIRE, "Hi")).await?;

    assert_eq!(plain.header("content-type"), "application/x-ndjson");
    assert_eq!(plain.words(), "one two three");
    assert_eq!(plain.data().len(), 3);
    assert_eq!(
        whole.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(whole.json()["message"]["content"], "one two three");
    assert_eq!(whole.json()["done"], true);
    Ok(())
}

#[tokio::test]
async fn lines_say_what_the_answer_says() -> TestResult {
    let answer = Answer::reasoning("Hm.")
        .then_text("I look.")
        .then_tool_call("f", json!({"a": 1}))
        .then_tool_call("g", "{\"a\": cut")
        .usage(12, 3);

    let stream = check(answer.clone(), streamed(prompt("Hi"))).await?;
    let whole = check(answer, prompt_on(WIRE, "Hi")).await?.json();

    let data = stream.data();
    let last = data.last().unwrap();
    assert_eq!(stream.all("/message/thinking"), "Hm.");
    assert_eq!(stream.words(), "I look.");
    assert_eq!(data[2]["message"]["tool_calls"][0]["function"]["index"], 0);
    assert_eq!(
        data[3]["message"]["tool_calls"][0]["function"],
        json!({"index": 1, "name": "g", "arguments": "{\"a\": cut"})
    );
    assert_eq!(data[2]["done"], false);
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(
        (&last["prompt_eval_count"], &last["eval_count"]),
        (&json!(12), &json!(3))
    );
    assert_eq!(whole["message"]["thinking"], "Hm.");
    assert_eq!(whole["message"]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(whole["prompt_eval_count"], 12);
    Ok(())
}

#[tokio::test]
async fn built_in_answers_go_once_round_the_loop_in_lines() -> TestResult {
    let sim = Simulator::start().await?;
    let mut body = weather_on(WIRE);

    let asked = ask_on(WIRE, &sim, &body).await.json();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(asked["message"].clone());
    messages.push(json!({"role": "tool", "tool_name": "get_weather", "content": "rain"}));
    let told = ask_on(WIRE, &sim, &body).await.json();

    assert_eq!(
        asked["message"]["tool_calls"][0]["function"]["arguments"],
        json!({"city": "Oslo"})
    );
    assert_eq!(
        told["message"]["content"],
        "I looked it up with get_weather: rain."
    );
    Ok(())
}

#[tokio::test]
async fn request_without_messages_loads_the_model() -> TestResult {
    let body = with(prompt("Hi"), "messages", json!([]));

    let seen = check(Answer::text("never said"), body).await?;

    assert_eq!(seen.json()["done_reason"], "load");
    assert_eq!(seen.json()["message"]["content"], "");
    Ok(())
}

#[tokio::test]
async fn errors_in_a_stream_are_lines() -> TestResult {
    for (fault, expected) in [
        (
            "error@text",
            json!({"error": "an error was encountered while running the model"}),
        ),
        (
            "error@text:rate_limit",
            json!({"StatusCode": 429, "Status": "429 Too Many Requests",
                   "error": "too many requests"}),
        ),
        (
            "error@text:overloaded",
            json!({"StatusCode": 503, "Status": "503 Service Unavailable",
                   "error": "Server overloaded, please retry shortly"}),
        ),
    ] {
        let sim = Simulator::builder().faults(fault.parse()?).start().await?;

        let seen = ask_on(WIRE, &sim, &prompt("Hi")).await;

        assert_eq!((seen.status, seen.end), (200, End::InOrder));
        assert_eq!(seen.data().pop(), Some(expected), "{fault}");
        assert!(!seen.words().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn statuses_come_with_ollamas_sentences() -> TestResult {
    for (fault, sentence) in [
        ("400", "invalid request"),
        ("401", "unauthorized"),
        ("404", "model \"gpt-test\" not found, try pulling it first"),
        ("429", "too many requests"),
        ("429:quota", "you've reached your hourly usage limit"),
        ("500", "the model failed to generate a response"),
        (
            "503",
            "server busy, please try again.  maximum pending requests exceeded",
        ),
    ] {
        let sim = Simulator::builder().faults(fault.parse()?).start().await?;

        let seen = ask_on(WIRE, &sim, &prompt("Hi")).await;

        assert_eq!(seen.status.to_string(), fault.get(..3).unwrap());
        let body = seen.json();
        assert!(
            body["error"].as_str().unwrap().starts_with(sentence),
            "{body}"
        );
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_ollama_refuses_are_refused() -> TestResult {
    let sim = Simulator::start().await?;
    let model = |name: &str| with(prompt("Hi"), "model", json!(name));
    for (path, body, status, sentence) in [
        ("/api/chat", model(""), 400, "model is required"),
        (
            "/api/chat",
            model("nonexistent-7b"),
            404,
            "try pulling it first",
        ),
        (
            "/api/chat",
            with(prompt("Hi"), "messages", json!("no")),
            400,
            "json: cannot unmarshal string",
        ),
        ("/v1/api/chat", prompt("Hi"), 404, "address without a path"),
        ("/api/api/chat", prompt("Hi"), 404, "address without a path"),
        ("/api/tags", prompt("Hi"), 405, "takes GET"),
    ] {
        let request = client()?.post(format!("{}{path}", sim.url())).json(&body);

        let seen = see(request).await;

        assert_eq!(seen.status, status, "{path}");
        let error = seen.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(sentence), "{error}");
    }
    let text = client()?.post(format!("{}/api/chat", sim.url())).body("no");
    assert_eq!(see(text).await.status, 400);
    Ok(())
}

#[tokio::test]
async fn models_are_listed_as_tags_without_a_key() -> TestResult {
    let sim = Simulator::start().await?;

    let body = see(client()?.get(format!("{}/api/tags", sim.url())))
        .await
        .json();

    assert_eq!(body["models"][0]["name"], "steadfast-sim:latest");
    Ok(())
}
