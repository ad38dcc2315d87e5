//! The rate limit as a client meets it.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_sim::{HintStyle, RateLimit, Simulator, Wire};

use crate::client::{Seen, TestResult, ask, ask_on, client, prompt, prompt_on, request_on};

/// Names a header of the rate limit.
fn header(wire: Wire, what: &str) -> String {
    match wire {
        Wire::Anthropic => format!("anthropic-ratelimit-requests-{what}"),
        _ => format!("x-ratelimit-{what}-requests"),
    }
}

/// The wires whose vendors tell waits in headers.
const WIRES: [Wire; 4] = [
    Wire::OpenAiChat,
    Wire::Anthropic,
    Wire::OpenAiResponses,
    Wire::Ollama,
];

/// Says whether the vendor tells how much is left: Ollama does not.
fn has_headers(wire: Wire) -> bool {
    wire != Wire::Ollama
}

/// Asks a simulator until it refuses. The rate is so low that no token comes back meanwhile.
async fn refused(wire: Wire, style: HintStyle) -> Result<Seen, steadfast_sim::Error> {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(3.0).burst(1))
        .hint(style)
        .start()
        .await?;
    let body = prompt_on(wire, "Hi");
    let admitted = ask_on(wire, &sim, &body).await;
    assert_eq!(admitted.status, 200);
    let told = if has_headers(wire) {
        ("1", "0")
    } else {
        ("", "")
    };
    let limit = admitted.header(&header(wire, "limit"));
    assert_eq!((limit, admitted.header(&header(wire, "remaining"))), told);
    let reset = admitted.header(&header(wire, "reset"));
    match wire {
        Wire::Ollama => assert_eq!(reset, ""),
        Wire::Anthropic => assert!(reset.starts_with("20") && reset.ends_with('Z')),
        _ => assert!(reset.ends_with('s')),
    }
    let refused = ask_on(wire, &sim, &body).await;
    assert_eq!(refused.status, 429);
    Ok(refused)
}

/// Checks what kind of error it is, and returns its sentence.
fn message(wire: Wire, seen: &Seen) -> String {
    let expected = match wire {
        Wire::Ollama => (Value::Null, Value::Null),
        Wire::Anthropic => (json!("rate_limit_error"), Value::Null),
        _ => (json!("requests"), json!("rate_limit_exceeded")),
    };
    assert_eq!(seen.error(), expected);
    let body = seen.json();
    let message = body.pointer("/error/message").or(body.get("error"));
    let message = message.and_then(Value::as_str);
    message.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn integer_hint_is_whole_seconds_rounded_up() -> TestResult {
    let cases = [
        (
            Wire::OpenAiChat,
            "Rate limit reached for gpt-test on requests per min (RPM): Limit 3. \
             Please try again in 20s.",
        ),
        (
            Wire::OpenAiResponses,
            "Rate limit reached for gpt-test on requests per min (RPM): Limit 3. \
             Please try again in 20s.",
        ),
        (
            Wire::Anthropic,
            "This request would exceed the rate limit for your organization of 3 requests per \
             minute.",
        ),
        (Wire::Ollama, "too many requests"),
    ];
    for (wire, sentence) in cases {
        let seen = refused(wire, HintStyle::Integer).await?;

        assert_eq!(seen.header("retry-after"), "20");
        assert_eq!(seen.header("retry-after-ms"), "");
        assert_eq!(message(wire, &seen), sentence);
    }
    Ok(())
}

#[tokio::test]
async fn exact_hint_is_milliseconds() -> TestResult {
    for wire in &WIRES {
        let seen = refused(*wire, HintStyle::Exact).await?;

        let millis: u64 = seen.header("retry-after-ms").parse()?;
        assert!((15_000..=20_000).contains(&millis), "{millis}");
        assert_eq!(seen.header("retry-after"), "");
        if !matches!(*wire, Wire::Anthropic | Wire::Ollama) {
            assert!(message(*wire, &seen).contains("Please try again in "));
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_hint_nothing_tells_when_to_come_back() -> TestResult {
    for wire in &WIRES {
        let seen = refused(*wire, HintStyle::None).await?;

        let reset = header(*wire, "reset");
        for header in ["retry-after", "retry-after-ms", &reset] {
            assert_eq!(seen.header(header), "", "{header}");
        }
        let left = if has_headers(*wire) { "0" } else { "" };
        assert_eq!(seen.header(&header(*wire, "remaining")), left);
        let message = message(*wire, &seen);
        assert!(!message.contains("try again"), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn wires_share_one_limit() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(0.01).burst(1))
        .start()
        .await?;
    let other = Wire::Anthropic;

    let admitted = ask(&sim, &prompt("Hi")).await;
    let refused = ask_on(other, &sim, &prompt_on(other, "Hi")).await;

    assert_eq!((admitted.status, refused.status), (200, 429));
    Ok(())
}

#[tokio::test]
async fn waiting_as_told_is_rewarded() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_second(20.0).burst(1))
        .hint(HintStyle::Exact)
        .start()
        .await?;
    let mut refused = ask(&sim, &prompt("Hi")).await;
    while refused.status != 429 {
        refused = ask(&sim, &prompt("Hi")).await;
    }

    let millis = refused.header("retry-after-ms").parse()?;
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let admitted = ask(&sim, &prompt("Hi")).await;

    assert_eq!(admitted.status, 200);
    Ok(())
}

#[tokio::test]
async fn storm_is_admitted_up_to_the_burst() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(0.01).burst(7))
        .start()
        .await?;

    let mut storm = tokio::task::JoinSet::new();
    let client = client()?;
    for wire in Wire::all().iter().cycle().take(200) {
        let request = request_on(*wire, &client, &sim).json(&prompt_on(*wire, "Hi"));
        storm.spawn(async { request.send().await.map(|response| response.status()) });
    }
    let statuses: Result<Vec<_>, _> = storm.join_all().await.into_iter().collect();

    let statuses = statuses?;
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        7,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        193
    );
    assert_eq!(sim.requests().len(), 200);
    Ok(())
}

#[tokio::test]
async fn refused_requests_take_no_fault() -> TestResult {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(0.01).burst(2))
        .faults("ok, 503".parse()?)
        .start()
        .await?;
    let mut wrong = prompt("Hi");
    wrong["messages"] = Value::Null;

    let mut statuses = Vec::new();
    for body in [
        wrong.clone(),
        prompt("Hi"),
        wrong,
        prompt("Hi"),
        prompt("Hi"),
    ] {
        statuses.push(ask(&sim, &body).await.status);
    }

    assert_eq!(statuses, [400, 200, 400, 503, 429]);
    Ok(())
}
