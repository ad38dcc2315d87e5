//! Inputs to begin with, small and written by hand, or made by an agent here: none is recorded.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use steadfast_core::{
    Agent, FunctionTool, Runtime, StepName, StepOutcome, Stopped, ToolError, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use steadfast_providers::Wire;

use super::paused;

/// Answers of a wire, in the layout of [`answer`](super::answer).
pub fn answers(wire: Wire) -> Vec<Vec<u8>> {
    let (streams, wholes): (&[&str], &[&str]) = match wire {
        Wire::OpenAiChat => (&CHAT, &CHAT_WHOLE),
        Wire::OpenAiResponses => (&RESPONSES, &RESPONSES_WHOLE),
        Wire::Anthropic => (&ANTHROPIC, &ANTHROPIC_WHOLE),
        Wire::Gemini => (&GEMINI, &GEMINI_WHOLE),
        Wire::Ollama => (&OLLAMA, &OLLAMA_WHOLE),
        Wire::Bedrock => (&BEDROCK, &BEDROCK_WHOLE),
        _ => (&[], &[]),
    };
    let lines = matches!(wire, Wire::Bedrock | Wire::Ollama);
    let sealed = u8::from(wire == Wire::Bedrock) << 2;
    let streams = streams.iter().map(|events| {
        let events = events.trim().lines().map(|event| match lines {
            true => format!("{event}\n"),
            false => format!("data: {event}\n\n"),
        });
        (events.collect::<String>(), [sealed, 1 | sealed])
    });
    let wholes = wholes.iter().map(|body| ((*body).to_owned(), [0, 2]));
    let laid_out = streams.chain(wholes).flat_map(|(body, forms)| {
        forms.map(|form| [body.as_bytes(), &[form, 100, 3, form, 7, 1]].concat())
    });
    laid_out.collect()
}

/// Refusals of all wires, in the layout of [`refusal`](super::refusal).
pub fn refusals() -> Vec<Vec<u8>> {
    let laid_out = ['a', 'b', 'c', 'd', 'e', 'f'].into_iter().flat_map(|wire| {
        REFUSALS
            .iter()
            .map(move |refusal| format!("{wire}{}", refusal.trim_start()).into_bytes())
    });
    laid_out.collect()
}

/// Runs at each of their steps and the outcomes of all, in the layout of
/// [`stored_run`](super::stored_run).
pub fn stored_runs() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    paused(async {
        for records in 1..16 {
            let kept = Kept {
                journal: JournalRuntime::new(&Journal::new()).stop_after(records),
                outcomes: Mutex::default(),
            };
            let stopped = agent().prompt("Weather?").on_runtime(&kept).await;
            let Err(error) = stopped else {
                continue;
            };
            let run = serde_json::to_string(error.run()).unwrap_or_default();
            let outcomes = kept
                .outcomes
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            seeds.push(format!("{run}\n{}", outcomes.join("\n")).into_bytes());
        }
    });
    seeds
}

/// An agent with a tool, whose model fails, throttles, calls and answers.
fn agent() -> Agent {
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::throttled_for(secs(20)),
        Reply::tool_calls([("look", json!({"at": 1.5})), ("nobody", json!({}))]),
        Reply::text("Rain."),
    ]);
    let look = FunctionTool::new("look", "", |_: Value| async {
        Ok::<_, ToolError>("clouds")
    });
    let agent = Agent::builder().model(model).tool(look).build();
    assert!(agent.is_ok(), "{agent:?}");
    agent.unwrap_or_else(|_| std::process::abort())
}

/// Keeps outcomes in their stored form.
struct Kept {
    journal: JournalRuntime,
    outcomes: Mutex<Vec<String>>,
}

impl Runtime for Kept {
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move {
            let outcome = self.journal.record(name, work).await?;
            let stored = serde_json::to_string(&outcome).unwrap_or_default();
            self.outcomes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stored);
            Ok(outcome)
        })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: std::time::SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.journal.sleep_until(name, until)
    }

    fn now(&self) -> std::time::SystemTime {
        self.journal.now()
    }

    fn random(&self) -> u64 {
        self.journal.random()
    }
}

