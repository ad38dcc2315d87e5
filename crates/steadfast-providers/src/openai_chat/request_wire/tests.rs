use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelErrorKind, Reasoning, Role, ToolResult, ToolUse,
};

use super::*;

fn write(request: &ModelRequest) -> Result<Value, ModelError> {
    write_as(Dialect::OpenAi, "m", request)
}

fn write_as(dialect: Dialect, model: &str, request: &ModelRequest) -> Result<Value, ModelError> {
    let body = body(dialect, model, "host", request)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn check_mistral(history: Vec<Message>, messages: Value) {
    let body = write_as(Dialect::Mistral, "m", &ModelRequest::new(history)).unwrap();
    assert_eq!(body["messages"], messages);
}

fn check(history: Vec<Message>, messages: Value) {
    let body = write(&ModelRequest::new(history)).unwrap();
    assert_eq!(body["messages"], messages);
}

fn check_settings(settings: ModelSettings, fields: Value) {
    let request = ModelRequest::new([Message::user("Hi")]).with_settings(settings);
    let mut expected = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}],
        "stream": true, "stream_options": {"include_usage": true}});
    for (field, value) in fields.as_object().unwrap() {
        expected[field] = value.clone();
    }
    assert_eq!(write(&request).unwrap(), expected);
}

fn user(content: Vec<ContentBlock>) -> Vec<Message> {
    vec![Message::new(Role::User, content)]
}

fn assistant_with(content: Vec<ContentBlock>) -> Vec<Message> {
    vec![Message::new(Role::Assistant, content)]
}

fn document(source: MediaSource, name: Option<&str>) -> ContentBlock {
    ContentBlock::Document {
        source,
        name: name.map(str::to_owned),
    }
}

fn opaque(own: Value) -> ContentBlock {
    ContentBlock::Reasoning(Reasoning::new("Hm").with_opaque(json!({ OPAQUE_KEY: own })))
}

#[test]
fn texts_of_a_user_go_out_as_one() {
    check(
        user(vec![ContentBlock::text("a"), ContentBlock::text("b")]),
        json!([{"role": "user", "content": "a\n\nb"}]),
    );
    check(user(vec![]), json!([{"role": "user", "content": ""}]));
}

#[test]
fn images_and_documents_go_out_as_parts() {
    check(
        user(vec![
            ContentBlock::text("a"),
            ContentBlock::image_url("http://h/i.png"),
            ContentBlock::image_base64("image/png", "QQ=="),
        ]),
        json!([{"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "http://h/i.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
        ]}]),
    );
    let base64 = MediaSource::Base64 {
        media_type: "application/pdf".into(),
        data: "QQ==".into(),
    };
    let file = |name: &str| {
        json!([{"role": "user", "content": [{"type": "file",
            "file": {"filename": name, "file_data": "data:application/pdf;base64,QQ=="}}]}])
    };
    check(
        user(vec![document(base64.clone(), Some("a.pdf"))]),
        file("a.pdf"),
    );
    check(user(vec![document(base64, None)]), file("document"));
}

#[test]
fn what_the_wire_cannot_say_is_refused_by_name() {
    let by_url = MediaSource::Url {
        url: "http://h/a.pdf".into(),
    };
    let call = ToolUse::new("a", "f", json!({}));
    for (content, named) in [
        (document(by_url, None), "a document that is not in base64"),
        (ContentBlock::ToolUse(call), "a tool call"),
    ] {
        let error = write(&ModelRequest::new(user(vec![content]))).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unsupported);
        assert!(error.message().contains(named), "{error}");
    }
}

#[test]
fn media_of_results_follow_all_results_as_a_users() {
    let call = |id: &str| ToolUse::new(id, "f", json!({}));
    let image = ContentBlock::image_url("http://h/i.png");
    let seen = ToolResult::ok(&call("a"), vec![ContentBlock::text("seen"), image]);
    let foreign = ContentBlock::Opaque {
        data: json!({"anthropic": {"type": "x"}}),
    };
    let dry = ToolResult::ok(&call("b"), vec![ContentBlock::text("dry"), foreign]);
    check(
        vec![
            Message::tool_results([seen]),
            Message::tool_results([dry]),
            Message::user("and now?"),
        ],
        json!([
            {"role": "tool", "content": "seen", "tool_call_id": "a"},
            {"role": "tool", "content": "dry", "tool_call_id": "b"},
            {"role": "user", "content": [
                {"type": "text", "text": "From the tool `f`:"},
                {"type": "image_url", "image_url": {"url": "http://h/i.png"}}
            ]},
            {"role": "user", "content": "and now?"}
        ]),
    );
}

#[test]
fn blocks_of_other_providers_stay_out() {
    let foreign = ContentBlock::Opaque {
        data: json!({"anthropic": {"type": "container_upload"}}),
    };
    check(
        user(vec![foreign.clone(), ContentBlock::text("a")]),
        json!([{"role": "user", "content": "a"}]),
    );
}

