//! What the simulator refuses, as the vendor does.

use serde_json::{Value, json};
use steadfast_sim::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Seen, TestResult, client, prompt, see};

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
        json!({"model": "sim", "messages": [7, null, "x"]}),
        json!({"model": "sim", "messages": [{"role": "tool"}], "tools": [1, {"function": 2}]}),
        json!({"model": "sim", "messages": [{"role": "user"}], "tools": [{"function": {"name": ""}}]}),
        json!({"model": "é\u{0}\n", "messages": [{"content": {}}], "stream": "yes"}),
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
    assert_eq!(method.status, 405);
    Ok(())
}

/// Speaks TCP itself, because an HTTP client would try to send what is announced.
#[tokio::test]
async fn bodies_over_the_limit_are_413() -> TestResult {
    let sim = Simulator::start().await?;
    let mut stream = TcpStream::connect(sim.address()).await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        64 * 1024 * 1024 + 1
    );

    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request_too_large"), "{answer}");
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
