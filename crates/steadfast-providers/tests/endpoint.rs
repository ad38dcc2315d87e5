//! How a provider is set up and reached: address, key, headers and proxy. What the simulator's faults
//! come to is the fault matrix of `steadfast-cli`.

use std::time::Duration;

use steadfast_core::{Agent, ModelErrorKind as Kind, NoopRetryStrategy, RunErrorKind};
use steadfast_providers::{OpenAiChat, OpenAiResponses};
use steadfast_sim::{Answer, Simulator};

type TestResult = Result<(), Box<dyn std::error::Error>>;

async fn simulator() -> Result<Simulator, Box<dyn std::error::Error>> {
    Ok(Simulator::builder()
        .answer(|_| Answer::text("one two three four five six"))
        .start()
        .await?)
}

fn model(sim: &Simulator) -> Result<OpenAiChat, Box<dyn std::error::Error>> {
    Ok(OpenAiChat::builder("gpt-test")
        .base_url(sim.base_url())
        .api_key("sk-test")
        .build()?)
}

#[tokio::test]
async fn nobody_listening_is_a_network_error_without_the_address() -> TestResult {
    let sim = simulator().await?;
    let model = model(&sim)?;
    let port = sim.address().port().to_string();
    sim.stop().await;
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(NoopRetryStrategy)
        .build()?;

    let error = agent
        .prompt("Count.")
        .await
        .err()
        .ok_or("an error was expected")?;

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Network));
    assert!(!format!("{error} {error:?}").contains(&port), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn wrong_configuration_is_refused_by_field() {
    let refused = |builder: steadfast_providers::OpenAiChatBuilder| {
        builder.build().err().map(|e| e.field().to_owned())
    };
    let builder = || {
        OpenAiChat::builder("m")
            .base_url("http://127.0.0.1:1/v1")
            .api_key("sk-test")
    };
    assert_eq!(refused(OpenAiChat::builder(" ")).as_deref(), Some("model"));
    assert_eq!(
        refused(builder().base_url("nonsense")).as_deref(),
        Some("base_url")
    );
    assert_eq!(
        refused(builder().base_url("http://h/v1/chat/completions")).as_deref(),
        Some("base_url")
    );
    assert_eq!(
        refused(builder().api_key("a\nb")).as_deref(),
        Some("api_key")
    );
    assert_eq!(refused(builder().api_key(" ")).as_deref(), Some("api_key"));
    assert_eq!(
        refused(builder().header("bad name", "x")).as_deref(),
        Some("header")
    );
    assert_eq!(
        refused(builder().header("x-y", "a\nb")).as_deref(),
        Some("header")
    );
    for address in ["::", "ftp://h:21", "socks5://h:1080"] {
        assert_eq!(refused(builder().proxy(address)).as_deref(), Some("proxy"));
    }
    assert_eq!(
        refused(builder().connect_timeout(Duration::ZERO)).as_deref(),
        Some("connect_timeout")
    );
    assert_eq!(refused(builder()), None);
    let responses = OpenAiResponses::builder("m").base_url("http://h/v1/responses");
    let error = responses.api_key("sk-test").build().err();
    assert_eq!(
        error.as_ref().and_then(|error| error.hint()),
        Some("leave out `/responses`: it is added to every call")
    );
}

#[tokio::test]
async fn headers_and_key_reach_the_server_and_no_debug_form() -> TestResult {
    let sim = simulator().await?;
    let model = OpenAiChat::builder("gpt-test")
        .base_url(sim.base_url())
        .api_key("sk-very-secret-123")
        .header("x-team", "blue")
        .build()?;
    let debug = format!("{model:?}");
    let agent = Agent::builder().model(model).build()?;

    agent.prompt("Count.").await?;

    let request = sim.requests().pop().ok_or("no request")?;
    assert_eq!(
        request.headers["authorization"],
        "Bearer sk-very-secret-123"
    );
    assert_eq!(request.headers["x-team"], "blue");
    assert!(!debug.contains("secret"), "{debug}");
    Ok(())
}

#[tokio::test]
async fn proxy_carries_the_call() -> TestResult {
    // The simulator answers any host: a call to a host that does not exist arrives only by proxy.
    let sim = simulator().await?;
    let model = OpenAiChat::builder("gpt-test")
        .base_url("http://no-such-host.invalid/v1")
        .api_key("sk-test")
        .proxy(sim.url())
        .build()?;

    let answer = Agent::builder()
        .model(model)
        .build()?
        .prompt("Count.")
        .await?;

    assert_eq!(answer.text(), "one two three four five six");
    Ok(())
}