#[test]
fn calls_go_out_with_identities_of_their_own() {
    let turn = |id: &str, name: &str| {
        let call = ToolUse::new(id, name, json!({}));
        let result = ToolResult::error(&call, " ");
        [
            Message::new(Role::Assistant, [ContentBlock::ToolUse(call)]),
            Message::tool_results([result]),
        ]
    };
    let expected = |id: &str, name: &str| {
        let function = json!({"name": name, "arguments": "{}"});
        let call = json!({"id": id, "type": "function", "function": function});
        let result = json!({"role": "tool", "content": "failed", "tool_call_id": id});
        [json!({"role": "assistant", "tool_calls": [call]}), result]
    };
    let long = "x".repeat(41);
    let turns = [turn("call_0", "f"), turn("call_0", ""), turn(&long, "f g")];
    let on_wire = [
        expected("call_0", "f"),
        expected("call_0_2", "unknown"),
        expected(&long[1..], "f_g"),
    ];
    check(
        turns.into_iter().flatten().collect(),
        json!(on_wire.concat()),
    );
}

#[test]
fn results_come_before_what_stands_beside_them() {
    let call = ToolUse::new("a", "f", json!({}));
    check(
        user(vec![
            ContentBlock::text("and now?"),
            ContentBlock::ToolResult(ToolResult::ok(&call, vec![ContentBlock::text("rain")])),
        ]),
        json!([
            {"role": "tool", "content": "rain", "tool_call_id": "a"},
            {"role": "user", "content": "and now?"}
        ]),
    );
}

#[test]
fn answers_go_back_as_they_came() {
    let refusal = ContentBlock::Refusal { text: "No.".into() };
    check(
        assistant_with(vec![refusal]),
        json!([{"role": "assistant", "content": "", "refusal": "No."}]),
    );
    check(
        assistant_with(vec![]),
        json!([{"role": "assistant", "content": ""}]),
    );
    check(
        assistant_with(vec![ContentBlock::text("a"), ContentBlock::text("b")]),
        json!([{"role": "assistant", "content": "ab"}]),
    );
}

