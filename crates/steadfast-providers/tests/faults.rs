//! Every fault of the simulator over real HTTP: the right kind, at the right place, and no hang.

use std::time::Duration;

use steadfast_core::{
    Agent, AgentEvent, ModelErrorKind as Kind, ModelRetryStrategy, NoopRetryStrategy, RunErrorKind,
    millis, secs,
};
use steadfast_providers::OpenAiChat;
use steadfast_sim::{Answer, FaultScript, Simulator};

type TestResult = Result<(), Box<dyn std::error::Error>>;

async fn simulator(faults: &str) -> Result<Simulator, Box<dyn std::error::Error>> {
    let script: FaultScript = faults.parse()?;
    Ok(Simulator::builder()
        .faults(script)
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

/// What one call meets.
struct Met {
    kind: Option<RunErrorKind>,
    retry_after: Option<Duration>,
    text: String,
}

async fn meet(fault: &str) -> Result<Met, Box<dyn std::error::Error>> {
    let sim = simulator(fault).await?;
    let agent = Agent::builder()
        .model(model(&sim)?)
        .retry_strategy(NoopRetryStrategy)
        .first_byte_timeout(millis(300))
        .idle_timeout(millis(300))
        .build()?;
    let mut events = agent.prompt("Count.").stream();
    let mut text = String::new();
    while let Some(event) = events.next().await {
        if let AgentEvent::TextDelta(delta) = event {
            text.push_str(delta.text());
        }
    }
    let error = events.result().await.err();
    sim.stop().await;
    Ok(Met {
        kind: error.as_ref().map(|error| error.kind()),
        retry_after: error.as_ref().and_then(|error| error.retry_after()),
        text,
    })
}

#[tokio::test]
async fn every_fault_is_an_error_of_the_right_kind() -> TestResult {
    let cases = [
        ("429", Kind::Throttled),
        ("429:quota", Kind::QuotaExhausted),
        ("400", Kind::InvalidRequest),
        ("401", Kind::Auth),
        ("403", Kind::Auth),
        ("404", Kind::NotFound),
        ("408", Kind::Timeout),
        ("413", Kind::TooLarge),
        ("500", Kind::Server),
        ("502", Kind::Server),
        ("503", Kind::Overloaded),
        ("529", Kind::Overloaded),
        ("reset", Kind::Network),
        ("reset@text", Kind::Network),
        ("cut@start", Kind::Network),
        ("cut@text", Kind::Network),
        ("cut@20", Kind::Network),
        ("hang", Kind::Timeout),
        ("hang@start", Kind::Timeout),
        ("hang@text", Kind::Timeout),
        ("error@start", Kind::Server),
        ("error@text", Kind::Server),
        ("error@text:rate_limit", Kind::Throttled),
        ("error@text:overloaded", Kind::Overloaded),
        ("no-end", Kind::Truncated),
        ("no-end@text", Kind::Truncated),
        ("empty", Kind::Truncated),
        ("html", Kind::Truncated),
        ("malformed", Kind::Protocol),
        ("garbage-utf8", Kind::Protocol),
        ("huge-line", Kind::Protocol),
        ("error-200", Kind::Server),
        ("keepalive", Kind::Timeout),
    ];
    for (fault, kind) in cases {
        let met = meet(fault).await?;
        assert_eq!(met.kind, Some(RunErrorKind::Model(kind)), "{fault}");
        if fault.contains("@text") {
            assert!(!met.text.is_empty(), "{fault} comes after text");
        }
    }
    Ok(())
}

#[tokio::test]
async fn hints_arrive_exactly() -> TestResult {
    for (fault, expected) in [
        ("429:retry-after=2", secs(2)),
        ("429:retry-after-ms=1500", millis(1_500)),
        ("503:retry-after=7", secs(7)),
    ] {
        assert_eq!(meet(fault).await?.retry_after, Some(expected), "{fault}");
    }
    assert_eq!(meet("500").await?.retry_after, None);
    Ok(())
}

#[tokio::test]
async fn agent_recovers_from_each_transient_fault_and_says_nothing_twice() -> TestResult {
    for fault in [
        "429",
        "500",
        "503",
        "reset",
        "reset@text",
        "cut@text",
        "hang@text",
        "error@text",
        "no-end@text",
        "empty",
        "html",
    ] {
        let sim = simulator(fault).await?;
        let agent = Agent::builder()
            .model(model(&sim)?)
            .retry_strategy(ModelRetryStrategy::new().initial_delay(millis(1)))
            .idle_timeout(millis(300))
            .build()?;
        let mut events = agent.prompt("Count.").stream();
        let mut shown = String::new();
        let mut discarded = 0;
        while let Some(event) = events.next().await {
            match event {
                AgentEvent::AttemptStarted(_) => shown.clear(),
                AgentEvent::TextDelta(delta) => shown.push_str(delta.text()),
                AgentEvent::AttemptDiscarded(_) => discarded += 1,
                _ => {}
            }
        }
        let answer = events.result().await?;
        assert_eq!(answer.text(), "one two three four five six", "{fault}");
        assert_eq!(shown, answer.text(), "{fault}");
        assert_eq!((answer.attempts(), discarded), (2, 1), "{fault}");
        assert_eq!(sim.requests().len(), 2, "{fault}");
        sim.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_listening_is_a_network_error_without_the_address() -> TestResult {
    let sim = simulator("ok").await?;
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
}

#[tokio::test]
async fn headers_and_key_reach_the_server_and_no_debug_form() -> TestResult {
    let sim = simulator("ok").await?;
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
    let sim = simulator("ok").await?;
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
