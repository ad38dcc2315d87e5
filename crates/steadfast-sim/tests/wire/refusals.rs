//! What the simulator refuses, as the vendor does.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{
    Seen, TestResult, ask_on, client, prompt, prompt_on, see, streamed, weather_on, with,
};

#[derive(Clone, Copy)]
enum Key<'a> {
    None,
    Header(&'a str),
}

async fn check(
    method: &str,
    path: &str,
    key: Key<'_>,
    body: String,
) -> Result<Seen, Box<dyn std::error::Error>> {
    let sim = Simulator::start().await?;
    let method = reqwest::Method::from_bytes(method.as_bytes())?;
    let mut request = client()?
        .request(method, format!("{}{path}", sim.url()))
        .body(body);
    if let Key::Header(value) = key {
        request = request.header("authorization", value);
    }
    Ok(see(request).await)
}

const CHAT: &str = "/v1/chat/completions";
const KEY: Key<'static> = Key::Header("Bearer key");

#[tokio::test]
async fn missing_key_is_401_without_code() -> TestResult {
    for key in [
        Key::None,
        Key::Header("Bearer "),
        Key::Header("Basic abc"),
        Key::Header("key"),
    ] {
        let seen = check("POST", CHAT, key, prompt("Hi").to_string()).await?;

        let error = &seen.json()["error"];
        assert_eq!(seen.status, 401);
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["code"], Value::Null);
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("provide an API key")
        );
    }
    Ok(())
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_400() -> TestResult {
    let bodies = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        json!({"messages": [{"role": "user", "content": "Hi"}]}).to_string(),
        json!({"model": 7, "messages": [{"role": "user", "content": "Hi"}]}).to_string(),
        json!({"model": "sim"}).to_string(),
        json!({"model": "sim", "messages": []}).to_string(),
        "[".repeat(100_000),
    ];
    for body in bodies {
        let start: String = body.chars().take(60).collect();
        let seen = check("POST", CHAT, KEY, body).await?;

        assert_eq!(seen.status, 400, "{start}");
        assert_eq!(seen.json()["error"]["type"], "invalid_request_error");
    }
    Ok(())
}

#[tokio::test]
async fn odd_but_valid_requests_are_answered() -> TestResult {
    let bodies = [
        json!({"model": "sim", "messages": [{"role": "user"}], "tools": [1, {"function": 2}]}),
        json!({"model": "sim", "messages": [{"role": "user"}], "tools": [{"function": {"name": ""}}]}),
        json!({"model": "é\u{0}\n", "messages": [{"role": "user", "content": {}}], "stream": "yes"}),
    ];
    for body in bodies {
        let seen = check("POST", CHAT, KEY, body.to_string()).await?;

        assert_eq!(seen.status, 200, "{body}: {}", seen.text());
    }
    Ok(())
}

#[tokio::test]
async fn unknown_models_paths_and_methods_are_refused() -> TestResult {
    let mut unknown = prompt("Hi");
    unknown["model"] = json!("nonexistent-7b");

    let model = check("POST", CHAT, KEY, unknown.to_string()).await?;
    let path = check("POST", "/v1/embeddings", KEY, String::new()).await?;
    let method = check("GET", CHAT, KEY, String::new()).await?;

    assert_eq!(model.status, 404);
    assert_eq!(model.json()["error"]["code"], "model_not_found");
    assert_eq!(path.status, 404);
    assert!(path.json()["error"]["message"].is_string());
    assert_eq!((method.status, method.header("allow")), (405, "POST"));
    Ok(())
}

#[tokio::test]
async fn wrong_base_url_is_404_and_the_right_one_is_named() -> TestResult {
    let right =
        "The base URL of a client of OpenAI's is this server's address with `/v1` behind it";
    let cases = [
        ("POST", "/chat/completions"),
        ("POST", "/openai/chat/completions"),
        ("POST", "/v1/v1/chat/completions"),
        ("POST", "/v1/chat/completions/chat/completions"),
        ("POST", "/responses"),
        ("POST", "/v1/responses/responses"),
        ("GET", "/models"),
    ];
    for (method, path) in cases {
        let seen = check(method, path, KEY, prompt("Hi").to_string()).await?;

        let error = &seen.json()["error"];
        let said = error["message"].as_str().unwrap();
        assert_eq!(seen.status, 404, "{path}");
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(
            (&error["param"], &error["code"]),
            (&Value::Null, &Value::Null)
        );
        assert!(
            said.starts_with(&format!("There is nothing at {method} {path}. {right}")),
            "{said}"
        );
    }
    Ok(())
}

