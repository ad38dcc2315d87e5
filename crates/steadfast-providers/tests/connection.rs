//! One connection and its headers, seen from a server that writes HTTP by hand.

use std::sync::{Arc, Mutex};

use steadfast_core::{Agent, Model, ModelErrorKind, NoopRetryStrategy, RunErrorKind};
use steadfast_providers::{Anthropic, CompatibleServer, OpenAiChat, OpenAiResponses};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// What a server saw: the heads of the requests, by connection.
type Seen = Arc<Mutex<Vec<Vec<String>>>>;

/// How most servers are sent the key of these tests.
const BEARER: &str = "authorization: bearer 0123456789";

/// An answer of one word.
const ANSWER: &[&str] = &[
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    "55\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n\r\n",
    "0\r\n\r\n",
];

/// Answers every request with these pieces, each written by itself.
async fn serve(pieces: &'static [&'static str]) -> std::io::Result<(String, Seen)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let seen = Seen::default();
    let heads = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let place = heads.lock().map_or(0, |mut heads| {
                heads.push(Vec::new());
                heads.len() - 1
            });
            tokio::spawn(talk(socket, pieces, heads.clone(), place));
        }
    });
    Ok((address, seen))
}

async fn talk(
    mut socket: TcpStream,
    pieces: &'static [&'static str],
    heads: Seen,
    place: usize,
) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        // The body ends in the closing brace of the JSON object.
        while !request.ends_with(b"}") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or_default();
        if let Ok(mut heads) = heads.lock()
            && let Some(connection) = heads.get_mut(place)
        {
            connection.push(head.to_owned());
        }
        for piece in pieces {
            socket.write_all(piece.as_bytes()).await?;
            socket.flush().await?;
            // So that the client reads what came before the end of the body.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn every_server_is_called_at_its_path_with_its_key() -> TestResult {
    let (address, seen) = serve(ANSWER).await?;
    for (server, path, key) in [
        (CompatibleServer::Azure, "/openai/v1", "api-key: 0123456789"),
        (CompatibleServer::DeepSeek, "", BEARER),
        (CompatibleServer::Groq, "/openai/v1", BEARER),
        (CompatibleServer::LlamaCpp, "/v1", BEARER),
        (CompatibleServer::LmStudio, "/v1", BEARER),
        (CompatibleServer::Mistral, "/v1", BEARER),
        (CompatibleServer::OpenRouter, "/api/v1", BEARER),
        (CompatibleServer::Vllm, "/v1", BEARER),
        (CompatibleServer::Xai, "/v1", BEARER),
    ] {
        let model = OpenAiChat::builder("m")
            .server(server)
            .base_url(&address)
            .api_key("0123456789")
            .no_proxy()
            .build()?;
        assert_eq!(model.name(), format!("{}:m", server.name()));
        let agent = Agent::builder().model(model).build()?;

        assert_eq!(agent.prompt("Hi").await?.text(), "Hi", "{server:?}");

        let seen = seen.lock().map_err(|_| "the server panicked")?;
        let head = seen.iter().flatten().last().ok_or("no request")?;
        let start = format!("post {path}/chat/completions http/1.1");
        assert!(head.starts_with(&start), "{head}");
        assert!(head.lines().any(|line| line == key), "{head}");
    }
    Ok(())
}

