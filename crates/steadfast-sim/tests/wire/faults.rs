//! What each fault looks like from the other end of the connection.

use serde_json::{Value, json};
use steadfast_sim::Wire::{Anthropic, Gemini, Ollama, OpenAiChat, OpenAiResponses};
use steadfast_sim::{Answer, Simulator, Wire};

use crate::client::{End, Seen, TestResult, ask_in_vain, ask_on, prompt_on, streamed, weather_on};

/// What `answer` says to a prompt, up to its first piece.
const FIRST_WORDS: &str = "one two";
pub(crate) const WORDS: &str = "one two three four five six";

/// Meets one fault, and after it an answer, which shows that the script went on.
pub(crate) async fn meet(
    wire: Wire,
    fault: &str,
    body: &Value,
) -> Result<Seen, Box<dyn std::error::Error>> {
    let sim = Simulator::builder()
        .faults(fault.parse()?)
        .answer(|request| match request.tools() {
            [] => Answer::text(WORDS),
            _ => Answer::tool_call("get_weather", json!({"city": "Oslo"})),
        })
        .start()
        .await?;
    let seen = if fault.starts_with("hang") {
        ask_in_vain(wire, fault, &sim, body).await
    } else {
        ask_on(wire, &sim, body).await
    };
    let after = ask_on(wire, &sim, body).await;
    assert_eq!(
        (after.status, after.end),
        (200, End::InOrder),
        "after {fault}"
    );
    let requests = sim.requests();
    let [first, second] = requests.as_slice() else {
        return Err(format!("{fault}: {} requests", requests.len()).into());
    };
    assert_eq!(first.fault, Some(fault.parse()?));
    let answered = first.status.map_or(0, |status| status.as_u16());
    let is_lost = fault.starts_with("reset@") && seen.status == 0;
    assert!(is_lost || answered == seen.status, "{fault}: {seen:?}");
    assert_eq!(second.fault, None);
    sim.stop().await;
    Ok(seen)
}

pub(crate) async fn meet_streaming(
    wire: Wire,
    fault: &str,
) -> Result<Seen, Box<dyn std::error::Error>> {
    meet(wire, fault, &streamed(prompt_on(wire, "Hi"))).await
}

#[tokio::test]
async fn statuses_come_with_the_vendors_body() -> TestResult {
    let invalid = "invalid_request_error";
    let cases = [
        (OpenAiChat, "400", invalid, Value::Null),
        (OpenAiChat, "401", invalid, json!("invalid_api_key")),
        (OpenAiChat, "404", invalid, json!("model_not_found")),
        (OpenAiChat, "418", invalid, Value::Null),
        (OpenAiChat, "429", "requests", json!("rate_limit_exceeded")),
        (
            OpenAiChat,
            "429:quota",
            "insufficient_quota",
            json!("insufficient_quota"),
        ),
        (OpenAiChat, "500", "server_error", Value::Null),
        (
            OpenAiChat,
            "503",
            "server_error",
            json!("server_is_overloaded"),
        ),
        (OpenAiChat, "529", "server_error", Value::Null),
        (OpenAiResponses, "400", invalid, Value::Null),
        (
            OpenAiResponses,
            "429",
            "requests",
            json!("rate_limit_exceeded"),
        ),
        (
            OpenAiResponses,
            "429:quota",
            "insufficient_quota",
            json!("insufficient_quota"),
        ),
        (Anthropic, "400", invalid, Value::Null),
        (Anthropic, "401", "authentication_error", Value::Null),
        (Anthropic, "402", "billing_error", Value::Null),
        (Anthropic, "403", "permission_error", Value::Null),
        (Anthropic, "404", "not_found_error", Value::Null),
        (Anthropic, "409", "conflict_error", Value::Null),
        (Anthropic, "413", "request_too_large", Value::Null),
        (Anthropic, "418", invalid, Value::Null),
        (Anthropic, "429", "rate_limit_error", Value::Null),
        (Anthropic, "429:quota", "rate_limit_error", Value::Null),
        (Anthropic, "500", "api_error", Value::Null),
        (Anthropic, "504", "timeout_error", Value::Null),
        (Anthropic, "529", "overloaded_error", Value::Null),
        (Gemini, "400", "INVALID_ARGUMENT", json!(400)),
        (Gemini, "401", "UNAUTHENTICATED", json!(401)),
        (Gemini, "403", "PERMISSION_DENIED", json!(403)),
        (Gemini, "404", "NOT_FOUND", json!(404)),
        (Gemini, "429", "RESOURCE_EXHAUSTED", json!(429)),
        (Gemini, "429:quota", "RESOURCE_EXHAUSTED", json!(429)),
        (Gemini, "499", "CANCELLED", json!(499)),
        (Gemini, "500", "INTERNAL", json!(500)),
        (Gemini, "503", "UNAVAILABLE", json!(503)),
        (Gemini, "504", "DEADLINE_EXCEEDED", json!(504)),
        (Gemini, "501", "UNIMPLEMENTED", json!(501)),
    ];
    for (wire, fault, kind, code) in cases {
        let seen = meet_streaming(wire, fault).await?;

        assert_eq!(seen.status.to_string(), fault.get(..3).unwrap());
        assert_eq!(seen.error(), (json!(kind), code), "{wire:?} {fault}");
        assert!(seen.json()["error"]["message"].is_string());
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("retry-after"), "");
    }
    Ok(())
}