#[test]
fn arguments_go_back_as_an_object_or_null() {
    for (input, expected) in [
        (json!({"a": 1}), "{\"a\":1}"),
        (json!("{\"a\": cut"), "{}"),
        (json!([1]), "{}"),
        (json!(null), "null"),
    ] {
        let call = ToolUse::new("a", "f", input);
        check(
            assistant_with(vec![ContentBlock::ToolUse(call)]),
            json!([{"role": "assistant", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": expected}}]}]),
        );
    }
}

#[test]
fn reasoning_goes_back_in_its_own_field() {
    for (block, fields) in [
        (
            opaque(json!({"text_in": "reasoning"})),
            json!({"reasoning": "Hm"}),
        ),
        (
            opaque(json!({"text_in": "reasoning_content"})),
            json!({"reasoning_content": "Hm"}),
        ),
        (
            opaque(json!({"text_in": "reasoning", "reasoning_details": [{"data": "d"}]})),
            json!({"reasoning_details": [{"data": "d"}]}),
        ),
        (
            opaque(json!({"text_in": "reasoning", "host": "host"})),
            json!({"reasoning": "Hm"}),
        ),
        // Another host may refuse the field.
        (
            opaque(json!({"text_in": "reasoning", "host": "other"})),
            json!({}),
        ),
        (opaque(json!({"content": "x", "role": "x"})), json!({})),
        (ContentBlock::Reasoning(Reasoning::new("Hm")), json!({})),
        (
            ContentBlock::Reasoning(Reasoning::new("Hm").with_opaque(json!({"other": 1}))),
            json!({}),
        ),
    ] {
        let mut expected = json!({"role": "assistant", "content": "a"});
        for (field, value) in fields.as_object().unwrap() {
            expected[field] = value.clone();
        }
        check(
            assistant_with(vec![block, ContentBlock::text("a")]),
            json!([expected]),
        );
    }
}

#[test]
fn extra_content_goes_back_on_its_call() {
    let extra = json!({"google": {"thought_signature": "sig"}});
    let call = |id: &str| ContentBlock::ToolUse(ToolUse::new(id, "f", json!({})));
    let function = json!({"name": "f", "arguments": "{}"});
    check(
        assistant_with(vec![
            call("a"),
            call("b"),
            opaque(json!({"tool_calls": {"a": extra}})),
        ]),
        json!([{"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": function, "extra_content": extra},
            {"id": "b", "type": "function", "function": function}
        ]}]),
    );
}

#[test]
fn settings_are_written_and_extra_wins() {
    check_settings(
        ModelSettings::new()
            .max_tokens(9)
            .temperature(0.5)
            .top_p(0.5)
            .stop_sequences(["END"]),
        json!({"max_tokens": 9, "temperature": 0.5, "top_p": 0.5, "stop": ["END"]}),
    );
    check_settings(
        ModelSettings::new()
            .temperature(0.5)
            .extra("temperature", json!(1))
            .extra("stream_options", json!(null))
            .extra("seed", json!(7)),
        json!({"temperature": 1, "stream_options": null, "seed": 7}),
    );
    check_settings(
        ModelSettings::new().tool_choice(ToolChoice::Required),
        json!({}),
    );
}

#[test]
fn system_and_output_limit_are_written_as_the_model_wants_them() {
    let request = ModelRequest::new([Message::user("Hi")])
        .with_system("Be brief.")
        .with_settings(ModelSettings::new().max_tokens(9));
    for (model, field, other) in [
        ("gpt-5-mini", "max_completion_tokens", "max_tokens"),
        ("o3", "max_completion_tokens", "max_tokens"),
        ("qwen3", "max_tokens", "max_completion_tokens"),
    ] {
        let body = write_as(Dialect::OpenAi, model, &request).unwrap();
        assert_eq!(body[field], json!(9), "{model}");
        assert_eq!(body.get(other), None, "{model}");
        assert_eq!(
            body["messages"][0],
            json!({"role": "system", "content": "Be brief."})
        );
    }
}

#[test]
fn deployments_take_the_newer_output_limit() {
    let settings = ModelSettings::new().max_tokens(9);
    let request = ModelRequest::new([Message::user("Hi")]).with_settings(settings);

    let body = write_as(Dialect::Azure, "my-deployment", &request).unwrap();

    assert_eq!(body["max_completion_tokens"], 9);
    assert_eq!(body.get("max_tokens"), None);
}

#[test]
fn mistral_is_sent_no_field_that_it_does_not_know() {
    let settings = ModelSettings::new().max_tokens(9);
    let request = ModelRequest::new([Message::user("Hi")]).with_settings(settings);

    let body = write_as(Dialect::Mistral, "o3-like", &request).unwrap();

    let messages = json!([{"role": "user", "content": "Hi"}]);
    let expected =
        json!({"model": "o3-like", "messages": messages, "stream": true, "max_tokens": 9});
    assert_eq!(body, expected);
}

#[test]
fn calls_of_others_get_identities_that_mistral_takes() {
    let call = |id: &str| ToolUse::new(id, "f", json!({}));
    let result = |id: &str| ToolResult::ok(&call(id), vec![ContentBlock::text("1")]);
    let function = json!({"name": "f", "arguments": "{}"});
    let sent = |id: &str| json!({"id": id, "type": "function", "function": function});
    check_mistral(
        vec![
            Message::new(
                Role::Assistant,
                ["call_1", "D681PevKs"]
                    .map(|id| ContentBlock::ToolUse(call(id)))
                    .to_vec(),
            ),
            Message::tool_results([result("call_1"), result("D681PevKs")]),
        ],
        json!([
            {"role": "assistant", "tool_calls": [sent("000000001"), sent("D681PevKs")]},
            {"role": "tool", "tool_call_id": "000000001", "content": "1"},
            {"role": "tool", "tool_call_id": "D681PevKs", "content": "1"},
        ]),
    );
}

#[test]
fn orders_that_mistral_refuses_are_mended() {
    let image = ContentBlock::image_base64("image/png", "QQ==");
    let call = ToolUse::new("123456789", "f", json!({}));
    let result = ToolResult::ok(&call, vec![image]);
    check_mistral(
        vec![
            Message::new(Role::Assistant, vec![ContentBlock::ToolUse(call)]),
            Message::tool_results([result]),
            Message::new(Role::Assistant, vec![]),
            Message::new(
                Role::Assistant,
                vec![ContentBlock::Refusal {
                    text: "I won't.".to_owned(),
                }],
            ),
        ],
        json!([
            {"role": "assistant", "tool_calls": [{"id": "123456789", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "123456789", "content": ""},
            {"role": "assistant", "content": " "},
            {"role": "user", "content": [
                {"type": "text", "text": "From the tool `f`:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]},
            {"role": "assistant", "content": " "},
            {"role": "assistant", "content": "I won't."},
        ]),
    );
}

#[test]
fn documents_go_to_mistral_by_their_address() {
    let base64 = MediaSource::Base64 {
        media_type: "application/pdf".to_owned(),
        data: "QQ==".to_owned(),
    };
    let url = MediaSource::Url {
        url: "https://h/a.pdf".to_owned(),
    };
    check_mistral(
        user(vec![document(base64, Some("a.pdf")), document(url, None)]),
        json!([{"role": "user", "content": [
            {"type": "document_url", "document_url": "data:application/pdf;base64,QQ==",
                "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://h/a.pdf"}]}]),
    );
}
