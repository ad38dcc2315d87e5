//! Amazon Bedrock over real HTTP: how a client is made, what is sent, what is carried back.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, Model, ModelErrorKind, ModelRequest, ModelSettings,
    Reasoning, Role, StopReason, ToolChoice, ToolResult, ToolSpec, ToolUse,
};
use steadfast_providers::{Bedrock, BedrockBuilder};
use steadfast_sim::{Answer, Simulator};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCY";

fn builder(url: &str) -> BedrockBuilder {
    Bedrock::builder("anthropic.claude-test-v1:0")
        .region("us-east-1")
        .credentials("AKIDTEST", SECRET, None)
        .endpoint_url(url)
}

/// Sends a request to a simulator and returns the body that came there.
async fn sent(request: ModelRequest) -> TestResult<Value> {
    let sim = Simulator::start().await?;
    let model = builder(&sim.url()).build()?;
    model.stream(request).await?.response().await?;
    let seen = sim.requests().pop().ok_or("no request")?;
    Ok(seen.body)
}

fn prompt() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

fn tool() -> ToolSpec {
    ToolSpec::new("f", "Does it.", json!({"type": "object"}))
}

#[tokio::test]
async fn call_is_signed_and_counted_once() -> TestResult {
    let sim = Simulator::builder()
        .faults("503*2".parse()?)
        .start()
        .await?;
    let given = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("ap-south-1"))
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .build();
    let own = builder(&sim.url()).credentials("AKIDTEST", SECRET, "a session".to_owned());
    let shared = Bedrock::builder("m")
        .sdk_config(given)
        .credentials("AKIDSHARED", SECRET, None)
        .endpoint_url(sim.url());

    for (model, region) in [(own.build()?, "us-east-1"), (shared.build()?, "ap-south-1")] {
        let before = sim.requests().len();
        let error = model.stream(prompt()).await.err().ok_or("no error")?;

        assert_eq!(error.kind(), ModelErrorKind::Overloaded);
        let seen = sim.requests();
        assert_eq!(seen.len(), before + 1, "the SDK retries");
        let signature = seen[before].headers["authorization"].to_str()?.to_owned();
        assert!(
            signature.contains(&format!("/{region}/bedrock/aws4_request")),
            "{signature}"
        );
    }
    assert_eq!(
        sim.requests()[0].headers["x-amz-security-token"],
        "a session"
    );
    Ok(())
}

#[tokio::test]
async fn whole_answer_is_the_same_as_a_stream() -> TestResult {
    let sim = Simulator::builder()
        .answer(|_| {
            Answer::reasoning("Hm.")
                .then_text("So.")
                .then_tool_call("f", json!({"big": u64::MAX, "deep": [{"a": -1}]}))
                .usage(100, 20)
                .cached_tokens(60)
        })
        .start()
        .await?;
    let request = prompt().with_tools([tool()]);

    let stream = builder(&sim.url()).build()?.stream(request.clone()).await?;
    let whole = builder(&sim.url()).whole_answers().build()?;
    let whole = whole.stream(request).await?.response().await?;
    let stream = stream.response().await?;

    let without_ids = |message: &Message| {
        let mut message = message.clone();
        for block in &mut message.content {
            if let ContentBlock::ToolUse(call) = block {
                call.id.clear();
            }
        }
        message
    };
    assert_eq!(without_ids(&stream.message), without_ids(&whole.message));
    assert_eq!(stream.usage.input_tokens, 100);
    assert_eq!(stream.usage.cache_read_tokens, 60);
    assert_eq!(stream.stop_reason, StopReason::ToolUse);
    assert!(stream.request_id.is_some() && whole.request_id.is_some());
    Ok(())
}