#[tokio::test]
async fn calls_in_a_row_share_a_connection_and_headers_stand_once() -> TestResult {
    let (address, seen) = serve(ANSWER).await?;
    let model = OpenAiChat::builder("m")
        .base_url(format!("{address}/v1"))
        .api_key("sk-test")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("accept", "text/event-stream")
        .build()?;
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .build()?;

    for _ in 0..3 {
        assert_eq!(agent.prompt("Hello?").await?.text(), "Hi");
    }

    let seen = seen.lock().map_err(|_| "poisoned")?.clone();
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    for head in seen.iter().flatten() {
        for line in [
            "content-type: application/json; charset=utf-8",
            "accept: text/event-stream",
        ] {
            let name = line.split(':').next().unwrap_or_default();
            let of_name = |head_line: &&str| head_line.starts_with(&format!("{name}:"));
            let lines: Vec<&str> = head.lines().filter(of_name).collect();
            assert_eq!(lines, [line]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn anthropic_gets_its_own_headers_once() -> TestResult {
    let (address, seen) = serve(&[
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 77\r\n\r\n",
        "{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\",\"type\":\"m\"}",
    ])
    .await?;
    let builder = || {
        Anthropic::builder("m")
            .base_url(&address)
            .api_key(" sk-ant-test ")
    };
    let plain = builder().build()?;
    let newer = builder()
        .header("anthropic-version", "2099-01-01")
        .build()?;
    assert_eq!(plain.name(), "anthropic:m");

    for model in [plain, newer] {
        let agent = Agent::builder().model(model).build()?;
        assert_eq!(agent.prompt("Hello?").await?.text(), "Hi");
    }

    let seen = seen.lock().map_err(|_| "poisoned")?.concat();
    for (head, version) in seen.iter().zip(["2023-06-01", "2099-01-01"]) {
        assert!(head.starts_with("post /v1/messages http/1.1"), "{head}");
        let about = |line: &&str| line.contains("anthropic") || line.contains("key");
        let mut lines: Vec<&str> = head.lines().filter(about).collect();
        lines.sort_unstable();
        let version = format!("anthropic-version: {version}");
        assert_eq!(lines, [&*version, "x-api-key: sk-ant-test"]);
        assert!(!head.contains("authorization"), "{head}");
    }
    assert_eq!(seen.len(), 2);
    Ok(())
}

const KEY: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// Calls a model whose server repeats the key, and looks for it in the error.
async fn check_key_is_masked(model: impl Model) -> TestResult {
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .build()?;

    let error = agent.prompt("Hello?").await.err().ok_or("no error")?;

    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Auth));
    let model_error = error.model_error().ok_or("no model error")?;
    assert_eq!(model_error.message(), "no such: ***");
    assert_eq!(model_error.code(), Some("bad-***-key"));
    let stored = serde_json::to_string(model_error)?;
    assert!(!format!("{error:?} {model_error:?} {stored}").contains(KEY));
    Ok(())
}

#[tokio::test]
async fn echoed_key_is_masked_whatever_its_shape() -> TestResult {
    let (address, _) = serve(&[
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 116\r\n\r\n",
        "{\"error\":{\"message\":\"no such: 0a1b2c3d4e5f60718293a4b5c6d7e8f9\",\"code\":\"bad-0a1b2c3d4e5f60718293a4b5c6d7e8f9-key\"} }",
    ])
    .await?;
    let chat = OpenAiChat::builder("m").base_url(&address).api_key(KEY);
    let anthropic = Anthropic::builder("m").base_url(&address).api_key(KEY);
    let responses = OpenAiResponses::builder("m")
        .base_url(&address)
        .api_key(KEY);

    check_key_is_masked(chat.build()?).await?;
    check_key_is_masked(responses.build()?).await?;
    check_key_is_masked(anthropic.build()?).await
}

#[test]
fn base_url_that_holds_a_part_of_the_call_is_refused() {
    for (ending, hint) in [
        ("/v1", "leave out `/v1`: it is added to every call"),
        ("/v1/", "leave out `/v1`: it is added to every call"),
        (
            "/v1/messages",
            "leave out `/v1/messages`: it is added to every call",
        ),
    ] {
        let builder = Anthropic::builder("m").base_url(format!("http://h{ending}"));
        let error = builder.api_key("sk-ant-test").build().unwrap_err();
        assert_eq!((error.field(), error.hint()), ("base_url", Some(hint)));
    }
    let gateway = Anthropic::builder("m").base_url("http://h/anthropic");
    assert!(gateway.api_key("sk-ant-test").build().is_ok());
}
