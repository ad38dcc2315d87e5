//! What the HTTP client must bound by itself, over a real connection.

use steadfast_core::{Message, Model, ModelErrorKind as Kind, ModelRequest};
use steadfast_providers::OpenAiChat;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Answers one call with a beginning, and then with a filling without an end.
async fn serve(begin: &'static str, filling: &'static str) -> TestResult<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(async move {
        let Ok((mut socket, _)) = listener.accept().await else {
            return;
        };
        let mut request = Vec::new();
        while !request.ends_with(b"}") && socket.read_buf(&mut request).await.is_ok_and(|n| n > 0) {
        }
        let filling = filling.repeat(4_096);
        let _ = socket.write_all(begin.as_bytes()).await;
        // Until the client hangs up.
        while socket.write_all(filling.as_bytes()).await.is_ok() {}
    });
    Ok(address)
}

#[tokio::test]
async fn endless_heads_end_the_call() -> TestResult {
    for (begin, filling) in [
        ("HTTP/1.1 200 OK\r\n", "x-a: b\r\n"),
        ("HTTP/1.1 200 OK\r\nx-a: ", "xxxxxxxx"),
        ("HTTP/1.1 200 ", "xxxxxxxx"),
        ("", "xxxxxxxx"),
    ] {
        let address = serve(begin, filling).await?;
        let model = OpenAiChat::builder("m")
            .api_key("k")
            .base_url(address)
            .no_proxy()
            .build()?;

        let request = ModelRequest::new([Message::user("Hi")]);
        let error = model.stream(request).await.err();

        let kind = error.as_ref().map(steadfast_core::ModelError::kind);
        assert_eq!(kind, Some(Kind::Network), "{begin:?}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn endless_chunk_sizes_end_the_stream() -> TestResult {
    let begin = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
    let address = serve(begin, "xxxxxxxx").await?;
    let model = OpenAiChat::builder("m")
        .api_key("k")
        .base_url(address)
        .no_proxy()
        .build()?;

    let request = ModelRequest::new([Message::user("Hi")]);
    let error = model.stream(request).await?.response().await.err();

    let kind = error.as_ref().map(steadfast_core::ModelError::kind);
    assert!(
        matches!(kind, Some(Kind::Protocol | Kind::Network)),
        "{error:?}"
    );
    Ok(())
}
