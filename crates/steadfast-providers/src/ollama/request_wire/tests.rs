use serde_json::json;
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelErrorKind as Kind, Reasoning, Role, ToolResult,
    ToolUse,
};

use super::*;

fn written(request: &ModelRequest) -> Value {
    serde_json::from_slice(&body("m", request).unwrap()).unwrap()
}

/// Checks the messages that a history comes to.
fn check(history: Vec<Message>, expected: Value) {
    assert_eq!(written(&ModelRequest::new(history))["messages"], expected);
}

fn asked() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

fn look_up() -> ToolSpec {
    ToolSpec::new("look_up", "Looks up.", json!({"type": "object"}))
}

#[test]
fn settings_become_options_and_the_users_own_win() {
    let settings = ModelSettings::new()
        .temperature(0.5)
        .top_p(0.25)
        .max_tokens(9)
        .stop_sequences(["END"])
        .extra("options", json!({"num_ctx": 4096, "num_predict": -1}))
        .extra("think", json!("high"))
        .extra("keep_alive", json!(0))
        .extra("stream", json!(false));

    let body = written(&asked().with_system("Be brief.").with_settings(settings));

    assert_eq!(
        body,
        json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ],
            "stream": false,
            "options": {
                "temperature": 0.5, "top_p": 0.25, "num_predict": -1, "stop": ["END"],
                "num_ctx": 4096,
            },
            "think": "high",
            "keep_alive": 0,
        })
    );
}

#[test]
fn nothing_is_sent_that_is_not_set() {
    let plain = json!({
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
    });
    assert_eq!(written(&asked()), plain);

    let odd = ModelSettings::new()
        .max_tokens(1)
        .extra("options", json!("odd"));
    assert_eq!(written(&asked().with_settings(odd))["options"], "odd");
}

#[test]
fn tools_are_functions_and_schemas_objects() {
    let schema = json!({
        "type": "object",
        "properties": {
            "any": true,
            "none": false,
            "one": {"anyOf": [false, {"type": "string"}, true], "additionalProperties": false},
        },
    });
    let tools = [ToolSpec::new("f", "Does.", schema), look_up()];

    let body = written(&asked().with_tools(tools));

    let parameters = json!({
        "type": "object",
        "properties": {
            "any": {},
            "one": {"anyOf": [{"type": "string"}, {}], "additionalProperties": false},
        },
    });
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function",
             "function": {"name": "f", "description": "Does.", "parameters": parameters}},
            {"type": "function",
             "function": {"name": "look_up", "description": "Looks up.",
                          "parameters": {"type": "object"}}},
        ])
    );
}

#[test]
fn choice_is_kept_where_the_wire_can() {
    let choose = |choice| {
        let settings = ModelSettings::new().tool_choice(choice);
        body(
            "m",
            &asked().with_tools([look_up()]).with_settings(settings),
        )
    };
    for (choice, has_tools) in [(ToolChoice::Auto, true), (ToolChoice::None, false)] {
        let body: Value = serde_json::from_slice(&choose(choice).unwrap()).unwrap();
        assert_eq!(body.get("tools").is_some(), has_tools);
        assert!(body.get("tool_choice").is_none());
    }
    for choice in [ToolChoice::Required, ToolChoice::Tool("look_up".into())] {
        let error = choose(choice).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert_eq!(
            error.message(),
            "the Ollama wire does not take a tool call that is required"
        );
    }
}

#[test]
fn calls_go_back_with_their_thoughts_and_results() {
    let own = Reasoning::new("Hm").with_opaque(json!({"ollama": {"text_in": "thinking"}}));
    let foreign = Reasoning::new("Ah").with_opaque(json!({"anthropic": {"signature": "x"}}));
    let calls = [
        ToolUse::new("", "look up", json!({"a": 1})),
        ToolUse::new("", "g", json!("{\"a\": cut")),
    ];
    let results = [
        ToolResult::ok(
            &calls[0],
            vec![
                ContentBlock::text("dry"),
                ContentBlock::image_base64("image/png", "QQ=="),
            ],
        ),
        ToolResult::error(&calls[1], " "),
    ];
    let mut content = vec![
        ContentBlock::Reasoning(own),
        ContentBlock::Reasoning(foreign),
        ContentBlock::text("I "),
        ContentBlock::Refusal {
            text: "look.".into(),
        },
    ];
    content.extend(calls.map(ContentBlock::ToolUse));

    check(
        vec![
            Message::user("Look."),
            Message::new(Role::Assistant, content),
            Message::tool_results(results),
        ],
        json!([
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": "I look.", "thinking": "Hm", "tool_calls": [
                {"id": "call", "function": {"name": "look_up", "arguments": {"a": 1}}},
                {"id": "call_2", "function": {"name": "g", "arguments": {"input": "{\"a\": cut"}}},
            ]},
            {"role": "tool", "content": "dry", "tool_name": "look_up", "tool_call_id": "call"},
            {"role": "tool", "content": "failed", "tool_name": "g", "tool_call_id": "call_2"},
            {"role": "user", "content": "From the tool `look up`:", "images": ["QQ=="]},
        ]),
    );
}

#[test]
fn users_texts_are_one_and_images_stand_beside() {
    check(
        vec![
            Message::new(
                Role::User,
                [
                    ContentBlock::text("Who?"),
                    ContentBlock::image_base64("image/png", "QQ=="),
                    ContentBlock::Opaque {
                        data: json!({"gemini": {}}),
                    },
                    ContentBlock::text("Where?"),
                ],
            ),
            Message::new(Role::User, []),
            Message::new(Role::User, [ContentBlock::Opaque { data: json!({}) }]),
        ],
        json!([
            {"role": "user", "content": "Who?\n\nWhere?", "images": ["QQ=="]},
            {"role": "user", "content": ""},
        ]),
    );
}

#[test]
fn what_the_wire_cannot_carry_is_named() {
    let document = ContentBlock::Document {
        source: MediaSource::Base64 {
            media_type: "application/pdf".into(),
            data: "QQ==".into(),
        },
        name: None,
    };
    for (block, what) in [
        (document, "a document in a user's message"),
        (
            ContentBlock::image_url("http://h/i.png"),
            "an image that is not in base64",
        ),
    ] {
        let request = ModelRequest::new([Message::new(Role::User, [block])]);
        let error = body("m", &request).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert_eq!(
            error.message(),
            format!("the Ollama wire does not take {what}")
        );
    }
}
