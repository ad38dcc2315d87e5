//! The provider of `docs/guides/own-provider.md` classifies what the network and the server do to it.

#[path = "../examples/own_provider/ollama.rs"]
mod ollama;

use std::time::Duration;

use steadfast::{
    Message, Model as _, ModelError, ModelErrorKind, ModelRequest, ModelResponse, StopReason,
    ToolSpec, Usage, secs,
};
use steadfast_sim::{Cassette, Simulator};

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../examples/own_provider/recorded.yaml"
);

fn question() -> ModelRequest {
    ModelRequest::new([Message::user("Umbrella?")]).with_system("One sentence.")
}

async fn ask(fault: &str, request: ModelRequest) -> Result<ModelResponse, ModelError> {
    let server = Simulator::builder()
        .cassette(Cassette::load(RECORDED).unwrap())
        .faults(fault.parse().unwrap())
        .start()
        .await
        .unwrap();
    let model = ollama::Ollama {
        url: server.url(),
        model: "qwen3".to_owned(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    model.stream(request).await?.response().await
}

#[tokio::test]
async fn answer_is_joined_from_its_lines() {
    let answer = ask("ok", question()).await.unwrap();

    assert_eq!(answer.text(), "Take one: it will rain.");
    assert_eq!(answer.usage, Usage::new(26, 9));
    assert_eq!(answer.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn every_failure_has_its_kind() {
    let cases: [(&str, ModelErrorKind, Option<Duration>); 8] = [
        ("404", ModelErrorKind::NotFound, None),
        ("401", ModelErrorKind::Auth, None),
        ("400", ModelErrorKind::InvalidRequest, None),
        (
            "429:retry-after=7",
            ModelErrorKind::Throttled,
            Some(secs(7)),
        ),
        ("503", ModelErrorKind::Server, None),
        ("cut@100", ModelErrorKind::Network, None),
        ("no-end", ModelErrorKind::Truncated, None),
        ("html", ModelErrorKind::Protocol, None),
    ];
    for (fault, kind, hint) in cases {
        let error = ask(fault, question()).await.unwrap_err();

        assert_eq!((error.kind(), error.retry_after()), (kind, hint), "{fault}");
    }
}

#[tokio::test]
async fn tools_are_refused_and_not_left_out() {
    let tool = ToolSpec::new("now", "", serde_json::json!({"type": "object"}));

    let error = ask("ok", question().with_tools([tool])).await.unwrap_err();

    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
}
