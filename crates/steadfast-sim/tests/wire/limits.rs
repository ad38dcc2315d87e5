//! The rate limit as a client meets it.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_sim::{HintStyle, RateLimit, Simulator};

use crate::client::{Seen, TestResult, ask, prompt};

/// Asks a simulator until it refuses. The rate is so low that no token comes back meanwhile.
async fn refused(style: HintStyle) -> Result<Seen, steadfast_sim::Error> {
    let sim = Simulator::builder()
        .rate_limit(RateLimit::per_minute(3.0).burst(1))
        .hint(style)
        .start()
        .await?;
    let admitted = ask(&sim, &prompt("Hi")).await;
    assert_eq!(admitted.status, 200);
    assert_eq!(admitted.header("x-ratelimit-limit-requests"), "3");
    assert_eq!(admitted.header("x-ratelimit-remaining-requests"), "0");
    assert!(admitted.header("x-ratelimit-reset-requests").ends_with('s'));
    let refused = ask(&sim, &prompt("Hi")).await;
    assert_eq!(refused.status, 429);
    Ok(refused)
}

/// Checks the codes of the vendor's error, and returns its sentence.
fn message(seen: &Seen) -> String {
    let body = seen.json();
    let field = |name| body.pointer(&format!("/error/{name}"));
    assert_eq!(field("code"), Some(&json!("rate_limit_exceeded")));
    assert_eq!(field("type"), Some(&json!("requests")));
    assert_eq!(field("param"), Some(&Value::Null));
    let message = field("message").and_then(Value::as_str);
    message.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn integer_hint_is_whole_seconds_rounded_up() -> TestResult {
    let seen = refused(HintStyle::Integer).await?;

    assert_eq!(seen.header("retry-after"), "20");
    assert_eq!(seen.header("retry-after-ms"), "");
    assert_eq!(
        message(&seen),
        "Rate limit reached for gpt-test on requests per min (RPM): Limit 3. \
         Please try again in 20s."
    );
    Ok(())
}

#[tokio::test]
async fn exact_hint_is_milliseconds() -> TestResult {
    let seen = refused(HintStyle::Exact).await?;

    let millis: u64 = seen.header("retry-after-ms").parse()?;
    assert!((15_000..=20_000).contains(&millis), "{millis}");
    assert_eq!(seen.header("retry-after"), "");
    assert!(message(&seen).contains("Please try again in "));
    Ok(())
}

#[tokio::test]
async fn without_hint_nothing_tells_when_to_come_back() -> TestResult {
    let seen = refused(HintStyle::None).await?;

    for header in [
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset-requests",
    ] {
        assert_eq!(seen.header(header), "", "{header}");
    }
    assert_eq!(seen.header("x-ratelimit-remaining-requests"), "0");
    assert!(!message(&seen).contains("try again"), "{}", message(&seen));
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
    let body = prompt("Hi");

    let mut storm = tokio::task::JoinSet::new();
    let client = crate::client::client()?;
    for _ in 0..200 {
        let url = format!("{}/chat/completions", sim.base_url());
        let request = client.post(url).bearer_auth("key").json(&body);
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
