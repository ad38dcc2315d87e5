//! What Ollama answers, and ollama.com.

use steadfast_core::{ModelErrorKind as Kind, StopReason, secs};

use crate::{Answered, Row, TestResult, check, ollama};

const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// The same error as a line of a stream, after a part of the answer.
const fn in_lines(body: &'static str) -> Answered {
    ollama(200, body).with(LINES)
}

pub(crate) fn rows() -> Vec<Row> {
    [errors(), permanent(), overflows(), in_streams()].concat()
}

fn errors() -> Vec<Row> {
    vec![
        (
            ollama(
                503,
                r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
            ),
            Kind::Overloaded,
            None,
            "the sentence `maximum pending requests exceeded`",
        ),
        (
            ollama(
                503,
                r#"{"error":"Server overloaded, please retry shortly (ref: aaa65c70)"}"#,
            ),
            Kind::Overloaded,
            None,
            "the sentence `Server overloaded`",
        ),
        (ollama(503, ""), Kind::Overloaded, None, "status 503"),
        (
            ollama(
                429,
                r#"{"error":"timed out waiting for a concurrent request slot"}"#,
            ),
            Kind::Throttled,
            None,
            "the sentence `waiting for a concurrent request slot`",
        ),
        (
            ollama(429, r#"{"error":"too many requests"}"#).with(&[("retry-after", "7")]),
            Kind::Throttled,
            Some(secs(7)),
            "status 429, wait from header `retry-after`",
        ),
        (
            ollama(
                429,
                r#"{"error":"you've reached your hourly usage limit, please wait or upgrade to continue"}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `usage limit`",
        ),
        (
            ollama(
                429,
                r#"{"error":"you (name) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `usage limit`",
        ),
        (
            ollama(
                403,
                r#"{"error":"this model requires a subscription, upgrade for access: https://ollama.com/upgrade"}"#,
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `requires a subscription`",
        ),
        (
            ollama(402, r#"{"error":"x"}"#),
            Kind::QuotaExhausted,
            None,
            "status 402",
        ),
        (
            ollama(
                401,
                r#"{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=h&key=k"}"#,
            ),
            Kind::Auth,
            None,
            "status 401",
        ),
        (
            ollama(
                403,
                r#"{"error":"ollama cloud is disabled: remote model is unavailable"}"#,
            ),
            Kind::Auth,
            None,
            "status 403",
        ),
        (
            ollama(
                404,
                r#"{"error":"model \"qwen3\" not found, try pulling it first"}"#,
            ),
            Kind::NotFound,
            None,
            "the sentence `not found, try pulling it first`",
        ),
        (
            ollama(404, r#"{"error":"model 'qwen3' not found"}"#),
            Kind::NotFound,
            None,
            "status 404",
        ),
        (
            ollama(404, "404 page not found"),
            Kind::NotFound,
            None,
            "status 404",
        ),
        (
            ollama(
                400,
                r#"{"error":"registry.ollama.ai/library/gemma:2b does not support tools"}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `does not support`",
        ),
        (
            ollama(400, r#"{"error":"\"llama3\" does not support thinking"}"#),
            Kind::Unsupported,
            None,
            "the sentence `does not support`",
        ),
        (
            ollama(
                400,
                r#"{"error":"json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"}"#,
            ),
            Kind::InvalidRequest,
            None,
            "status 400",
        ),
        (
            ollama(400, r#"{"error":"missing request body"}"#),
            Kind::InvalidRequest,
            None,
            "status 400",
        ),
        (
            ollama(413, r#"{"error":"request body too large"}"#),
            Kind::TooLarge,
            None,
            "status 413",
        ),
        (
            ollama(499, r#"{"error":"request canceled"}"#),
            Kind::InvalidRequest,
            None,
            "status 499",
        ),
        (
            ollama(
                500,
                r#"{"error":"llama runner process has terminated: exit status 2"}"#,
            ),
            Kind::Server,
            None,
            "the sentence `process has terminated`",
        ),
        (
            ollama(500, r#"{"error":"llama-server process has terminated"}"#),
            Kind::Server,
            None,
            "the sentence `process has terminated`",
        ),
        (
            ollama(
                500,
                r#"{"error":"llama runner process no longer running: -1 "}"#,
            ),
            Kind::Server,
            None,
            "the sentence `process no longer running`",
        ),
        (
            ollama(
                500,
                r#"{"error":"model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details"}"#,
            ),
            Kind::Server,
            None,
            "the sentence `runner has unexpectedly stopped`",
        ),
        (
            ollama(
                500,
                r#"{"error":"model requires more system memory (5.3 GiB) than is available (4.4 GiB)"}"#,
            ),
            Kind::Server,
            None,
            "the sentence `requires more system memory`",
        ),
        (
            ollama(
                500,
                r#"{"error":"model failed to load, this may be due to resource limitations or an internal error, check ollama server logs for details"}"#,
            ),
            Kind::Server,
            None,
            "the sentence `model failed to load`",
        ),
        (
            ollama(
                500,
                r#"{"error":"timed out waiting for llama runner to start: context canceled"}"#,
            ),
            Kind::Timeout,
            None,
            "the sentence `timed out waiting for llama runner`",
        ),
        (
            ollama(
                500,
                r#"{"error":"error parsing tool call: raw='{\"a\":', err=unexpected end of JSON input"}"#,
            ),
            Kind::Server,
            None,
            "the sentence `error parsing tool call`",
        ),
        (
            ollama(
                500,
                r#"{"error":"the model failed to generate a response"}"#,
            ),
            Kind::Server,
            None,
            "status 500",
        ),
        (
            ollama(502, r#"{"error":"x"}"#),
            Kind::Server,
            None,
            "status 502",
        ),
        (ollama(504, ""), Kind::Timeout, None, "status 504"),
    ]
}

#[tokio::test]
async fn ollama_rows_are_classified_with_their_evidence() -> TestResult {
    check(&errors()).await
}

fn permanent() -> Vec<Row> {
    vec![
        (
            ollama(
                500,
                r#"{"error":"llama runner process has terminated: exit status 1: error loading model: unknown model architecture: 'mllama'"}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `unknown model architecture`",
        ),
        (
            ollama(
                500,
                r#"{"error":"llama runner: failed to load model: this model may be incompatible with your version of Ollama. If you previously pulled this model, try updating it by running `ollama pull x`"}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `incompatible with your version`",
        ),
        (
            ollama(
                500,
                r#"{"error":"'llama3.2-vision' is no longer compatible with your version of Ollama and has been replaced by a newer version."}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `no longer compatible with your version`",
        ),
        (
            ollama(
                500,
                r#"{"error":"Failed to create new sequence: failed to process inputs: this model is missing data required for image input"}"#,
            ),
            Kind::Unsupported,
            None,
            "the sentence `missing data required for image input`",
        ),
        (
            ollama(
                500,
                r#"{"error":"this model only supports one image while more than one image requested"}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `only supports one image`",
        ),
        (
            ollama(
                500,
                r#"{"error":"Failed to create new sequence: failed to process inputs: image: unknown format"}"#,
            ),
            Kind::InvalidRequest,
            None,
            "the sentence `image: unknown format`",
        ),
    ]
}

#[tokio::test]
async fn ollama_errors_that_no_retry_helps_are_permanent_also_with_status_500() -> TestResult {
    check(&permanent()).await
}

fn overflows() -> Vec<Row> {
    vec![
        (
            ollama(
                400,
                r#"{"StatusCode":400,"Status":"400 Bad Request","error":"prompt too long; exceeded max context length by 4 tokens"}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeded max context length`",
        ),
        (
            ollama(
                400,
                r#"{"error":"the input length exceeds the context length"}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeds the context length`",
        ),
        (
            ollama(
                413,
                r#"{"error":"the input length exceeds the context length"}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeds the context length`",
        ),
        (
            ollama(
                400,
                r#"{"error":"request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it"}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `exceeds the available context size`",
        ),
        (
            ollama(
                400,
                r#"{"error":"This model's maximum context length is 4096 tokens."}"#,
            ),
            Kind::ContextOverflow,
            None,
            "the sentence `maximum context length`",
        ),
    ]
}

#[tokio::test]
async fn ollama_sentences_about_the_context_are_an_overflow() -> TestResult {
    check(&overflows()).await
}

fn in_streams() -> Vec<Row> {
    vec![
        (
            in_lines(
                "{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"error\":\"an error was encountered while running the model: CUDA error\"}\n",
            ),
            Kind::Server,
            None,
            "the sentence `encountered while running the model`",
        ),
        (
            in_lines("{\"message\":{\"content\":\"x\"}}\n{\"error\":\"x\"}"),
            Kind::Server,
            None,
            "an error without a known code",
        ),
        (
            in_lines(
                "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
            ),
            Kind::Overloaded,
            None,
            "the sentence `maximum pending requests exceeded`",
        ),
        (
            in_lines(
                "{\"message\":{\"content\":\"x\"}}\n{\"StatusCode\":429,\"Status\":\"429 Too Many Requests\",\"error\":\"too many requests\"}\n",
            ),
            Kind::Throttled,
            None,
            "error status `429`",
        ),
        (
            in_lines(
                "{\"StatusCode\":503,\"Status\":\"503 Service Unavailable\",\"error\":\"x\"}\n",
            ),
            Kind::Overloaded,
            None,
            "error status `503`",
        ),
        (
            in_lines(
                "{\"StatusCode\":429,\"error\":\"you have reached your session usage limit\"}\n",
            ),
            Kind::QuotaExhausted,
            None,
            "the sentence `usage limit`",
        ),
        // An error stands, whatever comes behind it.
        (
            in_lines(
                "{\"message\":{\"content\":\"x\"}}\n{\"error\":\"x\"}\n{\"done\":true,\"done_reason\":\"stop\"}\n",
            ),
            Kind::Server,
            None,
            "an error without a known code",
        ),
        (
            in_lines("{\"message\":{\"content\":\"x\"},\"done\":false}\n"),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (
            in_lines("{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"message\":"),
            Kind::Truncated,
            None,
            "end marker",
        ),
        (in_lines(""), Kind::Truncated, None, "end marker"),
        (in_lines("{oops\n"), Kind::Protocol, None, "not the JSON"),
        (
            ollama(200, r#"{"error":"x"}"#).with(&[("content-type", "application/json")]),
            Kind::Server,
            None,
            "an error without a known code",
        ),
    ]
}

#[tokio::test]
async fn ollama_lines_that_are_errors_are_classified_by_what_they_say() -> TestResult {
    check(&in_streams()).await
}

const ANSWER: &str = "{\"message\":{\"content\":\"x\"},\"done\":false}\n\
    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\"}";
const MARKED: &str =
    "\u{feff}{\"message\":{\"content\":\"x\"}}\r\n{\"done\":true,\"done_reason\":\"length\"}\r\n";
const WHOLE: &str = "{\"message\":{\"content\":\"x\"},\"done\":true,\"done_reason\":\"length\"}";
const PRETTY: &str =
    "{\n \"message\": {\"content\": \"x\"},\n \"done\": true,\n \"done_reason\": \"length\"\n}\n";

#[tokio::test]
async fn ollama_answers_are_read_under_any_name_and_behind_a_mark() -> TestResult {
    const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=utf-8")];
    const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
    for headers in [LINES, JSON, TEXT, &[]] {
        for body in [ANSWER, MARKED, WHOLE, PRETTY] {
            let answered = ollama(200, body).with(headers);
            assert_eq!(
                answered.read().await?.ok(),
                Some(StopReason::MaxTokens),
                "{answered:?}"
            );
        }
    }
    Ok(())
}
