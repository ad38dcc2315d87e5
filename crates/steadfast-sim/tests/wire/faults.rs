//! What each fault looks like from the other end of the connection.

use serde_json::{Value, json};
use steadfast_sim::{Answer, Simulator};

use crate::client::{End, IMPATIENCE, Seen, TestResult, ask, ask_for, prompt, streamed, weather};

/// Meets one fault, and after it an answer, which shows that the script went on.
async fn meet(fault: &str, body: &Value) -> Result<Seen, Box<dyn std::error::Error>> {
    let sim = Simulator::builder()
        .faults(fault.parse()?)
        .answer(|request| match request.tools() {
            [] => Answer::text("one two three four five six"),
            _ => Answer::tool_call("get_weather", json!({"city": "Oslo"})),
        })
        .start()
        .await?;
    let seen = if fault.starts_with("hang") {
        ask_for(IMPATIENCE, &sim, body).await
    } else {
        ask(&sim, body).await
    };
    let after = ask(&sim, body).await;
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
    assert_eq!(
        first.status.map_or(0, |status| status.as_u16()),
        seen.status
    );
    assert_eq!(second.fault, None);
    sim.stop().await;
    Ok(seen)
}

async fn meet_streaming(fault: &str) -> Result<Seen, Box<dyn std::error::Error>> {
    meet(fault, &streamed(prompt("Hi"))).await
}

#[tokio::test]
async fn statuses_come_with_the_vendors_body() -> TestResult {
    let cases = [
        ("400", "invalid_request_error", Value::Null),
        ("401", "invalid_request_error", json!("invalid_api_key")),
        ("404", "invalid_request_error", json!("model_not_found")),
        ("418", "invalid_request_error", Value::Null),
        ("429", "requests", json!("rate_limit_exceeded")),
        (
            "429:quota",
            "insufficient_quota",
            json!("insufficient_quota"),
        ),
        ("500", "server_error", Value::Null),
        ("503", "server_error", json!("server_is_overloaded")),
        ("529", "server_error", Value::Null),
    ];
    for (fault, kind, code) in cases {
        let seen = meet_streaming(fault).await?;

        let error = &seen.json()["error"];
        assert_eq!(seen.status.to_string(), fault.get(..3).unwrap());
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(kind), &code),
            "{fault}"
        );
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("retry-after"), "");
    }
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
        let seen = meet_streaming(fault).await?;

        assert_eq!(seen.header("retry-after"), seconds, "{fault}");
        assert_eq!(seen.header("retry-after-ms"), millis, "{fault}");
        assert!(seen.text().contains(sentence), "{}", seen.text());
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
        let seen = meet_streaming(fault).await?;

        assert_eq!((seen.status, seen.end), (0, end), "{fault}");
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
        ("text", "one two"),
        ("tool", "one two"),
        ("end", "one two three four five six"),
    ];
    for (kind, end) in ends {
        for (moment, said) in moments {
            let seen = meet_streaming(&format!("{kind}@{moment}")).await?;

            assert_eq!((seen.status, seen.end), (200, end), "{kind}@{moment}");
            assert_eq!(seen.said("content"), said, "{kind}@{moment}");
            assert_eq!(seen.finish_reason(), None);
            assert!(!seen.is_done());
        }
    }
    Ok(())
}

