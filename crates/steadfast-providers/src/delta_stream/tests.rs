use std::{collections::VecDeque, future::poll_fn};

use steadfast_core::{ModelErrorKind as Kind, StopReason};
use tokio::time::Instant;

use super::*;
use crate::{http_client::Head, ollama, openai_chat};

/// What a body does next; when nothing is left, it ends.
#[derive(Clone)]
enum Step {
    Bytes(&'static str),
    Break,
    Stall,
}

struct Script(VecDeque<Step>);

impl Stream for Script {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.front() {
            None => Poll::Ready(None),
            Some(Step::Stall) => Poll::Pending,
            Some(Step::Bytes(text)) => {
                let bytes = Bytes::from_static(text.as_bytes());
                self.0.pop_front();
                Poll::Ready(Some(Ok(bytes)))
            }
            Some(Step::Break) => Poll::Ready(Some(Err(ModelError::new(Kind::Network, "broken")))),
        }
    }
}

/// A body, and of it the text, whether it ended, and how it failed.
type Case = (&'static [Step], (&'static str, bool, Option<Kind>));

/// Reads a body: what was said, whether it was ended, how it failed, and how long it took.
async fn read<D: AnswerDecoder>(steps: &[Step]) -> (String, bool, Option<Kind>, Duration) {
    let head = Head::of_status(200);
    let begun = Instant::now();
    let body = Script(steps.iter().cloned().collect());
    let mut stream = DeltaStream::new(body, head, D::default());
    let (mut said, mut stopped, mut failure) = (String::new(), false, None);
    while let Some(item) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        match item {
            Ok(ModelDelta::Text(text)) => said.push_str(&text),
            Ok(ModelDelta::Stop(reason)) => stopped = reason == StopReason::EndTurn,
            Ok(_) => {}
            Err(error) => failure = Some(error.kind()),
        }
    }
    (said, stopped, failure, begun.elapsed())
}