/// What Anthropic refuses, as requests that differ from one in order.
struct Difference {
    method: &'static str,
    path: &'static str,
    header: Option<(&'static str, &'static str)>,
    body: String,
}

impl Difference {
    fn none() -> Self {
        Self {
            method: "POST",
            path: "/v1/messages",
            header: None,
            body: prompt_on(Wire::Anthropic, "Hi").to_string(),
        }
    }

    fn body(body: impl ToString) -> Self {
        Self {
            body: body.to_string(),
            ..Self::none()
        }
    }

    async fn see(self) -> Result<Seen, Box<dyn std::error::Error>> {
        let sim = Simulator::start().await?;
        let method = reqwest::Method::from_bytes(self.method.as_bytes())?;
        let mut request = client()?
            .request(method, format!("{}{}", sim.url(), self.path))
            .body(self.body);
        for (name, value) in [("x-api-key", "key"), ("anthropic-version", "2023-06-01")] {
            match self.header {
                Some((changed, "")) if changed == name => {}
                Some((changed, value)) if changed == name => request = request.header(name, value),
                _ => request = request.header(name, value),
            }
        }
        Ok(see(request).await)
    }
}

#[tokio::test]
async fn anthropics_refusals_have_its_status_and_type() -> TestResult {
    let prompt = || prompt_on(Wire::Anthropic, "Hi");
    let header = |header| Difference {
        header: Some(header),
        ..Difference::none()
    };
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}});
    let broken = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": "and?"},
    ]);
    let cases = [
        (
            header(("x-api-key", "")),
            401,
            "authentication_error",
            "x-api-key header is required",
        ),
        (
            header(("x-api-key", " ")),
            401,
            "authentication_error",
            "x-api-key header is required",
        ),
        (
            header(("anthropic-version", "")),
            400,
            "invalid_request_error",
            "anthropic-version: header is required",
        ),
        (
            Difference::body("{"),
            400,
            "invalid_request_error",
            "The request body is not valid JSON",
        ),
        (
            Difference::body(crate::client::prompt("Hi")),
            400,
            "invalid_request_error",
            "max_tokens: Field required",
        ),
        (
            Difference::body(with(prompt(), "messages", broken)),
            400,
            "invalid_request_error",
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately \
             after: toolu_1.",
        ),
        (
            Difference::body(with(prompt(), "model", json!("nonexistent-7b"))),
            404,
            "not_found_error",
            "model: nonexistent-7b",
        ),
        (
            Difference {
                path: "/v1/messages/batches",
                ..Difference::none()
            },
            404,
            "not_found_error",
            "There is nothing at POST /v1/messages/batches",
        ),
        (
            Difference {
                path: "/v1/v1/messages",
                ..Difference::none()
            },
            404,
            "not_found_error",
            "There is nothing at POST /v1/v1/messages: the base URL of a client of Anthropic's is \
             this server's address without `/v1`",
        ),
        (
            Difference {
                path: "/v1/messages/v1/messages",
                ..Difference::none()
            },
            404,
            "not_found_error",
            "There is nothing at POST /v1/messages/v1/messages: the base URL",
        ),
        (
            Difference {
                method: "GET",
                ..Difference::none()
            },
            405,
            "invalid_request_error",
            "/v1/messages takes POST, not GET",
        ),
    ];
    for (difference, status, kind, message) in cases {
        let seen = difference.see().await?;

        let body = seen.json();
        assert_eq!(seen.status, status, "{body}");
        assert_eq!(
            (&body["type"], &body["error"]["type"]),
            (&json!("error"), &json!(kind))
        );
        let said = body["error"]["message"].as_str().unwrap();
        assert!(said.starts_with(message), "{said}\nshould be {message}");
        assert_eq!(body["request_id"], seen.header("request-id"));
    }
    Ok(())
}

#[tokio::test]
async fn anthropic_takes_a_bearer_key_as_well() -> TestResult {
    let sim = Simulator::start().await?;
    let request = client()?
        .post(format!("{}/v1/messages", sim.url()))
        .bearer_auth("key")
        .header("anthropic-version", "2023-06-01")
        .json(&prompt_on(Wire::Anthropic, "Hi"));

    assert_eq!(see(request).await.status, 200);
    Ok(())
}

