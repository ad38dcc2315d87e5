//! Runs on Gemini's wire: over real HTTP, against the simulator of this process.

use serde_json::json;
use steadfast_sim::Simulator;

use crate::process::{TestResult, finish, steadfast};

const SECRET: &str = "AIzaSecret0123456789abcdefghijklmnopqrs";
const ANSWER: &str = "This is the Steadfast simulator, not a model. You said: “Hi”";

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_options_reach_the_provider() -> TestResult {
    let sim = Simulator::start().await?;
    let to = [
        "run",
        "--model",
        "gemini:models/gemini-m",
        "--max-tokens",
        "90",
        "Hi",
    ];
    for (key, other) in [
        ("GEMINI_API_KEY", None),
        ("GOOGLE_API_KEY", Some("GEMINI_API_KEY")),
    ] {
        let mut command = steadfast(&to);
        command
            .env("GOOGLE_GEMINI_BASE_URL", sim.url())
            .env(key, SECRET);
        if let Some(other) = other {
            command.env(other, "not this one");
        }

        let run = finish(&mut command)?;

        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert_eq!(run.stdout, format!("{ANSWER}\n"));
        let seen = sim.requests().pop().ok_or("no request")?;
        assert_eq!(seen.path, "/v1beta/models/gemini-m:streamGenerateContent");
        assert_eq!(seen.headers["x-goog-api-key"], SECRET);
        assert_eq!(
            seen.body["generationConfig"],
            json!({"maxOutputTokens": 90})
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_run_waits_as_the_body_asks() -> TestResult {
    let sim = Simulator::builder()
        .faults("429:retry-after-ms=30".parse()?)
        .start()
        .await?;
    let url = sim.url();
    let to = [
        "run",
        "--model",
        "gemini:gemini-m",
        "--base-url",
        &url,
        "Hi",
    ];

    let run = finish(steadfast(&to).env("GEMINI_API_KEY", SECRET))?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(sim.requests().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_without_a_key_is_told_which_variable_to_set() -> TestResult {
    let sim = Simulator::start().await?;
    let url = sim.url();
    let to = ["run", "--model", "gemini:m", "--base-url", &url, "Hi"];

    let run = finish(&mut steadfast(&to))?;

    assert_eq!(run.status, Some(1));
    let end = "hint: no key was sent: set the environment variable GEMINI_API_KEY\n";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    Ok(())
}
