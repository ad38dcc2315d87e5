//! Runs on OpenAI's responses wire: over real HTTP, against the simulator of this process.

use serde_json::{Value, json};
use steadfast_sim::{Simulator, Wire};

use crate::process::{TestResult, finish, finish_with_input, steadfast};

const SECRET: &str = "sk-secret0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn run_retries_on_the_responses_wire_with_openais_key() -> TestResult {
    let sim = Simulator::builder()
        .faults("429:retry-after-ms=5, error@text".parse()?)
        .start()
        .await?;
    let base_url = sim.base_url_for(Wire::OpenAiResponses);
    let arguments = [
        "run",
        "--model",
        "openai-responses:gpt-test",
        "--base-url",
        &base_url,
        "--initial-delay",
        "1ms",
        "Hi",
    ];

    let run = finish(steadfast(&arguments).env("OPENAI_API_KEY", SECRET))?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(
        run.stdout,
        "This is the Steadfast simulator, not a model. You said: “Hi”\n"
    );
    let requests = sim.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.path, "/v1/responses");
        assert_eq!(request.headers["authorization"], format!("Bearer {SECRET}"));
        assert_eq!(request.body["store"], json!(false));
    }
    Ok(())
}

#[test]
fn stream_that_fails_is_explained_by_its_code() -> TestResult {
    let stream = "event: error\ndata: {\"type\":\"error\",\"error\":{\"code\":\"rate_limit_exceeded\",\
                  \"message\":\"Please try again in 6.57s.\"}}\n\n";
    let arguments = [
        "explain",
        "--provider",
        "openai-responses",
        "--status",
        "200",
        "--body",
        "-",
    ];

    let explained = finish_with_input(&mut steadfast(&arguments), stream.as_bytes())?;

    let said: Value = serde_json::from_str(&explained.stdout)?;
    assert_eq!(said["kind"], "throttled");
    assert_eq!(said["retry_after_ms"], 6_570);
    assert_eq!(said["retried"], true);
    Ok(())
}