#[tokio::test]
async fn connection_breaks_after_the_whole_tool_call() -> TestResult {
    for (fault, end) in [("cut@tool", End::Cut), ("hang@tool", End::Silent)] {
        let seen = meet(fault, &streamed(weather())).await?;

        let arguments: String = seen
            .data()
            .iter()
            .filter_map(|chunk| {
                let call = chunk.pointer("/choices/0/delta/tool_calls/0")?;
                Some(call["function"]["arguments"].as_str()?.to_owned())
            })
            .collect();
        assert_eq!(seen.end, end);
        assert_eq!(arguments, r#"{"city":"Oslo"}"#);
        assert_eq!(seen.finish_reason(), None);
    }
    Ok(())
}

#[tokio::test]
async fn cut_counts_bytes_exactly() -> TestResult {
    for count in [0, 1, 7, 300] {
        let seen = meet_streaming(&format!("cut@{count}")).await?;

        assert_eq!((seen.bytes.len(), seen.end), (count, End::Cut));
    }
    Ok(())
}

#[tokio::test]
async fn unary_answers_are_cut_short_of_their_length() -> TestResult {
    for (fault, end) in [
        ("cut@text", End::Cut),
        ("reset@text", End::Reset),
        ("hang@start", End::Silent),
    ] {
        let seen = meet(fault, &prompt("Hi")).await?;

        let promised: usize = seen.header("content-length").parse()?;
        assert_eq!((seen.status, seen.end), (200, end), "{fault}");
        assert!(seen.bytes.len() < promised, "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn error_objects_end_a_stream() -> TestResult {
    let cases = [
        ("error@start", "", Value::Null),
        ("error@text", "one two", Value::Null),
        ("error@tool", "one two", Value::Null),
        ("error@3", "", Value::Null),
        (
            "error@text:rate_limit",
            "one two",
            json!("rate_limit_exceeded"),
        ),
        (
            "error@text:overloaded",
            "one two",
            json!("server_is_overloaded"),
        ),
    ];
    for (fault, said, code) in cases {
        let seen = meet_streaming(fault).await?;

        let data = seen.data();
        assert_eq!((seen.status, seen.end), (200, End::InOrder));
        assert_eq!(seen.said("content"), said, "{fault}");
        assert_eq!(data.last().unwrap()["error"]["code"], code, "{fault}");
        assert!(data.last().unwrap()["error"]["message"].is_string());
    }
    Ok(())
}

#[tokio::test]
async fn error_objects_are_statuses_without_a_stream() -> TestResult {
    let cases = [
        ("error@text", 500),
        ("error@text:rate_limit", 429),
        ("error@start:overloaded", 503),
    ];
    for (fault, status) in cases {
        let seen = meet(fault, &prompt("Hi")).await?;

        assert_eq!(seen.status, status, "{fault}");
        assert!(seen.json()["error"].is_object());
    }
    Ok(())
}

#[tokio::test]
async fn stream_without_end_ends_in_order() -> TestResult {
    for (fault, said) in [
        ("no-end", "one two three four five six"),
        ("no-end@text", "one two"),
    ] {
        let seen = meet_streaming(fault).await?;

        assert_eq!((seen.status, seen.end), (200, End::InOrder));
        assert_eq!(seen.said("content"), said);
        assert_eq!(seen.finish_reason(), None);
        assert!(!seen.is_done());
    }
    Ok(())
}

#[tokio::test]
async fn successes_that_are_none() -> TestResult {
    for body in [prompt("Hi"), streamed(prompt("Hi"))] {
        let empty = meet("empty", &body).await?;
        let page = meet("html", &body).await?;
        let error = meet("error-200", &body).await?;

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
            (error.status, error.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(error.json()["error"]["type"], "server_error");
    }
    Ok(())
}

#[tokio::test]
async fn malformed_stream_has_one_line_that_is_not_json() -> TestResult {
    let seen = meet_streaming("malformed").await?;

    let broken = seen.data().into_iter().filter(Value::is_string).count();
    assert_eq!(broken, 2, "the broken line and [DONE]: {}", seen.text());
    assert_eq!(seen.said("content"), "one two three four five six");
    assert!(seen.is_done());
    Ok(())
}

#[tokio::test]
async fn garbage_is_inside_a_json_string() -> TestResult {
    for body in [prompt("Hi"), streamed(prompt("Hi"))] {
        let seen = meet("garbage-utf8", &body).await?;

        assert_eq!(seen.end, End::InOrder);
        assert!(std::str::from_utf8(&seen.bytes).is_err());
        // Read with replacement characters, it is JSON again.
        assert!(
            seen.text()
                .contains("\"content\":\"caf\u{fffd}( \u{fffd}one two"),
            "{}",
            seen.text()
        );
    }
    Ok(())
}

#[tokio::test]
async fn huge_line_has_ten_megabytes() -> TestResult {
    let seen = meet_streaming("huge-line").await?;

    let text = seen.text();
    let longest = text.lines().map(str::len).max().unwrap_or_default();
    assert_eq!(seen.end, End::InOrder);
    assert!(longest > 10 * 1024 * 1024, "{longest}");
    assert!(seen.is_done());
    Ok(())
}

#[tokio::test]
async fn keep_alives_go_on_without_data() -> TestResult {
    let stream = meet_streaming("keepalive").await?;
    let whole = meet("keepalive", &prompt("Hi")).await?;

    assert_eq!((stream.status, stream.end), (200, End::Silent));
    assert!(stream.text().starts_with(": keep-alive\n\n"));
    assert_eq!(stream.data(), Vec::<Value>::new());
    assert!(whole.text().trim().is_empty());
    Ok(())
}

#[tokio::test]
async fn star_lasts_for_ever() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok, 503*".parse()?)
        .start()
        .await?;
    let mut statuses = Vec::new();

    for _ in 0..5 {
        statuses.push(ask(&sim, &prompt("Hi")).await.status);
    }

    assert_eq!(statuses, [200, 503, 503, 503, 503]);
    Ok(())
}
