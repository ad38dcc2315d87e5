//! Recorded traffic, replayed.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;

use steadfast_sim::{Cassette, RecordedExchange, Simulator, Wire};

use crate::client::{End, Seen, TestResult, client, request_on, see};

const CHAT: &str = "\
when:
  path: /v1/chat/completions
  method: POST
  body: '{}'
then:
  status: 200
  header:
  - name: content-type
    value: text/event-stream; charset=utf-8
  - name: x-request-id
    value: req_recorded
  body: |+
    data: {\"first\": \"søk\"}

    data: {\"second\": 2}

    data: [DONE]

---
when:
  path: /api/v1/chat/completions
  method: POST
then:
  status: 418
  header:
  - name: content-type
    value: application/json
  body: '{\"teapot\": true}'
";

const BINARY: &str = "\
when: {path: '/model/a%3A0/converse-stream', method: POST}
then:
  status: 200
  header:
  - {name: content-type, value: application/vnd.amazon.eventstream}
  body: AAECA/8=
  body_encoding: base64
";

const STREAM: &str = "data: {\"first\": \"søk\"}\n\ndata: {\"second\": 2}\n\ndata: [DONE]\n\n";

async fn post(sim: &Simulator, path: &str) -> Result<Seen, Box<dyn Error>> {
    Ok(see(client()?.post(format!("{}{path}", sim.url())).body("{}")).await)
}

fn folder(files: &[(&str, &str)]) -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        std::fs::write(path, text)?;
    }
    Ok(folder)
}

#[tokio::test]
async fn exchanges_are_replayed_as_recorded() -> TestResult {
    let folder = folder(&[("chat.yaml", CHAT)])?;
    let cassette = Cassette::load(folder.path().join("chat.yaml"))?;
    let sim = Simulator::builder().cassette(cassette).start().await?;

    let first = post(&sim, "/v1/chat/completions").await?;
    let second = post(&sim, "/v1/chat/completions").await?;
    let third = post(&sim, "/v1/chat/completions").await?;

    assert_eq!(
        (first.status, first.end, first.text().as_str()),
        (200, End::InOrder, STREAM)
    );
    assert_eq!(first.header("x-request-id"), "req_recorded");
    assert_eq!(
        (second.status, second.text().as_str()),
        (418, "{\"teapot\": true}")
    );
    assert_eq!(second.header("x-request-id"), "");
    assert_eq!(third.status, 404);
    assert_eq!(third.json()["error"]["code"], "cassette_exhausted");
    assert!(third.text().contains("chat.yaml") && third.text().contains("2 of 2 used"));
    Ok(())
}

