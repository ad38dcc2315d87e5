//! Runs on Ollama's wire: over real HTTP, against the simulator of this process.

use steadfast_sim::{Answer, Simulator};

use crate::process::{TestResult, finish, steadfast};

#[tokio::test(flavor = "multi_thread")]
async fn address_has_ollamas_form_and_no_key_is_needed() -> TestResult {
    let sim = Simulator::builder()
        .answer(|_| Answer::text("Seven."))
        .start()
        .await?;
    let port = sim.address().port();

    for host in [format!(":{port}"), format!("0.0.0.0:{port}"), sim.url()] {
        let mut command = steadfast(&["run", "--model", "ollama:qwen3:4b", "Hi"]);
        let run = finish(command.env("OLLAMA_HOST", &host))?;

        assert_eq!(run.status, Some(0), "{host}: {}", run.stderr);
        assert_eq!(run.stdout, "Seven.\n");
        let seen = sim.requests().pop().ok_or("no request")?;
        assert_eq!(seen.path, "/api/chat");
        assert_eq!(seen.body["model"], "qwen3:4b");
        assert!(!seen.headers.contains_key("authorization"));
        assert_eq!(
            seen.headers["accept"],
            "application/x-ndjson, application/json"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_of_ollama_com_is_a_bearer() -> TestResult {
    let sim = Simulator::start().await?;
    let url = sim.url();
    let to = ["run", "--model", "ollama:m", "--base-url", &url, "Hi"];

    let run = finish(steadfast(&to).env("OLLAMA_API_KEY", "sk-any"))?;

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let seen = sim.requests().pop().ok_or("no request")?;
    assert_eq!(seen.headers["authorization"], "Bearer sk-any");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_key_is_named_where_the_server_asks_for_one() -> TestResult {
    let sim = Simulator::builder().faults("401".parse()?).start().await?;
    let url = sim.url();

    let run = finish(&mut steadfast(&[
        "run",
        "--model",
        "ollama:m",
        "--base-url",
        &url,
        "Hi",
    ]))?;

    let end = "hint: no key was sent: set the environment variable OLLAMA_API_KEY\n";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    Ok(())
}

#[test]
fn address_with_a_path_of_the_wire_is_refused_by_its_variable() -> TestResult {
    let mut command = steadfast(&["run", "--model", "ollama:m", "Hi"]);

    let run = finish(command.env("OLLAMA_HOST", "gpu-box:11434/v1"))?;

    assert_eq!(run.status, Some(2), "{}", run.stderr);
    let expected = "`OLLAMA_HOST` ends in the path of a call";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    Ok(())
}
