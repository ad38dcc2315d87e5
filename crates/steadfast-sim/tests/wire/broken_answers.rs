//! Answers of success that are none, and streams with something in them that does not belong there.

use serde_json::{Value, json};
use steadfast_sim::Wire::{self, Anthropic, Gemini, Ollama, OpenAiChat, OpenAiResponses};

use crate::client::{EMPTY_LINE, End, TestResult, prompt_on, streamed};
use crate::faults::{WORDS, meet, meet_streaming};

#[tokio::test]
async fn successes_that_are_none() -> TestResult {
    for (wire, kind) in [
        (OpenAiChat, json!("server_error")),
        (Anthropic, json!("api_error")),
        (OpenAiResponses, json!("server_error")),
        (Gemini, json!("INTERNAL")),
        (Ollama, Value::Null),
    ] {
        for body in [prompt_on(wire, "Hi"), streamed(prompt_on(wire, "Hi"))] {
            let empty = meet(wire, "empty", &body).await?;
            let page = meet(wire, "html", &body).await?;
            let error = meet(wire, "error-200", &body).await?;

            assert_eq!(
                (empty.status, empty.end, empty.text().as_str()),
                (200, End::InOrder, "")
            );
            assert_eq!(
                (page.status, page.header("content-type")),
                (200, "text/html; charset=utf-8")
            );
            assert!(page.text().starts_with("<!DOCTYPE html>"));
            assert_eq!(
                (error.status, error.header("content-type").get(..16)),
                (200, Some("application/json"))
            );
            assert_eq!(error.error().0, kind);
            assert!(!error.json()["error"].is_null());
        }
    }
    Ok(())
}

#[tokio::test]
async fn malformed_stream_has_one_line_that_is_not_json() -> TestResult {
    for wire in Wire::all() {
        let seen = meet_streaming(*wire, "malformed").await?;

        let data = seen.data().into_iter();
        let broken = data.filter(|data| data.is_string() && data != "[DONE]");
        assert_eq!(broken.count(), 1, "{}", seen.text());
        assert_eq!(seen.words(), WORDS);
        assert!(seen.is_done());
    }
    Ok(())
}

#[tokio::test]
async fn garbage_is_inside_a_json_string() -> TestResult {
    for (wire, whole, piece) in [
        (OpenAiChat, "content", "content"),
        (Anthropic, "text", "text"),
        (OpenAiResponses, "text", "delta"),
        (Gemini, "text", "text"),
        (Ollama, "content", "content"),
    ] {
        let prompt = prompt_on(wire, "Hi");
        for (body, field) in [(prompt.clone(), whole), (streamed(prompt), piece)] {
            let seen = meet(wire, "garbage-utf8", &body).await?;

            assert_eq!(seen.end, End::InOrder);
            assert!(std::str::from_utf8(&seen.bytes).is_err());
            // Read with replacement characters, it is JSON again.
            let garbage = format!("\"{field}\":\"caf\u{fffd}( \u{fffd}one two");
            assert!(seen.text().contains(&garbage), "{}", seen.text());
        }
    }
    Ok(())
}

#[tokio::test]
async fn huge_line_has_ten_megabytes() -> TestResult {
    for wire in Wire::all() {
        let seen = meet_streaming(*wire, "huge-line").await?;

        let text = seen.text();
        let longest = text.lines().map(str::len).max().unwrap_or_default();
        assert_eq!(seen.end, End::InOrder);
        assert!(longest > 10 * 1024 * 1024, "{longest}");
        assert!(seen.is_done());
    }
    Ok(())
}

#[tokio::test]
async fn keep_alives_go_on_without_data() -> TestResult {
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let comment = ": keep-alive\n\n";
    let empty = format!("{EMPTY_LINE}\n");
    for (wire, start) in [
        (OpenAiChat, comment),
        (Anthropic, ping),
        (OpenAiResponses, comment),
        (Gemini, comment),
        (Ollama, &empty),
    ] {
        let stream = meet_streaming(wire, "keepalive").await?;
        let whole = meet(wire, "keepalive", &prompt_on(wire, "Hi")).await?;

        assert_eq!((stream.status, stream.end), (200, End::Silent));
        assert!(stream.text().starts_with(&start.repeat(2)));
        assert!(whole.text().trim().is_empty());
    }
    Ok(())
}