#[tokio::test]
async fn folders_load_in_sorted_order() -> TestResult {
    let folder = folder(&[
        ("b/binary.yml", BINARY),
        ("a.yaml", CHAT),
        ("notes.txt", "no"),
    ])?;
    let cassette = Cassette::load(folder.path())?;

    let paths: Vec<_> = cassette
        .exchanges()
        .iter()
        .map(RecordedExchange::path)
        .collect();

    assert_eq!(
        paths,
        [
            "/v1/chat/completions",
            "/api/v1/chat/completions",
            "/model/a%3A0/converse-stream"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn binary_bodies_are_decoded() -> TestResult {
    let folder = folder(&[("binary.yaml", BINARY)])?;
    let sim = Simulator::builder()
        .cassette(Cassette::load(folder.path())?)
        .start()
        .await?;

    let seen = post(&sim, "/model/a:0/converse-stream").await?;

    assert_eq!(seen.bytes, [0, 1, 2, 3, 255]);
    Ok(())
}

#[tokio::test]
async fn bodies_come_in_pieces_that_depend_on_the_seed() -> TestResult {
    let long = format!(
        "when: {{path: /v1/long, method: POST}}\nthen: {{status: 200, body: '{}'}}\n",
        "x".repeat(4000)
    );
    let folder = folder(&[("long.yaml", &long)])?;

    for seed in 0..20 {
        let cassette = Cassette::load(folder.path())?.seed(seed);
        let sim = Simulator::builder().cassette(cassette).start().await?;

        assert_eq!(
            post(&sim, "/v1/long").await?.bytes.len(),
            4000,
            "seed {seed}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn faults_do_not_use_up_an_exchange() -> TestResult {
    let folder = folder(&[("chat.yaml", CHAT)])?;
    let sim = Simulator::builder()
        .cassette(Cassette::load(folder.path())?)
        .faults("503, cut@text, error@text".parse()?)
        .start()
        .await?;
    let mut seen = Vec::new();

    for _ in 0..4 {
        seen.push(post(&sim, "/v1/chat/completions").await?);
    }

    assert_eq!(seen[0].status, 503);
    assert_eq!((seen[1].end, seen[1].data().len()), (End::Cut, 1));
    assert_eq!(seen[2].data().len(), 2);
    assert!(seen[2].data()[1]["error"].is_object());
    assert_eq!(
        (seen[3].end, seen[3].text().as_str()),
        (End::InOrder, STREAM)
    );
    Ok(())
}

#[tokio::test]
async fn refusals_of_a_cassette_are_in_the_wire_of_the_path() -> TestResult {
    let messages = "\
when: {path: /v1/messages, method: POST}
then:
  status: 200
  header: [{name: content-type, value: text/event-stream}]
  body: \"event: ping\\ndata: {}\\n\\nevent: message_stop\\ndata: {}\\n\\n\"
";
    let folder = folder(&[("messages.yaml", messages)])?;
    let sim = Simulator::builder()
        .cassette(Cassette::load(folder.path())?)
        .faults("529, error@text:overloaded".parse()?)
        .start()
        .await?;
    let mut seen = Vec::new();

    for _ in 0..4 {
        seen.push(post(&sim, "/anthropic/v1/messages").await?);
    }

    assert_eq!(seen[0].json()["error"]["type"], "overloaded_error");
    assert!(
        seen[1]
            .text()
            .starts_with("event: ping\ndata: {}\n\nevent: error\ndata: ")
    );
    assert!(
        seen[2]
            .text()
            .ends_with("event: message_stop\ndata: {}\n\n")
    );
    assert_eq!(seen[3].json()["error"]["type"], "not_found_error");
    assert!(seen[3].text().contains("1 of 1 used"));
    Ok(())
}

#[test]
fn loading_names_what_is_wrong() -> TestResult {
    let folder = folder(&[
        ("bad.yaml", &format!("{CHAT}---\nwhen: 7\n")),
        ("empty/x.txt", ""),
    ])?;
    let load = |path: &Path| Cassette::load(path).map(|_| ()).unwrap_err();

    let missing = load(&folder.path().join("missing.yaml")).to_string();
    let empty = load(&folder.path().join("empty"));
    let bad = load(folder.path()).to_string();

    assert!(missing.starts_with("cannot read cassette") && missing.contains("missing.yaml"));
    assert!(Error::source(&empty).is_some());
    assert!(
        bad.contains("bad.yaml`, document 3: not a recorded exchange"),
        "{bad}"
    );
    Ok(())
}

/// Replays what real providers said, if a folder of it is there: see the house style.
#[tokio::test]
async fn recordings_replay_byte_for_byte() -> TestResult {
    let Some(folder) = std::env::var_os("STEADFAST_RECORDINGS") else {
        return Ok(());
    };
    let cassette = Cassette::load(folder)?;
    let exchanges = cassette.exchanges().to_vec();
    assert!(!exchanges.is_empty());
    let sim = Simulator::builder()
        .cassette(cassette.seed(7))
        .start()
        .await?;

    for exchange in exchanges {
        let url = format!("{}{}", sim.url(), exchange.path());
        let request = client()?.request(exchange.method().clone(), url);
        let seen = see(request.body(exchange.request_body().to_owned())).await;

        assert_eq!(seen.status, exchange.status().as_u16(), "{exchange:?}");
        assert_eq!(seen.end, End::InOrder, "{exchange:?}");
        assert!(seen.bytes == exchange.body(), "{exchange:?}");
    }
    Ok(())
}

/// What a real provider took, the simulator takes: it is picky, but not more than they are.
#[tokio::test]
async fn recorded_requests_are_not_refused() -> TestResult {
    let Some(folder) = std::env::var_os("STEADFAST_RECORDINGS") else {
        return Ok(());
    };
    let sim = Simulator::start().await?;
    let client = client()?;
    let cassette = Cassette::load(folder)?;
    let taken = |exchange: &&RecordedExchange| exchange.status() == 200;
    let mut asked = HashSet::new();

    for exchange in cassette.exchanges().iter().filter(taken) {
        let wire = match exchange.path() {
            path if path.ends_with("/chat/completions") => Wire::OpenAiChat,
            path if path.ends_with("/v1/messages") => Wire::Anthropic,
            path if path.ends_with("/responses") => Wire::OpenAiResponses,
            path if path.ends_with("enerateContent") => Wire::Gemini,
            path if path.ends_with("/api/chat") => Wire::Ollama,
            _ => continue,
        };
        // The signatures under recorded thoughts are the vendor's, and so is what packs them.
        let signs = [
            "\"signature\":",
            "\"encrypted_content\":",
            "\"thoughtSignature\":",
        ];
        if signs
            .iter()
            .any(|sign| exchange.request_body().contains(sign))
        {
            continue;
        }
        let body = exchange.request_body().to_owned();
        let seen = see(request_on(wire, &client, &sim).body(body)).await;

        assert_eq!(seen.status, 200, "{exchange:?}: {}", seen.text());
        asked.insert(wire);
    }
    assert_eq!(asked.len(), 5);
    Ok(())
}