const TEXT: Step = Step::Bytes("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
const STOP: Step =
    Step::Bytes("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
const DONE: Step = Step::Bytes("data: [DONE]\n\n");
const WHOLE: &str = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#;
const ERROR: &str = r#"{"error":{"code":429,"message":"x"}}"#;
const EVENT_OF_ERROR: &str = "data: {\"error\":{\"code\":429,\"message\":\"x\"}}\n\n";
const MALFORMED: Step = Step::Bytes("data: {oops\n\n");

#[tokio::test(start_paused = true)]
async fn answer_stands_once_it_has_ended() {
    use Step::{Break, Bytes, Stall};
    let cases: [Case; 18] = [
        (&[TEXT, STOP, DONE], ("x", true, None)),
        (
            &[TEXT, STOP, DONE, Bytes("data: more\n\n")],
            ("x", true, None),
        ),
        (&[TEXT, STOP, DONE, Break], ("x", true, None)),
        (&[TEXT, STOP, Break], ("x", true, None)),
        (&[TEXT, STOP, MALFORMED], ("x", true, None)),
        (&[TEXT, STOP, Bytes(EVENT_OF_ERROR)], ("x", true, None)),
        (&[TEXT, STOP, Bytes(ERROR)], ("x", true, None)),
        (&[TEXT, STOP, DONE, Stall], ("x", true, None)),
        (&[TEXT, Break], ("x", false, Some(Kind::Network))),
        (&[TEXT, MALFORMED], ("x", false, Some(Kind::Protocol))),
        (&[TEXT, DONE, Break], ("x", false, Some(Kind::Truncated))),
        (
            &[TEXT, Bytes(EVENT_OF_ERROR), DONE],
            ("x", false, Some(Kind::Throttled)),
        ),
        // An error that is no event, and one whose event has no end.
        (&[TEXT, Bytes(ERROR)], ("x", false, Some(Kind::Throttled))),
        (
            &[TEXT, Bytes("[{\r\n  \"error\": {\"code\": 429}\r\n}]\r\n")],
            ("x", false, Some(Kind::Throttled)),
        ),
        (
            &[TEXT, Bytes("data: {\"error\":{\"code\":429}}")],
            ("x", false, Some(Kind::Throttled)),
        ),
        (&[Bytes(" \n"), Bytes(WHOLE)], ("x", true, None)),
        (&[Bytes(ERROR)], ("", false, Some(Kind::Throttled))),
        (
            &[Bytes("[1,"), Bytes("2]\n")],
            ("", false, Some(Kind::Protocol)),
        ),
    ];
    check::<openai_chat::StreamDecoder>(&cases).await;
}

const LINE: Step = Step::Bytes("{\"message\":{\"content\":\"x\"},\"done\":false}\n");
const LAST: Step = Step::Bytes("{\"done\":true,\"done_reason\":\"stop\"}\n");
const UNENDED: Step = Step::Bytes("{\"done\":true,\"done_reason\":\"stop\"}");

#[tokio::test(start_paused = true)]
async fn answer_in_lines_stands_once_it_has_ended() {
    use Step::{Break, Bytes, Stall};
    let cases: [Case; 17] = [
        (&[LINE, LAST], ("x", true, None)),
        (&[LINE, LAST, Bytes("{oops\n")], ("x", true, None)),
        (&[LINE, LAST, Break], ("x", true, None)),
        (
            &[LINE, LAST, Bytes("{\"error\":\"x\"}\n")],
            ("x", true, None),
        ),
        (&[LINE, LAST, Stall], ("x", true, None)),
        // The last line needs no end.
        (&[LINE, UNENDED], ("x", true, None)),
        (&[Bytes("\u{feff}\r\n"), LINE, UNENDED], ("x", true, None)),
        (&[LINE, UNENDED, Break], ("x", false, Some(Kind::Network))),
        (&[LINE], ("x", false, Some(Kind::Truncated))),
        (&[LINE, Break], ("x", false, Some(Kind::Network))),
        (&[], ("", false, Some(Kind::Truncated))),
        // Cut off in the middle of a line.
        (
            &[LINE, Bytes("{\"done\":tr")],
            ("x", false, Some(Kind::Truncated)),
        ),
        (
            &[LINE, Bytes("{\"error\":\"x\"}")],
            ("x", false, Some(Kind::Server)),
        ),
        (
            &[LINE, Bytes("{oops\n"), LAST],
            ("x", false, Some(Kind::Protocol)),
        ),
        (
            &[LINE, Bytes("[DONE]")],
            ("x", false, Some(Kind::Truncated)),
        ),
        // One value over several lines.
        (
            &[
                Bytes("{"),
                Bytes("\n \"message\": {\"content\": \"x\"},\n"),
                Bytes("\"done\": true, \"done_reason\": \"stop\"\n}\n"),
            ],
            ("x", true, None),
        ),
        (
            &[Bytes("{\n"), Bytes("\"error\": \"x\"}")],
            ("", false, Some(Kind::Server)),
        ),
    ];
    check::<ollama::StreamDecoder>(&cases).await;
}

/// The vendor runs code behind the end of its own turn.
#[cfg(feature = "gemini")]
const CODE: Step = Step::Bytes(
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"executableCode\":{\"code\":\"1\"}}]},\"finishReason\":\"STOP\"}]}\n\n",
);

#[cfg(feature = "gemini")]
#[tokio::test(start_paused = true)]
async fn answer_that_awaits_more_is_not_settled_by_its_end() {
    use Step::{Break, Bytes};
    const TEXT: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}]}\n\n";
    let image = format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"inlineData\":{{\"data\":\"{}\"}}}}]}}}}]}}\n\n",
        "x".repeat(2 * LONGEST_BEHIND)
    );
    let steps = [CODE, Bytes(Box::leak(image.into_boxed_str())), Bytes(TEXT)];

    let (said, stopped, failure, _) = read::<crate::gemini::StreamDecoder>(&steps).await;

    assert_eq!((&*said, stopped, failure), ("x", true, None));
    let cases: [Case; 3] = [
        (
            &[
                CODE,
                Bytes("data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n"),
            ],
            ("", true, Some(Kind::Overloaded)),
        ),
        (&[CODE, Break], ("", true, Some(Kind::Network))),
        (&[CODE, Bytes(TEXT), Break], ("x", true, None)),
    ];
    check::<crate::gemini::StreamDecoder>(&cases).await;
}

async fn check<D: AnswerDecoder>(cases: &[Case]) {
    for (place, (steps, expected)) in cases.iter().enumerate() {
        let (said, stopped, failure, elapsed) = read::<D>(steps).await;
        assert_eq!((said.as_str(), stopped, failure), *expected, "case {place}");
        let bound = if matches!(steps.last(), Some(Step::Stall)) {
            END_TIMEOUT
        } else {
            Duration::ZERO
        };
        assert!(elapsed >= bound && elapsed <= bound + Duration::from_millis(2));
    }
}
