//! Runs on the wires of servers that are compatible with OpenAI's: over real HTTP, against the simulator
//! of this process.

use steadfast_sim::{Answer, Simulator};

use crate::process::{TestResult, finish, steadfast};

#[tokio::test(flavor = "multi_thread")]
async fn every_compatible_server_is_reached_by_its_name() -> TestResult {
    let sim = Simulator::builder()
        .answer(|_| Answer::text("Seven."))
        .start()
        .await?;
    for (name, key, address, header) in [
        (
            "azure",
            "AZURE_OPENAI_API_KEY",
            "AZURE_OPENAI_ENDPOINT",
            "api-key",
        ),
        (
            "deepseek",
            "DEEPSEEK_API_KEY",
            "DEEPSEEK_BASE_URL",
            "authorization",
        ),
        ("groq", "GROQ_API_KEY", "GROQ_BASE_URL", "authorization"),
        (
            "llamacpp",
            "LLAMA_API_KEY",
            "LLAMACPP_BASE_URL",
            "authorization",
        ),
        (
            "lmstudio",
            "LM_API_TOKEN",
            "LMSTUDIO_BASE_URL",
            "authorization",
        ),
        (
            "mistral",
            "MISTRAL_API_KEY",
            "MISTRAL_BASE_URL",
            "authorization",
        ),
        (
            "openrouter",
            "OPENROUTER_API_KEY",
            "OPENROUTER_BASE_URL",
            "authorization",
        ),
        ("vllm", "VLLM_API_KEY", "VLLM_BASE_URL", "authorization"),
        ("xai", "XAI_API_KEY", "XAI_BASE_URL", "authorization"),
    ] {
        let model = format!("{name}:some-model");
        let mut command = steadfast(&["run", "--model", &model, "Hi"]);
        let run = finish(command.env(key, "0123456789").env(address, sim.base_url()))?;

        assert_eq!(run.status, Some(0), "{name}: {}", run.stderr);
        assert_eq!(run.stdout, "Seven.\n");
        let seen = sim.requests().pop().ok_or("no request")?;
        assert_eq!(seen.path, "/v1/chat/completions");
        assert_eq!(seen.body["model"], "some-model");
        assert!(seen.headers[header].to_str()?.ends_with("0123456789"));
    }
    Ok(())
}