#[tokio::test]
async fn settings_are_written_in_the_vendors_words() -> TestResult {
    let settings = ModelSettings::new()
        .max_tokens(900)
        .temperature(0.7)
        .top_p(0.9)
        .stop_sequences(["END"])
        .tool_choice(ToolChoice::Tool("f".to_owned()))
        .extra(
            "guardrailConfig",
            json!({"guardrailIdentifier": "g", "guardrailVersion": "1"}),
        )
        .extra("top_k", json!(50))
        // Of this name Converse has a field deeper down only: here it is the model's.
        .extra("trace", json!("ENABLED"))
        .extra(
            "additionalModelRequestFields",
            json!({"anthropic_beta": ["x"]}),
        );
    let request = prompt().with_system("Be brief.").with_settings(settings);

    let body = sent(request.with_tools([tool()])).await?;

    assert_eq!(
        body,
        json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "system": [{"text": "Be brief."}],
            "inferenceConfig":
                {"maxTokens": 900, "temperature": 0.7, "topP": 0.9, "stopSequences": ["END"]},
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "description": "Does it.",
                    "inputSchema": {"json": {"type": "object"}}}}],
                "toolChoice": {"tool": {"name": "f"}},
            },
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
            "additionalModelRequestFields":
                {"anthropic_beta": ["x"], "top_k": 50, "trace": "ENABLED"},
        })
    );
    Ok(())
}

#[tokio::test]
async fn extra_fields_win_over_settings() -> TestResult {
    let settings = ModelSettings::new()
        .max_tokens(900)
        .extra("inferenceConfig", json!({"maxTokens": 5}))
        .extra("system", json!([{"text": "Mine."}]));
    let body = sent(prompt().with_system("Yours.").with_settings(settings)).await?;
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 5}));
    assert_eq!(body["system"], json!([{"text": "Mine."}]));
    Ok(())
}

#[tokio::test]
async fn given_tools_stand_beside_the_agents() -> TestResult {
    let given = json!({"tools": [{"cachePoint": {"type": "default"}}]});
    let settings = ModelSettings::new()
        .tool_choice(ToolChoice::Required)
        .extra("toolConfig", given);
    let body = sent(prompt().with_tools([tool()]).with_settings(settings)).await?;
    assert_eq!(
        body["toolConfig"],
        json!({
            "tools": [
                {"toolSpec": {"name": "f", "description": "Does it.",
                    "inputSchema": {"json": {"type": "object"}}}},
                {"cachePoint": {"type": "default"}},
            ],
            "toolChoice": {"any": {}},
        })
    );
    Ok(())
}

#[tokio::test]
async fn tools_of_the_history_are_described_where_none_are_offered() -> TestResult {
    let call = ToolUse::new("a", "f", json!({}));
    let other = ToolUse::new("b", "gone", Value::Null);
    let history = [
        Message::user("Hi"),
        Message::new(
            Role::Assistant,
            [call.clone(), other.clone()].map(ContentBlock::ToolUse),
        ),
        Message::tool_results([ToolResult::ok(&call, vec![]), ToolResult::error(&other, "")]),
    ];
    let none = ModelSettings::new().tool_choice(ToolChoice::None);
    let request = ModelRequest::new(history)
        .with_tools([tool()])
        .with_settings(none);

    let body = sent(request).await?;

    let names = ["f", "gone"].map(|name| {
        let tools = body["toolConfig"]["tools"].as_array().into_iter().flatten();
        tools
            .filter(|tool| tool["toolSpec"]["name"] == name)
            .count()
    });
    assert_eq!(names, [1, 1], "{body}");
    assert_eq!(body["toolConfig"].get("toolChoice"), None);
    let results = &body["messages"][2]["content"];
    assert_eq!(
        results[0]["toolResult"]["content"],
        json!([{"text": "(nothing)"}])
    );
    assert_eq!(
        results[1]["toolResult"]["content"],
        json!([{"text": "failed"}])
    );
    assert_eq!(results[1]["toolResult"]["status"], "error");
    let plain = ModelSettings::new().tool_choice(ToolChoice::None);
    let body = sent(prompt().with_tools([tool()]).with_settings(plain)).await?;
    assert_eq!(body.get("toolConfig"), None);
    Ok(())
}

