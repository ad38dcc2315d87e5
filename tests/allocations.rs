//! What decoding allocates: for each delta its own text, and nothing else that grows with the answer.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Response, header};
use steadfast::{ModelDelta, Wire};

/// Events of one kind: what comes before them, one of them, and how many texts its deltas own.
struct Case {
    wire: Wire,
    begin: &'static str,
    event: &'static str,
    texts: u64,
}

const TEXTS: [Case; 5] = [
    Case {
        wire: Wire::OpenAiChat,
        begin: "",
        event: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":TEXT},\"logprobs\":null,\
                \"finish_reason\":null}],\"usage\":null}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::OpenAiResponses,
        begin: "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\
                \"item\":{\"id\":\"m\",\"type\":\"message\"}}\n\n",
        event: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
                \"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"delta\":TEXT,\"logprobs\":[]}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::Anthropic,
        begin: "",
        event: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                \"delta\":{\"type\":\"text_delta\",\"text\":TEXT}}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::Gemini,
        begin: "",
        event: "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": TEXT}],\"role\": \"model\"},\
                \"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 4},\"responseId\": \"r\"}\r\n\r\n",
        texts: 1,
    },
    Case {
        wire: Wire::Ollama,
        begin: "",
        event: "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":TEXT},\"done\":false}\n",
        texts: 1,
    },
];

/// Arguments in pieces; on the last two wires calls are whole and own an identity and a name too.
const ARGUMENTS: [Case; 5] = [
    Case {
        wire: Wire::OpenAiChat,
        begin: "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\
                \"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
        event: "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\
                \"function\":{\"arguments\":TEXT}}]},\"finish_reason\":null}]}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::OpenAiResponses,
        begin: "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\
                \"item\":{\"id\":\"i\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}}\n\n",
        event: "data: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"i\",\
                \"output_index\":0,\"delta\":TEXT}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::Anthropic,
        begin: "data: {\"type\":\"content_block_start\",\"index\":0,\
                \"content_block\":{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}}\n\n",
        event: "data: {\"type\":\"content_block_delta\",\"index\":0,\
                \"delta\":{\"type\":\"input_json_delta\",\"partial_json\":TEXT}}\n\n",
        texts: 1,
    },
    Case {
        wire: Wire::Gemini,
        begin: "",
        event: "data: {\"candidates\": [{\"content\": {\"parts\": [{\"functionCall\": {\"id\": \"c\",\
                \"name\": \"f\",\"args\": {\"city\": TEXT}}}]}}]}\r\n\r\n",
        texts: 3,
    },
    Case {
        wire: Wire::Ollama,
        begin: "",
        event: "{\"message\":{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\
                \"arguments\":{\"city\":TEXT}}}]},\"done\":false}\n",
        texts: 3,
    },
];

/// Cuts a body into pieces of so many bytes, or in one piece for each event.
fn pieces(case: &Case, text: &str, events: usize, size: Option<usize>) -> Vec<Bytes> {
    let event = case.event.replace("TEXT", text);
    match size {
        None => {
            let begin = Bytes::from_static(case.begin.as_bytes());
            let event = Bytes::from(event);
            let events = std::iter::repeat_n(event, events);
            std::iter::once(begin).chain(events).collect()
        }
        Some(size) => {
            let mut body = Bytes::from(format!("{}{}", case.begin, event.repeat(events)));
            let mut pieces = Vec::new();
            while !body.is_empty() {
                pieces.push(body.split_to(size.min(body.len())));
            }
            pieces
        }
    }
}

/// Counts what is allocated while an answer is decoded, and its deltas that say something.
fn decode(case: &Case, pieces: Vec<Bytes>) -> (u64, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let media_type = match case.wire {
        Wire::Ollama => "application/x-ndjson",
        _ => "text/event-stream",
    };
    let mut said = 0;
    let allocated = allocation_counter::measure(|| {
        runtime.block_on(async {
            let body = stream::iter(pieces).map(Ok);
            let answer = Response::builder().header(header::CONTENT_TYPE, media_type);
            let answer = answer.body(body).unwrap();
            let mut deltas = case.wire.stream(answer).await.unwrap();
            // The answer has no end, which is an error behind all that it says.
            while let Some(Ok(delta)) = deltas.next().await {
                let says = matches!(delta, ModelDelta::Text(_) | ModelDelta::ToolUseInput { .. });
                said += usize::from(says);
            }
        });
    });
    (allocated.count_total, said)
}

/// Checks that twice the events cost their own texts more, however the bytes are cut.
fn check(cases: &[Case], texts: &[&str]) {
    const EVENTS: usize = 500;
    for case in cases {
        for text in texts {
            for size in [None, Some(usize::MAX), Some(4_096), Some(50)] {
                let (once, said_once) = decode(case, pieces(case, text, EVENTS, size));
                let (twice, said_twice) = decode(case, pieces(case, text, 2 * EVENTS, size));

                let shown = format!("{:?}, {text}, {size:?}", case.wire);
                assert_eq!((said_once, said_twice), (EVENTS, 2 * EVENTS), "{shown}");
                assert_eq!(twice - once, case.texts * EVENTS as u64, "{shown}");
            }
        }
    }
}

#[test]
fn text_delta_costs_its_text_alone() {
    check(
        &TEXTS,
        &[
            r#"" umbrella""#,
            r#"" ☔ 東京""#,
            r#""\n\n\"dry\" \\( \u00e9 \ud83d\ude00""#,
        ],
    );
}

#[test]
fn argument_delta_costs_its_json_alone() {
    check(&ARGUMENTS, &[r#""{\"city\":\"Troms\u00f8\"""#, r#""\",""#]);
}