#[tokio::test]
async fn histories_with_a_lost_result_are_refused() -> TestResult {
    let lost = [
        (
            Wire::OpenAiChat,
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "get_weather", "arguments": "{}"}},
            ]}),
        ),
        (
            Wire::Anthropic,
            json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}},
            ]}),
        ),
        (
            Wire::OpenAiResponses,
            json!({"type": "function_call", "call_id": "call_1", "name": "get_weather",
                   "arguments": "{}"}),
        ),
    ];
    for (wire, call) in lost {
        let sim = Simulator::start().await?;
        let mut body = weather_on(wire);
        let question = json!({"role": "user", "content": "and?"});
        match body.get_mut("messages").and_then(Value::as_array_mut) {
            Some(messages) => messages.extend([call, question]),
            None => body["input"] = json!([call, question]),
        }

        let seen = ask_on(wire, &sim, &body).await;

        assert_eq!(
            (seen.status, seen.error().0),
            (400, json!("invalid_request_error"))
        );
        assert!(seen.text().contains("call_1"), "{}", seen.text());
    }
    Ok(())
}

#[tokio::test]
async fn results_that_no_vendor_reads_are_refused() -> TestResult {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let unread = [
        (
            Wire::OpenAiChat,
            json!([
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function",
                     "function": {"name": "get_weather", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": [image]},
            ]),
            "Image URLs are only allowed for messages with role 'user'",
        ),
        (
            Wire::Anthropic,
            json!([
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "",
                     "is_error": true},
                ]},
            ]),
            "content cannot be empty if `is_error` is true",
        ),
    ];
    for (wire, rest, expected) in unread {
        let sim = Simulator::start().await?;
        let mut body = weather_on(wire);
        let messages = body["messages"].as_array_mut().unwrap();
        messages.extend(rest.as_array().unwrap().clone());

        let seen = ask_on(wire, &sim, &body).await;

        assert_eq!(
            (seen.status, seen.error().0),
            (400, json!("invalid_request_error"))
        );
        assert!(seen.text().contains(expected), "{}", seen.text());
    }
    Ok(())
}

/// Whatever the simulator says, the vendor takes back: so does the simulator.
#[tokio::test]
async fn its_own_words_are_taken_back() -> TestResult {
    let wire = Wire::Anthropic;
    let sim = Simulator::builder()
        .answer(|request| match request.tool_results().as_slice() {
            [] => Answer::reasoning("The user asks for Oslo.")
                .then_text("I look it up.")
                .then_tool_call("get_weather", json!({"city": "Oslo"}))
                .then_tool_call("get_weather", json!({})),
            results => Answer::text(format!("{} results", results.len())),
        })
        .start()
        .await?;
    let mut body = weather_on(wire);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    body["max_tokens"] = json!(2000);

    let answer = ask_on(wire, &sim, &body).await.json();
    let content = answer["content"].clone();
    let calls = content
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["type"] == "tool_use");
    let results = calls.map(|call| json!({"type": "tool_result", "tool_use_id": call["id"]}));
    let results: Vec<_> = results.collect();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": content}));
    messages.push(json!({"role": "user", "content": results}));
    let told = ask_on(wire, &sim, &body).await;
    body["messages"][1]["content"][0]["thinking"] = json!("Something else.");
    let changed = ask_on(wire, &sim, &streamed(body)).await;

    assert_eq!(
        told.json()["content"][1]["text"],
        "2 results",
        "{}",
        told.text()
    );
    assert_eq!(changed.status, 400);
    assert!(
        changed
            .text()
            .contains("Invalid `signature` in `thinking` block")
    );
    Ok(())
}

/// Speaks TCP itself, because an HTTP client would try to send what is announced.
#[tokio::test]
async fn bodies_over_the_limit_are_413() -> TestResult {
    let sim = Simulator::start().await?;
    for (path, megabytes) in [(CHAT, 64), ("/v1/messages", 32)] {
        let mut stream = TcpStream::connect(sim.address()).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            megabytes * 1024 * 1024 + 1
        );

        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;

        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("request_too_large"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn noise_on_a_connection_does_not_hurt_others() -> TestResult {
    let sim = Simulator::start().await?;
    for noise in [
        &b"\x00\xff\xfe"[..],
        b"GET",
        b"\r\n\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(sim.address()).await?;
        stream.write_all(noise).await?;
    }

    let seen = crate::client::ask(&sim, &prompt("Hi")).await;

    assert_eq!(seen.status, 200);
    Ok(())
}