const CHAT: [&str; 4] = [
    r#"
{"choices":[{"delta":{"role":"assistant","content":""}}]}
{"choices":[{"delta":{"reasoning_content":"Hm"}}]}
{"choices":[{"delta":{"content":"a\u00e9\ud83d\ude00"}}]}
{"choices":[{"delta":{},"finish_reason":"stop"}]}
{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}
[DONE]"#,
    r#"
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}},{"index":1,"id":"b","function":{"name":"g","arguments":"null"}}]}}]}
{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}
[DONE]"#,
    r#"
{"choices":[{"delta":{"reasoning":"x","reasoning_details":[{"type":"reasoning.text","index":0,"text":"x"}]}}]}
{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"y"}]},{"type":"text","text":"z"}]}}]}
{"choices":[{"delta":{"refusal":"no"},"finish_reason":"content_filter"}]}"#,
    r#"
{"choices":[{"delta":{"content":"half"}}]}
{"error":{"message":"Please try again in 2s.","code":"rate_limit_exceeded","type":"tokens"}}
[DONE]"#,
];

const CHAT_WHOLE: [&str; 2] = [
    r#"{"choices":[{"message":{"content":"Hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1}}"#,
    r#"[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#,
];

const RESPONSES: [&str; 3] = [
    r#"
{"type":"response.created","response":{"id":"r"}}
{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"r1"}}
{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"Hm"}
{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"r1","encrypted_content":"x","summary":[{"text":"Hm"}]}}
{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"m","phase":"final"}}
{"type":"response.output_text.delta","output_index":1,"item_id":"m","delta":"Hi"}
{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"Hi"}]}}
{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":3,"output_tokens":4}}}"#,
    r#"
{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"f1","call_id":"c","name":"f","arguments":""}}
{"type":"response.function_call_arguments.delta","output_index":0,"item_id":"f1","delta":"{\"x\":1}"}
{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\"x\":1}"}}
{"type":"response.output_item.done","output_index":1,"item":{"type":"web_search_call","id":"w"}}
{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"message","content":[{"type":"output_text","text":"z"}]}]}}"#,
    r#"
{"type":"response.refusal.delta","delta":"no"}
{"type":"error","error":{"type":"server_error","message":"The server had an error"}}"#,
];

const RESPONSES_WHOLE: [&str; 1] = [
    r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"},{"type":"refusal","refusal":"n"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":1}}"#,
];

const ANTHROPIC: [&str; 3] = [
    r#"
{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":3}}}
{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}
{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"ab"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}
{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}
{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}
{"type":"content_block_stop","index":2}
{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}
{"type":"message_stop"}"#,
    r#"
{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"w","input":{}}}
{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"compaction","content":null}}
{"type":"content_block_delta","index":1,"delta":{"type":"compaction_delta","content":"x"}}
{"type":"content_block_start","index":2,"content_block":{"type":"redacted_thinking","data":"x"}}
{"type":"ping"}
{"type":"message_delta","delta":{"stop_reason":"pause_turn"}}
{"type":"message_stop"}"#,
    r#"
{"type":"content_block_delta","delta":{"text":"half"}}
{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
];

const ANTHROPIC_WHOLE: [&str; 1] = [
    r#"{"type":"message","content":[{"type":"thinking","thinking":"Hm","signature":"s"},{"type":"text","text":"Hi"},{"type":"tool_use","id":"a","name":"f","input":{"x":1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#,
];

const GEMINI: [&str; 3] = [
    r#"
{"responseId":"r","candidates":[{"content":{"parts":[{"text":"Hm","thought":true}]}}]}
{"candidates":[{"content":{"parts":[{"text":"Hi","thoughtSignature":"s"}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1}}
{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"t"},{"functionCall":{"id":"i","name":"g"}}]},"finishReason":"STOP"}]}"#,
    r#"
{"candidates":[{"content":{"parts":[{"executableCode":{"language":"PYTHON","code":"1"}}]},"finishReason":"STOP"}]}
{"candidates":[{"index":0,"content":{"parts":[{"codeExecutionResult":{"outcome":"OK"}},{"text":"x"}]},"finishReason":"MAX_TOKENS"},{"index":1}]}
[DONE]"#,
    r#"
{"candidates":[{"content":{"parts":[{"text":"half"}]}}]}
{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Please retry in 5s.","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5.5s"}]}}"#,
];