#[tokio::test]
async fn anthropics_spend_limit_is_told_from_a_rate_limit_by_its_code() -> TestResult {
    let code = |seen: &Seen| seen.json()["error"]["details"]["error_code"].clone();

    let quota = meet_streaming(Anthropic, "429:quota").await?;
    let limit = meet_streaming(Anthropic, "429").await?;

    assert_eq!(code(&quota), "enforced_spend_limit_reached");
    assert_eq!(code(&limit), Value::Null);
    Ok(())
}

#[tokio::test]
async fn hints_are_sent_as_written() -> TestResult {
    let cases = [
        ("429:retry-after=2", "2", "", "Please try again in 2s."),
        (
            "429:retry-after-ms=1500",
            "",
            "1500",
            "Please try again in 1.5s.",
        ),
        ("503:retry-after=1", "1", "", ""),
        ("503:retry-after=0.25", "0.25", "", ""),
    ];
    for (fault, seconds, millis, sentence) in cases {
        // Gemini says it in the body.
        for wire in &[OpenAiChat, Anthropic] {
            let seen = meet_streaming(*wire, fault).await?;

            assert_eq!(seen.header("retry-after"), seconds, "{fault}");
            assert_eq!(seen.header("retry-after-ms"), millis, "{fault}");
            if !matches!(*wire, Anthropic | Ollama | Wire::Bedrock) {
                assert!(seen.text().contains(sentence), "{}", seen.text());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn connection_breaks_before_any_answer() -> TestResult {
    let cases = [
        ("reset", End::Reset),
        ("cut", End::Cut),
        ("hang", End::Silent),
    ];
    for (fault, end) in cases {
        for wire in Wire::all() {
            let seen = meet_streaming(*wire, fault).await?;

            assert_eq!((seen.status, seen.end), (0, end), "{wire:?} {fault}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn connection_breaks_at_a_moment_of_a_text() -> TestResult {
    let ends = [
        ("reset", End::Reset),
        ("cut", End::Cut),
        ("hang", End::Silent),
    ];
    let moments = [
        ("start", ""),
        ("text", FIRST_WORDS),
        ("tool", FIRST_WORDS),
        ("end", WORDS),
    ];
    for wire in Wire::all() {
        for (kind, end) in ends {
            for (moment, said) in moments {
                let fault = format!("{kind}@{moment}");
                let seen = meet_streaming(*wire, &fault).await?;

                assert_eq!(seen.end, end, "{wire:?} {fault}");
                if kind == "reset" {
                    // What the client had not read when the reset came is lost (RFC 9293, 3.10.7.4).
                    assert!(said.starts_with(&seen.words()), "{wire:?} {fault}");
                } else {
                    assert_eq!(
                        (seen.status, seen.words().as_str()),
                        (200, said),
                        "{wire:?} {fault}"
                    );
                }
                assert_eq!(seen.finish_reason(), None);
                assert!(!seen.is_done());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn connection_breaks_after_the_whole_tool_call() -> TestResult {
    for wire in Wire::all() {
        for (fault, end) in [("cut@tool", End::Cut), ("hang@tool", End::Silent)] {
            let seen = meet(*wire, fault, &streamed(weather_on(*wire))).await?;

            assert_eq!(seen.end, end);
            assert_eq!(seen.arguments(), r#"{"city":"Oslo"}"#, "{wire:?}");
            assert_eq!(seen.finish_reason(), None);
            if *wire == Anthropic {
                let last = seen.data().pop().unwrap();
                assert_eq!(last, json!({"type": "content_block_stop", "index": 0}));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn cut_counts_bytes_exactly() -> TestResult {
    for wire in Wire::all() {
        for count in [0, 1, 7, 300] {
            let seen = meet_streaming(*wire, &format!("cut@{count}")).await?;

            assert_eq!((seen.bytes.len(), seen.end), (count, End::Cut));
        }
    }
    Ok(())
}

#[tokio::test]
async fn unary_answers_are_cut_short_of_their_length() -> TestResult {
    let cases = [
        ("cut@text", End::Cut),
        ("reset@text", End::Reset),
        ("hang@start", End::Silent),
    ];
    for wire in Wire::all() {
        for (fault, end) in cases {
            let seen = meet(*wire, fault, &prompt_on(*wire, "Hi")).await?;

            if seen.status == 0 && end == End::Reset {
                // The reset overtook the answer.
                continue;
            }
            let promised: usize = seen.header("content-length").parse()?;
            assert_eq!((seen.status, seen.end), (200, end), "{wire:?} {fault}");
            assert!(seen.bytes.len() < promised, "{wire:?} {fault}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn error_objects_end_a_stream() -> TestResult {
    let moments = [
        ("error@start", ""),
        ("error@text", FIRST_WORDS),
        ("error@tool", FIRST_WORDS),
        ("error@end", WORDS),
        ("error@3", ""),
    ];
    let errors = [
        (OpenAiChat, "", json!("server_error"), Value::Null),
        (
            OpenAiChat,
            ":rate_limit",
            json!("requests"),
            json!("rate_limit_exceeded"),
        ),
        (
            OpenAiChat,
            ":overloaded",
            json!("server_error"),
            json!("server_is_overloaded"),
        ),
        (OpenAiResponses, "", json!("server_error"), Value::Null),
        (
            OpenAiResponses,
            ":rate_limit",
            Value::Null,
            json!("rate_limit_exceeded"),
        ),
        (
            OpenAiResponses,
            ":overloaded",
            json!("server_error"),
            json!("server_is_overloaded"),
        ),
        (Anthropic, "", json!("api_error"), Value::Null),
        (
            Anthropic,
            ":rate_limit",
            json!("rate_limit_error"),
            Value::Null,
        ),
        (
            Anthropic,
            ":overloaded",
            json!("overloaded_error"),
            Value::Null,
        ),
        (Gemini, "", json!("INTERNAL"), json!(500)),
        (
            Gemini,
            ":rate_limit",
            json!("RESOURCE_EXHAUSTED"),
            json!(429),
        ),
        (Gemini, ":overloaded", json!("UNAVAILABLE"), json!(503)),
    ];
    for (wire, error, kind, code) in errors {
        // Which error it is does not depend on the moment.
        let moments = moments
            .iter()
            .filter(|(moment, _)| error.is_empty() || *moment == "error@text");
        for (moment, said) in moments {
            let fault = format!("{moment}{error}");
            let seen = meet_streaming(wire, &fault).await?;

            assert_eq!((seen.status, seen.end), (200, End::InOrder));
            assert_eq!(seen.words(), *said, "{wire:?} {fault}");
            assert_eq!(
                seen.error(),
                (kind.clone(), code.clone()),
                "{wire:?} {fault}"
            );
            let last = seen.data().pop().unwrap();
            let holder = last.get("response").unwrap_or(&last);
            assert!(holder["error"]["message"].is_string());
            if ![OpenAiChat, Gemini].contains(&wire) {
                let name = match last.get("response") {
                    Some(_) => "response.failed",
                    None => "error",
                };
                let event = format!("\n\nevent: {name}\ndata: ");
                assert!(seen.text().contains(&event) || said.is_empty());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn error_objects_are_statuses_without_a_stream() -> TestResult {
    let cases = [
        (OpenAiChat, "error@text", 500),
        (OpenAiChat, "error@text:rate_limit", 429),
        (OpenAiChat, "error@start:overloaded", 503),
        (OpenAiResponses, "error@text", 500),
        (OpenAiResponses, "error@text:rate_limit", 429),
        (OpenAiResponses, "error@start:overloaded", 503),
        (Anthropic, "error@text", 500),
        (Anthropic, "error@text:rate_limit", 429),
        (Anthropic, "error@start:overloaded", 529),
        (Gemini, "error@text", 500),
        (Gemini, "error@text:rate_limit", 429),
        (Gemini, "error@start:overloaded", 503),
        (Ollama, "error@text", 500),
        (Ollama, "error@text:rate_limit", 429),
        (Ollama, "error@start:overloaded", 503),
    ];
    for (wire, fault, status) in cases {
        let seen = meet(wire, fault, &prompt_on(wire, "Hi")).await?;

        assert_eq!(seen.status, status, "{wire:?} {fault}");
        let error = &seen.json()["error"];
        assert!(if wire == Ollama {
            error.is_string()
        } else {
            error.is_object()
        });
    }
    Ok(())
}

#[tokio::test]
async fn stream_without_end_ends_in_order() -> TestResult {
    for wire in Wire::all() {
        for (fault, said) in [("no-end", WORDS), ("no-end@text", FIRST_WORDS)] {
            let seen = meet_streaming(*wire, fault).await?;

            assert_eq!((seen.status, seen.end), (200, End::InOrder));
            assert_eq!(seen.words(), said);
            assert_eq!(seen.finish_reason(), None);
            assert!(!seen.is_done());
        }
    }
    Ok(())
}
