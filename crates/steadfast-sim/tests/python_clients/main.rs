//! The vendors' own Python clients against the simulator, unchanged: see the scripts beside this.
//!
//! Needs python3 with venv and pip, and the package index the first time: the clients are installed
//! into a virtual environment below `target/` and stay there. Without python3 or its venv the tests
//! say that they are skipped, or fail if `CI` is set; `STEADFAST_SKIP_PYTHON=1` skips them anywhere.

mod environment;

use std::error::Error;
use std::path::Path;

use serde_json::json;
use steadfast_sim::{Answer, Simulator, Wire};

use crate::environment::{python, succeeded};

type TestResult = Result<(), Box<dyn Error>>;

/// What AWS's client reads besides the address; nothing of a machine's own configuration.
const AWS_ENVIRONMENT: [(&str, &str); 6] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "any key"),
    ("AWS_SECRET_ACCESS_KEY", "any secret"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
];

/// Runs a script against a simulator and checks the statuses of the requests that it sent.
async fn check(
    script: &str,
    variable: &str,
    wire: Wire,
    sim: Simulator,
    expected: &[u16],
) -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python_clients");

    let output = tokio::process::Command::new(python)
        .arg(folder.join(script))
        .env(format!("{variable}_BASE_URL"), sim.base_url_for(wire))
        .env(format!("{variable}_API_KEY"), "any key")
        .envs(AWS_ENVIRONMENT)
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", sim.url())
        // What Ollama's client calls its base URL.
        .env(format!("{variable}_HOST"), sim.base_url_for(wire))
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .await?;

    succeeded(script, &output)?;
    let requests = sim.requests();
    let statuses = requests.iter().filter_map(|request| request.status);
    let statuses: Vec<_> = statuses.map(|status| status.as_u16()).collect();
    assert_eq!(statuses, expected);
    Ok(())
}

#[tokio::test]
async fn openais_client_works_unchanged() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok*2, 429, 429:retry-after-ms=5, ok, error@text:overloaded".parse()?)
        .start()
        .await?;

    let statuses = [200, 200, 429, 429, 200, 200, 200];
    check(
        "openai_client.py",
        "OPENAI",
        Wire::OpenAiChat,
        sim,
        &statuses,
    )
    .await
}

#[tokio::test]
async fn openais_client_works_unchanged_on_the_responses_wire() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok*2, 429, 429:retry-after-ms=5, ok, error@text:overloaded".parse()?)
        .answer(|request| {
            if request.tools().is_empty() || !request.tool_results().is_empty() {
                return Answer::built_in(request);
            }
            Answer::reasoning("The user asks for Oslo.")
                .then_text("I look it up.")
                .then_tool_call("get_weather", json!({"city": "Oslo"}))
        })
        .start()
        .await?;

    let statuses = [200, 200, 429, 429, 200, 200, 400];
    check(
        "openai_responses_client.py",
        "OPENAI",
        Wire::OpenAiResponses,
        sim,
        &statuses,
    )
    .await
}

#[tokio::test]
async fn anthropics_client_works_unchanged() -> TestResult {
    let faults = "ok*2, 429:retry-after=7, 429:retry-after-ms=5, ok, 429:quota, 529, 500, 504, \
                  error@text:overloaded, cut@tool";
    let sim = Simulator::builder()
        .faults(faults.parse()?)
        .answer(|request| {
            if request.tools().is_empty() || !request.tool_results().is_empty() {
                return Answer::built_in(request);
            }
            Answer::reasoning("The user asks for Oslo.")
                .then_text("I look it up.")
                .then_tool_call("get_weather", json!({"city": "Oslo"}))
        })
        .start()
        .await?;

    let answered = [200, 200];
    let limited = [429, 429, 200, 429];
    let failed = [529, 500, 504];
    let broken = [200, 200];
    let refused = [401, 400, 400, 404];
    let listed = [200];
    let statuses = [&answered[..], &limited, &failed, &broken, &refused, &listed].concat();
    check(
        "anthropic_client.py",
        "ANTHROPIC",
        Wire::Anthropic,
        sim,
        &statuses,
    )
    .await
}

#[tokio::test]
async fn bedrocks_client_works_unchanged() -> TestResult {
    let faults = "ok*2, 429, 429, ok, 503, 408, error@text:rate_limit";
    let sim = Simulator::builder().faults(faults.parse()?).start().await?;

    let statuses = [200, 200, 429, 429, 200, 503, 408, 400, 400, 200];
    check(
        "bedrock_client.py",
        "BEDROCK",
        Wire::Bedrock,
        sim,
        &statuses,
    )
    .await
}

#[tokio::test]
async fn googles_client_for_gemini_works_unchanged() -> TestResult {
    let faults = "ok*2, 429:retry-after=7, 429:quota, 503, 500, 504, error@text:overloaded";
    let sim = Simulator::builder().faults(faults.parse()?).start().await?;

    let answered = [200, 200];
    let failed = [429, 429, 503, 500, 504];
    let broken = [200];
    let refused = [400, 400, 404];
    let listed = [200];
    let statuses = [&answered[..], &failed, &broken, &refused, &listed].concat();
    check(
        "gemini_client.py",
        "GOOGLE_GEMINI",
        Wire::Gemini,
        sim,
        &statuses,
    )
    .await
}

#[tokio::test]
async fn ollamas_client_works_unchanged() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok*3, 429*2, 503, error@text:overloaded".parse()?)
        .start()
        .await?;

    let statuses = [200, 200, 200, 429, 429, 503, 200, 404, 200];
    check("ollama_client.py", "OLLAMA", Wire::Ollama, sim, &statuses).await
}