const GEMINI_WHOLE: [&str; 2] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3}}"#,
    r#"[{"candidates":[{"content":{"parts":[{"text":"H"}]}}]},{"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"m"}}]"#,
];

const OLLAMA: [&str; 3] = [
    r#"
{"message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}
{"message":{"content":"Hi"},"done":false}
{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}"#,
    r#"
{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"g","arguments":"{}"}}]}}
{"message":{"content":""},"done":true,"done_reason":"length"}"#,
    r#"
{"message":{"content":"half"},"done":false}
{"error":"llama runner process has terminated: exit status 2"}"#,
];

const OLLAMA_WHOLE: [&str; 1] = ["{\n\"message\":{\"content\":\"Hi\"},\n\"done\":true\n}"];

const BEDROCK: [&str; 3] = [
    r#"
messageStart {"role":"assistant"}
contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}
contentBlockStop {"contentBlockIndex":0}
contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"Hi"}}
contentBlockStart {"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}
contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"x\":1}"}}}
contentBlockStop {"contentBlockIndex":2}
messageStop {"stopReason":"tool_use"}
metadata {"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7,"cacheReadInputTokens":1},"metrics":{"latencyMs":1}}"#,
    r#"
contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"s","name":"w","type":"server_tool_use"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}
contentBlockStart {"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"s","status":"success"}}}
contentBlockDelta {"contentBlockIndex":1,"delta":{"toolResult":[{"text":"x"},{"json":{"y":[1.5,null]}}]}}
contentBlockDelta {"contentBlockIndex":2,"delta":{"reasoningContent":{"redactedContent":"AAEC"}}}
invented {"x":1}
messageStop {"stopReason":"guardrail_intervened"}"#,
    r#"
contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"half"}}
exception throttlingException {"message":"Too many requests, please wait before trying again."}"#,
];

const BEDROCK_WHOLE: [&str; 1] = [
    r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"},{"toolUse":{"toolUseId":"a","name":"f","input":{"x":[1,{}]}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1}}"#,
];

const REFUSALS: [&str; 10] = [
    "429\nretry-after: 7\nx-request-id: r\n\n{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}",
    "429\nretry-after-ms: 1500.5\nx-should-retry: false\n\n{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}",
    "503\nx-amz-retry-after: 1500\nx-amzn-errortype: ServiceUnavailableException:http://x\n\n{\"message\":\"busy\"}",
    "429\ndate: Wed, 21 Oct 2026 07:28:00 GMT\nretry-after: Wed, 21 Oct 2026 07:28:30 GMT\n\n",
    "429\ndate: Wed Oct 21 07:28:00 2026\nretry-after: Wednesday, 21-Oct-26 07:29:00 GMT\n\nx",
    "429\nx-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 1h2m3.5s17ms\nx-should-retry: true\n\n{\"error\":{\"code\":\"insufficient_quota\"}}",
    "529\nanthropic-ratelimit-requests-remaining: 0\nanthropic-ratelimit-requests-reset: 2026-10-21T07:28:00Z\n\n{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"},\"request_id\":\"req_1\"}",
    "429\n\n[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"Please retry in 59.95s.\",\"details\":[{\"retryDelay\":\"3.5s\"},{\"violations\":[{\"quotaId\":\"RequestsPerMinute\",\"quotaValue\":\"0\"}]},{\"reason\":\"API_KEY_INVALID\"}]}}]",
    "422\n\n{\"detail\":[{\"loc\":[\"body\",0],\"msg\":\"field required\"}],\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}",
    "308\nlocation: https://h/v1?x=1\n\n<html>try again in 6 seconds, retry after 1 minute</html>",
];
