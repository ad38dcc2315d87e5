//! Models of Amazon Bedrock: over real HTTP, against the simulator, and what is said without them.

use crate::process::{TestResult, finish, steadfast};

#[cfg(not(feature = "bedrock"))]
#[test]
fn program_without_bedrock_says_so() -> TestResult {
    for arguments in [
        ["run", "--model", "bedrock:m", "Hi"],
        ["explain", "--provider", "bedrock", "--status=429"],
    ] {
        let refused = finish(&mut steadfast(&arguments))?;

        assert_eq!(refused.status, Some(2));
        let expected = "this program was built without the provider `bedrock`";
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    Ok(())
}

#[cfg(feature = "bedrock")]
mod with_bedrock {
    use serde_json::{Value, json};
    use steadfast_sim::Simulator;

    use super::{TestResult, finish, steadfast};
    use crate::process::{Finished, finish_with_input};

    const ANSWER: &str = "This is the Steadfast simulator, not a model. You said: “Hi”";

    /// Runs a prompt with keys, and without anything that the machine has configured.
    fn run(arguments: &[&str], region: Option<&str>) -> TestResult<Finished> {
        let asked = ["run", "--model", "bedrock:amazon.nova-lite-v1:0"];
        let mut command = steadfast(&[&asked, arguments, &["Hi"]].concat());
        command
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", "a secret of a test")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env_remove("AWS_DEFAULT_REGION")
            .env_remove("AWS_REGION");
        if let Some(region) = region {
            command.env("AWS_REGION", region);
        }
        finish(&mut command)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn prompt_is_answered_and_signed_with_keys_of_the_environment() -> TestResult {
        let sim = Simulator::builder()
            .faults("429, cut@text".parse()?)
            .start()
            .await?;

        let url = sim.url();
        let retries = ["--initial-delay", "1ms", "--max-delay", "2ms"];
        let answered = run(
            &[&["--base-url", &url], &retries[..]].concat(),
            Some("eu-north-1"),
        )?;

        assert_eq!(answered.status, Some(0), "{}", answered.stderr);
        assert_eq!(answered.stdout, format!("{ANSWER}\n"));
        let seen = sim.requests().pop().ok_or("no request")?;
        assert_eq!(seen.path, "/model/amazon.nova-lite-v1%3A0/converse-stream");
        let signature = seen.headers["authorization"].to_str()?.to_owned();
        assert!(signature.contains("Credential=AKIDTEST/"), "{signature}");
        assert!(
            signature.contains("/eu-north-1/bedrock/aws4_request"),
            "{signature}"
        );
        assert_eq!(sim.requests().len(), 3);
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_are_found_where_aws_tools_find_them() -> TestResult {
        let sim = Simulator::start().await?;
        let url = sim.url();
        let folder = tempfile::tempdir()?;
        let profile = folder.path().join("config");
        std::fs::write(
            &profile,
            "[profile work]\nregion = eu-west-3\naws_access_key_id = AKIDWORK\n\
             aws_secret_access_key = a secret of work\n",
        )?;
        let ask = |variables: &[(&str, &str)]| -> TestResult<Finished> {
            let asked = [
                "run",
                "--model",
                "bedrock:m",
                "--retry",
                "none",
                "--base-url",
                &url,
                "Hi",
            ];
            let mut command = steadfast(&asked);
            command.env_clear();
            command
                .env("AWS_CONFIG_FILE", &profile)
                .env("AWS_EC2_METADATA_DISABLED", "true");
            command.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
            finish(command.envs(variables.iter().copied()))
        };

        let by_profile = ask(&[("AWS_PROFILE", "work")])?;
        let by_token = ask(&[
            ("AWS_REGION", "us-east-1"),
            ("AWS_BEARER_TOKEN_BEDROCK", "a token"),
        ])?;
        let without = ask(&[("AWS_REGION", "us-east-1")])?;

        assert_eq!(by_profile.status, Some(0), "{}", by_profile.stderr);
        assert_eq!(by_token.status, Some(0), "{}", by_token.stderr);
        let requests = sim.requests().into_iter();
        let headers: Vec<_> = requests
            .map(|seen| seen.headers["authorization"].clone())
            .collect();
        let signature = headers[0].to_str()?;
        assert!(signature.contains("Credential=AKIDWORK/"), "{signature}");
        assert!(signature.contains("/eu-west-3/"), "{signature}");
        assert_eq!(headers[1..], ["Bearer a token"]);
        assert_eq!(without.status, Some(1), "{}", without.stderr);
        assert!(
            without.stderr.contains("no AWS credentials"),
            "{}",
            without.stderr
        );
        Ok(())
    }

    #[test]
    fn missing_region_and_wrong_address_are_named() -> TestResult {
        let region = run(&["--base-url", "http://127.0.0.1:9"], None)?;
        let address = run(&["--base-url", "127.0.0.1:9"], Some("us-east-1"))?;

        assert_eq!((region.status, address.status), (Some(2), Some(2)));
        assert!(region.stderr.contains("`AWS_REGION`"), "{}", region.stderr);
        assert!(
            address.stderr.contains("`--base-url`"),
            "{}",
            address.stderr
        );
        Ok(())
    }

    fn explain(arguments: &[&str], body: &[u8]) -> TestResult<Value> {
        let asked = ["explain", "--provider", "bedrock", "--body", "-"];
        let explained = finish_with_input(&mut steadfast(&[&asked, arguments].concat()), body)?;
        assert_eq!(explained.status, Some(0), "{}", explained.stderr);
        Ok(serde_json::from_str(&explained.stdout)?)
    }

    #[test]
    fn answers_are_explained_by_code_and_status() -> TestResult {
        let code = [
            "--status",
            "429",
            "--header",
            "x-amzn-errortype: ThrottlingException:http://x/",
        ];
        let day = br#"{"message":"Too many tokens per day, please wait before trying again."}"#;

        let throttled = explain(&code, br#"{"message":"Too many requests"}"#)?;
        let quota = explain(&code, day)?;
        let answered = explain(
            &["--status", "200"],
            br#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#,
        )?;

        assert_eq!(throttled["kind"], "throttled");
        assert_eq!(throttled["why"], "error code `ThrottlingException`");
        assert_eq!(
            (&quota["kind"], &quota["terminal"]),
            (&json!("quota_exhausted"), &json!(true))
        );
        assert_eq!(
            (&answered["kind"], &answered["stop_reason"]),
            (&Value::Null, &json!("end_turn"))
        );
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn binary_stream_is_explained_to_its_exception() -> TestResult {
        let sim = Simulator::builder()
            .faults("error@text:overloaded, no-end".parse()?)
            .start()
            .await?;
        let ask = || async {
            let body = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
            let url = format!("{}/model/m/converse-stream", sim.url());
            raw(&url, &body.to_string()).await
        };

        let broken = explain(&["--stream"], &ask().await?)?;
        let endless = explain(&["--stream"], &ask().await?)?;

        assert_eq!(
            (&broken["kind"], &broken["status"]),
            (&json!("overloaded"), &json!(200))
        );
        assert_eq!(broken["code"], "serviceUnavailableException");
        assert_eq!(endless["kind"], "truncated");
        Ok(())
    }

    /// Posts a body by hand and returns the answer's body as it came, out of its chunks.
    async fn raw(url: &str, body: &str) -> TestResult<Vec<u8>> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let rest = url.strip_prefix("http://").ok_or("no address")?;
        let (host, path) = rest.split_once('/').ok_or("no path")?;
        let mut socket = tokio::net::TcpStream::connect(host).await?;
        let length = body.len();
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer key\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        let end = |bytes: &[u8], of: &[u8]| bytes.windows(of.len()).position(|part| part == of);
        let start = end(&answer, b"\r\n\r\n").ok_or("no head")? + 4;
        let mut rest = answer.get(start..).unwrap_or_default();
        let mut whole = Vec::new();
        while let Some(line) = end(rest, b"\r\n") {
            let (size, after) = rest.split_at(line);
            let size = usize::from_str_radix(std::str::from_utf8(size)?, 16)?;
            let after = after.get(2..).unwrap_or_default();
            whole.extend_from_slice(after.get(..size).ok_or("a chunk is cut")?);
            rest = after.get(size + 2..).unwrap_or_default();
        }
        Ok(whole)
    }
}