#[tokio::test]
async fn media_have_formats_names_and_words_beside_them() -> TestResult {
    let document = |name: &str, media_type: &str| -> TestResult<ContentBlock> {
        let source = json!({"type": "base64", "media_type": media_type, "data": "eA=="});
        Ok(ContentBlock::Document {
            source: serde_json::from_value(source)?,
            name: Some(name.to_owned()),
        })
    };
    let content = [
        ContentBlock::image_base64("image/jpeg", "e\nA=="),
        ContentBlock::image_url("s3://bucket/a.webp"),
        document("report_v1.pdf", "application/pdf")?,
        document("report v1 pdf", "text/markdown; charset=utf-8")?,
    ];

    let body = sent(ModelRequest::new([Message::new(Role::User, content)])).await?;

    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"image": {"format": "jpeg", "source": {"bytes": "eA=="}}},
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/a.webp"}}}},
            {"document": {"format": "pdf", "name": "report v1 pdf", "source": {"bytes": "eA=="}}},
            {"document": {"format": "md", "name": "report v1 pdf 2", "source": {"bytes": "eA=="}}},
            {"text": "(See the document.)"},
        ])
    );
    Ok(())
}

#[tokio::test]
async fn what_the_wire_cannot_carry_is_named() -> TestResult {
    let model = builder("http://127.0.0.1:9").build()?;
    let url = |url: &str| ContentBlock::Document {
        source: MediaSource::Url {
            url: url.to_owned(),
        },
        name: None,
    };
    for (block, named) in [
        (
            ContentBlock::image_url("https://h/i.png"),
            "images by an address",
        ),
        (
            ContentBlock::image_base64("image/tiff", "eA=="),
            "`image/tiff`",
        ),
        (url("https://h/d.pdf"), "documents by an address"),
    ] {
        let request = ModelRequest::new([Message::new(Role::User, [block])]);
        let error = model.stream(request).await.err().ok_or(named)?;
        assert_eq!(error.kind(), ModelErrorKind::Unsupported);
        assert!(error.message().contains(named), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn thinking_and_own_blocks_go_back_as_they_came() -> TestResult {
    let sim = Simulator::builder()
        .answer(|request| match request.tool_results().as_slice() {
            [] => Answer::reasoning("Hm.").then_tool_call("f", json!({})),
            _ => Answer::text("Done."),
        })
        .start()
        .await?;
    let model = builder(&sim.url()).build()?;
    let thinking = ModelSettings::new().max_tokens(2_000).extra(
        "thinking",
        json!({"type": "enabled", "budget_tokens": 1_024}),
    );
    let ask = |history: Vec<Message>| {
        let request = ModelRequest::new(history).with_settings(thinking.clone());
        model.stream(request.with_tools([tool()]))
    };
    let cache = ContentBlock::Opaque {
        data: json!({"bedrock": {"cachePoint": {"type": "default"}}}),
    };
    let mut history = vec![Message::new(Role::User, [ContentBlock::text("Hi"), cache])];

    let first = ask(history.clone()).await?.response().await?;
    let call = first.message.tool_uses().next().cloned().ok_or("no call")?;
    history.push(Message::clone(&first.message));
    history.push(Message::tool_results([ToolResult::ok(
        &call,
        vec![ContentBlock::text("x")],
    )]));
    let second = ask(history).await?.response().await?;

    assert_eq!(second.text(), "Done.");
    let body = sim.requests().pop().ok_or("no request")?.body;
    assert_eq!(
        body["messages"][0]["content"][1],
        json!({"cachePoint": {"type": "default"}})
    );
    let thought = &body["messages"][1]["content"][0]["reasoningContent"]["reasoningText"];
    assert_eq!(thought["text"], "Hm.");
    assert!(thought["signature"].is_string());
    Ok(())
}

#[tokio::test]
async fn thinking_is_left_out_where_calls_have_none_before_them() -> TestResult {
    let call = ToolUse::new("a", "f", json!({}));
    let foreign = Reasoning::new("Hm").with_opaque(json!({"anthropic": {"signature": "x"}}));
    let history = [
        Message::user("Hi"),
        Message::new(
            Role::Assistant,
            [
                ContentBlock::Reasoning(foreign),
                ContentBlock::ToolUse(call.clone()),
            ],
        ),
        Message::tool_results([ToolResult::ok(&call, vec![ContentBlock::text("x")])]),
    ];
    let thinking = ModelSettings::new()
        .extra(
            "thinking",
            json!({"type": "enabled", "budget_tokens": 1_024}),
        )
        .extra("top_k", json!(5));

    let body = sent(ModelRequest::new(history).with_settings(thinking)).await?;

    assert_eq!(body["additionalModelRequestFields"], json!({"top_k": 5}));
    assert_eq!(
        body["messages"][1]["content"].as_array().map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[tokio::test]
async fn thinking_stays_on_in_a_loop_that_began_with_it() -> TestResult {
    let sim = Simulator::builder()
        .answer(|_| Answer::reasoning("Hm.").then_tool_call("f", json!({})))
        .start()
        .await?;
    let model = builder(&sim.url()).build()?;
    let thinking = ModelSettings::new().max_tokens(2_000).extra(
        "thinking",
        json!({"type": "enabled", "budget_tokens": 1_024}),
    );
    let ask = |history: Vec<Message>| {
        let request = ModelRequest::new(history).with_settings(thinking.clone());
        model.stream(request.with_tools([tool()]))
    };
    let mut history = vec![Message::user("Hi")];
    let first = ask(history.clone()).await?.response().await?;
    let call = first.message.tool_uses().next().cloned().ok_or("no call")?;
    // Without interleaving, the model thinks before its first call of a turn only.
    let again = ToolUse::new("b", "f", json!({}));
    history.extend([
        Message::clone(&first.message),
        Message::tool_results([ToolResult::ok(&call, vec![])]),
        Message::new(Role::Assistant, [ContentBlock::ToolUse(again.clone())]),
        Message::tool_results([ToolResult::ok(&again, vec![])]),
    ]);

    ask(history).await?.response().await?;

    let body = sim.requests().pop().ok_or("no request")?.body;
    let sent = &body["additionalModelRequestFields"]["thinking"]["type"];
    assert_eq!(sent, "enabled");
    Ok(())
}

#[tokio::test]
async fn conversation_begins_with_the_user() -> TestResult {
    let history = [
        Message::assistant("Welcome!"),
        Message::user("Hi"),
        Message::user("there"),
    ];
    let body = sent(ModelRequest::new(history)).await?;
    let roles: Vec<_> = body["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| &m["role"])
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(
        body["messages"][2]["content"],
        json!([{"text": "Hi"}, {"text": "there"}])
    );
    Ok(())
}

#[tokio::test]
async fn blank_prompt_is_refused_before_it_is_sent() -> TestResult {
    let model = builder("http://127.0.0.1:9").build()?;
    let history = [
        Message::user("Hi"),
        Message::assistant("x"),
        Message::user(" \n"),
    ];
    let error = model
        .stream(ModelRequest::new(history))
        .await
        .err()
        .ok_or("no error")?;
    assert_eq!(error.kind(), ModelErrorKind::InvalidRequest);
    Ok(())
}

#[test]
fn wrong_values_are_refused_by_name() {
    let builder = || Bedrock::builder("m").region("us-east-1");
    for (builder, field) in [
        (Bedrock::builder(" ").region("us-east-1"), "model"),
        (builder().region(" "), "region"),
        (builder().profile(""), "profile"),
        (builder().credentials("AKIDTEST", " ", None), "credentials"),
        (builder().endpoint_url("bedrock.local"), "endpoint_url"),
        (
            builder().endpoint_url("https://user:secret@h"),
            "endpoint_url",
        ),
        (builder().connect_timeout(Duration::ZERO), "connect_timeout"),
        (builder().proxy("socks5://h:1"), "proxy"),
    ] {
        let error = builder.build().err();
        assert_eq!(error.as_ref().map(|error| error.field()), Some(field));
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn secrets_are_in_no_debug_form() -> TestResult {
    let builder = builder("http://127.0.0.1:9").credentials("AKIDTEST", SECRET, "token".to_owned());
    let shown = format!("{builder:?}");
    let model = builder.build()?;
    assert!(!format!("{shown} {model:?}").contains(SECRET));
    assert_eq!(model.name(), "bedrock:anthropic.claude-test-v1:0");
    Ok(())
}
